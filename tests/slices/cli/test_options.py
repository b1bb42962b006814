"""Values on the command line."""

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podium.cli.failures import Failure, Status
from podium.cli.options import confirm, json_object, json_value, labels, moment, seconds
from podium.cli.task_options import times


def usage(caught: pytest.ExceptionInfo[Failure]) -> str:
    assert caught.value.status is Status.USAGE
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("90", 90), ("1.5s", 1.5), ("5m", 300), ("5 min", 300), ("2h", 7200), ("7d", 604800)],
)
def test_durations(given: str, meant: float) -> None:
    assert seconds(given, "--delay") == meant


@pytest.mark.parametrize("given", ["", "-1", "soon", "5 weeks", "1e3"])
def test_what_is_no_duration_is_told_with_its_option(given: str) -> None:
    with pytest.raises(Failure) as caught:
        seconds(given, "--delay")
    assert "--delay" in usage(caught)


def test_json_comes_from_the_command_line_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.json").write_text('{"from": "file"}')
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert json_value('"text"', "--input") == "text"
    assert json_value(f"@{tmp_path}/in.json", "--input") == {"from": "file"}
    assert json_value("-", "--input") == [1]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("hello", "Quote text"),
        ("{", "Quote text"),
        ("@/nowhere/at/all", "a file's path"),
        ("[" * 100_000, "as text"),
    ],
)
def test_what_is_no_json_is_told(given: str, advice: str) -> None:
    with pytest.raises(Failure) as caught:
        json_value(given, "--input")
    assert "--input" in usage(caught)
    assert advice in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["words.json", "words"])
def test_a_file_that_is_named_without_the_sign_is_recognised(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("{}")
    with pytest.raises(Failure) as caught:
        json_value(name, "--config")
    assert caught.value.hint == f"To read that file write @{name}."
    with pytest.raises(Failure) as caught:
        json_value("x" * 5000, "--config")
    assert "Quote text" in usage(caught)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{\n "\xc3\xa4": no}', "is no JSON at line 2, column 7: Expecting value"),
        (b'{"a":', "is no JSON at line 1, column 6: Expecting value"),
        (b"1e999", "is no JSON: Number out of range"),
        (b"\xff", "is no JSON: 'utf-8' codec"),
    ],
)
def test_a_file_that_is_no_json_is_named_with_the_place(
    text: bytes, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text)
    with pytest.raises(Failure) as caught:
        json_value(f"@{file}", "--config")
    assert f"--config: {file} {told}" in usage(caught)


@pytest.mark.parametrize("redirection", ["0> /dev/null", "<&-"])
def test_standard_input_that_cannot_be_read_is_named(redirection: str) -> None:
    """One that is there to be written to, or none at all."""
    code = "from podium.cli.options import json_value; json_value('-', '--input')"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--input: standard input cannot be read: " in done.stderr, done.stderr


def test_an_object_is_wanted_where_one_is_needed() -> None:
    assert json_object('{"a": 1}', "--config") == {"a": 1}
    with pytest.raises(Failure, match="must be a JSON object") as caught:
        json_object("[]", "--config")
    assert '{"name": "value"}' in usage(caught)


def test_labels() -> None:
    assert labels(None) == {}
    assert labels(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(Failure, match="no label"):
            labels([wrong])
    with pytest.raises(Failure, match="'a' is given two values"):
        labels(["a=1", "b=2", "a=2"])


def test_moments() -> None:
    assert moment(None, "--at") is None
    assert moment("2026-03-01T09:30+02:00", "--at") == datetime(2026, 3, 1, 7, 30, tzinfo=UTC)
    assert moment("2026-03-01T09:30", "--at") is not None
    for wrong in ("tomorrow", "0001-01-01T00:00+05:00", "9999-12-31T23:00-05:00"):
        with pytest.raises(Failure, match="no moment"):
            moment(wrong, "--at")


def test_where_nobody_can_answer_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    confirm("Delete it", yes=True)
    with pytest.raises(Failure, match=r"Delete it\? There is no terminal") as caught:
        confirm("Delete it", yes=False)
    assert "--yes" in usage(caught)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("90s", "2999-01-01T00:00Z", None), "--delay and --at exclude each other."),
        ((None, "2999-01-01T00:00Z", "2998-01-01T00:00Z"), "--deadline is not after --at."),
    ],
)
def test_times_that_contradict_each_other_are_told_as_options(
    given: tuple[str | None, str | None, str | None], told: str
) -> None:
    with pytest.raises(Failure) as caught:
        times(*given)
    assert told in usage(caught)
