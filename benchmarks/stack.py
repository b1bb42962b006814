"""PostgreSQL and Valkey for one run: ``python -m benchmarks.stack DIRECTORY [NAME=VALUE …]``.

PostgreSQL is Podium's embedded one with its own configuration, on which every engine gets
databases of its own; ``NAME=VALUE`` are further settings of it. ``fsync`` and
``synchronous_commit`` are on. Podium has its embedded Valkey, which stores nothing. Engines whose
only store is Valkey have another one that keeps an append-only file. Everything listens on Unix
sockets alone.

The process prints one JSON line with the URLs. It ends the servers and removes ``DIRECTORY`` when
its standard input closes, so killing the harness is enough.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.guard import end_tree, ignore_signals, wait_for_harness
from podium.storage.embedded import EmbeddedServers
from podium.storage.embedded.valkey import required_program

START_SECONDS = 30.0


@contextmanager
def append_only_valkey(directory: Path) -> Generator[str]:
    """A Valkey that keeps what it is given; yields its URL."""
    directory.mkdir()
    path, log = directory / "valkey.sock", directory / "valkey.log"
    options = {"port": "0", "unixsocket": str(path), "dir": str(directory), "save": ""}
    options |= {"appendonly": "yes", "appendfsync": "everysec"}
    command = [str(required_program(None))]
    for name, value in options.items():
        command += [f"--{name}", value]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Valkey did not start: {log.read_text()}")
            time.sleep(0.01)
        yield f"unix://{path}"
    finally:
        end_tree(process.pid)
        process.wait()


async def serve(directory: Path, settings: list[str]) -> None:
    """Run the servers until standard input closes."""
    servers = EmbeddedServers(directory / "servers")
    cluster = servers.layout.postgres
    if settings:  # they are read when the cluster, which must exist for that, starts again
        await servers.start()
        await servers.stop()
        (cluster / "local.conf").write_text("\n".join(settings) + "\n")
    urls = await servers.start()
    try:
        with append_only_valkey(directory / "peers") as peers_valkey_url:
            known = json.loads(servers.layout.servers_file.read_text())
            told = {
                "database_url": known["superuser_url"],
                "valkey_url": urls.valkey_url,
                "peers_valkey_url": peers_valkey_url,
            }
            print(json.dumps(told), flush=True)
            await asyncio.to_thread(wait_for_harness)
    finally:
        await servers.stop()


def end_detached(directory: Path) -> None:
    """End what ``podium up --detach`` left when the harness was killed before ``podium down``."""
    for file in directory.glob("*/server.json"):
        with suppress(OSError, ValueError, LookupError):
            end_tree(int(json.loads(file.read_text())["pid"]))


def main(directory: Path, settings: list[str]) -> None:
    """Serve, then remove ``directory``."""
    ignore_signals()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    try:
        asyncio.run(serve(directory, settings))
    finally:
        end_detached(directory)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
