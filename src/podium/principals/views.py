"""Tokens and principals as clients see and send them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from podium.kernel.fields import IN_SECONDS, Body, Line, Name, Page
from podium.principals import model
from podium.principals.model import Kind, Preset, Scope


class TokenNew(Body):
    """A token to create."""

    name: Line = Field(min_length=1, max_length=100, description="What it is for.", examples=["ci"])
    scopes: list[Scope] = Field(default=[], max_length=50, examples=[["tasks:read", "tasks:write"]])
    preset: Preset | None = Field(
        default=None,
        description="A usual set of scopes, held besides `scopes`. viewer: look. member: also "
        "submit tasks, to whichever agents are registered, and edit, cancel, retry and delete "
        "them. operator: also register agents, and see metrics and settings. admin: everything. "
        "With a project the first three leave out the servers, metrics and settings, and admin "
        "holds nothing, so that alone it is refused.",
    )
    project: Name | None = Field(
        default=None, description="Bind the token to this project; otherwise it reaches all."
    )
    expires_in: Annotated[float, Field(gt=0, le=10 * 366 * 86400), IN_SECONDS] | None = Field(
        default=None,
        description="Seconds until it expires; unset, it does not. No token outlives the one that "
        "it is made with, nor the revocation of that one.",
    )


class Token(BaseModel):
    """A token. Its secret cannot be read again."""

    id: UUID
    name: str
    project: str | None
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenCreated(Token):
    """A new token with its text, which is shown this once."""

    token: str


class Whoami(BaseModel):
    """Who is asking, and what it may do."""

    principal: str = Field(examples=["admin:local"])
    kind: Kind
    project: str | None = Field(description="The project that it is bound to, by name.")
    scopes: list[str]
    expires_at: datetime | None


class TokenPage(Page[Token]):
    """Tokens in force, newest first."""


def token_view(token: model.Token) -> Token:
    return Token.model_validate(token, from_attributes=True)
