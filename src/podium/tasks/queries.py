"""Which tasks are meant, and what is to be done with all of them, as clients send it."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from podium.kernel.fields import Body, Labels, Line, Moment, Prose
from podium.scheduler.model import TaskState
from podium.tasks.model import Priority

SEARCH = (
    "Words of the title, the labels, the input, the output or the error: all of them, in any "
    'order. A `"phrase"` or a path keeps its order, `wor*` stands for all words that begin so '
    "(three characters or more, four times at most), `-word` leaves out tasks with it (eight times "
    "at most), `or` takes either. Words are known a second or so after the fact."
)


_State = Annotated[TaskState, Field(strict=False)]


class TaskQuery(Body):
    """Which tasks are meant. Fields left out let all pass."""

    state: list[_State] = Field(
        default_factory=list[_State], max_length=8, json_schema_extra={"default": []}
    )
    agent: Annotated[Line, Field(max_length=100)] | None = None
    queue: Annotated[Line, Field(max_length=100)] | None = None
    labels: Labels = Field(default_factory=dict[str, str], json_schema_extra={"default": {}})
    search: Annotated[Prose, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description=SEARCH
    )
    created_after: Moment | None = None
    created_before: Moment | None = None


class TaskCount(BaseModel):
    """How many tasks match."""

    count: int
    capped: bool = Field(description="There are more; they were counted so far.")


class BulkRequest(Body):
    """One step through all tasks that match: pass `next` as `cursor` until it is null."""

    filter: TaskQuery = Field(default_factory=TaskQuery, json_schema_extra={"default": {}})
    limit: Annotated[int, Field(ge=1, le=500)] = Field(
        default=500, description="Tasks of one step, which is all or nothing."
    )
    cursor: Annotated[UUID, Field(strict=False)] | None = None
    dry_run: bool = Field(default=False, description="Tell which tasks are meant; change none.")


class BulkCancel(BulkRequest):
    """Cancel the tasks that match and have not ended."""

    reason: Annotated[Prose, Field(max_length=1000)] = "Cancelled on request."


class BulkRetry(BulkRequest):
    """Give the tasks that match another life, if they failed, are dead or were cancelled."""


class BulkReprioritise(BulkRequest):
    """Give the tasks that match and have not ended another priority."""

    priority: Priority


class BulkDelete(BulkRequest):
    """Delete the tasks that match and have ended."""


class BulkChanged(BaseModel):
    """What became of the tasks of a step."""

    matched: list[UUID]
    changed: list[UUID] = Field(
        description="Those of them that could be changed so, and still matched when they were."
    )
    next: UUID | None = Field(description="Pass as `cursor` for the next step; null at the end.")
