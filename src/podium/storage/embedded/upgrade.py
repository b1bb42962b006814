"""Moves an embedded cluster of an older PostgreSQL major to ours, in place, with pg_upgrade."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from podium.kernel.errors import NotFound, SettingsInvalid, Unavailable
from podium.storage.embedded.account import Account, server_account
from podium.storage.embedded.cluster import (
    MAJOR,
    cluster_major,
    init_cluster,
    open_programs,
    programs,
    required_programs,
    single_user,
    superuser_sql,
)
from podium.storage.embedded.credentials import SUPERUSER, Credentials
from podium.storage.embedded.paths import Layout
from podium.storage.embedded.postgres import move_cluster
from podium.storage.embedded.process import Program
from podium.storage.embedded.servers import hold_servers

_SECONDS = 6 * 3600


async def upgrade(data_dir: Path, old_programs: Path | None = None) -> Path:
    """Upgrade the cluster of ``data_dir``; the directory where the old one was kept.

    ``data_dir`` must be absolute and nothing may run on it. The new cluster is made beside the
    old one (there must be room for both) and takes its place only when it is whole;
    ``local.conf`` is not taken over. ``old_programs`` is the directory of the old major's
    ``postgres`` and ``pg_controldata``, needed when our wheel does not ship that major.

    Raises ``Conflict`` when servers run, ``NotFound`` when there is nothing to upgrade,
    ``SettingsInvalid`` when the old major's programs are missing, ``Unavailable`` with what
    pg_upgrade said when it failed; the old cluster is then as it was.
    """
    layout = Layout(data_dir)
    layout.create()
    lock = hold_servers(layout)
    try:
        return await _upgrade(layout, old_programs)
    finally:
        os.close(lock)


async def _upgrade(layout: Layout, old_programs: Path | None) -> Path:
    cluster, draft = layout.postgres, layout.postgres_draft
    major = await asyncio.to_thread(cluster_major, cluster)
    if major is None or major == str(MAJOR):
        raise NotFound(f"{cluster} holds no cluster of another major than {MAJOR}.")
    account = await asyncio.to_thread(server_account, cluster)
    new = await asyncio.to_thread(required_programs, account)
    old = await asyncio.to_thread(_find_old, major, old_programs, account)
    if account is not None:
        account.take(layout.sockets)
    credentials = Credentials.load(layout.servers_file) or Credentials.new()
    credentials.save(layout)
    await single_user(old, cluster, account, superuser_sql(credentials))
    checksums = await _has_checksums(old, cluster, account)
    await init_cluster(
        new, draft, credentials, account, "--data-checksums" if checksums else "--no-data-checksums"
    )
    await _pg_upgrade((old, new), (cluster, draft), layout, account, credentials)
    kept = _free_name(cluster.with_name(f"postgres-{major}"))
    cluster.rename(kept)
    await asyncio.to_thread(move_cluster, draft, cluster)
    return kept


def _find_old(major: str, given: Path | None, account: Account | None) -> Path:
    shipped = programs(int(major)) if major.isdecimal() else None
    if given is None and shipped is not None:
        open_programs(shipped, account)
        return shipped
    if given is None or not (given / "postgres").is_file():
        raise SettingsInvalid(
            f"The programs of PostgreSQL {major} are needed to upgrade its cluster, "
            f"and {'are not in ' + str(given) if given else 'do not come with Podium'}.",
            hint=f"Install PostgreSQL {major} and name its directory of programs: "
            f"python -m podium.server upgrade --old-bin /usr/lib/postgresql/{major}/bin",
        )
    return given


async def _has_checksums(binaries: Path, cluster: Path, account: Account | None) -> bool:
    status, printed = await Program(
        (binaries / "pg_controldata", "-D", cluster), cluster, account
    ).run()
    if status != 0:
        raise Unavailable(
            f"{cluster} cannot be read:\n{printed}",
            hint="See that its files can be read, and that --old-bin, if you gave it, names the "
            "programs of its own major.",
        )
    line = next(line for line in printed.splitlines() if "checksum version" in line)
    return not line.endswith(" 0")


async def _pg_upgrade(
    binaries: Sequence[Path],
    clusters: Sequence[Path],
    layout: Layout,
    account: Account | None,
    credentials: Credentials,
) -> None:
    (old, new), (cluster, draft) = binaries, clusters
    options = ("-b", old, "-B", new, "-d", cluster, "-D", draft, "-U", SUPERUSER)
    program = Program(
        (new / "pg_upgrade", *options, "--socketdir", layout.sockets),
        cwd=layout.sockets,
        account=account,
        environment={"PGPASSWORD": credentials.superuser},
    )
    status, printed = await program.run(seconds=_SECONDS)
    (layout.sockets / "delete_old_cluster.sh").unlink(missing_ok=True)
    if status != 0:
        raise Unavailable(
            f"{cluster} could not be upgraded and is as it was:\n{printed}",
            hint="Mend what pg_upgrade tells of and upgrade again; the disk needs room for both "
            "clusters.",
        )


def _free_name(wanted: Path) -> Path:
    number, name = 1, wanted
    while name.exists():
        number, name = number + 1, wanted.with_name(f"{wanted.name}-{number}")
    return name
