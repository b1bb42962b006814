"""Podium's Python SDK: ``Podium``, and ``AsyncPodium`` with the same methods for asyncio.

``docs/guides/sdk.md`` shows its use. What it raises is in ``podium.client.errors``, what it
returns in ``podium.client.models``, what it takes in ``podium.client.inputs``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.client._async.client import AsyncPodium
    from podium.client._async.streams import AsyncEventStream
    from podium.client._sync.client import Podium
    from podium.client._sync.streams import EventStream

__all__ = ["AsyncEventStream", "AsyncPodium", "EventStream", "Podium"]

_HOMES = {
    "AsyncEventStream": "podium.client._async.streams",
    "AsyncPodium": "podium.client._async.client",
    "EventStream": "podium.client._sync.streams",
    "Podium": "podium.client._sync.client",
}


def __getattr__(name: str) -> object:
    """Load only the form that is used: start time counts in the command line."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
