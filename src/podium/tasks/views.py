"""From rows to what clients see."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from podium.scheduler.model import NewTask, RetryPolicy, TaskState, Timeouts, shown_capabilities
from podium.tasks.model import (
    ArtifactView,
    AttemptView,
    DependencyView,
    RunningOn,
    Task,
    TaskNew,
    TaskOfTemplate,
    TaskProgress,
    TaskSummary,
)
from podium.tasks.pace import seconds_left

Paces = Mapping[int, Sequence[float]]
"""By lane the seconds that tasks took in it."""


def summary(row: Any, project: str, paces: Paces) -> TaskSummary:
    return TaskSummary.model_construct(  # the database validated it: lists are long
        id=row.id,
        project=project,
        title=row.title,
        state=TaskState(row.state),
        priority=row.priority,
        labels=row.labels,
        queue=row.queue,
        agent=row.agent,
        attempt=row.attempt,
        progress=_progress(row, paces),
        error_code=row.error_code,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def task(row: Any, dependencies: Sequence[Any], paces: Paces) -> Task:
    return Task(
        id=row.id,
        project=row.project,
        title=row.title,
        state=TaskState(row.state),
        priority=row.priority,
        labels=row.labels,
        queue=row.queue,
        limits=row.spec.get("limits", []),
        agent=row.agent,
        capabilities=shown_capabilities(row.capabilities),
        sticky=row.spec.get("sticky"),
        input=row.input,
        output=row.output,
        error=row.error,
        attempt=row.attempt,
        progress=_progress(row, paces),
        depends_on=[
            DependencyView(id=each.id, name=each.name, state=each.state) for each in dependencies
        ],
        on_dependency_failure=row.spec.get("on_dependency_failure", "cancel"),
        deadline=row.spec.get("deadline"),
        timeouts=Timeouts.model_validate(row.spec.get("timeouts", {})),
        retry=RetryPolicy.model_validate(row.spec.get("retry", {})),
        input_schema=row.spec.get("input_schema"),
        output_schema=row.spec.get("output_schema"),
        template=row.spec.get("template"),
        interactive="session" in row.spec,
        created_at=row.created_at,
        created_by=row.created_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        queued_seconds=row.queued_seconds,
        run_seconds=row.run_seconds,
        running_on=_running_on(row),
    )


def _running_on(row: Any) -> RunningOn | None:
    if row.worker_id is None:
        return None
    return RunningOn(
        agent=row.running_agent or "",
        worker=row.worker_id,
        worker_name=row.worker_name,
        worker_host=row.worker_host,
    )


def accepted(new: NewTask, request: TaskNew, project: str, at: datetime) -> Task:
    """A task as reading it right after it was accepted would show it, when nothing but its start
    holds it."""
    held = new.start_at is not None and new.start_at > at
    return Task(
        id=new.id,
        project=project,
        title=new.title,
        state=TaskState.PENDING if held else TaskState.QUEUED,
        priority=new.priority,
        labels=request.labels,
        queue=new.queue,
        limits=list(new.limits),
        agent=request.agent,
        capabilities=sorted(set(request.capabilities)),
        sticky=request.sticky,
        input=request.input,
        output=None,
        error=None,
        attempt=0,
        progress=None,
        depends_on=[],
        on_dependency_failure=request.on_dependency_failure,
        deadline=request.deadline,
        timeouts=request.timeouts,
        retry=request.retry,
        input_schema=request.input_schema,
        output_schema=request.output_schema,
        template=request.template if isinstance(request, TaskOfTemplate) else None,
        interactive=False,
        created_at=at,
        created_by=new.created_by,
        started_at=None,
        finished_at=None,
        queued_seconds=None,
        run_seconds=None,
        running_on=None,
    )


def attempt(row: Any) -> AttemptView:
    return AttemptView(
        attempt=row.attempt,
        outcome=row.outcome,
        agent=row.agent,
        agent_version=row.agent_version,
        worker=row.worker_id,
        worker_name=row.worker_name,
        worker_host=row.worker_host,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=row.error,
        usage=row.usage,
        confinement=row.confinement,
        choice=row.choice,
    )


def artifact(row: Any) -> ArtifactView:
    return ArtifactView(
        name=row.name,
        attempt=row.attempt,
        content_type=row.content_type,
        size=row.size,
        sha256=row.sha256.hex(),
        created_at=row.created_at,
    )


def _progress(row: Any, paces: Paces) -> TaskProgress | None:
    left = None
    if row.elapsed is not None:
        left = seconds_left(float(row.elapsed), row.fraction, paces.get(row.lane_id, ()))
    if row.fraction is None and row.note is None and left is None:
        return None
    return TaskProgress(fraction=row.fraction, note=row.note, seconds_left=left)
