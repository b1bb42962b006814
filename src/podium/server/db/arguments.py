"""The command line of ``db``. Apart from what it runs, so that no other command loads that."""

import argparse
from pathlib import Path


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands."""
    named = parser.add_subparsers(dest="db_command", required=True)
    named.add_parser("status", help="tell what the database is and how it is")
    migrate = named.add_parser("migrate", help="bring the schema up to date")
    backup = named.add_parser("backup", help="copy the database and the artifacts to a file")
    backup.add_argument("file", type=Path)
    backup.add_argument("--verify", action="store_true", help="read the file again and compare")
    restore = named.add_parser("restore", help="put a backup in the place of what there is")
    restore.add_argument("file", type=Path)
    restore.add_argument("--replace", action="store_true", help="also where there is work")
    promote = named.add_parser(
        "promote", help="copy the embedded database to a server, whose URL is read from the input"
    )
    promote.add_argument("--keep-setting", action="store_true", help="set the URL in settings.toml")
    for each in (migrate, restore):
        each.add_argument("--dry-run", action="store_true", help="change nothing")
