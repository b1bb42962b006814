"""The ``podium`` command. It uses the SDK alone; servers are started as processes."""

import sys


def main() -> None:
    """Run the command line and exit. The version is told without loading anything."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["version"]):
        from podium import __version__

        sys.stdout.write(f"podium {__version__}\n")
        sys.exit(0)
    try:
        from podium.cli.app import run

        status = run(arguments)
    except KeyboardInterrupt:  # what it needs was still loading
        status = 130
    sys.exit(status)
