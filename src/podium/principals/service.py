"""Tokens: prove, issue, revoke."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel import background
from podium.kernel.errors import Forbidden, InvalidInput, NotFound, PodiumError, Unauthenticated
from podium.kernel.files import private_directory, write_private
from podium.kernel.ids import uuid7
from podium.kernel.shared_reads import SharedReads
from podium.principals import store
from podium.principals.credentials import (
    Credential,
    hash_secret,
    new_secret,
    parse,
    token_text,
)
from podium.principals.model import GLOBAL_SCOPES, PRESETS, Preset, Principal, Token
from podium.storage.database import Database, after_commit

_log = structlog.get_logger(__name__)

TRUSTED_SECONDS = 2.0
"""How long a proof is remembered: a revocation acts within this time in every process."""
_REMEMBERED = 20_000
_REMEMBERED_ABSENT = 1000
_USE_SECONDS = 60.0
_SYSTEM = "system"
ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 - a file name


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is to be: it holds ``scopes`` and those of the ``preset``. ``expires_in`` is in
    seconds; None means that it does not expire."""

    name: str
    scopes: tuple[str, ...]
    project: str | None = None
    expires_in: float | None = None
    preset: Preset | None = None


@dataclass(slots=True)
class _Known:
    """What the database said about a token, and until when that is believed."""

    principal: Principal | None
    secret_hash: bytes
    until: float


_Key = tuple[UUID, int | None]


class PrincipalService:
    """Proves tokens from memory and the database, and keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._absent: OrderedDict[_Key, _Known] = OrderedDict()
        self._reads = SharedReads(self._read)
        self._used: dict[UUID, datetime] = {}
        self._recorder: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to record when tokens were used, once a minute."""
        self._recorder = asyncio.create_task(self._record_uses())

    async def close(self) -> None:
        await background.end(self._recorder)
        await self._record()

    async def authenticate(
        self, text: str, before_asking: Callable[[], None] | None = None
    ) -> Principal:
        """Who holds this token; ``Unauthenticated`` when it is not valid now.

        ``before_asking`` is called, and may raise, before the database is asked for a token that
        it was not known to hold.
        """
        credential = parse(text)
        if credential is None:
            raise _refused("The token is not written like one of Podium's.")
        key = (credential.id, credential.attempt)
        known = self._known.get(key) or self._absent.get(key)
        if known is None or known.until < time.monotonic():
            if before_asking is not None and key not in self._known:
                before_asking()
            known = await self._reads.get(key)
        principal = known.principal
        if principal is None or not credential.matches(known.secret_hash):
            raise _refused("The token is unknown or was revoked.")
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            raise _refused("The token has expired.")
        if credential.attempt is None and credential.id not in self._used:
            self._used[credential.id] = datetime.now(UTC)
        return principal

    async def create(
        self, conn: AsyncConnection, granter: Principal, new: NewToken
    ) -> tuple[Token, str]:
        """Issue a token; gives it and its text, which is shown this once.

        Raises ``Forbidden`` for scopes that the granter does not hold, and ``Unauthenticated``
        when its own token was revoked this moment.
        """
        if not await store.hold(conn, granter.id):
            raise _refused("The token is unknown or was revoked.")
        project_id = await self._project_of(conn, granter, new)
        scopes = _scopes(new, bound=project_id is not None)
        _require_grantable(granter, scopes, bound=project_id is not None)
        expires_at = _expiry(granter, new)
        token_id, secret = uuid7(), new_secret()
        await store.insert(
            conn,
            store.Issued(
                token_id,
                new.name,
                project_id,
                hash_secret(secret),
                scopes,
                granter.name,
                expires_at,
                granter.id,
            ),
        )
        data = {"name": new.name, "scopes": scopes, "expires_at": expires_at}
        event = NewEvent("token.created", token_id, project_id, granter.name, data)
        await events.append(conn, [event])
        return await store.read(conn, token_id), token_text(token_id, secret)

    async def list(
        self, conn: AsyncConnection, asker: Principal, before: UUID | None, limit: int
    ) -> Sequence[Token]:
        """Tokens in force that the asker may see, newest first."""
        return await store.read_page(conn, asker.project_id, before, limit)

    async def revoke(self, conn: AsyncConnection, asker: Principal, token_id: UUID) -> None:
        """End a token, and all that were made with it or with one of those. Also one that was
        revoked before: the wish is fulfilled.

        Raises ``Forbidden`` for a token that holds scopes which the asker does not.
        """
        token = await store.read(conn, token_id)
        if asker.project_id is not None and token.project_id != asker.project_id:
            raise NotFound(f"There is no token {token_id}.")
        if missing := sorted(scope for scope in token.scopes if not asker.has(scope)):
            raise Forbidden(
                f"You cannot revoke a token that may do what you may not: {', '.join(missing)}.",
                hint="`podium token revoke` with an administrator's token can.",
                missing=missing,
            )
        for ended in await _revoke_all(conn, token_id, asker.name):
            after_commit(conn, partial(self._forget, ended))

    async def project_name(self, project_id: UUID | None) -> str | None:
        """The name of the project that a token is bound to."""
        return await store.project_name(self._database, project_id) if project_id else None

    async def _project_of(
        self, conn: AsyncConnection, granter: Principal, new: NewToken
    ) -> UUID | None:
        if new.project is None:
            return granter.project_id
        project_id = await store.project_id(conn, new.project)
        if project_id is None or granter.project_id not in (None, project_id):
            raise NotFound(
                f"There is no project {new.project!r}.",
                hint="`podium project list` shows those that you may see.",
                project=new.project,
            )
        return project_id

    def _forget(self, token_id: UUID) -> None:
        self._known.pop((token_id, None), None)

    async def _read(self, key: _Key) -> _Known:
        asked = time.monotonic()
        principal, secret_hash = await _look_up(self._database, key)
        known = _Known(principal, secret_hash, asked + TRUSTED_SECONDS)
        # Apart, so that those who guess do not push out what others have proven.
        book, most = (self._known, _REMEMBERED) if principal else (self._absent, _REMEMBERED_ABSENT)
        self._known.pop(key, None)
        self._absent.pop(key, None)
        book[key] = known
        if len(book) > most:
            book.popitem(last=False)
        return known

    async def _record_uses(self) -> None:
        while True:
            await asyncio.sleep(_USE_SECONDS)
            await self._record()

    async def _record(self) -> None:
        used, self._used = self._used, {}
        if used:
            try:
                await store.mark_used(self._database, used)
            except PodiumError as error:
                _log.warning("tokens.use_not_recorded", error=error.message)


