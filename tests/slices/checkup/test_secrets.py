"""Secrets: planted credentials are found, and never leave the process.

The canaries are put together here, so that no scanner finds one in this file.
"""

import io
import json
from pathlib import Path

import pytest

from podium.checkup import detectors, report, secret_scan, survey, todos
from podium.checkup.context import Json
from podium.checkup.headlines import headline
from slices.checkup.repos import Recorder, Repo, findings, run

LETTERS = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zC"

CANARIES = {
    "AWS Access Key": ("AK" + "IAQWERTZUIOPASDF2X", 'key = "{}"'),
    "GitHub Token": ("gh" + "p_" + LETTERS + "abcd", "token: {}"),
    "GitHub Token (fine-grained)": ("github" + "_pat_" + LETTERS * 2, 'a = "{}"'),
    "Slack Token": ("xo" + "xb-123456789012-abcdefghij", "slack({})"),
    "Private Key": ("BEGIN RSA " + "PRIVATE KEY", "-----{}-----"),
    "Stripe Access Key": ("sk" + "_live_" + LETTERS[:24], "a = '{}'"),
    "Google API Key": ("AI" + "za" + LETTERS + "abc", "url = x?key={}"),
    "Anthropic Key": ("sk" + "-ant-" + LETTERS, "a = '{}'"),
    "Basic Auth Credentials": ("Tr0ub4dor-and-3", "url = postgres://app:{}@db.internal/app"),
    "Secret Keyword": ("correct-horse-battery", 'db_password = "{}"'),
    "GitLab Token": ("gl" + "pat-" + LETTERS[:20], "a = {}"),
    "SendGrid API Key": ("SG" + "." + LETTERS[:22] + "." + LETTERS + LETTERS[:11], "a = '{}'"),
    "Shopify Token": ("shp" + "at_" + "0123456789abcdef" * 2, "a = '{}'"),
}


@pytest.mark.parametrize("kind", CANARIES)
def test_a_credential_is_found_and_never_shown(repo: Repo, kind: str) -> None:
    value, line = CANARIES[kind]
    repo.commit({"src/settings.py": f"a = 1\n{line.format(value)}\n"})
    recorder = Recorder()
    output = run(secret_scan, repo, recorder)
    kinds = {row["kind"] for row in output["details"]["secrets"]}
    assert kind.partition(" (")[0] in kinds
    assert {(row["path"], row["line"]) for row in output["details"]["secrets"]} == {
        ("src/settings.py", 2)
    }
    assert findings(output, "possible_secret")[0]["line"] == 2
    everything = json.dumps([output, recorder.logged, recorder.reported])
    assert value not in everything
    assert value[:12] not in everything


def test_values_do_not_reach_the_report(repo: Repo, tmp_path: Path) -> None:
    lines = [line.format(value) for value, line in CANARIES.values()]
    repo.commit(
        {
            "src/settings.py": "\n".join([*lines, "MIIEcanaryBodyOfTheKey"]),
            "src/notes.py": "".join(f"# TODO: take out {line}\n" for line in lines),
        }
    )
    parts: dict[str, Json] = {
        "survey": {"state": "succeeded", "output": run(survey, repo)},
        "secrets": {"state": "succeeded", "output": run(secret_scan, repo)},
        "todos": {"state": "succeeded", "output": run(todos, repo)},
    }
    recorder = Recorder(**parts)
    report.run({"out": str(tmp_path / "out"), "parts": ["secrets", "todos"]}, recorder)
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    for kind, (value, _) in CANARIES.items():
        if kind != "Private Key":  # its first line is no secret, what follows is
            assert value not in written, kind
            assert value not in json.dumps(parts), kind
    assert "MIIEcanary" not in written
    assert "[secret]" in written


def test_severity_follows_the_kind_and_the_place(repo: Repo) -> None:
    token = CANARIES["GitHub Token"][0]
    word = CANARIES["Secret Keyword"][0]
    repo.commit(
        {
            "deploy.py": f'a = "{token}"\ndb_password = "{word}"\n',
            "tests/test_a.py": f'a = "{token}"\ndb_password = "{word}"\n',
            "docs/guide.md": f'db_password = "{word}"\n',
        }
    )
    output = run(secret_scan, repo)
    found = {(row["path"], row["kind"]): row["severity"] for row in output["details"]["secrets"]}
    assert found == {
        ("deploy.py", "GitHub Token"): "high",
        ("deploy.py", "Secret Keyword"): "medium",
        ("tests/test_a.py", "GitHub Token"): "medium",
        ("tests/test_a.py", "Secret Keyword"): "info",
        ("docs/guide.md", "Secret Keyword"): "info",
    }
    assert output["summary"]["in_tests_or_documents"] == 2
    assert len(findings(output, "possible_secret")) == 3
    prints = {row["fingerprint"] for row in output["details"]["secrets"]}
    assert len(prints) == 2, "equal values have equal fingerprints"
    again = {row["fingerprint"] for row in run(secret_scan, repo)["details"]["secrets"]}
    assert prints.isdisjoint(again), "guesses cannot be tested against a fingerprint"


