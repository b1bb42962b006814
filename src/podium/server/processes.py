"""The two processes that do the work: the API and a worker, alone or under a supervisor."""

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from podium.kernel import garbage, open_files
from podium.kernel.addresses import agents_url
from podium.kernel.errors import PodiumError, SettingsInvalid, Unavailable
from podium.kernel.settings import Settings, load_settings
from podium.kernel.telemetry import configure_logging, leave_console
from podium.server.exits import ExitStatus
from podium.server.joining import joined
from podium.server.lifeline import Lifeline, StopOrder
from podium.server.network import listen_as_set, url_of
from podium.server.runfiles import RunFiles, used
from podium.server.telling import tell, without_secrets

if TYPE_CHECKING:
    from podium.api.serving import ApiServer

log = structlog.stdlib.get_logger(__name__)

API_GRACE_SECONDS = 5.0
CURRENT_SECONDS = 10.0
"""How long a worker apart waits for a database that is not up to date."""
_LOOK_SECONDS = 0.5
_HURRIED_WORKER_SECONDS = 4.0
"""How long a worker may take to hand back what it runs; then it is cancelled."""
_CANCELLED_WORKER_SECONDS = 1.0

Work = Callable[[Settings, StopOrder, Lifeline | None], Awaitable[ExitStatus]]


def run_api(
    *,
    listener: int | None = None,
    idle: float | None = None,
    tied: bool = False,
    as_json: bool = False,
) -> int:
    """Serve the API until asked to stop; the exit status.

    ``listener`` is the descriptor of a socket that the supervisor opened, ``idle`` the seconds
    after which it ends by itself, ``tied`` says that standard input is a lifeline, ``as_json``
    that the error which ends it is told as commands do with ``--json``.
    """

    async def work(settings: Settings, order: StopOrder, _: Lifeline | None) -> ExitStatus:
        return await _serve(settings, order, listener, idle)

    return _run("api", work, tied=tied, as_json=as_json)


def run_worker(name: str | None = None, *, tied: bool = False, as_json: bool = False) -> int:
    """Serve as a worker until asked to stop; the exit status. ``tied`` and ``as_json`` are as for
    the API.

    One that runs apart leaves the database to its server, and ends when it is not up to date
    within ``CURRENT_SECONDS``. Where no URLs are set it joins the ``up`` of its data directory.
    """

    async def work(settings: Settings, order: StopOrder, lifeline: Lifeline | None) -> ExitStatus:
        await _prepare_worker(settings, tied=tied)
        return await _work(settings, order, lifeline)

    return _run(name, work, tied=tied, as_json=as_json, joins=not tied)


def _run(name: str | None, work: Work, *, tied: bool, as_json: bool, joins: bool = False) -> int:
    """``name`` is that of the process in the log; None for a worker's own name. ``joins`` has it
    use the embedded servers of a running ``up``."""
    lifeline = Lifeline() if tied else None
    log_format = None
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        settings = joined(load_settings()) if joins else load_settings()
        with used(settings.data_dir):
            configure_logging(settings, name or settings.worker_name, brief=tied)
        log_format = settings.log_format
        _require_urls(settings)
        open_files.allow_many()
        garbage.collect_seldom()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_under_orders(settings, work, lifeline))
    except Exception as error:
        if lifeline is not None:
            lifeline.report(error)
        if not isinstance(error, PodiumError):
            log.exception("process failed")
            return ExitStatus.FAILED
        if lifeline is None and (as_json or log_format != "json"):
            tell(without_secrets(error), as_json=as_json)
            leave_console()
        if log_format is not None:  # else there is no log yet
            log.error(error.message, hint=error.hint, code=error.code)  # noqa: TRY400
        return ExitStatus.FAILED


async def _under_orders(settings: Settings, work: Work, lifeline: Lifeline | None) -> ExitStatus:
    order = StopOrder()
    order.listen()
    if lifeline is not None:
        lifeline.watch(order)
    return await work(settings, order, lifeline)


