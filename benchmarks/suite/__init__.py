"""The benchmarks, each a module with ``run(session)`` that gives its figures."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.session import Session
from benchmarks.suite import (
    chain,
    command_overhead,
    event_latency,
    fan_out,
    gates,
    http_post,
    idle_workers,
    memory,
    million,
    recovery,
    scaling,
    session_start,
    small_project,
    snapshot,
    soak,
    start_latency,
    throughput,
    up_warm,
)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark and the PostgreSQL settings that it needs beyond the embedded ones."""

    run: Callable[[Session], Awaitable[list[Figure]]]
    settings: tuple[str, ...] = ()
    by_default: bool = True
    """Whether it runs when no name is given."""


SUITE = {
    "throughput": Benchmark(throughput.run),
    "start_latency": Benchmark(start_latency.run),
    "fan_out": Benchmark(fan_out.run),
    "chain": Benchmark(chain.run),
    "post": Benchmark(http_post.run),
    "event_latency": Benchmark(event_latency.run, event_latency.SETTINGS),
    "command_overhead": Benchmark(command_overhead.run),
    "up_warm": Benchmark(up_warm.run),
    "memory": Benchmark(memory.run),
    "recovery": Benchmark(recovery.run),
    "gates": Benchmark(gates.run),
    "session_start": Benchmark(session_start.run),
    "million": Benchmark(million.run, by_default=False),
    "small_project": Benchmark(small_project.run, by_default=False),
    "snapshot": Benchmark(snapshot.run, by_default=False),
    "scaling": Benchmark(scaling.run, by_default=False),
    "idle_workers": Benchmark(idle_workers.run, by_default=False),
    "soak": Benchmark(soak.run, by_default=False),
}
