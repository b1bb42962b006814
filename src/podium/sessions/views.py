"""Sessions as clients see and send them."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from podium.kernel.fields import IN_SECONDS, Body, Page, Prose
from podium.sessions import model
from podium.sessions.model import SessionState
from podium.tasks.model import Given, RunningOn, TaskBase

_MAX_CHARS = 1_000_000
_Text = Annotated[str, Field(max_length=_MAX_CHARS)]


class SessionNew(TaskBase):
    """A session to begin: with a named agent, or with any that has all the capabilities."""

    message: _Text | None = Field(default=None, description="The first input.")
    data: Given = Field(default=None, description="Any JSON that comes with the first input.")
    config: dict[str, JsonValue] | None = Field(
        default=None,
        description="Fields of its agent's configuration that this session has of its own. Needs "
        "the scopes that changing the agent needs, and a named agent.",
    )
    idle_timeout: Annotated[float, Field(gt=0, le=31536000), IN_SECONDS] | None = Field(
        default=None,
        description="Closed when its agent has waited for the next input for so many seconds; "
        "null: never.",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"agent": "assistant", "message": "What changed since Monday?"},
                {"agent": "coder", "config": {"env": {"MODEL": "small"}}, "idle_timeout": 3600},
            ]
        },
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.config is not None and self.agent is None:
            raise ValueError("config goes with agent: what fields there are depends on it")
        if self.data is not None and self.message is None:
            raise ValueError("data goes with message")
        return self


class SessionInput(Body):
    """Something to say to the agent of a session."""

    text: _Text
    data: Given = Field(default=None, description="Any JSON that goes with it.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "And in the tests?"}]})


class Terminate(Body):
    """Why a session is ended."""

    reason: Annotated[Prose, Field(max_length=1000)] = "Terminated on request."


class Terminated(BaseModel):
    """The sessions that were told to end; those that run do so within their agent's grace."""

    sessions: list[UUID]


class Session(BaseModel):
    """A session, which is a task that people talk to while it runs."""

    id: UUID = Field(description="That of its task.")
    project: str
    title: str
    agent: str | None = Field(description="Who runs it, or was asked for by name.")
    queue: str
    state: SessionState
    paused: bool = Field(description="Its agent stands still.")
    closed: bool = Field(description="Nothing more will be said to it.")
    entries: int = Field(description="How many things were said.")
    unanswered: int = Field(description="Inputs that its agent has not dealt with.")
    idle_timeout: float | None
    labels: dict[str, str]
    attempt: int = Field(description="Attempts begun so far.")
    error: dict[str, Any] | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    changed_at: datetime = Field(description="When its agent went on or came to wait.")
    running_on: RunningOn | None


class SessionPage(Page[Session]):
    """Sessions, newest first."""


class TranscriptEntry(BaseModel):
    """Something that was said in a session."""

    id: int = Field(description="Its number, from 1 in each session and without gaps.")
    kind: Literal["input", "say", "ask", "note"] = Field(
        description="Said to the agent, by it, asked by it, or noted by Podium."
    )
    author: str | None = Field(description="Whose input it is.")
    attempt: int | None = Field(description="The attempt whose agent said it.")
    text: str
    data: JsonValue
    at: datetime


class Transcript(BaseModel):
    """What was said, in order."""

    items: list[TranscriptEntry]
    next: int | None = Field(description="Id to read on after; null at the end.")


def session_view(session: model.Session) -> Session:
    on = None
    if session.worker_id is not None:
        on = RunningOn(
            agent=session.agent or "",
            worker=session.worker_id,
            worker_name=session.worker_name,
            worker_host=session.worker_host,
        )
    return Session(
        id=session.id,
        project=session.project,
        title=session.title,
        agent=session.agent,
        queue=session.queue,
        state=session.state,
        paused=session.paused,
        closed=session.closed,
        entries=session.entries,
        unanswered=session.unanswered,
        idle_timeout=session.idle_seconds,
        labels=dict(session.labels),
        attempt=session.attempt,
        error=None if session.error is None else dict(session.error),
        created_at=session.created_at,
        created_by=session.created_by,
        started_at=session.started_at,
        finished_at=session.finished_at,
        changed_at=session.changed_at,
        running_on=on,
    )


def entry_view(entry: model.Entry) -> TranscriptEntry:
    return TranscriptEntry.model_validate(
        {
            "id": entry.n,
            "kind": entry.kind,
            "author": entry.author,
            "attempt": entry.attempt,
            "text": entry.text,
            "data": entry.data,
            "at": entry.at,
        }
    )
