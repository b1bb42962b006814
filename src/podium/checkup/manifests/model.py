"""What a manifest says, the same for every ecosystem, and the readers' common tools."""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from xml.parsers import expat

Pin = Literal["exact", "range", "any", "source", "managed"]
"""How far a version is fixed: one version, a range, not at all, by a place (git, URL, path), or
elsewhere (a parent project, a workspace)."""


class Unreadable(ValueError):
    """A manifest is not what its name says."""


class Dependency(NamedTuple):
    """A direct dependency as the manifest states it."""

    name: str
    spec: str
    scope: str
    pin: Pin


_EXACT = re.compile(r"^=?=?\s*v?\d+(\.\d+)*([-+._]?[0-9A-Za-z][\w.+-]*)?$")
_FULL = re.compile(r"^=?\s*v?\d+\.\d+\.\d+([-+][\w.+-]+)?$")
_MAX_SPEC = 200
_ANY = frozenset({"", "*", "x", "latest", "any", ">=0", ">= 0", "+", "main", "master", "head"})
_SOURCE = re.compile(
    r"^(git|http|https|ssh|file|link|portal|path|github|gitlab|bitbucket)[+:@]|://"
)


def pin(spec: str, *, bare_is_exact: bool = True) -> Pin:
    """How far ``spec`` fixes a version.

    ``bare_is_exact``: whether ``1.2.3`` alone means that version (npm, Maven) or a range (Cargo).
    """
    spec = spec.strip()
    if len(spec) > _MAX_SPEC:
        return "range"
    if spec.lower() in _ANY:
        return "any"
    if _SOURCE.search(spec):
        return "source"
    if spec.startswith("="):
        return "exact" if _EXACT.match(spec) else "range"
    return "exact" if bare_is_exact and _FULL.match(spec) else "range"


def name_in(address: str) -> str:
    """What a URL or a path is of, by its last part: no user, password, query or fragment."""
    if egg := re.search(r"#egg=([\w.-]+)", address):
        return egg[1]
    place = re.split(r"[?#]|\s;", address)[0].strip().rstrip("/")
    path = re.sub(r"^[\w+.-]+://[^/]*", "", place)
    # A revision or a branch comes after an @, and in git@host:name the name after the host.
    name = path.rpartition("/")[2]
    name = name.partition("@")[0] if "/" in path else name.rpartition("@")[2].rpartition(":")[2]
    return name[:80] or "(address)"


@dataclass(slots=True)
class Node:
    """An XML element without its name spaces."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list["Node"] = field(default_factory=list["Node"])

    def child(self, tag: str) -> str:
        """The text of the first child with this tag."""
        return next((node.text.strip() for node in self.children if node.tag == tag), "")

    def all(self, tag: str) -> "list[Node]":
        """Every element below this one with this tag."""
        found: list[Node] = []
        waiting = list(reversed(self.children))
        while waiting:
            node = waiting.pop()
            if node.tag == tag:
                found.append(node)
            waiting.extend(reversed(node.children))
        return found


def read_xml(content: bytes) -> Node:
    """Parse XML; entities of its own are refused, none from outside are ever fetched."""
    root = Node("", {})
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name.rpartition(":")[2], attributes)
        stack[-1].children.append(node)
        stack.append(node)

    def end(_name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise Unreadable("it declares entities")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position only
    except (expat.ExpatError, LookupError) as error:
        raise Unreadable("it is no well-formed XML") from error
    return root