async def ensure_admin_token(data_dir: Path, conn: AsyncConnection) -> Path:
    """The file with this machine's administrator token, made anew when it is lost or invalid.

    The token that it replaces is revoked; what was made with that one stays valid, and counts as
    made with the new one. Several processes may call this at once.
    """
    name = "local"
    maker = f"{_SYSTEM}:{socket.gethostname()}:{sha256(str(data_dir).encode()).hexdigest()[:12]}"
    path = data_dir / ADMIN_TOKEN_FILE
    old = await store.in_force(conn, name, maker)
    credential = await asyncio.to_thread(_read_token, path)
    if credential is not None and await store.is_valid(
        conn, credential.id, hash_secret(credential.secret)
    ):
        return path
    await _revoke(conn, old, _SYSTEM)
    token_id, secret = uuid7(), new_secret()
    issued = store.Issued(token_id, name, None, hash_secret(secret), ["admin"], maker, None)
    await store.insert(conn, issued)
    await store.hand_over(conn, old, token_id)
    data = {"name": name, "scopes": ["admin"], "expires_at": None}
    await events.append(conn, [NewEvent("token.created", token_id, None, _SYSTEM, data)])
    await asyncio.to_thread(private_directory, data_dir)
    await asyncio.to_thread(write_private, path, token_text(token_id, secret) + "\n")
    return path


async def _revoke_all(conn: AsyncConnection, token_id: UUID, actor: str) -> list[UUID]:
    """Revoke a token and, level by level, those made with it; gives all their ids.

    A level is revoked before the next is looked for, so that nobody makes one in between.
    """
    ended: list[UUID] = []
    level = [token_id]
    while level:
        await _revoke(conn, level, actor)
        ended += level
        level = await store.granted_with(conn, level)
    return ended


async def _revoke(conn: AsyncConnection, token_ids: Sequence[UUID], actor: str) -> None:
    revoked = await store.revoke(conn, token_ids)
    told = [
        NewEvent("token.revoked", token_id, project_id, actor, {"name": name})
        for token_id, name, project_id in revoked
    ]
    await events.append(conn, told)


def _read_token(path: Path) -> Credential | None:
    """The token in the file; None when there is none, or others could have read it."""
    try:
        if path.stat().st_mode & 0o077:
            return None
        credential = parse(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return None
    return credential if credential and credential.attempt is None else None


async def _look_up(database: Database, key: _Key) -> tuple[Principal | None, bytes]:
    holder, attempt = key
    if attempt is None:
        row = await store.credential(database, holder)
        if row is None:
            return None, b""
        scopes = frozenset[str](row["scopes"])
        kind = "admin" if "admin" in scopes else "token"
        principal = Principal(
            kind,
            holder,
            f"{kind}:{row['name']}",
            row["project_id"],
            scopes,
            row["expires_at"],
        )
        return principal, row["secret_hash"]
    row = await store.attempt(database, holder, attempt)
    if row is None:
        return None, b""
    principal = Principal(
        "attempt",
        holder,
        f"attempt:{holder}/{attempt}",
        row["project_id"],
        frozenset({"tasks:read", "events:read"}),
        tasks=frozenset({holder, *row["depends_on"]}),
    )
    return principal, row["token_hash"]


def _scopes(new: NewToken, *, bound: bool) -> list[str]:
    """All that the token is to hold."""
    usual = PRESETS[new.preset] if new.preset else ()
    scopes = {*new.scopes, *(scope for scope in usual if not (bound and scope in GLOBAL_SCOPES))}
    if not scopes:
        why = f"; {new.preset} has none that a token of one project can hold" if usual else ""
        raise InvalidInput(
            f"The token would hold no scope{why}.",
            hint="Name scopes, or another preset.",
            field="scopes",
        )
    return sorted(scopes)


def _require_grantable(granter: Principal, scopes: Sequence[str], *, bound: bool) -> None:
    missing = [scope for scope in scopes if not granter.has(scope)]
    if missing:
        raise Forbidden(
            f"You cannot grant what you do not hold: {', '.join(missing)}.",
            hint="Ask whoever administers this installation: an administrator's token can.",
            missing=missing,
        )
    if bound and (beyond := sorted(GLOBAL_SCOPES.intersection(scopes))):
        raise InvalidInput(
            f"A token of one project cannot hold {', '.join(beyond)}.",
            hint="Leave out the project, or these scopes.",
            field="scopes",
        )


def _expiry(granter: Principal, new: NewToken) -> datetime | None:
    """A token does not outlive the one that it was made with."""
    if new.expires_in is None:
        return granter.expires_at
    expires_at = datetime.now(UTC) + timedelta(seconds=new.expires_in)
    return min(expires_at, granter.expires_at) if granter.expires_at else expires_at


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(
        message,
        hint="Use another token; with one in force `podium token create` makes it. If the "
        "administrator's own is gone, the server makes it anew when it starts: `podium down`, "
        "then `podium up --detach`.",
    )
