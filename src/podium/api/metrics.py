"""What Prometheus may read."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5, 10, 30)
_UNKNOWN = "(none)"
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "WEBSOCKET"})


class Metrics:
    """The metrics of one API and of the process it runs in. Routes are templates, so that ids make
    no new series.

    What counts below the API (the keeper) does so in the default registry of the process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "podium_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "podium_http_request_seconds",
            "Time to answer, streams left out.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.streams = Gauge(
            "podium_streams_open", "Event streams open now.", ("kind",), registry=self.registry
        )
        self.feed_lag = Gauge(
            "podium_feed_lag_seconds",
            "For how long the newest events could not be read; 0 while all is read.",
            registry=self.registry,
        )
        self.tasks = Gauge(
            "podium_tasks",
            "Tasks that have not ended, and those that are dead.",
            ("state",),
            registry=self.registry,
        )
        self.oldest = Gauge(
            "podium_tasks_oldest_queued_seconds",
            "For how long the task has been queued that was queued first.",
            registry=self.registry,
        )
        self.round_trip = Gauge(
            "podium_database_round_trip_seconds",
            "Time that PostgreSQL took to answer the least of queries, just now.",
            registry=self.registry,
        )
        self.transactions = Gauge(
            "podium_database_transaction_seconds",
            "Age of each transaction that lasts: vacuum removes nothing that it may still see.",
            ("pid", "program", "login"),
            registry=self.registry,
        )
        self.valkey = Gauge(
            "podium_valkey_up",
            "Whether Valkey can be reached: 1 or 0.",
            registry=self.registry,
        )
        self.workers = Gauge("podium_workers", "Workers.", ("state",), registry=self.registry)
        self.routes: Mapping[Callable[..., object], str] = {}
        """Path template of each endpoint; filled by the assembly."""

    def route(self, endpoint: Callable[..., object] | None) -> str | None:
        """The path template of an endpoint."""
        return self.routes.get(endpoint) if endpoint else None

    def request(
        self, method: str, endpoint: Callable[..., object] | None, status: int, seconds: float
    ) -> None:
        """Count one answer."""
        route = self.route(endpoint) or _UNKNOWN
        method = method if method in _METHODS else _UNKNOWN
        self._requests.labels(route, method, str(status)).inc()
        if method != "WEBSOCKET" and not route.endswith("/stream"):
            self._seconds.labels(route, method).observe(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)
