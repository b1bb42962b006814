"""What two versions of an agent differ in."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from podium.agents.model import AgentVersion, Difference
from podium.kernel.json_text import same_json

_ABSENT = object()


def differences(old: AgentVersion, new: AgentVersion) -> list[Difference]:
    """Each place where the two are not the same, in order of its pointer."""
    found = _compared("", _whole(old), _whole(new))
    return sorted(found, key=lambda each: each.pointer)


def _whole(version: AgentVersion) -> Mapping[str, Any]:
    return {"runtime": version.runtime, "config": version.config}


def _compared(pointer: str, old: object, new: object) -> Iterator[Difference]:
    """Objects are gone through; lists are compared whole, as what moved in one says little."""
    left, right = _members(old), _members(new)
    if left is not None and right is not None:
        for name in left.keys() | right.keys():
            inner = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _compared(inner, left.get(name, _ABSENT), right.get(name, _ABSENT))
    elif old is _ABSENT:
        yield Difference(pointer, "added", None, new)
    elif new is _ABSENT:
        yield Difference(pointer, "removed", old, None)
    elif not same_json(old, new):
        yield Difference(pointer, "changed", old, new)


def _members(value: object) -> Mapping[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None
