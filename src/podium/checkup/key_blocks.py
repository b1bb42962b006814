"""The bodies of private keys, which stand on the lines after the one that names them."""

import re

from podium.checkup.repository import Entry, Reader

_MAX_FILE = 2**20
_MAX_BLOCK = 64 * 2**10

_END = re.compile(r"-----(BEGIN|END) |^Private-MAC:", re.MULTILINE)
_LINE_ENDS = re.compile(r"\\[nr]")  # as code and JSON write them within one line
_NO_BODY = re.compile(r"[^A-Za-z0-9+/=]")


def of_line(reader: Reader, entry: Entry, number: int, header: str) -> str | None:
    """The body of the key whose header stands on a line, or None where none ends in the file.

    Only the characters of its code are kept, so that one key is the same in a file of its own and
    within a line of JSON. Like ``Secret.value``, it must never leave the process.
    """
    if entry.size > _MAX_FILE:
        return None
    lines = reader.text(entry).split("\n")[number - 1 :]
    _, found, rest = "\n".join(lines)[:_MAX_BLOCK].partition(header)
    block = rest.removeprefix("-----")
    end = _END.search(block)
    if not found or end is None or end[1] == "BEGIN":
        return None
    return _NO_BODY.sub("", _LINE_ENDS.sub("", block[: end.start()])) or None
