"""Runs one command and tells how it went."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

import structlog

from podium.kernel.errors import PodiumError
from podium.kernel.settings import Settings, load_settings
from podium.server.db import commands
from podium.server.db.progress import Lines
from podium.server.exits import ExitStatus
from podium.server.telling import tell, without_secrets

_Run = Callable[[Settings, argparse.Namespace, Lines], Awaitable[commands.Result]]


def run(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    # Standard output is for progress and results alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    lines = Lines()
    try:
        settings = load_settings()
        result = asyncio.run(_finished(_COMMANDS[options.db_command](settings, options, lines)))
    except PodiumError as error:
        tell(without_secrets(error), as_json=True)
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        return ExitStatus.FAILED
    lines.end(result)
    return ExitStatus.DONE


async def _finished(work: Awaitable[commands.Result]) -> commands.Result:
    return await work


def _status(settings: Settings, _: argparse.Namespace, __: Lines) -> Awaitable[commands.Result]:
    return commands.show(settings)


def _migrate(
    settings: Settings, options: argparse.Namespace, lines: Lines
) -> Awaitable[commands.Result]:
    return commands.migrate(settings, lines, dry_run=options.dry_run)


def _backup(
    settings: Settings, options: argparse.Namespace, lines: Lines
) -> Awaitable[commands.Result]:
    return commands.backup(settings, options.file, lines, verify=options.verify)


def _restore(
    settings: Settings, options: argparse.Namespace, lines: Lines
) -> Awaitable[commands.Result]:
    return commands.restore(
        settings, options.file, lines, replace=options.replace, dry_run=options.dry_run
    )


def _promote(
    settings: Settings, options: argparse.Namespace, lines: Lines
) -> Awaitable[commands.Result]:
    # From the standard input: what stands on a command line is seen by all of the machine.
    url = sys.stdin.readline().strip()
    return commands.promote(settings, url, lines, keep_setting=options.keep_setting)


_COMMANDS: dict[str, _Run] = {
    "status": _status,
    "migrate": _migrate,
    "backup": _backup,
    "restore": _restore,
    "promote": _promote,
}
