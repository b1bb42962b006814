"""The plan and what became of it, for people and as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, cast

from podium.cli import output
from podium.cli.apply.carrying_out import Outcome, Result
from podium.cli.apply.documents import Finding, Key
from podium.cli.apply.kinds import brief
from podium.cli.apply.planning import Change, Plan, Step
from podium.cli.failures import Failure, Status
from podium.cli.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from podium.client.errors import PodiumError

_MARKS = {"create": "+", "change": "~", "unchanged": "=", "prune": "-", "forget": "-"}
_STYLES = {
    "create": "green",
    "change": "yellow",
    "unchanged": "dim",
    "prune": "red",
    "forget": "dim",
}
_SAID = {
    "create": "to create",
    "change": "to change",
    "prune": "to remove",
    "forget": "removed already",
    "unchanged": "unchanged",
}
_DONE = {
    "create": "created",
    "change": "changed",
    "prune": "removed",
    "forget": "removed already",
    "unchanged": "unchanged",
}
_LONGEST = 60
_HIDDEN = "(hidden)"
_VARIABLES = "config.env"


def refuse(findings: Sequence[Finding]) -> Failure:
    """The error that tells all that is wrong with the files."""
    count = "1 thing is" if len(findings) == 1 else f"{len(findings)} things are"
    return Failure(
        Status.USAGE,
        "invalid_files",
        f"{count} wrong, and nothing was applied:",
        "'podium apply --schema' prints what files may hold, for editors.",
        [{"field": str(each.at), "message": each.message} for each in findings],
    )


def show_plan(plan: Plan, *, whole: bool) -> None:
    """What is to be done, with what changes of each; with ``whole`` whole texts."""
    shown = output.console()
    for step in plan.steps:
        if step.action == "unchanged" and not step.taken_from:
            continue
        shown.print(_head(step), soft_wrap=True)
        if whole and step.action in ("create", "change"):
            for each in _diff(step):
                shown.print(each, soft_wrap=True)
        else:
            for change in step.changes:
                shown.print(_field(change), soft_wrap=True)
    shown.print(_summary(plan.steps), soft_wrap=True)
    for project, count in sorted(Counter(key.project for key in plan.left).items()):
        things = "1 thing" if count == 1 else f"{count} things"
        output.note(
            f"{things} of the set in the project {project} left: no file names that project. To "
            f"prune there, too: --project {project}."
        )


def _head(step: Step) -> "Text":
    taken = f", until now of the set {step.taken_from}" if step.taken_from else ""
    what = f" ({_SAID[step.action]}{taken})"
    return output.styled(f"{_MARKS[step.action]} {step.key}{what}", _STYLES[step.action])


def _field(change: Change) -> "Text":
    before = _value(change.field, change.before) if change.was_there else "(none)"
    after = _value(change.field, change.after) if change.is_there else "(none)"
    by_hand = "  (changed since it was applied)" if change.by_hand else ""
    return output.styled(f"    {change.field}: {before} → {after}{by_hand}")


def _value(field: str, value: object) -> str:
    if field == _VARIABLES or field.startswith(f"{_VARIABLES}."):
        return _HIDDEN
    import msgspec

    text = value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
    return line(text, _LONGEST)


def _diff(step: Step) -> "Sequence[Text]":
    before = [] if step.was is None else _text(step, {k: step.was.spec[k] for k in step.spec})
    styles = {"+": "green", "-": "red", "@": "cyan"}
    lines = list(unified_diff(before, _text(step, step.spec), n=2, lineterm=""))[2:]
    told = [output.styled(f"    {each}", styles.get(each[:1])) for each in lines]
    hidden = [each for each in step.changes if each.field.startswith(_VARIABLES)]
    by_hand = [each for each in step.changes if each.by_hand and each not in hidden]
    return [*told, *map(_field, [*hidden, *by_hand])]


def _text(step: Step, spec: Mapping[str, Any]) -> list[str]:
    """A spec as YAML, in lines, without the values of environment variables."""
    from podium.cli.apply.yaml12 import write

    told = dict(brief(step.key.kind, spec))
    config: object = told.get("config")
    if step.key.kind == "Agent" and isinstance(config, dict) and "env" in config:
        given = cast("dict[str, Any]", config)
        variables = cast("dict[str, Any]", given["env"] or {})
        told["config"] = {**given, "env": dict.fromkeys(variables, _HIDDEN)}
    return write([told]).splitlines()[1:]


def _summary(steps: Sequence[Step]) -> str:
    counts = Counter(step.action for step in steps)
    parts = [f"{counts[action]} {said}" for action, said in _SAID.items() if counts[action]]
    return f"{', '.join(parts) or 'Nothing is described'}."


def show_result(result: Result) -> None:
    """What became of a step, when there was something to do or it failed."""
    step = result.step
    if result.error is not None:
        output.note(f"✗ {step.key}: not {_DONE[step.action]}: {result.error.message}")
        for each in getattr(result.error, "errors", ()):
            output.note(f"    {each['field']}: {each['message']}")
        if result.error.hint:
            output.note(f"    Hint: {result.error.hint}")
    elif step.action != "unchanged":
        output.say(f"{_MARKS[step.action]} {step.key} {_DONE[step.action]}")


def show_outcome(outcome: Outcome) -> None:
    """At the end what was not done, and why."""
    left = [each.step for each in outcome.results if each.became == "not_done"]
    if outcome.interrupted:
        output.note(
            "Interrupted: what is told above was done; whether the next thing was, is not known."
        )
    if left:
        output.note(f"Not done: {', '.join(str(step.key) for step in left)}.")
    if outcome.unrecorded is not None:
        output.note(
            f"What belongs to the set was not recorded: {outcome.unrecorded.message} Apply it "
            "again."
        )


def as_json(plan: Plan, outcome: Outcome | None, set_name: str | None) -> Mapping[str, object]:
    """The plan, and what became of it unless it was a dry run."""
    counts = Counter(step.action for step in plan.steps)
    made: dict[str, object] = {
        "set": set_name,
        "applied": outcome is not None,
        "counts": dict(counts),
        "plan": [_step(step) for step in plan.steps],
        "left": [_key(key) for key in plan.left],
    }
    if outcome is not None:
        made["results"] = [_result(each) for each in outcome.results]
        made["recorded"] = set_name is not None and outcome.unrecorded is None
    return made


def _step(step: Step) -> Mapping[str, object]:
    return {
        "action": step.action,
        **_key(step.key),
        "at": str(step.document.at) if step.document else None,
        "taken_from": step.taken_from,
        "changes": [_change(each) for each in step.changes],
    }


def _change(change: Change) -> Mapping[str, object]:
    hidden = change.field == _VARIABLES or change.field.startswith(f"{_VARIABLES}.")
    return {
        "field": change.field,
        "before": _HIDDEN if hidden else change.before,
        "after": _HIDDEN if hidden else change.after,
        "by_hand": change.by_hand,
    }


def _result(result: Result) -> Mapping[str, object]:
    return {
        "action": result.step.action,
        **_key(result.step.key),
        "result": result.became,
        "error": _error(result.error),
    }


def _error(error: "PodiumError | None") -> Mapping[str, object] | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _key(key: Key) -> Mapping[str, object]:
    return {"kind": key.kind, "project": key.project, "name": key.name}
