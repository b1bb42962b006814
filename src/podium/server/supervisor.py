"""``up``: starts everything in order, keeps it running, and stops it in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from podium import __version__
from podium.kernel import background
from podium.kernel.errors import PodiumError, Unavailable
from podium.kernel.settings import Settings
from podium.kernel.telemetry import rotate, rotate_in_place
from podium.server import in_force
from podium.server.children import Child, Ended, server_argv
from podium.server.exits import ExitStatus
from podium.server.network import (
    has_callers,
    is_live,
    is_ready,
    listen_as_set,
    url_of,
    what_is_missing,
)
from podium.server.runfiles import RunFiles
from podium.server.watching import Pace, keep_answering
from podium.storage.embedded import EmbeddedServers, EmbeddedUrls

READY_SECONDS = 150.0
_LOOK_SECONDS = 0.05
_ROTATE_SECONDS = 60.0
_API_STOP_SECONDS = 10.0
_WORKER_MARGIN_SECONDS = 10.0
_SILENT_SECONDS = 1.0
_PACE = Pace()

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Order:
    """How this ``up`` was asked for. ``tell_ready`` is called with what ``server.json`` says."""

    tell_ready: Callable[[Mapping[str, object]], None]
    detached: bool = False
    idle_seconds: float | None = None


class Supervisor:
    """The stack of one data directory. ``files`` must hold its lock."""

    def __init__(self, settings: Settings, files: RunFiles, order: Order) -> None:
        self._settings = settings
        self._files = files
        self._order = order
        self._stop = asyncio.Event()
        self._failure: PodiumError | None = None
        self._is_ready = False
        self._idle_seconds = order.idle_seconds
        self._server: Mapping[str, object] = {}
        # What a command starts for itself is found by its files, whatever its port.
        self._listener = listen_as_set(settings, or_any_port=order.idle_seconds is not None)
        self._servers = EmbeddedServers(
            settings.data_dir,
            postgres=settings.database_url is None,
            valkey=settings.valkey_url is None,
        )
        self._api: Child | None = None
        self._workers: list[Child] = []
        self._helpers: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None

    async def run(self) -> ExitStatus:
        """Start, run until told to stop, stop. Raises ``PodiumError`` when it cannot start."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(sig, self._on_signal)
        loop.add_signal_handler(signal.SIGUSR1, self._stay)
        starting = asyncio.create_task(self._start())
        told_to_stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await told_to_stop
        finally:
            for task in (starting, told_to_stop):
                task.cancel()
            await asyncio.wait({starting, told_to_stop})
            await self._stop_all()
        return ExitStatus.DONE

    async def _start(self) -> None:
        urls = await self._servers.start()
        self._helpers.append(asyncio.create_task(self._servers.watch()))
        self._helpers.append(asyncio.create_task(self._rotate_logs()))
        environment = self._environment(urls)
        self._api = self._new_api(environment)
        workers = range(self._settings.workers)
        self._workers = [self._new_worker(number, environment) for number in workers]
        for child in (self._api, *self._workers):
            child.start()
        await self._wait_until_ready()
        self._watcher = asyncio.create_task(self._watch(self._api))
        self._server = self._description()
        in_force.keep(self._files, self._settings)
        self._files.publish(self._server)
        log.info("ready", url=self._server["url"], workers=len(self._workers))
        self._order.tell_ready(self._server)

    def _environment(self, urls: EmbeddedUrls) -> Mapping[str, str]:
        """What the children are told besides our own environment."""
        found = {
            "PODIUM_PORT": str(self._listener.getsockname()[1]),
            "PODIUM_DATABASE_URL": urls.database_url,
            "PODIUM_VALKEY_URL": urls.valkey_url,
            "PODIUM_EMBEDDED": ",".join(self._servers.states),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _new_api(self, environment: Mapping[str, str]) -> Child:
        descriptor = self._listener.fileno()
        arguments = ["server", "--tied", "--listener", str(descriptor)]
        if self._order.idle_seconds is not None:
            arguments += ["--idle", str(self._order.idle_seconds)]
        return Child(
            "api",
            server_argv(*arguments),
            environment,
            pass_fds=[descriptor],
            on_ended=self._on_api_ended,
        )

    def _new_worker(self, number: int, environment: Mapping[str, str]) -> Child:
        name, port = f"worker-{number + 1}", self._settings.worker_metrics_port
        own = {"PODIUM_WORKER_NAME": name}
        if port is not None:
            own["PODIUM_WORKER_METRICS_PORT"] = str(port + number)
        argv = server_argv("worker", "--tied", "--name", name)
        return Child(name, argv, {**environment, **own})

    def _on_api_ended(self, ended: Ended) -> bool:
        """Whether to start the API again."""
        if ended.status == ExitStatus.IDLE:
            if self._idle_seconds is None or has_callers(self._listener):
                log.info("somebody calls: the server goes on")
                return True
            log.info("nothing to do for long enough: stopping")
            self._stop.set()
            return False
        if self._is_ready:
            return True
        told = ended.said or {}
        self._failure = Unavailable(
            told.get("message") or f"The API ended with status {ended.status} while it started.",
            hint=told.get("hint") or f"See {self._settings.data_dir / 'logs'}.",
        )
        return False

    async def _wait_until_ready(self) -> None:
        """Raises ``Unavailable`` when the API dies or takes too long before it is ready."""
        url = url_of(self._settings, self._listener)
        question = asyncio.create_task(is_ready(url))
        try:
            async with asyncio.timeout(READY_SECONDS):
                while self._failure is None:
                    await asyncio.wait({question}, timeout=_LOOK_SECONDS)
                    if question.done():
                        if question.result():
                            self._is_ready = True
                            return
                        await asyncio.sleep(_LOOK_SECONDS)
                        question = asyncio.create_task(is_ready(url))
        except TimeoutError:
            raise Unavailable(
                f"The API was not ready after {READY_SECONDS:g} seconds.",
                hint=f"See {self._settings.data_dir / 'logs'}.",
            ) from None
        finally:
            question.cancel()
        raise self._failure

    async def _watch(self, api: Child) -> None:
        url = url_of(self._settings, self._listener)
        await keep_answering(api, lambda: is_live(url, _PACE.patience), _PACE)

    def _description(self) -> Mapping[str, object]:
        return {
            "pid": os.getpid(),
            "url": url_of(self._settings, self._listener),
            "version": __version__,
            "started_at": datetime.now(UTC).isoformat(),
            "detached": self._order.detached,
            "home": str(self._settings.data_dir),
            "workers": self._settings.workers,
            "idle_seconds": self._idle_seconds,
            "drain_seconds": self._settings.drain_seconds,
            "warning": what_is_missing(self._settings, self._listener),
        }

    def _stay(self) -> None:
        """Somebody wants this server for good: what it publishes tells them, and the API."""
        if self._server and self._idle_seconds is not None and not self._stop.is_set():
            log.info("going on, also when idle")
            self._idle_seconds = None
            self._server = {**self._server, "idle_seconds": None}
            self._files.publish(self._server)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            log.warning("told to stop again: not waiting for attempts any longer")
            for child in self._children():
                child.hurry()
        else:
            log.info("stopping")
            self._stop.set()

    def _children(self) -> list[Child]:
        return [*self._workers, *([self._api] if self._api else [])]

    async def _stop_all(self) -> None:
        """Workers first, while the API can still say what they do; PostgreSQL last, and in any
        case."""
        drain = self._settings.drain_seconds + _WORKER_MARGIN_SECONDS
        telling = asyncio.create_task(self._tell_of_waiting())
        try:
            await asyncio.gather(*(worker.stop(drain) for worker in self._workers))
            self._tell_what_is_left()
            await background.end(telling, self._watcher)  # the API does not answer while it ends
            self._listener.close()
            if self._api is not None:
                await self._api.stop(_API_STOP_SECONDS)
            await background.end(*self._helpers)
        finally:
            await self._servers.stop()
        log.info("stopped")

    def _tell_what_is_left(self) -> None:
        """Leave word of how many tasks the workers handed back, for whoever stops this."""
        words = [worker.last_words for worker in self._workers]
        said = all("handed_back" in each for each in words)  # one that was killed says nothing
        count = sum(each["handed_back"] for each in words) if said else None
        try:
            self._files.leave_word({"pid": os.getpid(), "handed_back": count})
        except OSError as error:  # the rest is to be stopped all the same
            log.warning("cannot leave word of tasks handed back", reason=str(error))

    async def _tell_of_waiting(self) -> None:
        """Say why it takes so long, once it does."""
        await asyncio.sleep(_SILENT_SECONDS)
        log.warning(
            "waiting for running tasks and for sessions at work; Ctrl-C or SIGTERM again stops now",
            at_most_seconds=self._settings.drain_seconds,
        )

    async def _rotate_logs(self) -> None:
        logs = self._settings.data_dir / "logs"
        while True:
            await asyncio.to_thread(_rotate, logs)
            await asyncio.sleep(_ROTATE_SECONDS)


def _rotate(logs: Path) -> None:
    try:
        rotate(logs / "podium.log")
        for name in ("postgres.log", "valkey.log"):
            rotate_in_place(logs / name)
    except OSError as error:
        log.warning("logs cannot be rotated", reason=str(error))


def say_ready(settings: Settings) -> Callable[[Mapping[str, object]], None]:
    """Tells a person at a terminal where Podium is and how to sign in."""

    def say(server: Mapping[str, object]) -> None:
        warning = f"{server['warning']}\n" if server["warning"] else ""
        sys.stdout.write(
            f"Podium is ready at {server['url']}\n{warning}"
            f"Administrator's token: {settings.data_dir / 'admin-token'}\n"
            "Press Ctrl-C to stop it; 'podium logs -f' shows its log.\n"
        )
        sys.stdout.flush()

    return say
