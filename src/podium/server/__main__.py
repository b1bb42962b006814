"""The command line of the server's processes; see the package for what they do."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from podium.server import up
from podium.server.db import arguments as db_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = _parser().parse_args(argv)
    named = (
        *(("PODIUM_HOST", "host"), ("PODIUM_PORT", "port"), ("PODIUM_WORKERS", "workers")),
        ("PODIUM_WORKER_NAME", "name"),
    )
    up.options_as_environment([(name, getattr(options, key, None)) for name, key in named])
    command = _COMMANDS[options.command]
    return int(command(options))


def _up(options: argparse.Namespace) -> int:
    asked = up.Asked(options.idle, options.port, options.workers, as_json=options.json)
    if options.lock is not None:
        return up.run_handed(asked, lock=options.lock, ready=options.ready)
    return up.run(asked, detached=options.detached)


def _server(options: argparse.Namespace) -> int:
    from podium.server.processes import run_api

    return run_api(
        listener=options.listener, idle=options.idle, tied=options.tied, as_json=options.json
    )


def _worker(options: argparse.Namespace) -> int:
    from podium.server.processes import run_worker

    return run_worker(options.name, tied=options.tied, as_json=options.json)


def _settings(options: argparse.Namespace) -> int:
    from podium.server.commands import show_settings

    return show_settings(not_in_force=options.not_in_force)


def _upgrade(options: argparse.Namespace) -> int:
    from podium.server.commands import upgrade_cluster

    return upgrade_cluster(options.old_bin)


def _db(options: argparse.Namespace) -> int:
    from podium.server.db.main import run

    return run(options)


_COMMANDS = {
    "db": _db,
    "up": _up,
    "server": _server,
    "worker": _worker,
    "settings": _settings,
    "upgrade": _upgrade,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m podium.server", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="run all of a machine")
    start.add_argument("--detached", action="store_true", help="return when it is ready")
    start.add_argument("--workers", type=int, help="worker processes")
    start.add_argument("--json", action="store_true", help="say all as JSON")
    start.add_argument("--lock", type=int, help=argparse.SUPPRESS)
    start.add_argument("--ready", type=int, help=argparse.SUPPRESS)
    api = commands.add_parser("server", help="run the API alone")
    api.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    for listening in (start, api):
        listening.add_argument("--host", help="address of the API")
        listening.add_argument("--port", type=int, help="port of the API; 0 takes a free one")
        listening.add_argument(
            "--idle", type=float, metavar="SECONDS", help="end after so long without work"
        )
    worker = commands.add_parser("worker", help="run one worker alone")
    worker.add_argument("--name", help="its name in the logs and the status")
    for child in (api, worker):
        child.add_argument("--json", action="store_true", help="say as JSON why it ends")
        child.add_argument("--tied", action="store_true", help=argparse.SUPPRESS)
    shown = commands.add_parser("settings", help="print the settings in force as JSON")
    shown.add_argument("--json", action="store_true", help="there is no other form")
    shown.add_argument(
        "--not-in-force", action="store_true", help="only the names of those the running up lacks"
    )
    upgrade = commands.add_parser(
        "upgrade", help="upgrade an embedded PostgreSQL of an older major"
    )
    upgrade.add_argument("--old-bin", type=Path, metavar="DIR", help="the old major's programs")
    db_arguments.add_to(commands.add_parser("db", help="look after the database"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
