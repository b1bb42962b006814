"""Metrics: their names, and that what the dashboard and the alerts ask for is there."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client import REGISTRY, Metric, enable_created_metrics
from prometheus_client.parser import text_string_to_metric_families

from podium import app as composition
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX
from podium.scheduler.keeper import Chore
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from servers import LiveApi
from slices.scheduler.keepers import keeping
from slices.tasks.conftest import Desk

DEPLOY = Path(__file__).parents[3] / "deploy"
BY_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds when it scrapes."""
BASE_UNITS = {"seconds", "bytes", "ratio"}
OTHER_UNITS = {"milliseconds", "ms", "minutes", "hours", "percent", "kilobytes", "megabytes", "mb"}
VARIABLES = {"$__rate_interval": "5m", "$job": ".*"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    changes = {
        "function_modules": ["worker_agents"],
        "worker_metrics_port": port,
        "lease_seconds": 30,
    }
    return settings.model_copy(update=changes)


@pytest.fixture
async def families(
    live_api: LiveApi,
    settings: Settings,
    database: Database,
    valkey: Valkey,
    admin_token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Metric]:
    """What a server and a worker show that had something to do, by name."""
    failed = asyncio.Event()

    async def fails() -> None:
        failed.set()
        raise RuntimeError("not now")

    urls = (f"{live_api.url}/metrics", f"http://127.0.0.1:{settings.worker_metrics_port}/metrics")
    headers = {"Authorization": f"Bearer {admin_token}"}
    async with httpx.AsyncClient(base_url=f"{live_api.url}{PREFIX}", headers=headers) as client:
        desk = Desk(client, settings, database, "default")
        async with (
            desk.worker(),
            keeping(database, valkey, Chore("stumbles", 60, fails, None)),
            client.stream("GET", "/events/stream"),
        ):
            await failed.wait()
            await desk.until(await desk.create("echo"))
            await desk.until(await desk.create("fail", input={"class": "invalid_input"}))
            monkeypatch.setattr("podium.diagnosis.servers.LONG_TRANSACTION_SECONDS", 0.0)
            async with database.transaction() as conn:
                await conn.exec_driver_sql("select 1")
                shown = [(await client.get(url)).text for url in urls]
    return {
        family.name: family for text in shown for family in text_string_to_metric_families(text)
    }


async def test_names_labels_and_texts_follow_the_conventions(families: dict[str, Metric]) -> None:
    own = [family for name, family in families.items() if name.startswith("podium_")]
    assert len(own) > 15
    for family in own:
        parts = family.name.split("_")
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", family.name), family.name
        assert not OTHER_UNITS & set(parts), family.name
        assert not BASE_UNITS & set(parts[:-1]), "the unit comes last"
        assert family.documentation.endswith("."), family.name
        assert family.documentation[0].isupper(), family.name
        if family.type == "histogram":
            assert parts[-1] in BASE_UNITS
        if family.type != "counter":
            assert parts[-1] not in {"total", "count", "sum", "bucket"}
        for sample in family.samples:
            assert (sample.name == f"{family.name}_total") is (family.type == "counter")
            assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in sample.labels)
            assert not set(sample.labels) & set(parts), "a label is not named twice"
            assert not any(re.search(r"[0-9a-f]{8}-", value) for value in sample.labels.values())


async def test_the_dashboard_and_the_alerts_ask_for_what_is_there(
    families: dict[str, Metric],
) -> None:
    samples: dict[str, list[Mapping[str, str]]] = {}
    for family in families.values():
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels)
    asked: set[str] = set()
    for where, expression in [*_of_dashboard(), *_of_alerts()]:
        parsed = promql.parse(expression)
        for name, matchers, labels in _selectors(parsed):
            if name == "up":  # Prometheus's own
                continue
            asked.add(name)
            assert name in samples, (where, name)
            known = {label for each in samples[name] for label in each}
            wanted = {each.name for each in matchers} | labels
            assert wanted <= known | BY_PROMETHEUS, (where, name, wanted - known)
            for each in matchers:
                if each.op == promql.MatchOp.Equal:
                    assert each.value in {found.get(each.name) for found in samples[name]}, where
    own = {name for name in samples if name.startswith("podium_")}
    unasked = {name for name in own if name.removesuffix("_sum").removesuffix("_count") == name}
    assert unasked <= asked, "all that Podium tells is on the dashboard"


async def test_no_series_says_when_another_began(settings: Settings, database: Database) -> None:
    enable_created_metrics()
    await composition.build_core(settings, "worker").close()
    names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert "podium_attempt_queued_seconds_count" in names
    assert not {name for name in names if name.endswith("_created")}


def _of_dashboard() -> Iterator[tuple[str, str]]:
    board = json.loads((DEPLOY / "grafana" / "podium.json").read_text())
    assert {each["name"]: each["type"] for each in board["templating"]["list"]} == {
        "datasource": "datasource",
        "job": "query",
    }
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        fields = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not fields & places, f"{panel['title']} lies over another"
        assert place["x"] + place["w"] <= 24
        places |= fields
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def _of_alerts() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "podium.rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert {"summary", "description"} == set(rule["annotations"])
            assert "vector(" not in rule["expr"], "where nothing is known nothing is new"
            yield rule["alert"], rule["expr"]


def _selectors(node: Any, labels: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any, Any]]:
    """Each metric that an expression reads, its matchers, and the labels that are grouped by."""
    match node:
        case promql.VectorSelector():
            assert node.name, "a selector names its metric"
            yield node.name, node.matchers.matchers, labels
        case promql.MatrixSelector():
            yield from _selectors(node.vector_selector, labels)
        case promql.AggregateExpr():
            by = frozenset(node.modifier.labels) if node.modifier else frozenset[str]()
            yield from _selectors(node.expr, labels | by)
        case promql.Call():
            for argument in node.args:
                yield from _selectors(argument, labels)
        case promql.BinaryExpr():
            yield from _selectors(node.lhs, labels)
            yield from _selectors(node.rhs, labels)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _selectors(node.expr, labels)
        case _:
            assert isinstance(node, promql.NumberLiteral | promql.StringLiteral), node
