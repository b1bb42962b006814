"""The server's log as ``podium logs`` shows it."""

import json
import threading
import time
from pathlib import Path

from installation import Installation
from podium.cli.commands.logs import _lines


def test_where_there_is_no_log(fresh: Installation) -> None:
    said = fresh.podium("logs")
    assert said.status == 4
    assert str(fresh.home) in said.err


def test_a_log_is_readable_and_harmless(fresh: Installation) -> None:
    (fresh.home / "logs").mkdir(parents=True)
    lines = [
        {"time": "2026-01-01T00:00:00Z", "level": "error", "process": "api", "event": "it.broke",
         "exception": "Traceback\nBoom", "detail": {"a": 1}, "who": "\x1b[31mme"},
        {"time": "long ago", "event": "odd"},
    ]  # fmt: skip
    text = "".join(f"{json.dumps(each)}\n" for each in lines)
    (fresh.home / "logs" / "podium.log").write_text(f"old\n{text}no json\n[1]\n")
    said = fresh.podium("logs", "-n", "4")
    assert said.status == 0
    assert "\x1b" not in said.out
    for part in ("error", "api", "it.broke", "Traceback\nBoom", 'detail={"a": 1}', "who=me"):
        assert part in said.out, part
    assert said.out.endswith("no json\n[1]\n")
    assert "old" not in said.out


def test_a_log_is_shown_from_a_level_on(fresh: Installation) -> None:
    (fresh.home / "logs").mkdir(parents=True)
    levels = ("error", "warning", "info", "debug", "critical", "info")
    text = "".join(f"{json.dumps({'level': level, 'event': 'x'})}\n" for level in levels)
    (fresh.home / "logs" / "podium.log").write_text(f"Traceback\n{text}")

    def shown(*options: str) -> list[str]:
        lines = fresh.podium("logs", "--json", *options).out.splitlines()
        return [json.loads(line)["level"] if "{" in line else line for line in lines]

    assert shown() == ["Traceback", *levels]
    assert shown("--level", "warning") == ["Traceback", "error", "warning", "critical"]
    assert shown("--level", "warning", "-n", "2") == ["warning", "critical"]
    assert shown("--level", "critical", "-n", "1") == ["critical"]
    assert fresh.podium("logs", "--level", "loud").status == 2


def test_a_log_is_followed_when_it_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "podium.log"
    seen: list[str] = []
    enough = threading.Event()

    def follow() -> None:
        for line in _lines(path, 10, follow=True):
            seen.append(line)
            if line == "last":
                enough.set()
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.3)
    path.write_text("first\n")
    _wait_for(seen, "first")
    with path.open("a") as file:
        file.write("sec")
        file.flush()
        time.sleep(0.3)
        file.write("ond\n")
    _wait_for(seen, "second")
    path.rename(tmp_path / "podium.log.1")
    path.write_text("third\nlast\n")
    assert enough.wait(10)
    thread.join(10)
    assert seen == ["first", "second", "third", "last"]


def _wait_for(seen: list[str], line: str) -> None:
    deadline = time.monotonic() + 10
    while line not in seen:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
