"""Where the API is reached, under which names it answers, and how both may be set."""

import pytest

from podium.kernel.addresses import accepted_hosts, agents_url
from podium.kernel.errors import SettingsInvalid
from podium.kernel.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8250"),
        ("0.0.0.0", "http://127.0.0.1:8250"),
        ("::", "http://[::1]:8250"),
        ("2001:db8::5", "http://[2001:db8::5]:8250"),
        ("podium.internal", "http://podium.internal:8250"),
    ],
)
def test_agents_are_given_a_url_that_the_server_answers_under(host: str, url: str) -> None:
    settings = Settings(host=host)
    assert agents_url(settings) == url
    name = url.removeprefix("http://").removesuffix(":8250")
    assert accepted_hosts(settings) == {"localhost", "127.0.0.1", "[::1]", name}


@pytest.mark.parametrize(
    ("public", "name"),
    [
        ("https://podium.example.com/", "podium.example.com"),
        ("http://podium.example.com:8250", "podium.example.com"),
        ("http://[2001:db8::5]:8250", "[2001:db8::5]"),
    ],
)
def test_the_public_url_is_what_agents_are_given(public: str, name: str) -> None:
    settings = Settings(host="0.0.0.0", public_url=public)
    assert agents_url(settings) == public.rstrip("/")
    assert name in accepted_hosts(settings)


def test_no_allowed_hosts_leave_those_of_this_machine() -> None:
    assert accepted_hosts(Settings(allowed_hosts=[])) == {"localhost", "127.0.0.1", "[::1]"}
    assert "box" in accepted_hosts(Settings(allowed_hosts=["box", "*"]))


@pytest.mark.parametrize("host", ["", "http://box", "box:8250", "::1", "a b"])
def test_a_host_name_that_could_never_be_met_is_refused(host: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"allowed_hosts\.0: .* without scheme and port"):
        load_settings(allowed_hosts=[host])


@pytest.mark.parametrize(
    "url",
    ["podium.example.com", "ftp://a", "http://", "https://u:p@a", "https://a/?b", "http://[::"],
)
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="public_url: "):
        load_settings(public_url=url)
