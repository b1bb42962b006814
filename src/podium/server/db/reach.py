"""The database that a command is about: a server's, or the embedded one, started if it must be."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from podium.kernel.errors import Conflict, NotFound
from podium.kernel.settings import Settings
from podium.storage.address import Address
from podium.storage.embedded import EmbeddedServers
from podium.storage.embedded.credentials import Credentials
from podium.storage.embedded.paths import Layout


@dataclass(frozen=True, slots=True)
class Reached:
    """A database that can be used. ``ours`` says that it is embedded and that no Podium runs on it,
    nor can be started while the block lasts."""

    address: Address
    embedded: bool
    ours: bool = False


def is_there(settings: Settings) -> bool:
    """Whether these settings name a database; False where the embedded one is not made yet."""
    return settings.database_url is not None or Layout(settings.data_dir).postgres.exists()


@asynccontextmanager
async def reached(
    settings: Settings, *, alone: bool = False, make: bool = False
) -> AsyncGenerator[Reached]:
    """The database of these settings.

    ``alone`` refuses with ``Conflict`` while Podium runs on the embedded one. ``make`` makes the
    embedded one where there is none, which is ``NotFound`` without it.
    """
    if settings.database_url is not None:
        yield Reached(Address.parse(settings.database_url.get_secret_value()), embedded=False)
        return
    layout = Layout(settings.data_dir)
    if not make and not is_there(settings):
        raise NotFound(
            f"There is no database in {settings.data_dir} yet.",
            hint="'podium up' makes one; PODIUM_DATABASE_URL names another.",
        )
    servers = EmbeddedServers(settings.data_dir, valkey=False)
    try:
        urls = await servers.start()
    except Conflict as error:
        credentials = Credentials.load(layout.servers_file)
        if alone or credentials is None:
            raise Conflict(
                f"Podium runs on {settings.data_dir}.", hint="Stop it first: podium down."
            ) from error
        yield Reached(Address.parse(credentials.database_url(layout)), embedded=True)
        return
    try:
        assert urls.database_url is not None, "it was asked for"  # noqa: S101
        yield Reached(Address.parse(urls.database_url), embedded=True, ours=True)
    finally:
        await servers.stop()
