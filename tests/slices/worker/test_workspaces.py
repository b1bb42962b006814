"""Workspaces are made and removed at the same time."""

import threading
from pathlib import Path

from podium.worker import workspaces


def test_one_is_made_while_the_folder_of_its_task_is_taken_away(tmp_path: Path) -> None:
    done = threading.Event()

    def take_away() -> None:
        while not done.wait(0.0001):
            workspaces.remove(tmp_path / "task" / "1")

    other = threading.Thread(target=take_away)
    other.start()
    try:
        for _ in range(3000):
            made = tmp_path / "task" / "2"
            workspaces.make(made)
            assert made.is_dir()
            workspaces.remove(made)
    finally:
        done.set()
        other.join()
