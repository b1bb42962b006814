"""What metrics tell of the attempts of this process."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from podium.kernel.clock import boottime
from podium.scheduler.model import Settlement
from podium.worker.attempt import Attempt

_log = structlog.get_logger(__name__)

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_UNKNOWN = "(none)"
"""The runtime of an attempt that ended before its agent was looked up."""

_attempts = Counter(
    "podium_attempts", "Attempts that ended in this worker, by how.", ("runtime", "outcome")
)
_seconds = Histogram(
    "podium_attempt_duration_seconds",
    "Time from the claim of a task to the end of its agent.",
    ("runtime",),
    buckets=_BUCKETS,
)
_waited = Histogram(
    "podium_attempt_queued_seconds",
    "Time that tasks were queued before this worker claimed them, by its own clock.",
    buckets=_BUCKETS,
)
slots = Gauge("podium_worker_slots", "Attempts that this worker runs at once, at most.")
running = Gauge("podium_worker_attempts_running", "Attempts that this worker runs now.")


_count_of = cache(_attempts.labels)
_seconds_of = cache(_seconds.labels)
"""To look a series up takes longer than to count."""


def began(attempt: Attempt) -> None:
    """Count an attempt whose task was claimed just now."""
    waited = (datetime.now(UTC) - attempt.claimed.queued_at).total_seconds()
    _waited.observe(max(0.0, waited))


def ended(attempt: Attempt, end: Settlement | None) -> None:
    """Count an attempt that ended; one without a settlement lost its lease."""
    runtime = attempt.agent.runtime if attempt.is_equipped else _UNKNOWN
    _count_of(runtime, end.how if end else "lease_lost").inc()
    _seconds_of(runtime).observe(boottime() - attempt.begun_at)


@contextmanager
def shown(host: str, port: int | None) -> Generator[None]:
    """Let Prometheus read the metrics of this process at that port while the block runs. Attempts
    matter more: without a free port it only says so."""
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as error:
        _log.warning("worker.metrics_not_shown", host=host, port=port, error=str(error))
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
