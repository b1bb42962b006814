"""JavaScript and PHP: package.json and composer.json."""

import json
import re
from collections.abc import Iterator
from typing import cast

from podium.checkup.context import Json, mapping, string
from podium.checkup.manifests.model import Dependency, Unreadable, pin

_SCOPES = {
    "dependencies": "runtime",
    "devDependencies": "dev",
    "peerDependencies": "peer",
    "optionalDependencies": "optional",
}
_SHORTHAND = re.compile(r"^[\w.-]+/[\w.-]+(#.*)?$")


def read_json(content: bytes) -> dict[str, Json]:
    """A JSON file as an object."""
    try:
        return mapping(cast("object", json.loads(content, parse_int=str)))
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error


def package_json(content: bytes, _path: str) -> Iterator[Dependency]:
    """package.json; members of the same workspace are left out."""
    document = read_json(content)
    for table, scope in _SCOPES.items():
        for name, value in mapping(document.get(table)).items():
            spec = string(value)
            if spec.startswith(("workspace:", "catalog:")):
                yield Dependency(name, spec, scope, "managed")
            elif _SHORTHAND.match(spec):
                yield Dependency(name, "(address)", scope, "source")
            else:
                how = pin(spec.rpartition("@")[2] if spec.startswith("npm:") else spec)
                shown = "(address)" if how == "source" else spec
                yield Dependency(name, shown, scope, how)


def composer_json(content: bytes, _path: str) -> Iterator[Dependency]:
    """composer.json; PHP itself and its extensions are left out."""
    document = read_json(content)
    for table, scope in (("require", "runtime"), ("require-dev", "dev")):
        for name, value in mapping(document.get(table)).items():
            if "/" in name:
                spec = string(value)
                yield Dependency(name, spec, scope, "any" if spec == "@dev" else pin(spec))