def _key(body: str, kind: str = "RSA ", end: str = "\n") -> str:
    lines = [
        f"-----BEGIN {kind}PRIVATE" + " KEY-----",
        *body.split(),
        f"-----END {kind}PRIVATE KEY-----",
    ]
    return end.join(lines) + end


def test_private_keys_are_told_apart_by_their_bodies(repo: Repo) -> None:
    one, other = f"{LETTERS}\n{LETTERS}a", f"{LETTERS}\n{LETTERS}b"
    putty = "PuTTY-User-Key" + "-File-2: ssh-rsa\nPrivate-Lines: 1\n{}\nPrivate-MAC: 0\n"
    repo.commit(
        {
            "one.pem": _key(one),
            "windows.pem": "# the same\n" + _key(one, end="\r\n"),
            "account.json": '{"key": "' + _key(one, end="\\n") + '"}\n',
            "other.pem": _key(other) + _key(one),
            "locked.pem": _key(one, "ENCRYPTED "),
            "a.txt": putty.format(LETTERS),
            "b.txt": putty.format(LETTERS + "b"),
            "cut.pem": _key(one).partition("-----END")[0] + _key(other),
            "named.py": 'HEADER = "-----BEGIN RSA PRIVATE' + ' KEY-----"\n',
        }
    )
    recorder = Recorder()
    output = run(secret_scan, repo, recorder)
    rows = {(row["path"], row["line"]): row for row in output["details"]["secrets"]}
    prints = {place: row["fingerprint"] for place, row in rows.items()}
    same = {
        ("one.pem", 1),
        ("windows.pem", 2),
        ("account.json", 1),
        ("other.pem", 5),
        ("locked.pem", 1),
    }
    first = prints["one.pem", 1]
    assert {place for place, found in prints.items() if found == first} == same
    assert {rows[place]["length"] for place in same} == {len(LETTERS) * 2 + 1}
    assert prints["other.pem", 1] == prints["cut.pem", 4] not in {None, first}
    assert None is not prints["a.txt", 1] != prints["b.txt", 1] is not None
    unknown = {place for place, found in prints.items() if found is None}
    assert unknown == {("cut.pem", 1), ("named.py", 1)}
    assert {rows[place]["length"] for place in unknown} == {None}
    assert LETTERS[:12] not in json.dumps([output, recorder.logged, recorder.reported])


HARMLESS = """
password = "changeme"
password = "example-password"
password = os.environ["PASSWORD"]
password = get_password(user)
password = "${DB_PASSWORD}"
password = "{{ db_password }}"
password = "<your password>"
password = "%(password)s"
password_file = "/run/secrets/one"
password_hint = "think of the horse"
label = "Enter your password here please"
token_url = "https://sso.acme.io/oauth/token"
secret_name = "production-database"
secret = "********"
api_key = "xxxxxxxxxxxxxxxx"
db_url = "postgres://scott:tiger@db.internal/app"
db_url = "postgres://app:pass-word-1@localhost/app"
id = "9f1c1f2e-7d5f-4c1c-9c0e-1b2d3e4f5a6b"
digest = "d41d8cd98f00b204e9800998ecf8427e"
if "-----BEGIN" in text or "PuTTY-User-Key-File-2" in text: pass
"""


def test_what_only_looks_like_a_secret(repo: Repo) -> None:
    repo.commit({"src/app.py": HARMLESS})
    output = run(secret_scan, repo)
    assert output["details"]["secrets"] == []
    assert output["summary"]["placeholders"] > 0


@pytest.mark.parametrize(("host", "found"), [("host.acme.io", 1), ("host", 0), ("hostname:1", 0)])
def test_a_host_is_no_example_for_its_first_word(repo: Repo, host: str, found: int) -> None:
    repo.commit({"src/app.py": f'url = "https://app:Hq81hdkw@{host}/app"\n'})
    assert len(run(secret_scan, repo)["details"]["secrets"]) == found