def _require_urls(settings: Settings) -> None:
    missing = [
        name
        for name, url in (
            ("PODIUM_DATABASE_URL", settings.database_url),
            ("PODIUM_VALKEY_URL", settings.valkey_url),
        )
        if url is None
    ]
    if missing:
        raise SettingsInvalid(
            f"{' and '.join(missing)} must be set for a process that runs apart.",
            hint="Set it, or let 'podium up' start everything on this machine; workers join it.",
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(
    settings: Settings, order: StopOrder, descriptor: int | None, idle: float | None
) -> ExitStatus:
    from podium import app as composition
    from podium.api.serving import ApiServer

    listener = listen_as_set(settings) if descriptor is None else socket.socket(fileno=descriptor)
    with listener:
        with _place_of_database(settings):
            await composition.prepare(settings)
        app = composition.create_api(settings)
        server = ApiServer(app, listener=listener, grace=API_GRACE_SECONDS)
        went_idle = asyncio.Event()

        async def look_for_idleness(limit: float) -> None:
            files = RunFiles(settings.data_dir)

            async def idle_seconds() -> float:
                return 0.0 if files.is_to_stay() else await composition.idle_for(app)

            await _until_idle(limit, idle_seconds)
            went_idle.set()
            server.should_exit = True

        helpers = [asyncio.create_task(_obey(order, server))]
        if idle is not None:
            helpers.append(asyncio.create_task(look_for_idleness(idle)))
        _say_where(settings, url_of(settings, listener), apart=descriptor is None)
        try:
            await server.serve()
        except SystemExit:  # uvicorn's way to say that the lifespan could not start
            raise Unavailable("The API could not start; the log has the reason.") from None
        finally:
            await _cancel(helpers)
    log.info("API stopped", idle=went_idle.is_set())
    return ExitStatus.IDLE if went_idle.is_set() else ExitStatus.DONE


async def _obey(order: StopOrder, server: "ApiServer") -> None:
    await order.stop.wait()
    server.should_exit = True
    await order.hurry.wait()
    server.force_exit = True


def _say_where(settings: Settings, url: str, *, apart: bool) -> None:
    from podium.principals.service import ADMIN_TOKEN_FILE

    log.info("API listens", url=url)
    if apart:
        log.info(
            "to use it, set PODIUM_URL, and PODIUM_TOKEN to what token_file holds",
            PODIUM_URL=url,
            token_file=str(settings.data_dir / ADMIN_TOKEN_FILE),
        )


async def _until_idle(limit: float, idle_seconds: Callable[[], Awaitable[float]]) -> None:
    """Return when there was nothing to do for ``limit`` seconds; not knowing is no idleness."""
    while True:
        try:
            quiet = await idle_seconds()
        except PodiumError as error:
            log.warning("cannot tell whether there is work", reason=error.message)
            quiet = 0.0
        if quiet >= limit:
            return
        await asyncio.sleep(min(5.0, max(0.05, (limit - quiet) / 2)))


async def _prepare_worker(settings: Settings, *, tied: bool) -> None:
    from podium import app as composition
    from podium.storage.database import Database
    from podium.storage.migrate import require_migrated

    if tied:  # the API of this `up` does the same, whichever comes first
        with _place_of_database(settings):
            await composition.prepare(settings)
        return
    assert settings.database_url is not None, "it was required before"  # noqa: S101
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    try:
        with _place_of_database(settings):
            await _wait_until_current(lambda: require_migrated(database, composition.SQL_SLICES))
    finally:
        await database.close()
    if settings.public_url is None and not settings.embedded_postgres:
        log.warning(
            "PODIUM_PUBLIC_URL is not set: agents of this worker are told that the API is on this "
            "machine",
            url=agents_url(settings),
        )


async def _wait_until_current(require: Callable[[], Awaitable[None]]) -> None:
    """Give a server that starts beside this worker the time to bring the database up to date."""
    deadline = time.monotonic() + CURRENT_SECONDS
    said = False
    while True:
        try:
            return await require()
        except Unavailable as error:
            if error.__cause__ is not None or time.monotonic() > deadline:  # PostgreSQL is away
                raise
            if not said:
                log.info("waiting for a server to upgrade the database", reason=error.message)
                said = True
        await asyncio.sleep(_LOOK_SECONDS)


@contextmanager
def _place_of_database(settings: Settings) -> Generator[None]:
    """Say which PostgreSQL cannot be reached, where that is the caller's affair."""
    from sqlalchemy import make_url

    try:
        yield
    except Unavailable as error:
        if error.__cause__ is None or settings.embedded_postgres or settings.database_url is None:
            raise
        place = make_url(settings.database_url.get_secret_value()).set(query={})
        raise Unavailable(
            error.message,
            hint=f"PODIUM_DATABASE_URL is {place}: see that PostgreSQL runs there, and that the "
            "user, the password and the database are right.",
        ) from error


async def _work(settings: Settings, order: StopOrder, lifeline: Lifeline | None) -> ExitStatus:
    from podium import app as composition

    log.info("worker starts")
    worker = asyncio.create_task(composition.run_worker(settings, order.stop, order.hurry))
    hurry = asyncio.create_task(order.hurry.wait())
    await asyncio.wait({worker, hurry}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({worker}, timeout=_HURRIED_WORKER_SECONDS)
    if not worker.done():
        log.warning("the worker cannot hand back in time what it runs")
        worker.cancel()
        await asyncio.wait({worker}, timeout=_CANCELLED_WORKER_SECONDS)
    await _cancel([hurry])
    if worker.done() and not worker.cancelled():
        handed_back = worker.result()
        log.info("worker stopped", handed_back=handed_back)
        if lifeline is not None:
            lifeline.say({"handed_back": handed_back})
    return ExitStatus.DONE


async def _cancel(tasks: list[asyncio.Task[None]] | list[asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
