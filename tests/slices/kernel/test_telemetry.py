"""Logs: JSON lines from several processes in one file, redacted, rotated."""

import json
import logging
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from podium.kernel import telemetry
from podium.kernel.files import private_directory, write_private
from podium.kernel.settings import Settings
from podium.kernel.telemetry import LogFile, configure_logging, rotate, rotate_in_place

SECRET = f"podium_{'0a' * 16}_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in telemetry._QUIET}
    before = structlog.get_config()
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers, root.level = handlers, level
    for name, old in quiet.items():
        logging.getLogger(name).setLevel(old)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


def lines(home: Path) -> list[dict[str, Any]]:
    text = (home / "logs" / "podium.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def configure(home: Path, **settings: Any) -> None:
    configure_logging(Settings(home=home, **settings), "test")


def test_both_libraries_write_the_same_redacted_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path)
    structlog.get_logger("podium.a").info("hello %s", "you", api_key="x", number=7)
    logging.getLogger("other").warning("with %s", SECRET, extra={"password": "x"})
    structlog.get_logger("podium.a").debug("not at this level")
    logging.getLogger("uvicorn.error").info("noise")
    first, second = lines(tmp_path)
    assert first["time"].endswith("Z")
    del first["time"]
    assert first == {
        "event": "hello you",
        "api_key": "***",
        "number": 7,
        "level": "info",
        "logger": "podium.a",
        "process": "test",
        "pid": os.getpid(),
    }
    assert second["event"] == "with podium_***"
    assert second["password"] == "***"
    console = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in console] == ["hello you", "with podium_***"]
    assert (tmp_path / "logs" / "podium.log").stat().st_mode & 0o777 == 0o600


def test_tracebacks_are_redacted(tmp_path: Path) -> None:
    configure(tmp_path)
    try:
        int(SECRET)
    except ValueError:
        structlog.get_logger("podium.a").exception("failed")
        logging.getLogger("other").exception("failed")
    for line in lines(tmp_path):
        assert "ValueError: invalid literal" in line["exception"]
        assert "'podium_***'" in line["exception"]
        assert SECRET not in json.dumps(line)


def test_a_terminal_gets_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, log_format="text", log_level="debug")
    structlog.get_logger("podium.a").debug("hello", number=7)
    err = capsys.readouterr().err
    assert "hello" in err
    assert "number=7" in err
    assert not err.startswith("{")


def test_a_brief_console_has_warnings_alone_unless_more_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more: list[dict[str, Any]] = [{}, {"log_level": "info"}, {"log_format": "text"}]
    for settings in more:
        configure_logging(Settings(home=tmp_path, **settings), "test", brief=True)
        structlog.get_logger("podium.a").info("listens")
        structlog.get_logger("podium.a").warning("beware")
        err = capsys.readouterr().err
        assert "beware" in err
        assert ("listens" in err) is bool(settings)
    assert [each["event"] for each in lines(tmp_path)] == ["listens", "beware"] * 3


def test_a_console_that_is_the_log_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "podium.log").open("a") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        configure(tmp_path)
        structlog.get_logger("podium.a").info("once")
    assert [line["event"] for line in lines(tmp_path)] == ["once"]


def test_a_very_long_line_is_reduced_to_its_message(tmp_path: Path) -> None:
    configure(tmp_path)
    structlog.get_logger("podium.a").info("long", data="x" * 200_000)
    (line,) = lines(tmp_path)
    assert line["event"] == "long"
    assert line["cut_from"] > 200_000
    assert "data" not in line


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    script = """
        import sys, structlog
        from pathlib import Path
        from podium.kernel.settings import Settings
        from podium.kernel.telemetry import configure_logging
        configure_logging(Settings(home=Path(sys.argv[1])), sys.argv[2])
        for number in range(200):
            structlog.get_logger("x").info("line", number=number, filling="y" * 9000)
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), name],
            stderr=subprocess.DEVNULL,
        )
        for name in ("a", "b")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = [(line["process"], line["number"]) for line in lines(tmp_path)]
    assert len(found) == 400
    for name in ("a", "b"):
        assert [number for who, number in found if who == name] == list(range(200))


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "podium.log"
    configure(tmp_path)
    log = structlog.get_logger("podium.a")
    for number in range(1, 8):
        log.info("line %d", number)
        assert rotate(path, limit=10, keep=3) is True
        assert not path.exists()
    log.info("last")
    path.unlink()
    log.info("after removal")
    assert [line["event"] for line in lines(tmp_path)] == ["after removal"]
    kept = sorted(file.name for file in path.parent.iterdir())
    assert kept == ["podium.log", "podium.log.1", "podium.log.2", "podium.log.3"]
    assert "line 7" in path.with_name("podium.log.1").read_text()
    assert rotate(path, limit=10_000) is False
    assert rotate(tmp_path / "missing") is False


def test_rotation_in_place_keeps_the_writers_file(tmp_path: Path) -> None:
    path = tmp_path / "postgres.log"
    with path.open("a") as writer:
        writer.write("first\n")
        writer.flush()
        assert rotate_in_place(path, limit=100) is False
        assert rotate_in_place(path, limit=3) is True
        writer.write("second\n")
    assert path.read_text() == "second\n"
    assert path.with_name("postgres.log.1").read_text() == "first\n"
    assert rotate_in_place(tmp_path / "missing") is False


def test_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    script = """
        import logging, resource, signal, sys
        from pathlib import Path
        from podium.kernel.telemetry import LogFile
        handler = LogFile(Path(sys.argv[1]))
        logging.getLogger().addHandler(handler)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
        for number in range(9):
            logging.getLogger("a").error("line %d", number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        logging.getLogger("a").error("again")
    """
    path = tmp_path / "podium.log"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert path.read_text().startswith("line 0\nline 1\n")
    assert path.read_text().endswith("again\n")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_record_that_cannot_be_formatted_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = LogFile(tmp_path / "logs" / "podium.log")
    handler.handle(logging.LogRecord("a", logging.INFO, "", 0, "%d", ("no number",), None))
    assert "Logging error" in capsys.readouterr().err
    handler.close()
    handler.close()


def test_a_stream_without_a_file_is_no_log_file(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "podium.log")
    with (tmp_path / "other").open("w") as closed:
        assert handler.is_stream(closed) is False
    assert handler.is_stream(closed) is False
    handler.close()


def test_private_files_are_whole_and_private(tmp_path: Path) -> None:
    place = private_directory(tmp_path / "a" / "b")
    assert place.stat().st_mode & 0o777 == 0o700 == place.parent.stat().st_mode & 0o777
    write_private(place / "file", "one")
    write_private(place / "file", "two")
    assert (place / "file").read_text() == "two"
    assert (place / "file").stat().st_mode & 0o777 == 0o600
    (place / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_private(place / "taken", "three")
    assert sorted(path.name for path in place.iterdir()) == ["file", "taken"]