def test_settings_may_come_without_quotes(repo: Repo) -> None:
    repo.commit(
        {
            ".env": "DB_PASSWORD=correct-horse-battery\nDEBUG=1\n",
            "config/app.yaml": "db_password: correct-horse-battery\nsecretName: app-tls\n",
            "app.properties": "client.secret=correct-horse-battery\n",
            "app.py": "password = correct_horse_battery\n",
        }
    )
    output = run(secret_scan, repo)
    assert {row["path"] for row in output["details"]["secrets"]} == {
        ".env", "config/app.yaml", "app.properties",
    }  # fmt: skip
    assert [row["path"] for row in findings(output, "credential_file")] == [".env"]


def test_files_that_are_credentials_by_name(repo: Repo) -> None:
    repo.commit({"deploy/id_rsa": "x\n", "app.p12": b"\0", "tests/key.jks": b"\0", "a.txt": "x\n"})
    found = {
        row["path"]: row["severity"] for row in findings(run(secret_scan, repo), "credential_file")
    }
    assert found == {"deploy/id_rsa": "high", "app.p12": "high", "tests/key.jks": "low"}


def test_lines_may_be_allowed(repo: Repo) -> None:
    repo.commit({"a.py": 'password = "correct-horse-battery"  # pragma: allowlist secret\n'})
    output = run(secret_scan, repo)
    assert output["details"]["secrets"] == []
    assert output["summary"]["allowlisted"] == 1


def test_the_words_that_it_looks_for_are_no_secrets(repo: Repo) -> None:
    here = Path(secret_scan.__file__).parent
    repo.commit({f"src/{path.name}": path.read_text() for path in here.glob("*.py")})
    assert run(secret_scan, repo)["details"]["secrets"] == []


def test_long_lines_and_lock_files_are_left_out(repo: Repo) -> None:
    line = 'password = "correct-horse-battery"'
    repo.commit(
        {
            "bundle.js": "x" * 5_000 + line + "\n",
            "yarn.lock": line + "\n",
            "vendor/a.py": line + "\n",
        }
    )
    output = run(secret_scan, repo)
    assert output["details"]["secrets"] == []
    assert [cut["what"] for cut in output["truncated"]] == ["long lines"]


def test_many_secrets_are_listed_up_to_a_limit(repo: Repo) -> None:
    lines = "".join(f'password = "correct-horse-{n}"\n' for n in range(300))
    repo.commit({"a.py": lines})
    output = run(secret_scan, repo)
    assert output["summary"]["possible_secrets"] == 300
    assert len(output["details"]["secrets"]) == 200
    assert any("200 of 300" in cut["limit"] for cut in output["truncated"])


def test_time_that_runs_out_is_said(repo: Repo) -> None:
    repo.commit({"a.py": 'password = "correct-horse-battery"\n'})
    output = run(secret_scan, repo, seconds=0)
    assert len(output["truncated"]) >= 1


def test_a_git_without_perls_expressions(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git can be built without them; then the slower ones are used."""
    import os
    import shutil

    lines = [line.format(value) for value, line in CANARIES.values()]
    repo.commit({"a.py": "\n".join(lines), "b.yaml": "db_password: correct-horse-battery\n"})
    expected = run(secret_scan, repo)["summary"]
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        '#!/bin/sh\nfor a in "$@"; do [ "$a" = -P ] && { echo no PCRE >&2; exit 128; }; done\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    assert run(secret_scan, repo)["summary"] == expected


def test_importing_the_detectors_leaves_warnings_alone() -> None:
    import logging
    import warnings

    list(detectors.find("a.py", 'password = "correct-horse-battery"'))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("py.warnings").addHandler(handler)
    with pytest.warns(UserWarning, match="still seen"):
        warnings.warn("still seen", stacklevel=1)
    logging.getLogger("py.warnings").removeHandler(handler)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("text", ["", "nothing here", "a" * 10_000, "é" * 50])
def test_redacting_plain_text_changes_nothing(text: str) -> None:
    assert detectors.redact(text) == text[:1_000]


@pytest.mark.parametrize(
    ("found", "aside", "shown"),
    [
        (0, 0, "no possible secrets"),
        (0, 1, "no possible secrets; 1 weak guess in tests or documents"),
        (2, 10, "2 possible secrets, 1 of them high; 10 weak guesses in tests or documents"),
    ],
)
def test_the_headline(found: int, aside: int, shown: str) -> None:
    summary: dict[str, Json] = {
        "possible_secrets": found + aside,
        "in_tests_or_documents": aside,
        "high": min(found, 1),
    }
    assert headline("secrets", summary) == shown


def test_nothing_is_said_of_a_commit_where_there_is_none(repo: Repo) -> None:
    assert not any("commit" in note for note in run(secret_scan, repo)["notes"])
    repo.commit({"a.py": "a = 1\n"})
    assert any("Only this commit" in note for note in run(secret_scan, repo)["notes"])
