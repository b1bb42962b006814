"""Secrets are masked by their name and by their look, and nothing else is."""

import time
from typing import Any

import orjson
import pytest

from podium.kernel.redaction import beginning, ending, redact, redact_json, redact_text

TOKEN = f"podium_{'0a' * 16}_abcdefghij-klmnopqrst_uvwxyz0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:pass@h/d", "postgresql://u:***@h/d"),
        ("postgresql+asyncpg://u:p@ss:w@h/d?x=1", "postgresql+asyncpg://u:***@h/d?x=1"),
        ("unix://:word@/run/valkey.sock", "unix://:***@/run/valkey.sock"),
        ("http://127.0.0.1:8250/path", "http://127.0.0.1:8250/path"),
        ("see https://example.org:443/a and b@c", "see https://example.org:443/a and b@c"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ("a bearer of news", "a bearer of news"),
        ("GET /ws?token=abc&x=1", "GET /ws?token=***&x=1"),
        (TOKEN, "podium_***"),
        (f"x={TOKEN[:50]}…", "x=podium_***…"),
        (f"my_{TOKEN}.", "my_podium_***."),
        (f"x=pat_{'0a' * 16}_3_abcdefghijklmnopqrstuvwxyz.", "x=pat_***."),
        ("podium_worker_errors_total is not podium_attempts_settled_total",) * 2,
        ("podium_settings and pat_small", "podium_settings and pat_small"),
    ],
)
def test_texts(text: str, masked: str) -> None:
    assert redact_text(text) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"token": "x", "tokens": ["y"]}, {"token": "***", "tokens": "***"}),
        ({"max_tokens": 5, "password": None, "secret": True}, None),
        ({"API-Key": "x", "set-cookie": b"y"}, {"API-Key": "***", "set-cookie": "***"}),
        ({"token_id": "x", "secretary": "y", "keyboard": "z"}, None),
        ({"a": [{"client_secret": "x"}]}, {"a": [{"client_secret": "***"}]}),
        ({TOKEN: 1, 2: "x"}, {"podium_***": 1, 2: "x"}),
        (("Bearer abcdefghij", 1.5), ["Bearer ***", 1.5]),
        (ValueError("unix://:word@/x"), "unix://:***@/x"),
    ],
)
def test_values(value: Any, masked: Any) -> None:
    assert redact(value) == (value if masked is None else masked)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"text": f"PODIUM_TOKEN={TOKEN}\nA=1"}, {"text": "PODIUM_TOKEN=podium_***\nA=1"}),
        (
            [f'"{TOKEN}"', 1.5, None, {TOKEN: True}],
            ['"podium_***"', 1.5, None, {"podium_***": True}],
        ),
        (["http://a:b", "c@d", "http://u:p@h"], ["http://a:b", "c@d", "http://u:***@h"]),
        ({"url": "/ws?token=abc", "token": "mine"}, {"url": "/ws?token=***", "token": "mine"}),
        (["basic authentication of the bearer certificate"], None),
        ({"a": [1, "x=y", 2**63, 0.1]}, None),
    ],
)
def test_json_keeps_all_but_its_secrets(value: Any, masked: Any) -> None:
    text = orjson.dumps(value)
    assert orjson.loads(redact_json(text)) == (value if masked is None else masked)


@pytest.mark.parametrize("text", ["a." * 30_000, "x-" * 30_000, "x://" * 15_000, "bearer " * 9000])
def test_takes_time_in_proportion_to_the_text(text: str) -> None:
    began = time.process_time()
    assert redact_text(text)
    assert time.process_time() - began < 1


def test_what_is_nested_too_deeply_is_only_named() -> None:
    value: Any = "end"
    for _ in range(10):
        value = [value]
    assert "end" not in str(redact(value))
    assert "<list>" in str(redact(value))


@pytest.mark.parametrize(
    "secret",
    [
        f"pat_{'0a' * 16}_3_TopSecretTopSecret",
        "postgresql://u:TopSecretTopSecret@h/d",
        "Bearer TopSecretTopSecret",
        "/x?token=TopSecretTopSecret&y=1",
    ],
)
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(secret: str) -> None:
    text = f"{'.' * 90} {secret} {'.' * 90}"
    for most in range(len(text) + 1):
        for part in (beginning(text, most), ending(text, most)):
            assert len(part) <= most
            assert "Top" not in redact_text(part), part
            assert "ret" not in redact_text(part), part
    assert beginning(text, 50) == ending(text, 50) == "." * 50
