"""Write the JSON Schema of the files of ``podium apply``, or with ``--check`` say whether it is
current.

It comes from ``openapi.json``: a ``spec`` holds exactly what the API takes for its kind.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    ROOT / "src" / "podium" / "cli" / "apply" / "schema.json",
    ROOT / "docs" / "reference" / "apply.schema.json",
)
API = "/api/v1/orchestration"

Schema = dict[str, Any]

BODIES = {
    "Project": ("ProjectNew", None),
    "Agent": ("AgentNew", None),
    "Queue": ("QueueEdit", "/queues/{queue}"),
    "Limit": ("LimitPut", "/limits/{limit}"),
    "Template": ("TemplateNew", None),
    "Schedule": ("ScheduleNew", None),
    "Filter": ("FilterPut", "/filters/{filter}"),
}
"""The body of each kind, and where its name is part of the path instead, the path."""
DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("Queue", "distribution"): "least_loaded",
    ("Template", "parameters"): {},
    ("Template", "defaults"): {},
}
"""What the document does not tell: what is left out there stays, or is made when it is read."""
KEPT = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "patternProperties", "items"),
        *("enum", "format", "pattern", "default", "description"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "maxProperties"),
    }
)


def schema() -> Schema:
    """The whole schema."""
    document = json.loads((ROOT / "openapi.json").read_text())
    known: Mapping[str, Schema] = document["components"]["schemas"]
    parts = {kind: _kind(document, known, kind) for kind in BODIES}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A document of `podium apply`",
        "type": "object",
        "required": ["kind", "name"],
        "additionalProperties": False,
        "properties": {
            "kind": {"enum": list(BODIES)},
            "name": {"type": "string"},
            "project": {"$ref": "#/$defs/Project/properties/name"},
            "spec": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{kind}"},
            }
            for kind in BODIES
        ],
        "$defs": parts,
    }


def _kind(document: Schema, known: Mapping[str, Schema], kind: str) -> Schema:
    """What ``name`` and ``spec`` of a kind are."""
    body, path = BODIES[kind]
    spec = _plain(known[body], known)
    if path is None:
        name = spec["properties"].pop("name")
        spec["required"].remove("name")
    else:
        put = document["paths"][API + path]["put"]
        (found,) = (each for each in put["parameters"] if each["in"] == "path")
        name = _plain(found["schema"], known)
    for (of, field), value in DEFAULTS.items():
        if of == kind:
            spec["properties"][field]["default"] = value
    made: Schema = {"properties": {"name": name, "spec": spec}}
    if spec.get("required"):
        made["required"] = ["spec"]
    return made


def _plain(part: Any, known: Mapping[str, Schema]) -> Any:
    """A part without references, in words that name the one thing that is wrong: what may be null
    has a list of types, not a choice of schemas."""
    if not isinstance(part, dict):
        return int(part) if isinstance(part, float) and part.is_integer() else part
    given = cast("Schema", part)
    if "$ref" in given:
        name = str(given["$ref"]).rpartition("/")[2]
        if name == "JsonValue":
            return {}
        beside = {key: value for key, value in given.items() if key != "$ref"}
        return _plain({**known[name], **beside}, known)
    if "anyOf" in given:
        (one,) = (_plain(each, known) for each in given["anyOf"] if each != {"type": "null"})
        rest = {key: given[key] for key in ("description", "default") if key in given}
        types = {"type": [one["type"], "null"]} if "type" in one else {}
        return {**one, **types, **rest}
    made: Schema = {}
    for name, value in given.items():
        if name in ("properties", "patternProperties"):
            inner = cast("Schema", value)
            made[name] = {key: _plain(each, known) for key, each in inner.items()}
        elif name in KEPT:
            made[name] = _plain(value, known)
    return made


def main() -> int:
    """0 when the files are current or were written, 1 when ``--check`` found a difference."""
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    stale = [path for path in FILES if not path.exists() or path.read_text() != text]
    if stale and "--check" in sys.argv[1:]:
        sys.stderr.write("The schema of podium apply is out of date: run 'make docs'.\n")
        return 1
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
