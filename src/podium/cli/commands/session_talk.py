"""Talking to a session on the terminal."""

import os
import select
import sys
import threading
from typing import TYPE_CHECKING

from podium.cli import output
from podium.cli.text import clean
from podium.client.errors import PodiumError

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client.models import TranscriptEntry

_STYLES = {"input": "bold cyan", "ask": "bold magenta", "note": "dim"}


def print_entry(entry: "TranscriptEntry") -> None:
    """One thing that was said; what was said to the agent stands behind a mark."""
    marks = {"input": f"{entry.author or ''}> ", "ask": "? ", "note": "- "}
    mark = marks.get(entry.kind, "")
    for number, text in enumerate(clean(entry.text).split("\n")):
        shown = f"{mark if number == 0 else ' ' * len(mark)}{text}"
        output.console().print(output.styled(shown, _STYLES.get(entry.kind)), soft_wrap=True)


def attach_to(client: "Podium", session_id: str) -> bool:
    """Print what is said and say each line that is typed, until the session or the input ends.

    False, without doing so, where nobody sits at a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    output.note(f"Session {session_id}; Ctrl-D leaves it, and it goes on.")
    talk = _Talk(client, session_id)
    threading.Thread(target=talk.listen, daemon=True).start()
    try:
        talk.say_lines()
    except KeyboardInterrupt:
        output.note("")
    session = client.sessions.get(session_id)
    output.note(f"The session is {'paused' if session.paused else session.state}.")
    return True


class _Talk:
    """Two threads: one prints what is said, and the main one says what is typed."""

    def __init__(self, client: "Podium", session_id: str) -> None:
        self._client = client
        self._session_id = session_id
        self._ended, self._tells = os.pipe()
        self._typed: set[int] = set()
        """Entries that stand on the terminal already."""
        self._saying = threading.Lock()

    def say_lines(self) -> None:
        """Until the session ends, or the lines do."""
        while True:
            ready, _, _ = select.select([sys.stdin, self._ended], [], [])
            if self._ended in ready or not (line := sys.stdin.readline()):
                return
            if text := line.rstrip("\n"):
                with self._saying:
                    self._typed.add(self._client.sessions.send(self._session_id, text).id)

    def listen(self) -> None:
        """Until the session ends."""
        try:
            for entry in self._client.sessions.transcript(self._session_id, follow=True):
                with self._saying:
                    known = entry.id in self._typed
                if not known:
                    print_entry(entry)
        except PodiumError as error:
            output.note(error.message)
        finally:
            os.close(self._tells)
