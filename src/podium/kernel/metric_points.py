"""Metrics as Prometheus knows them, as points that OTLP carries: one definition for both.

Names stay as they are, with their suffixes, so that one dashboard reads either.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family

from podium import __version__

_UNITS = {"seconds": "s", "bytes": "By"}
_NEVER: Any = None
"""Least and most of a histogram, which Prometheus does not know and OTLP need not have."""
_SINCE_START = AggregationTemporality.CUMULATIVE


def metrics_data(
    families: Iterable[Family], resource: Resource, since: int, now: int
) -> MetricsData:
    """All families as one message; ``since`` is when the process began to count. Times are
    nanoseconds since 1970."""
    metrics = [metric for family in families for metric in _metrics(family, since, now)]
    scope = ScopeMetrics(InstrumentationScope("podium", __version__), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metrics(family: Family, since: int, now: int) -> Iterator[Metric]:
    unit = next((sign for name, sign in _UNITS.items() if name in family.name.split("_")), "")
    if family.type == "histogram":
        points = list(_histograms(family, since, now))
        if points:
            data = Histogram(points, _SINCE_START)
            yield Metric(family.name, family.documentation, unit, data)
        return
    named: dict[str, list[NumberDataPoint]] = {}
    for sample in family.samples:
        point = NumberDataPoint(dict(sample.labels), since, now, sample.value)
        named.setdefault(sample.name, []).append(point)
    for name, points in named.items():
        counts = family.type == "counter"
        data = Sum(points, _SINCE_START, is_monotonic=True) if counts else Gauge(points)
        yield Metric(name, family.documentation, unit, data)


def _histograms(family: Family, since: int, now: int) -> Iterator[HistogramDataPoint]:
    for labels, parts in _by_labels(family).items():
        bounds = sorted(bound for bound in parts if isinstance(bound, float))
        totals = [int(parts[bound]) for bound in bounds]  # Prometheus counts from the least on
        counts = [total - before for total, before in zip(totals, [0, *totals], strict=False)]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=since,
            time_unix_nano=now,
            count=totals[-1],
            sum=parts["sum"],
            bucket_counts=counts,
            explicit_bounds=[bound for bound in bounds if math.isfinite(bound)],
            min=_NEVER,
            max=_NEVER,
        )


def _by_labels(
    family: Family,
) -> Mapping[tuple[tuple[str, str], ...], dict[float | str, float]]:
    """For each set of labels the count up to each bound, and the ``sum``."""
    found: dict[tuple[tuple[str, str], ...], dict[float | str, float]] = {}
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        parts = found.setdefault(tuple(sorted(labels.items())), {})
        if bound is not None:
            parts[float(bound)] = sample.value
        elif sample.name.endswith("_sum"):
            parts["sum"] = sample.value
    return found
