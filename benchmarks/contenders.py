"""Who takes part: Podium and its peers, as processes. Nothing of theirs is imported here."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

NO_DEPENDENCIES = "jobs cannot depend on jobs"


@dataclass(frozen=True)
class Contender:
    """An engine: ``python -m MODULE set-up`` prepares a database, ``… client`` is its driver.

    ``worker`` is the command of its one worker process. ``unsupported`` names the figures that
    it has no notion of, each with the reason.
    """

    name: str
    module: str
    worker: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    unsupported: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: tuple[str, ...] = ()
    uses_postgres: bool = True

    @property
    def worker_command(self) -> tuple[str, ...]:
        """How its worker is started."""
        return self.worker or (sys.executable, "-m", self.module, "worker")

    @property
    def set_up_command(self) -> tuple[str, ...]:
        """How its database is prepared."""
        return (sys.executable, "-m", self.module, "set-up")

    @property
    def client_command(self) -> tuple[str, ...]:
        """How its driver is started."""
        return (sys.executable, "-m", self.module, "client")


PODIUM = Contender(
    "podium",
    "benchmarks.podium_client",
    worker=(sys.executable, "-m", "podium.server", "worker"),
)
GATED = replace(PODIUM, name="podium-gated", module="benchmarks.gated_client")
"""The same, with tasks that every gate has a say in."""

_DRAMATIQ = "benchmarks.peers.dramatiq"
_DRAMATIQ_WORKER = (
    *(sys.executable, "-m", "dramatiq", f"{_DRAMATIQ}:broker"),
    *("--processes", "1", "--threads", "8"),
)
_DRAMATIQ_OPTIONS = {"dramatiq_queue_prefetch": "200", "dramatiq_worker_timeout": "10"}


def _dramatiq(name: str, appendfsync: str) -> Contender:
    return Contender(
        name,
        _DRAMATIQ,
        worker=_DRAMATIQ_WORKER,
        environment={**_DRAMATIQ_OPTIONS, "BENCH_APPENDFSYNC": appendfsync},
        packages=("dramatiq", "redis"),
        uses_postgres=False,
    )


PEERS = (
    Contender("dbos", "benchmarks.peers.dbos", packages=("dbos", "psycopg")),
    Contender(
        "procrastinate",
        "benchmarks.peers.procrastinate",
        unsupported={"chain": NO_DEPENDENCIES, "fan_out": NO_DEPENDENCIES},
        packages=("procrastinate", "psycopg"),
    ),
    _dramatiq("dramatiq", "everysec"),
    _dramatiq("dramatiq-fsync", "always"),
)
