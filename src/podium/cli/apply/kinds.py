"""The kinds of things: how each is read, made, changed and removed through the API."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from podium.cli.apply.documents import spec_schema
from podium.client.models import Template

if TYPE_CHECKING:
    from podium.client._sync.client import InProject

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Has:
    """A thing as it is. ``version`` is that which a change must name, where there is one; ``own``
    False: it comes with Podium, and the project has changed nothing of it."""

    spec: Spec
    version: int | None = None
    own: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be done with things of a kind. ``left`` are fields that change in operation: where
    a file does not name them they stay as they are."""

    read: "Callable[[InProject], Iterable[Any]]"
    make: "Callable[[InProject, str, Spec], object]"
    change: "Callable[[InProject, str, Spec, Spec, Has], object]"
    remove: "Callable[[InProject, str], object]"
    left: frozenset[str] = frozenset()


def has(kind: str, model: Any) -> Has:
    """What the API tells of a thing, as a file would say it."""
    told: dict[str, Any] = msgspec.to_builtins(model)
    spec = {name: told[name] for name in _fields(kind)}
    if isinstance(model, Template):
        return Has(filled(kind, spec), model.version, own=model.source == "project")
    version = told["version"] if kind == "Agent" else None
    return Has(filled(kind, spec), version)


def wanted(client: "InProject", kind: str, name: str, spec: Spec) -> Spec:
    """What a file says with all that it leaves out, as the server would fill it in."""
    if kind != "Agent":
        return filled(kind, spec)
    checked = client.agents.check(**cast("Any", {"name": name, **spec}))
    known = {"config": checked.config, "capabilities": checked.capabilities}
    return filled(kind, {**spec, **known})


def filled(kind: str, spec: Spec) -> Spec:
    """A spec with its defaults, and with its moments and its numbers written in one way."""
    return cast("Spec", _filled(spec_schema(kind), spec))


def brief(kind: str, spec: Spec) -> Spec:
    """The same without what it would have anyway."""
    return cast("Spec", _brief(spec_schema(kind), spec))


def _fields(kind: str) -> Iterable[str]:
    return cast("Mapping[str, Any]", spec_schema(kind)["properties"])


def _filled(schema: Mapping[str, Any], value: Any) -> Any:
    if schema.get("format") == "date-time" and isinstance(value, str):
        at = datetime.fromisoformat(value).astimezone(UTC)
        return at.isoformat().replace("+00:00", "Z")
    if "number" in schema.get("type", ()) and isinstance(value, float) and value.is_integer():
        return int(value)
    known = cast("Mapping[str, Any] | None", schema.get("properties"))
    if known is None or not isinstance(value, dict):
        return value
    given = cast("dict[str, Any]", value)
    made: dict[str, Any] = {}
    for name, part in known.items():
        if name in given:
            made[name] = _filled(part, given[name])
        elif _has_default(part):
            made[name] = _filled(part, part.get("default"))
        elif name == "burst":
            made[name] = given["count"]  # the only default that another field gives
    return made | {name: given[name] for name in given.keys() - known.keys()}


def _brief(schema: Mapping[str, Any], value: Any) -> Any:
    known = cast("Mapping[str, Any] | None", schema.get("properties"))
    if known is None or not isinstance(value, dict):
        return value
    given = cast("dict[str, Any]", value)
    made: dict[str, Any] = {}
    for name, each in given.items():
        part = cast("Mapping[str, Any]", known.get(name) or {})
        usual = _has_default(part) and same(each, _filled(part, part.get("default")))
        if not usual and not (name == "burst" and each == given.get("count")):
            made[name] = _brief(part, each)
    return made


def _has_default(part: Mapping[str, Any]) -> bool:
    return "default" in part or "null" in part.get("type", ())


def same(one: object, other: object) -> bool:
    """Whether two JSON values are: unlike in Python, true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        a, b = cast("dict[str, object]", one), cast("dict[str, object]", other)
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(one, list) and isinstance(other, list):
        c, d = cast("list[object]", one), cast("list[object]", other)
        return len(c) == len(d) and all(same(x, y) for x, y in zip(c, d, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _with_version(spec: Spec, was: Has) -> Any:
    return {**spec, "version": was.version}


def _agent_changes(full: Spec, changed: Spec, was: Has) -> Any:
    """Runtime and configuration belong together."""
    both = {"runtime", "config"}
    runs = {name: full[name] for name in both} if both & changed.keys() else {}
    return _with_version({**changed, **runs}, was)


def _clear_queue(client: "InProject", name: str) -> None:
    """Take away what files lay down for it; one that somebody paused or drains stays so."""
    usual = {field: value for field, value in filled("Queue", {}).items() if field != "state"}
    if client.queues.get(name).state == "open":
        client.queues.reset(name)
    else:
        client.queues.set(name, **_any(usual))


KINDS: Mapping[str, Kind] = {
    "Project": Kind(
        read=lambda client: client.projects.list(),
        make=lambda client, name, spec: client.projects.create(**_any({"name": name, **spec})),
        change=lambda client, name, _, changed, __: client.projects.update(name, **_any(changed)),
        remove=lambda client, name: client.projects.delete(name),
    ),
    "Agent": Kind(
        read=lambda client: client.agents.list(),
        make=lambda client, name, spec: client.agents.create(**_any({"name": name, **spec})),
        change=lambda client, name, full, changed, was: client.agents.update(
            name, **_agent_changes(full, changed, was)
        ),
        remove=lambda client, name: client.agents.delete(name),
        left=frozenset({"enabled"}),
    ),
    "Queue": Kind(
        read=lambda client: client.queues.list(),
        make=lambda client, name, spec: client.queues.set(name, **_any(spec)),
        change=lambda client, name, _, changed, __: client.queues.set(name, **_any(changed)),
        remove=_clear_queue,
        left=frozenset({"state"}),
    ),
    "Limit": Kind(
        read=lambda client: client.limits.list(),
        make=lambda client, name, spec: client.limits.set(name, **_any(spec)),
        change=lambda client, name, full, _, __: client.limits.set(name, **_any(full)),
        remove=lambda client, name: client.limits.delete(name),
    ),
    "Template": Kind(
        read=lambda client: client.templates.list(),
        make=lambda client, name, spec: client.templates.create(**_any({"name": name, **spec})),
        change=lambda client, name, _, changed, was: client.templates.update(
            name, **_with_version(changed, was)
        ),
        remove=lambda client, name: client.templates.delete(name),
    ),
    "Schedule": Kind(
        read=lambda client: client.schedules.list(),
        make=lambda client, name, spec: client.schedules.create(**_any({"name": name, **spec})),
        change=lambda client, name, _, changed, __: client.schedules.update(name, **_any(changed)),
        remove=lambda client, name: client.schedules.delete(name),
        left=frozenset({"paused"}),
    ),
    "Filter": Kind(
        read=lambda client: client.filters.list(),
        make=lambda client, name, spec: client.filters.save(name, **_any(spec)),
        change=lambda client, name, full, _, __: client.filters.save(name, **_any(full)),
        remove=lambda client, name: client.filters.delete(name),
    ),
}


def _any(spec: Spec) -> Any:
    """The arguments of the SDK's calls, which the schema of the file has checked."""
    return spec
