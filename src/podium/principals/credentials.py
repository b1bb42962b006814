"""How tokens are written: ``podium_<id>_<secret>``, for attempts ``pat_<task>_<attempt>_<secret>``.

Only SHA-256 of the secret is stored: it has 256 random bits, or 192 for an attempt, so a slow hash
would add nothing.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple
from uuid import UUID

_TOKEN = re.compile(r"podium_([0-9a-f]{32})_([A-Za-z0-9_-]{20,100})")
_ATTEMPT = re.compile(r"pat_([0-9a-f]{32})_([0-9]{1,9})_([A-Za-z0-9_-]{20,100})")


class Credential(NamedTuple):
    """A token that was shown. ``attempt`` is None for an ordinary token."""

    id: UUID
    attempt: int | None
    secret: str

    def matches(self, secret_hash: bytes) -> bool:
        return hmac.compare_digest(hash_secret(self.secret), secret_hash)


def parse(text: str) -> Credential | None:
    """What a token says; None when it is not written like one."""
    if match := _TOKEN.fullmatch(text):
        return Credential(UUID(hex=match[1]), None, match[2])
    if match := _ATTEMPT.fullmatch(text):
        return Credential(UUID(hex=match[1]), int(match[2]), match[3])
    return None


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def token_text(token_id: UUID, secret: str) -> str:
    return f"podium_{token_id.hex}_{secret}"


def attempt_token(task_id: UUID, attempt: int) -> tuple[str, bytes]:
    """A new token for an attempt, and the hash of its secret."""
    secret = secrets.token_urlsafe(24)
    return f"pat_{task_id.hex}_{attempt}_{secret}", hash_secret(secret)
