"""Why queued tasks are not taken: lane by lane, and each cause told once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from podium.diagnosis.model import Finding, Severity, bounded, duration
from podium.diagnosis.store import MOST_COUNTED
from podium.scheduler.model import TALKS, shown_capabilities

LONG_SECONDS = 600.0
"""For so long a queue may be paused or full, and agents busy, before that is told of."""
SOON_SECONDS = 15.0
"""So long a worker that starts anew may be away."""

_CHECK = "waiting tasks"


def findings(lanes: Sequence[Any]) -> Sequence[Finding]:
    """What is wrong with these lanes, as the store gives them."""
    causes: dict[tuple[str, str], list[Any]] = {}
    tell: dict[tuple[str, str], Callable[[Any], Finding]] = {}
    for lane in lanes:
        for code, where, told in _causes(lane):
            causes.setdefault((code, where), []).append(lane)
            tell.setdefault((code, where), told)
    return bounded(tell[key](found) for key, found in causes.items())


_Cause = tuple[str, str, Callable[[Sequence[Any]], Finding]]


def _causes(lane: Any) -> Iterator[_Cause]:
    """What keeps the lane, the first that must go away; its queue beside that."""
    cause = _of_agents(lane) or _of_workers(lane)
    if cause is not None:
        yield cause
    queue = _of_queue(lane)
    if queue is not None:
        yield queue


def _of_agents(lane: Any) -> _Cause | None:
    project, wanted = lane["project"], _wanted(lane)
    if not lane["names"]:
        if lane["named"]:
            return _cause(
                "agent_removed",
                f"{project}/{lane['agent']}",
                "failed",
                f"ask for the agent {lane['agent']}, which was deleted: they never run.",
                f"Register it anew under another name, and cancel them: podium task list -p "
                f"{project} --agent {lane['agent']}.",
            )
        return _cause(
            "no_agent",
            f"{project}/{wanted}",
            "failed",
            f"ask for {wanted}, and no agent of the project has that: they never run.",
            f"Register one, or add it to one: podium agent add NAME -p {project} "
            f"--capability {shown_capabilities(lane['capabilities'])[0]} …",
        )
    if not lane["usable"]:
        return _unusable(lane)
    if not lane["free"] and lane["seconds"] > LONG_SECONDS:
        names = ", ".join(lane["names"])
        return _cause(
            "agent_full",
            f"{project}/{names}",
            "warning",
            f"wait for {names}, which runs as many tasks as it may.",
            f"See what it runs: podium task list -p {project} --state running. Raise its limit: "
            f"podium agent edit {lane['names'][0]} -p {project} --max-concurrency N.",
        )
    return None


def _unusable(lane: Any) -> _Cause:
    project = lane["project"]
    if lane["disabled"] and not lane["unhealthy"]:
        names = ", ".join(lane["disabled"])
        return _cause(
            "agent_disabled",
            f"{project}/{names}",
            "failed",
            f"ask for {names}, which is disabled.",
            f"Enable it: podium agent edit {lane['disabled'][0]} -p {project} --enable.",
        )
    names = ", ".join(lane["unhealthy"])
    return _cause(
        "agent_unhealthy",
        f"{project}/{names}",
        "failed",
        f"ask for {names}, which a probe found unable to run.",
        f"See why: podium agent probe {lane['unhealthy'][0]} -p {project}.",
    )


def _of_workers(lane: Any) -> _Cause | None:
    if not lane["usable"] or lane["serving"] or lane["seconds"] < SOON_SECONDS:
        return None
    runtimes = " or ".join(lane["runtimes"])
    return _cause(
        "queue_unserved",
        f"{lane['project']}/{lane['queue']}",
        "failed",
        f"are in the queue {lane['queue']} for agents of the runtime {runtimes}, and no live "
        "worker serves both.",
        "Start one: podium worker. PODIUM_WORKER_QUEUES says which queues a worker serves; empty "
        "means all.",
    )


def _of_queue(lane: Any) -> _Cause | None:
    if lane["seconds"] < LONG_SECONDS:
        return None
    project, queue = lane["project"], lane["queue"]
    if lane["state"] == "paused":
        return _cause(
            "queue_paused",
            f"{project}/{queue}",
            "warning",
            f"are in the queue {queue}, which is paused.",
            f"Open it: podium queue open {queue} -p {project}.",
        )
    if lane["concurrency"] is not None and lane["in_queue"] >= lane["concurrency"]:
        return _cause(
            "queue_full",
            f"{project}/{queue}",
            "warning",
            f"are in the queue {queue}, which runs {lane['in_queue']} of at most "
            f"{lane['concurrency']} tasks.",
            f"Raise its limit: podium queue set {queue} -p {project} --concurrency N.",
        )
    return None


def _cause(code: str, where: str, outcome: Severity, which: str, advice: str) -> _Cause:
    """A cause, told of all lanes that it keeps together."""

    def told(lanes: Sequence[Any]) -> Finding:
        count = sum(lane["waiting"] for lane in lanes)
        more = any(lane["waiting"] >= MOST_COUNTED for lane in lanes)
        oldest = duration(max(lane["seconds"] for lane in lanes))
        who = "1 task" if count == 1 and not more else f"{count} {'or more ' if more else ''}tasks"
        project = lanes[0]["project"]
        detail = f"{who} of the project {project}, queued for up to {oldest}: they {which}"
        return Finding(_CHECK, code, outcome, where, detail, advice)

    return code, where, told


def _wanted(lane: Any) -> str:
    *others, last = shown_capabilities(lane["capabilities"]) or ["nothing"]
    talks = " of an agent that can be talked to" if TALKS in lane["capabilities"] else ""
    if not others:
        return f"the capability {last}{talks}"
    return f"the capabilities {', '.join(others)} and {last}{talks}"
