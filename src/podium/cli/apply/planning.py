"""What is to be done so that things are as the files say."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from podium.cli.apply.checking import check, refused
from podium.cli.apply.documents import Document, Finding, Key, kinds
from podium.cli.apply.kinds import KINDS, Has, Spec, filled, has, same, wanted

if TYPE_CHECKING:
    from podium.client import Podium
    from podium.client._sync.client import InProject
    from podium.client.models import Applied

Action = Literal["create", "change", "unchanged", "prune", "forget"]
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Change:
    """A field that is to be another. ``was_there`` and ``is_there`` False: there is none of it.
    ``by_hand``: it is not as this set applied it last."""

    field: str
    before: Any
    after: Any
    was_there: bool = True
    is_there: bool = True
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What is to become of one thing. ``taken_from`` is the set that it belonged to."""

    action: Action
    key: Key
    document: Document | None = None
    spec: Spec = field(default_factory=dict[str, Any])
    was: Has | None = None
    changes: Sequence[Change] = ()
    taken_from: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order. ``left`` is what the set has in projects that neither the files nor
    the command names: a set may be applied to several projects, one after the other."""

    steps: Sequence[Step]
    left: Sequence[Key] = ()


class Known:
    """What there is, read once for each kind and project."""

    def __init__(self, client: "Podium") -> None:
        self._client = client
        self._things: dict[tuple[str, str], Mapping[str, Has]] = {}
        self.projects = {each.name: has("Project", each) for each in client.projects.list()}

    def of(self, project: str) -> "InProject":
        """The API for one project."""
        return self._client.in_project(project)

    def get(self, key: Key) -> Has | None:
        """The thing, if there is one."""
        if key.kind == "Project":
            return self.projects.get(key.name)
        if key.project not in self.projects:
            return None
        place = (key.kind, key.project)
        if place not in self._things:
            found = KINDS[key.kind].read(self.of(key.project))
            self._things[place] = {each.name: has(key.kind, each) for each in found}
        return self._things[place].get(key.name)


def plan(
    client: "Podium",
    documents: Sequence[Document],
    set_name: str | None,
    here: str,
    *,
    prune: bool,
) -> tuple[Plan, Sequence[Finding]]:
    """What is to be done, and what is wrong with documents that only the server knows. ``here`` is
    the command's own project."""
    known = Known(client)
    records: Mapping[Key, Applied] = _records(client) if set_name else {}
    steps: list[Step] = []
    findings: list[Finding] = []
    made = {each.key.name for each in documents if each.key.kind == "Project"}
    named = {each.key for each in documents}
    for document in _ordered(documents):
        if document.key.project not in made | known.projects.keys():
            findings.append(Finding(document.at, _no_project(document.key.project)))
            continue
        with refused(document, findings):
            step = _step(known, document, records.get(document.key), set_name)
            steps.append(step)
            findings += _wrong(known, step, named)
    if not (prune and set_name):
        return Plan(steps), findings
    mine = {key for key, record in records.items() if record.set == set_name}
    gone, left = _within({here} | {each.project for each in named}, mine - named)
    return Plan([*steps, *_pruned(known, gone)], left), findings


def _wrong(known: Known, step: Step, named: Collection[Key]) -> Sequence[Finding]:
    """What is wrong with a step. ``named`` is what the files describe."""
    project = step.key.project
    if step.document is None or step.action == "unchanged":
        return ()
    fields = {each.field.partition(".")[0] for each in step.changes}
    if step.action == "create" or step.key.kind == "Template":  # which is checked whole
        fields = set(step.spec)

    def has_agent(name: str) -> bool:
        key = Key("Agent", project, name)
        return key in named or known.get(key) is not None

    return check(known.of(project), step.document, fields, has_agent)


def digests(kind: str, spec: Spec) -> dict[str, str]:
    """A digest of each field of a full spec; values of an agent's environment, which may be
    secrets, are left out."""
    told = dict(spec)
    config: object = told.get("config")
    if kind == "Agent" and isinstance(config, dict) and "env" in config:
        variables = cast("dict[str, Any]", config["env"])
        told["config"] = {**cast("dict[str, Any]", config), "env": sorted(variables or ())}
    return {name: _digest(value) for name, value in told.items()}


def _digest(value: object) -> str:
    plain = msgspec.json.encode(_whole(value), order="sorted")
    return hashlib.sha256(plain).hexdigest()[:_DIGITS]


def _whole(value: object) -> object:
    """The same for 2 and 2.0."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_whole(each) for each in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _records(client: "Podium") -> "Mapping[Key, Applied]":
    found = client.applied.list()
    return {Key(each.kind, each.project, each.name): each for each in found}


def _ordered(documents: Iterable[Document]) -> Sequence[Document]:
    order = {kind: at for at, kind in enumerate(kinds())}
    return sorted(documents, key=lambda each: (order[each.key.kind], each.key))


def _step(known: Known, document: Document, record: "Applied | None", set_name: str | None) -> Step:
    key = document.key
    was = known.get(key)
    client = known.of(key.project)
    spec = dict(wanted(client, key.kind, key.name, document.spec))
    for name in KINDS[key.kind].left - document.spec.keys():
        spec.pop(name, None)
    taken = record.set if record and record.set != set_name else None
    if was is None:
        # A queue of which nothing is laid down is there once tasks come to it.
        usual = key.kind == "Queue" and same(spec, filled("Queue", {}))
        return Step("unchanged" if usual else "create", key, document, spec, taken_from=taken)
    mine: Mapping[str, str] = record.fields if record and record.set == set_name else {}
    before = {name: value for name, value in was.spec.items() if name in spec}
    by_hand = {
        name
        for name, digest in digests(key.kind, before).items()
        if mine.get(name, digest) != digest
    }
    changes = [
        Change(*each, by_hand=each[0].partition(".")[0] in by_hand)
        for each in _differences(before, spec, "")
    ]
    action: Action = "change" if changes else "unchanged"
    return Step(action, key, document, spec, was, changes, taken)


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Any, Any, bool, bool]]:
    """Where two objects differ, to the fields within. Lists are compared whole."""
    for name in [*before, *(name for name in after if name not in before)]:
        there = (name in before, name in after)
        inner = _objects(before.get(name), after.get(name))
        if inner is not None:
            yield from _differences(*inner, f"{path}{name}.")
        elif not all(there) or not same(before[name], after[name]):
            yield f"{path}{name}", before.get(name), after.get(name), *there


def _objects(one: object, other: object) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Both, where both are objects."""
    if isinstance(one, dict) and isinstance(other, dict):
        return cast("dict[str, Any]", one), cast("dict[str, Any]", other)
    return None


def _within(named: set[str], keys: Iterable[Key]) -> tuple[Sequence[Key], Sequence[Key]]:
    """Those of the keys that may be pruned, and the others: what is in a project that is not named,
    and such a project itself as long as it holds any of them."""
    kept = {key.project for key in keys if key.kind != "Project"} - named
    return [key for key in keys if key.project not in kept], sorted(
        key for key in keys if key.project in kept
    )


def _pruned(known: Known, keys: Iterable[Key]) -> Sequence[Step]:
    """What the files do not name any more, in the order in which it can go."""
    order = {kind: at for at, kind in enumerate(kinds())}
    steps: list[Step] = []
    for key in sorted(keys, key=lambda each: (-order[each.kind], each)):
        was = known.get(key)
        there = was is not None and was.own
        steps.append(Step("prune" if there else "forget", key, was=was))
    return steps


def _no_project(name: str) -> str:
    return f"There is no project {name!r}; add a document of kind Project for it."
