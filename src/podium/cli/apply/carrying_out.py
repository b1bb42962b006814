"""Doing what was planned, and recording what belongs to the set."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from podium.cli.apply.kinds import KINDS, Spec
from podium.cli.apply.planning import Step, digests
from podium.client.errors import NotFound, PodiumError

if TYPE_CHECKING:
    from podium.client import Podium

Became = Literal["done", "failed", "not_done"]
_AT_ONCE = 1000
"""So many records go in one call."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step."""

    step: Step
    became: Became
    error: PodiumError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all steps. ``unrecorded`` is why the set was not recorded, if it was not."""

    results: Sequence[Result]
    interrupted: bool = False
    unrecorded: PodiumError | None = None


_Told = Callable[[Result], None]


def carry_out(
    client: "Podium",
    steps: Sequence[Step],
    set_name: str | None,
    told: _Told | None,
) -> Outcome:
    """Do the steps kind by kind; after a kind of which one failed nothing more is done, as what
    comes then may need it. What was done is recorded whatever happens."""
    results: list[Result] = []
    interrupted = False
    unrecorded = None
    try:
        for result in _results(client, steps):
            results.append(result)
            told = _tell(told, result)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if set_name is not None:
            try:
                _record(client, set_name, results)
            except PodiumError as error:
                unrecorded = error
    results += [Result(step, "not_done") for step in steps[len(results) :]]
    return Outcome(results, interrupted, unrecorded)


def _tell(told: _Told | None, result: Result) -> _Told | None:
    """Tell of it, and give by what to tell of the next: nothing once nobody reads."""
    if told is None:
        return None
    try:
        told(result)
    except Exception:  # noqa: BLE001 - what is done half because nobody reads is worse than silence
        return None
    return told


def _results(client: "Podium", steps: Sequence[Step]) -> Iterator[Result]:
    failed = False
    for _, some in groupby(steps, lambda step: (step.action in ("prune", "forget"), step.key.kind)):
        if failed:
            return
        for step in some:
            try:
                _do(client, step)
            except PodiumError as error:
                failed = True
                yield Result(step, "failed", error)
            else:
                yield Result(step, "done")


def _do(client: "Podium", step: Step) -> None:
    kind = KINDS[step.key.kind]
    of = client.in_project(step.key.project)
    match step.action:
        case "create":
            kind.make(of, step.key.name, _sent(step, step.document.spec if step.document else ()))
        case "change" if step.was is not None:
            changed = {each.field.partition(".")[0] for each in step.changes}
            whole, part = _sent(step, step.spec), _sent(step, changed)
            kind.change(of, step.key.name, whole, part, step.was)
        case "prune":
            try:
                kind.remove(of, step.key.name)
            except NotFound:
                return  # somebody else was quicker
        case _:
            return


def _sent(step: Step, names: Iterable[str]) -> Spec:
    """These fields as they were given, or their defaults. Within them nothing is filled in: a
    task of which nothing is said but its agent is not one with all that a task has anyway."""
    given: Spec = step.document.spec if step.document else {}
    return {name: given.get(name, step.spec.get(name)) for name in names}


def _record(client: "Podium", set_name: str, results: Sequence[Result]) -> None:
    done = [each.step for each in results if each.became == "done"]
    stays = [each for each in done if each.document is not None]
    leaves = [each for each in done if each.document is None]
    applied: list[Any] = [
        {**_thing(step), "fields": digests(step.key.kind, step.spec)} for step in stays
    ]
    removed: list[Any] = [_thing(step) for step in leaves]
    for at in range(0, max(len(applied), len(removed)), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        client.applied.record(set_name, applied=applied[part], removed=removed[part])


def _thing(step: Step) -> dict[str, str]:
    return {"project": step.key.project, "kind": step.key.kind, "name": step.key.name}
