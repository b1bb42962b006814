"""What the processes of an installation send to a collector."""

import collector
from installation import Installation

CALL = ("task", "create", "--agent", "env", "--wait", "--json")


def test_every_process_sends_what_it_does(fresh: Installation) -> None:
    """Named by the standard variables alone, and all of it by the time that Podium has stopped."""
    with collector.collecting() as collected:
        up = fresh.podium(
            *("up", "--detach"),
            OTEL_EXPORTER_OTLP_ENDPOINT=collected.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=ours",
            OTEL_SERVICE_NAME="agents",
            OTEL_METRIC_EXPORT_INTERVAL="500",
        )
        assert up.status == 0, up
        added = fresh.podium("agent", "add", "env", "--", "sh", "-c", "printf %s $TRACEPARENT")
        assert added.status == 0, added
        task = fresh.podium(*CALL).json
        fresh.stop()
    (attempt,) = collected.named("attempt")
    (submit,) = collected.named("task.submit")
    (request,) = [span for span in collected.spans if span.id == submit.parent]
    assert request.name == "POST /api/v1/orchestration/tasks"
    assert attempt.parent == submit.id
    assert attempt.attributes["messaging.message.id"] == task["id"]
    assert task["output"]["text"].startswith(f"00-{attempt.trace}-{attempt.id}-")
    sources = {(each["service.name"], each["podium.process"]) for each in collected.resources}
    assert sources == {("agents", "api"), ("agents", "worker-1")}
    assert {"podium_tasks", "podium_attempts_total"} <= set(collected.metrics)
    assert {each.get("x-tenant") for each in collected.headers} == {"ours"}
