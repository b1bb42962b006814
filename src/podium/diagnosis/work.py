"""What is wrong with schedules, agents, tokens, and tasks that ended."""

from collections.abc import Iterator, Sequence
from typing import Any

from podium.diagnosis.model import Finding, bounded, duration
from podium.diagnosis.store import MOST_COUNTED

LATE_SECONDS = 60.0
LAST_FIRINGS = 3
LATELY_SECONDS = 3600.0
LEAST_FAILURES = 5
_FAILED_SHARE = 0.5
SOON_SECONDS = 7 * 86400.0


def schedules(found: Sequence[Any]) -> Sequence[Finding]:
    """Schedules that do not fire, or whose firings come to nothing."""
    return bounded(finding for each in found for finding in _schedule(each))


def _schedule(each: Any) -> Iterator[Finding]:
    project, name = each["project"], each["name"]
    where = f"{project}/{name}"
    if each["late"] is not None and each["late"] > LATE_SECONDS:
        yield Finding(
            "schedules",
            "schedule_overdue",
            "failed",
            where,
            f"The schedule {name} of the project {project} should have fired "
            f"{duration(each['late'])} ago.",
            "An API process fires schedules: see 'podium logs' there for schedule.postponed and "
            "for keeper.round_failed with the loop schedules.",
        )
    if each["tried"] and each["failed"] == each["tried"]:
        count = "time" if each["tried"] == 1 else f"{each['tried']} times"
        yield Finding(
            "schedules",
            "schedule_failing",
            "failed",
            where,
            f"The schedule {name} of the project {project} started no task the last {count}: "
            f"{each['detail']}",
            f"Mend what it says: podium schedule edit {name} -p {project} …",
        )


def agents(found: Sequence[Any]) -> Sequence[Finding]:
    """Agents that fail again and again in one way."""
    return bounded(_failing(each) for each in found if _is_failing(each))


def _is_failing(each: Any) -> bool:
    return each["failed"] >= _FAILED_SHARE * each["tried"]


def _failing(each: Any) -> Finding:
    project, agent = each["project"], each["agent"]
    return Finding(
        "agents",
        "agent_failing",
        "warning",
        f"{project}/{agent}",
        f"{each['failed']} of the last {each['tried']} attempts of the agent {agent} of the "
        f"project {project} failed with {each['code']}.",
        f"See one of them: podium task show {each['last']}.",
    )


def dead(found: Sequence[Any]) -> Sequence[Finding]:
    """Tasks of the last day that used up their retries, or lost too many workers."""
    return bounded(_dead(each) for each in found)


def _dead(each: Any) -> Finding:
    count, project = each["n"], each["project"]
    many = f"{count} or more tasks" if count >= MOST_COUNTED else f"{count} tasks"
    said = "1 task" if count == 1 else many
    return Finding(
        "dead tasks",
        "dead_tasks",
        "warning",
        project,
        f"{said} of the project {project} used up retries or workers within a day.",
        f"Mend the cause, then: podium task bulk redrive -p {project}.",
    )


def held(found: Sequence[Any]) -> Sequence[Finding]:
    """Tasks that wait for somebody to retry what they depend on."""
    return bounded(_held(each) for each in found)


def _held(each: Any) -> Finding:
    project, first = each["project"], each["first"]
    who = "1 task" if each["n"] == 1 else f"{each['n']} tasks"
    verb = "waits" if each["n"] == 1 else "wait"
    return Finding(
        "held tasks",
        "tasks_held",
        "warning",
        project,
        f"{who} of the project {project} {verb} for tasks that did not succeed, as "
        "on_dependency_failure is hold: for ever, unless these are retried.",
        f"See the first: podium task explain {first}. Retry what holds it: podium task retry "
        f"{each['cause']}. Or cancel it: podium task cancel {first}.",
    )


def tokens(found: Sequence[Any]) -> Sequence[Finding]:
    """Tokens that soon stop working."""
    return bounded(_token(each) for each in found)


def _token(each: Any) -> Finding:
    return Finding(
        "tokens",
        "token_expires",
        "warning",
        each["name"],
        f"The token {each['name']} expires in {duration(each['seconds'])}.",
        "Make another one for whoever uses it: podium token create.",
    )
