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
    http_post,
    memory,
    recovery,
    start_latency,
    throughput,
    up_warm,
)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark and the PostgreSQL settings that it needs beyond the embedded ones."""

    run: Callable[[Session], Awaitable[list[Figure]]]
    settings: tuple[str, ...] = ()


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
}
