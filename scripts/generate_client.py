"""Write the parts of the SDK that are generated, or with ``--check`` say whether they are current.

``models.py`` (answers) and ``inputs.py`` (request bodies) come from ``openapi.json``; ``_sync``
comes from ``_async``.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "src" / "podium" / "client"
API = "/api/v1/orchestration/"

Schema = dict[str, Any]

BY_HAND: Final = {"runtime.py"}
WORDS: Final = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_stream": "iter_stream",
    "asynccontextmanager": "contextmanager",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "_async": "_sync",
}
SYNC_HEADER: Final = (
    "# Generated from ../_async/{} by scripts/generate_client.py; change that file.\n"
)
MODEL_HEADER: Final = (
    "# Generated from openapi.json by scripts/generate_client.py.\n# ruff: noqa: E501\n"
)
MODEL_DOCS: Final = {
    "models": '''"""What the API answers.

A server newer than this may send fields and words that are not told of here: such fields are
passed over, and words (of states, for example) come as they are.
"""
''',
    "inputs": '"""What the API takes, as typed dictionaries."""\n',
}
KEPT: Final = {"type", "format", "enum", "const", "description", "additionalProperties"}


def synchronous(source: str) -> str:
    """The same code without async. Names that begin with Async lose it."""
    source = re.sub(r"\b(async (?=def|with|for)|await )", "", source)
    source = re.sub(r"  # noqa: ASYNC\d+.*", "", source)
    for word, instead in WORDS.items():
        source = re.sub(rf"(?<![A-Za-z0-9]){word}\b", instead, source)
    return re.sub(r"\bAsync(?=[A-Z])", "", source)


def sync_files() -> Iterator[tuple[Path, str]]:
    """The modules of ``_sync``."""
    for path in sorted((CLIENT / "_async").glob("*.py")):
        if path.name not in BY_HAND:
            text = SYNC_HEADER.format(path.name) + synchronous(path.read_text())
            yield CLIENT / "_sync" / path.name, text


class Schemas:
    """The schemas of one direction, reduced to what a client needs.

    Limits are the server's to check. In answers a word of a list is any text, and what may be
    null may be missing, so that client and server of different versions understand each other.
    """

    def __init__(self, spec: Mapping[str, Any], *, answers: bool) -> None:
        self.all: dict[str, Schema] = spec["components"]["schemas"]
        self.answers = answers
        self.made: dict[str, Schema] = {}
        for path, operations in spec["paths"].items():
            if path.startswith(API):
                for operation in operations.values():
                    for root in self._roots(operation):
                        self.reduced(root)

    def _roots(self, operation: Mapping[str, Any]) -> Iterator[Schema]:
        if self.answers:
            bodies = [
                answer for code, answer in operation["responses"].items() if code.startswith("2")
            ]
        else:
            bodies = [operation.get("requestBody", {})]
        for body in bodies:
            for media, content in body.get("content", {}).items():
                if media in {"application/json", "text/event-stream"}:
                    yield content.get("schema") or content.get("itemSchema") or {}

    def reduced(self, schema: Schema) -> Schema:
        """One schema; what it refers to is added to ``made``, or put in its place if plain."""
        if "$ref" in schema:
            return self._referred(schema["$ref"].rpartition("/")[2], schema)
        small = {key: value for key, value in schema.items() if key in KEPT}
        for pattern in schema.get("patternProperties", {}).values():
            small["additionalProperties"] = pattern
        if isinstance(small.get("additionalProperties"), dict):
            small["additionalProperties"] = self.reduced(small["additionalProperties"])
        elif small.get("additionalProperties") is False:
            del small["additionalProperties"]
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                small[key] = [self.reduced(item) for item in schema[key]]
        if "items" in schema:
            small["items"] = self.reduced(schema["items"])
        if self.answers:
            _open(small)
        return small | (self._fields(schema) if "properties" in schema else {})

    def _referred(self, name: str, schema: Schema) -> Schema:
        target = self.all[name]
        if not target.get("properties", {}).keys() - {"items", "next"}:
            return self.reduced(target)
        short = re.sub(r"(View|Out)?(-Input|-Output)?$", "", name)
        if short not in self.made:
            self.made[short] = {}
            self.made[short] = self.reduced(target)
        kept = {"description": schema["description"]} if "description" in schema else {}
        return {"$ref": f"#/components/schemas/{short}", **kept}

    def _fields(self, schema: Schema) -> Schema:
        fields = {name: self.reduced(field) for name, field in schema["properties"].items()}
        required: list[str] = schema.get("required", [])
        if self.answers:
            required = [name for name, field in fields.items() if not _nullable(field)]
            for name in fields.keys() - set(required):
                fields[name]["default"] = None
        return {"properties": fields, "required": required}


def _open(schema: Schema) -> None:
    words = schema.pop("enum", None) or ([schema.pop("const")] if "const" in schema else None)
    if words:
        known = f"One of {', '.join(map(str, words))}."
        schema["description"] = " ".join(filter(None, [schema.get("description"), known]))
        schema["type"] = "string"


def _nullable(schema: Schema) -> bool:
    if any(_nullable(item) for item in schema.get("anyOf", [])):
        return True
    return schema.get("type") == "null" or not {"type", "anyOf", "$ref", "allOf"} & set(schema)


def model_files(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """``models.py`` and ``inputs.py``."""
    answers = generated(Schemas(spec, answers=True).made, "msgspec.Struct")
    answers = answers.replace(" | None | UnsetType = UNSET", " | None = None")
    answers = answers.replace(": Any | UnsetType = UNSET", ": Any = None")
    yield CLIENT / "models.py", MODEL_HEADER + MODEL_DOCS["models"] + answers
    bodies = generated(Schemas(spec, answers=False).made, "typing.TypedDict")
    bodies = bodies.replace("list[", "Sequence[").replace("dict[", "Mapping[")
    first = "from __future__ import annotations\n"
    bodies = bodies.replace(first, f"{first}\nfrom collections.abc import Mapping, Sequence\n", 1)
    yield CLIENT / "inputs.py", MODEL_HEADER + MODEL_DOCS["inputs"] + bodies


def generated(schemas: Mapping[str, Schema], kind: str) -> str:
    """The classes for some schemas, by datamodel-code-generator."""
    spec = {
        "openapi": "3.1.0",
        "info": {"title": "podium", "version": "1"},
        "paths": {},
        "components": {"schemas": schemas},
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "code.py"
        source.write_text(json.dumps(spec))
        subprocess.run(
            [
                sys.executable, "-m", "datamodel_code_generator",
                "--input", source, "--input-file-type", "openapi", "--output", target,
                "--output-model-type", kind, "--target-python-version", "3.11",
                "--output-datetime-class", "datetime", "--use-union-operator",
                "--use-standard-collections", "--use-schema-description",
                "--use-field-description", "--use-single-line-docstring", "--keyword-only",
                "--enum-field-as-literal", "all", "--no-use-closed-typed-dict",
                "--no-use-annotated", "--custom-file-header", " ", "--formatters", "builtin",
            ],
            check=True,
        )  # fmt: skip
        return target.read_text()


def formatted(texts: dict[Path, str]) -> dict[Path, str]:
    """The texts as ruff leaves them, by the project's settings."""
    with tempfile.TemporaryDirectory() as folder:
        places = {path: Path(folder) / path.relative_to(ROOT) for path in texts}
        for path, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(texts[path])
        fix = ["check", "--select", "C416,F401,I,UP028,UP035", "--fix", "--unsafe-fixes"]
        fix += ["--config", 'lint.isort.known-first-party=["podium"]']
        config = ["--config", str(ROOT / "pyproject.toml"), "--quiet", folder]
        for step in (fix, ["format"]):
            subprocess.run([sys.executable, "-m", "ruff", *step, *config], check=True)
        return {path: place.read_text() for path, place in places.items()}


def main() -> int:
    """0 when everything is current or was written, 1 when ``--check`` found a difference."""
    check = "--check" in sys.argv[1:]
    spec = json.loads((ROOT / "openapi.json").read_text())
    wanted = formatted({**dict(sync_files()), **dict(model_files(spec))})
    stale = {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if check:
            print(f"{name} is out of date: run python scripts/generate_client.py", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
