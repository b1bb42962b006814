"""Limits of size and rate."""

import time
from math import ceil

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podium.api.errors import MalformedRequest
from podium.kernel.errors import RateLimited, TooLarge

_DIGITS = 20
_MOST_BUCKETS = 10_000
_WHOLE = 1 - 1e-9
"""One request, as far as adding up fractions is exact."""


class BodyLimit:
    """Refuses bodies over a size, by their declared length or, when chunked, as they come."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name != b"content-length":
                continue
            if not value.isdigit():
                raise MalformedRequest(
                    "Content-Length is no number.", hint="Send the size of the body in bytes."
                )
            if len(value) >= _DIGITS or int(value) > self._max:
                raise self._error()
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max:
                raise self._error()
            return message

        return counted

    def _error(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than {self._max} bytes.",
            hint="Send less at once, or raise the setting max_body_bytes.",
            limit=self._max,
        )


class RateLimiter:
    """A token bucket for each caller, in this process."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._buckets: dict[object, tuple[float, float]] = {}

    def take(self, caller: object) -> None:
        """Count one request; ``RateLimited`` when the caller has none left."""
        now = time.monotonic()
        left, since = self._buckets.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        if left < _WHOLE:
            wait = ceil((1 - left) / self._rate)
            raise RateLimited(
                f"More than {self._rate:g} requests a second.",
                hint="Wait, then go on more slowly; bulk calls count as one.",
                retry_after=wait,
            )
        self._buckets[caller] = (left - 1, now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full again by now."""
        full = self._burst / self._rate
        self._buckets = {k: v for k, v in self._buckets.items() if now - v[1] < full}
