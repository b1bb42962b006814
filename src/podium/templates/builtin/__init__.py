"""The templates that come with Podium, from the files beside this."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import yaml

from podium.templates.model import Definition, Template


@cache
def templates() -> Mapping[str, Template]:
    """All of them by name. A file says ``name`` and ``version``, which grows with each change."""
    files = [each for each in resources.files(__name__).iterdir() if each.name.endswith(".yaml")]
    read = [_read(each.read_text("utf-8")) for each in files]
    return MappingProxyType({each.name: each for each in sorted(read, key=lambda one: one.name)})


def _read(text: str) -> Template:
    given = yaml.safe_load(text)
    name, version = given.pop("name"), given.pop("version")
    return Template(None, name, version, Definition(**given), built_in=version)
