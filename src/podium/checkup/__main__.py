"""``python -m podium.checkup PART``: a part as a command agent, or run by hand.

With ``PODIUM_INPUT`` set it is an agent: it reads that file and speaks the JSON-lines protocol on
standard output. Else ``--repo`` names the repository; progress goes to standard error and the
result to standard output. The part ``all`` runs everything here, one part after the other; as an
agent it may be given ``skip``, the parts to leave out, and ``out``, else the report is written into
its working directory.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from podium.checkup.console import PartContext, PersonContext, ProtocolContext
from podium.checkup.context import CheckupError, Context, Json, mapping, strings
from podium.checkup.graph import PARTS, REPORT, SURVEY
from podium.checkup.paths import path_of, path_text

_MODULES = {"secrets": "secret_scan"}
_EVERY = (SURVEY, *PARTS, REPORT)
_FAILED = 1


class _Came(NamedTuple):
    """What a part came to, in the shape of a dependency."""

    state: str
    output: Json
    error: dict[str, Json] | None
    queued_seconds: float
    run_seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Run a part; the exit status is 0 when it could do its work."""
    parser = argparse.ArgumentParser(prog="python -m podium.checkup", description=__doc__)
    parser.add_argument("part", choices=[*(part.ref for part in _EVERY), "all"])
    parser.add_argument("--repo", default=".", help="a path in the repository (default: .)")
    parser.add_argument("--head", help="the commit to look at (default: HEAD)")
    parser.add_argument("--out", default="podium-report", help="where the report is written")
    parser.add_argument("--run-project-tools", action="store_true", help=_TOOLS_HELP)
    chosen = parser.parse_args(arguments)
    envelope = os.environ.get("PODIUM_INPUT")
    if envelope:
        return _as_agent(chosen.part, Path(envelope))
    given: dict[str, Json] = {
        "repo": path_text(str(Path(chosen.repo).absolute())),
        "out": path_text(str(Path(chosen.out).absolute())),
        "run_project_tools": bool(chosen.run_project_tools),
    }
    if chosen.head:
        given["head"] = str(chosen.head)
    return _by_hand(chosen.part, given)


_TOOLS_HELP = "also run linters that run code of the repository"


def run_part(name: str, given: Mapping[str, Json], ctx: Context) -> Json:
    """Run the part called ``name``. Raises ``CheckupError``."""
    module = importlib.import_module(f"podium.checkup.{_MODULES.get(name, name)}")
    return cast("Callable[[object, Context], Json]", module.run)(dict(given), ctx)


def _as_agent(name: str, envelope: Path) -> int:
    document = mapping(cast("object", json.loads(envelope.read_bytes())))
    # What any library prints must not break into the protocol.
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    ctx = ProtocolContext(mapping(document.get("dependencies")), protocol)
    given = mapping(document.get("input"))
    try:
        output = _every_part(given, protocol) if name == "all" else run_part(name, given, ctx)
    except CheckupError as error:
        ctx.send("error", **error.as_dict())
        return _FAILED
    ctx.send("result", output=output)
    return 0


def _every_part(given: Mapping[str, Json], protocol: TextIO) -> Json:
    """What the report says of all parts that are not left out. Raises ``CheckupError`` when it or
    the survey fails."""
    skip = strings(given.get("skip"))
    parts = [part.ref for part in PARTS if part.ref not in skip]
    out = given.get("out") or path_text(str(Path("podium-report").absolute()))
    whole: dict[str, Json] = {**given, "out": out, "parts": [*parts]}
    Path(path_of(str(out))).mkdir(parents=True, exist_ok=True)
    wanted = [SURVEY.ref, *parts, REPORT.ref]

    def context(done: Mapping[str, _Came], ref: str) -> Context:
        return PartContext(done, protocol, ref, wanted.index(ref), len(wanted))

    return _one_by_one(wanted, whole, context)


def _by_hand(name: str, given: Mapping[str, Json]) -> int:
    wanted = [part.ref for part in _EVERY] if name == "all" else [name]
    try:
        result = _one_by_one(wanted, given, PersonContext)
    except CheckupError:
        return _FAILED
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


def _one_by_one(
    wanted: Sequence[str],
    given: Mapping[str, Json],
    context: Callable[[Mapping[str, _Came], str], Context],
) -> Json:
    """What the last of these parts comes to, which is given what the others came to. Raises the
    ``CheckupError`` of the survey and of the last."""
    done: dict[str, _Came] = {}
    for ref in wanted:
        started = time.monotonic()
        try:
            output = run_part(ref, given, context(done, ref))
        except CheckupError as error:
            sys.stderr.write(f"{ref}: {error.message}\n")
            if error.hint:
                sys.stderr.write(f"hint: {error.hint}\n")
            if ref in (SURVEY.ref, wanted[-1]):
                raise
            done[ref] = _Came("failed", None, error.as_dict(), 0.0, time.monotonic() - started)
        else:
            done[ref] = _Came("succeeded", output, None, 0.0, time.monotonic() - started)
    return done[wanted[-1]].output


if __name__ == "__main__":
    sys.exit(main())
