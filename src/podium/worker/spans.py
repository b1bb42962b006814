"""What a span tells of an attempt, by OpenTelemetry's conventions for messaging.

A task is a message that is processed by itself, so the span of each of its attempts is a child of
the span that submitted it: one trace shows the request, the waiting and every try, in whatever
worker and however late. Only tasks of large calls link to it instead (``tasks.spans``).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from podium.scheduler.model import Claimed, Settlement
from podium.worker.attempt import Attempt, trace_of

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from podium.kernel.tracing import Tracing

_FAILED = {"failed", "dead", "retry"}


async def traced(
    tracing: "Tracing", attempt: Attempt, run: Callable[[Attempt], Awaitable[Settlement | None]]
) -> Settlement | None:
    """What ``run`` gives, within a span that the agent's own spans join."""
    found = trace_of(attempt.claimed)
    apart = bool(found.get("link"))
    with tracing.span(
        "attempt",
        "consumer",
        _known(attempt.claimed),
        parent={} if apart else found,
        link=found if apart else None,
    ) as span:
        attempt.traceparent = tracing.place()["traceparent"]
        end = await run(attempt)
        _tell(span, attempt, end)
        return end


def _known(claimed: Claimed) -> dict[str, str | int]:
    """What is known before the agent is looked up."""
    known: dict[str, str | int] = {
        "messaging.system": "podium",
        "messaging.operation.type": "process",
        "messaging.operation.name": "run",
        "messaging.message.id": str(claimed.task_id),
        "podium.attempt": claimed.attempt,
        "podium.failures": claimed.failures,
        "podium.losses": claimed.losses,
    }
    if "trace" in claimed.spec:
        known["messaging.destination.name"] = claimed.spec["trace"]["queue"]
    return known


def _tell(span: "Span", attempt: Attempt, end: Settlement | None) -> None:
    from podium.kernel.tracing import fail

    if attempt.is_equipped:
        span.set_attribute("podium.project", attempt.project)
        span.set_attribute("podium.agent", attempt.agent.name)
        span.set_attribute("podium.agent.version", attempt.agent.version)
        span.set_attribute("podium.runtime", attempt.agent.runtime)
    span.set_attribute("podium.outcome", end.how if end else "lease_lost")
    if end is None:
        fail(span, "lease_lost")
    elif end.how in _FAILED:
        error = orjson.loads(end.error or "{}")
        span.set_attribute("podium.error.class", error.get("class", "unknown"))
        fail(span, error.get("code", "unknown"))
