"""Traces from the request to each attempt, as a collector gets them."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

import collector as stand_in
from collector import Collector, SentSpan
from podium.kernel.exporting import endpoint
from podium.kernel.settings import Settings, load_settings
from podium.tasks.spans import TOGETHER
from slices.tasks.conftest import Desk

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = CALLER.split("-")[1:3]
SERVER, PRODUCER, CONSUMER = 2, 4, 5


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with stand_in.collecting() as collector:
        yield collector


@pytest.fixture
def settings(settings: Settings, collector: Collector) -> Settings:
    # A lease that a busy machine does not outlast: with it this process would end.
    changes = {"otlp_endpoint": collector.url, "lease_seconds": 30}
    return settings.model_copy(update=changes)


async def sent(collector: Collector, name: str, count: int = 1) -> list[SentSpan]:
    def look() -> list[SentSpan]:
        found = collector.named(name)
        return found if len(found) >= count else []

    found: list[SentSpan] = await asyncio.to_thread(collector.until, look)
    assert len(found) == count
    return found


async def test_every_attempt_is_in_the_trace_of_the_request_that_made_the_task(
    own_desk: Desk, collector: Collector
) -> None:
    await own_desk.agent("flaky")
    made = await own_desk.call(
        "POST",
        "tasks",
        201,
        json={"agent": "flaky", "input": 2, "retry": {"max_retries": 1, "initial": 0}},
        headers={"traceparent": CALLER, "X-Request-Id": "r-1"},
    )
    async with own_desk.worker(worker_name="first"):
        await own_desk.until(made)
    first, second = await sent(collector, "attempt", 2)
    (submit,) = await sent(collector, "task.submit")
    (request,) = [
        span
        for span in await sent(collector, "POST /api/v1/orchestration/tasks")
        if span.trace == TRACE
    ]
    assert {span.trace for span in (request, submit, first, second)} == {TRACE}
    assert (request.parent, request.kind) == (SPAN, SERVER)
    assert (submit.parent, submit.kind) == (request.id, PRODUCER)
    assert [(span.parent, span.kind) for span in (first, second)] == [(submit.id, CONSUMER)] * 2
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["podium.request_id"] == "r-1"
    assert submit.attributes["messaging.message.id"] == made["id"]
    told = first.attributes
    assert (told["podium.attempt"], told["podium.outcome"], first.failed) == (1, "retry", True)
    assert (told["error.type"], told["podium.error.class"]) == ("not_yet", "transient")
    assert (told["podium.agent"], told["podium.runtime"]) == ("flaky", "function")
    assert told["messaging.destination.name"] == "default"
    assert (second.attributes["podium.outcome"], second.failed) == ("succeeded", False)
    assert second.attributes["messaging.message.id"] == made["id"]
    assert {span.resource["podium.process"] for span in (first, request)} == {"first", "api"}
    assert first.resource["service.name"] == "podium"
    assert first.resource["deployment.environment.name"] == "test"


async def test_the_trace_outlives_the_worker_and_a_redrive(
    own_desk: Desk, collector: Collector
) -> None:
    await own_desk.agent("fail")
    made = await own_desk.create("fail", input={"class": "invalid_input"})
    async with own_desk.worker(worker_name="first"):
        await own_desk.until(made)
    await own_desk.call("POST", f"tasks/{made['id']}/retry", json={})
    async with own_desk.worker(worker_name="second"):
        await own_desk.until(made, "failed")
        await sent(collector, "attempt", 2)
    (submit,) = await sent(collector, "task.submit")
    attempts = await sent(collector, "attempt", 2)
    assert {span.parent for span in attempts} == {submit.id}
    assert [span.resource["podium.process"] for span in attempts] == ["first", "second"]
    assert "I was told to." not in "".join(span.text for span in collector.spans)


async def test_a_large_call_is_one_span_and_its_tasks_have_traces_of_their_own(
    own_desk: Desk, collector: Collector
) -> None:
    await own_desk.agent("echo")
    few = await own_desk.bulk([{"agent": "echo"}] * 2)
    many = await own_desk.bulk([{"agent": "echo"}] * (TOGETHER + 1))
    async with own_desk.worker():
        await own_desk.until(few["ids"][-1])
        attempts = await sent(collector, "attempt", 2 + TOGETHER + 1)
    small, large = await sent(collector, "task.submit", 2)
    assert large.attributes["messaging.batch.message_count"] == TOGETHER + 1
    by_task = {span.attributes["messaging.message.id"]: span for span in attempts}
    assert {by_task[task].parent for task in few["ids"]} == {small.id}
    apart = [by_task[task] for task in many["ids"]]
    assert {span.parent for span in apart} == {""}
    assert len({span.trace for span in apart}) == TOGETHER + 1
    assert all(span.links == [(large.trace, large.id)] for span in apart)


async def test_what_was_asked_and_answered_is_in_no_span(
    own_desk: Desk, collector: Collector
) -> None:
    body = {"input": "CANARY-input", "title": "CANARY-title", "labels": {"x": "CANARY-label"}}
    made = await own_desk.create("echo", **body)
    path = "projects/podium_0123456789abcdef0123456789abcdef_secret?cursor=CANARY-query"
    await own_desk.call("GET", path, 422)
    async with own_desk.worker():
        await own_desk.until(made)
        await sent(collector, "attempt")
    text = "".join(span.text for span in collector.spans)
    assert "CANARY" not in text
    assert "_secret" not in text
    assert (await own_desk.get(made))["output"] == "CANARY-input"


async def test_a_label_says_which_trace_a_task_belongs_to(
    own_desk: Desk, collector: Collector
) -> None:
    made = await own_desk.create("echo", labels={"traceparent": CALLER})
    async with own_desk.worker():
        await own_desk.until(made)
        (attempt,) = await sent(collector, "attempt")
    assert (attempt.trace, attempt.parent) == (TRACE, SPAN)


async def test_a_process_joins_the_span_of_its_attempt(
    own_desk: Desk, collector: Collector
) -> None:
    config = {"command": ["sh", "-c", "printf %s $TRACEPARENT"], "output": "text"}
    await own_desk.call(
        "POST", "agents", 201, json={"name": "env", "runtime": "command", "config": config}
    )
    own_desk.registered.add("env")
    made = await own_desk.create("env")
    async with own_desk.worker():
        output = (await own_desk.until(made))["output"]
        (attempt,) = await sent(collector, "attempt")
    assert output["text"].startswith(f"00-{attempt.trace}-{attempt.id}-")


async def test_metrics_are_sent_as_prometheus_reads_them(
    own_desk: Desk, collector: Collector
) -> None:
    made = await own_desk.create("echo")
    async with own_desk.worker(worker_name="first"):
        await own_desk.until(made)
    sent = collector.described
    assert sent["podium_attempts_total"].sum.is_monotonic
    assert sent["podium_attempts_total"].sum.aggregation_temporality == 2  # since the start
    (point,) = [
        each
        for each in collector.metrics["podium_attempts_total"]
        if stand_in.values(each.attributes) == {"runtime": "function", "outcome": "succeeded"}
    ]
    text = (await own_desk.api.get("http://localhost/metrics")).text
    labels = 'outcome="succeeded",runtime="function"'
    assert f"podium_attempts_total{{{labels}}} {point.as_double}" in text
    (seconds,) = [
        each
        for each in collector.metrics["podium_attempt_duration_seconds"]
        if stand_in.values(each.attributes) == {"runtime": "function"}
    ]
    assert sent["podium_attempt_duration_seconds"].unit == "s"
    assert len(seconds.bucket_counts) == len(seconds.explicit_bounds) + 1
    assert sum(seconds.bucket_counts) == seconds.count > 0
    assert {each["podium.process"] for each in collector.resources} == {"first"}
    assert "process_cpu_seconds_total" in sent


async def test_a_collector_that_is_away_is_told_of_once_and_stops_nothing(
    own_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    await own_desk.agent("echo")
    with stand_in.collecting() as away:
        port = int(away.url.rsplit(":", 1)[1])
    with structlog.testing.capture_logs() as told, ExitStack() as stack:
        async with own_desk.worker(otlp_endpoint=away.url):
            for _ in range(3):
                made = await own_desk.create("echo")
                assert (await own_desk.until(made))["state"] == "succeeded"
                await asyncio.sleep(0.7)
            await _told(told, "telemetry.not_sent")
            back = stand_in.collecting(port)
            collector = stack.enter_context(back)  # until the worker has sent its last
            await own_desk.until(await own_desk.create("echo"))
            await sent(collector, "attempt")
            await _told(told, "telemetry.is_sent_again")
    events = [each["event"] for each in told]
    assert events.count("telemetry.not_sent") == 1
    (away_told,) = [each for each in told if each["event"] == "telemetry.not_sent"]
    assert away_told["signal"] == "traces"
    assert away_told["reason"]


async def _told(told: Sequence[Mapping[str, Any]], event: str) -> None:
    async with asyncio.timeout(20):
        while event not in {each["event"] for each in told}:
            await asyncio.sleep(0.05)


async def test_who_stops_does_not_wait_for_a_collector_that_hangs(own_desk: Desk) -> None:
    """It takes connections and never answers."""
    await own_desk.agent("echo")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with own_desk.worker(otlp_endpoint=url):
            await own_desk.until(await own_desk.create("echo"))
            began = time.monotonic()
    assert time.monotonic() - began < 5


def test_without_a_collector_nothing_of_the_sdk_is_imported(settings: Settings) -> None:
    script = """
        import sys
        from podium.app import create_api
        from podium.kernel.settings import load_settings
        import podium.worker.loop
        create_api(load_settings())
        # What the client of Valkey imports where it finds it is not for us to say.
        heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google", "requests")
        print([name for name in sys.modules if name.startswith(heavy)])
    """
    assert settings.database_url
    assert settings.valkey_url
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "PODIUM_HOME": str(settings.home),
            "PODIUM_DATABASE_URL": settings.database_url.get_secret_value(),
            "PODIUM_VALKEY_URL": settings.valkey_url.get_secret_value(),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "traces", "metrics"),
    [
        ({}, None, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1/"},
            "http://a:1/v1/traces",
            "http://a:1/v1/metrics",
        ),
        (
            {"PODIUM_OTLP_ENDPOINT": "http://b:1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"},
            "http://b:1/v1/traces",
            "http://b:1/v1/metrics",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:1/x"}, "http://a:1/x", None),
        (
            {"PODIUM_OTLP_ENDPOINT": "http://b:1", "OTEL_TRACES_EXPORTER": "none"},
            None,
            "http://b:1/v1/metrics",
        ),
        ({"PODIUM_OTLP_ENDPOINT": "http://b:1", "OTEL_SDK_DISABLED": "true"}, None, None),
    ],
)
def test_where_it_is_sent(
    given: dict[str, str],
    traces: str | None,
    metrics: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(tmp_path))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert (endpoint(found, "traces"), endpoint(found, "metrics")) == (traces, metrics)
