"""Measure Podium, and beside it other engines. benchmarks/README.md says what and how."""

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.contenders import PEERS, PODIUM, Contender
from benchmarks.figures import Figure
from benchmarks.processes import ProcessFailed
from benchmarks.report import table
from benchmarks.results import RESULTS, circumstances, merge, stolen_percent
from benchmarks.session import Session, open_session
from benchmarks.suite import SUITE

INTERRUPTED = 130
WIDTH = 160
"""Columns of the table in a file or a pipe."""


@dataclass
class Run:
    """What was asked for, and what came of it."""

    names: list[str]
    contenders: tuple[Contender, ...]
    quick: bool
    out: Path | None
    figures: list[Figure] = field(default_factory=list[Figure])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    async def all(self, progress: Progress) -> None:
        """Run the benchmarks; those that need the same servers share them."""
        line = progress.add_task("starting", total=None)

        def tell(text: str) -> None:
            progress.update(line, description=text)

        for settings in dict.fromkeys(SUITE[name].settings for name in self.names):
            names = [name for name in self.names if SUITE[name].settings == settings]
            tell("starting PostgreSQL and Valkey")
            async with open_session(
                self.contenders, tell, quick=self.quick, settings=settings
            ) as session:
                for name in names:
                    tell(name)
                    await self._one(name, session)

    async def _one(self, name: str, session: Session) -> None:
        ran = await asyncio.to_thread(circumstances, session.directory)
        before = psutil.cpu_times()
        try:
            figures = await SUITE[name].run(session)
        except ProcessFailed as failure:
            self.failures[name] = str(failure)
            return
        except Exception as failure:  # noqa: BLE001 - the others shall run and keep their results
            words = await asyncio.to_thread(session.last_words)
            self.failures[name] = f"{type(failure).__name__}: {failure}\n{words}"
            return
        self.figures += figures
        for figure in figures:
            if reason := figure.notes.get("podium"):
                self.failures[figure.name] = reason
        measured = [figure for figure in figures if figure.rounds and "podium" not in figure.notes]
        ran["stolen_percent"] = stolen_percent(before, psutil.cpu_times())
        if self.out is not None and measured:
            await asyncio.to_thread(merge, self.out, measured, ran)


def main() -> int:
    """Run what the command line asks for; status 1 when a benchmark could not be run."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in SUITE]:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(SUITE)}")
    peers = tuple(peer for peer in PEERS if peer.name in _peers(options))
    out: Path | None = options.out or (None if options.quick else RESULTS)
    usual = [name for name, each in SUITE.items() if each.by_default]
    run = Run(options.names or usual, (PODIUM, *peers), options.quick, out)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    status = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            asyncio.run(run.all(progress))
    except KeyboardInterrupt:
        console.print("Interrupted.")
        status = INTERRUPTED
    console.print(table(run.figures, judged=not options.quick))
    for name, failure in run.failures.items():
        console.print(f"{name} could not be measured: {failure}", style="red", markup=False)
    if out is not None and out.exists():
        console.print(f"Written to {out}.", markup=False)
    return status or bool(run.failures)


def _peers(options: argparse.Namespace) -> list[str]:
    if options.peers is not None:
        return options.peers
    return [] if options.quick else [peer.name for peer in PEERS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"Default: the usual. Of {', '.join(SUITE)}."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="See whether everything runs: one short round, no peers, nothing written.",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=[peer.name for peer in PEERS],
        metavar="PEER",
        help=f"Only these of {', '.join(peer.name for peer in PEERS)}.",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"Default: {RESULTS.name} here.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
