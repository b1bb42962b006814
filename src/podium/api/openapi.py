"""The OpenAPI document: ``python -m podium.api.openapi`` writes it, ``--check`` compares it."""

import sys
from pathlib import Path

import orjson

from podium.api.assembly import application


def main(arguments: list[str]) -> int:
    """Write ``openapi.json`` in the working directory, or with ``--check`` compare it."""
    path = Path("openapi.json")
    text = orjson.dumps(application().openapi(), option=orjson.OPT_INDENT_2) + b"\n"
    if arguments != ["--check"]:
        path.write_bytes(text)
        return 0
    if path.exists() and path.read_bytes() == text:
        return 0
    sys.stderr.write("openapi.json is out of date: run `python -m podium.api.openapi`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
