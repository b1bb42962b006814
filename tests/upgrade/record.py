"""Records a database as a former version of Podium leaves it, with work in flight.

    python tests/upgrade/record.py COMMIT

checks the commit out beside, and has its own program and its own test engine make the database on
PostgreSQL 15 (``work.py`` says what is in it). ``data/NAME.sql.gz`` is then what ``pg_dump`` says
of it, ``data/NAME.json`` what the tests need to know; NAME is the revision of its schema.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "data"
_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_ADDRESS = ("-U", "postgres", "-d", "flight")


def main(commit: str) -> None:
    sys.path.insert(0, str(HERE.parent))
    import postgres

    with tempfile.TemporaryDirectory(prefix="podium-record-") as folder:
        tree, servers = Path(folder) / "tree", Path(folder) / "servers"
        servers.mkdir()
        Path(folder).chmod(0o755)
        subprocess.run(["git", "worktree", "add", "--detach", tree, commit], check=True)
        try:
            with postgres.running(servers, "15") as found:
                _record(tree, found.direct, servers / "sockets15")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], check=True)


def _record(tree: Path, url: str, sockets: Path) -> None:
    subprocess.run([_PROGRAMS / "createdb", "-h", sockets, "-U", "postgres", "flight"], check=True)
    # Of its own tests it gets the engine alone: what the tests of today share has other needs.
    path = f"{tree / 'src'}:{tree / 'tests'}"
    worked = subprocess.run(
        [sys.executable, "-P", HERE / "work.py", url.format("flight")],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = json.loads(worked.stdout.splitlines()[-1])
    dumped = subprocess.run(
        [_PROGRAMS / "pg_dump", "-h", sockets, *_ADDRESS, "--no-owner", "--no-privileges"],
        check=True,
        capture_output=True,
    )
    DATA.mkdir(exist_ok=True)
    name = told["revision"]
    (DATA / f"{name}.sql.gz").write_bytes(gzip.compress(dumped.stdout, 9, mtime=0))
    (DATA / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
