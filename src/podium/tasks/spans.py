"""What a span tells of a call that submits tasks, by OpenTelemetry's conventions for messaging."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from podium.tasks.model import TaskNew

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from podium.kernel.tracing import Tracing

TOGETHER = 100
"""Attempts of so many tasks of one call are in its trace. Beyond that no trace could be read: each
task has one of its own, which links to the call, as the conventions have it for batches."""


def submitting(tracing: "Tracing", requests: Sequence[TaskNew]) -> "AbstractContextManager[Span]":
    """One span around the call, however many tasks it submits."""
    attributes: dict[str, str | int] = {
        "messaging.system": "podium",
        "messaging.operation.type": "send",
        "messaging.operation.name": "submit",
        "messaging.batch.message_count": len(requests),
    }
    queues = {request.queue for request in requests}
    if len(queues) == 1:
        attributes["messaging.destination.name"] = queues.pop()
    return tracing.span("task.submit", "producer", attributes)


def place(tracing: "Tracing", count: int) -> Mapping[str, Any]:
    """Where spans of the attempts belong, as each of so many tasks of one call carries it."""
    found = tracing.place()
    return {**found, "link": True} if found and count > TOGETHER else found
