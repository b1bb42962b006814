"""The reference page of the API, made from its OpenAPI description."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podium.kernel.web import PREFIX

_Schema = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_INTRODUCTION = """\
# API

What is told here is also in [openapi.json](../../openapi.json), which a running server gives at
`/openapi.json`. [HTTP API](../guides/http.md) begins with examples. Paths come after the server's
URL and `/api/v1/orchestration`, but for those of `/health` and `/metrics`. Requests carry
`Authorization: Bearer TOKEN`; errors are [problem documents](errors.md).
"""


def api_page(document: Mapping[str, Any]) -> str:
    """Every operation, by tag, and every type that goes in or comes out."""
    lines = [_INTRODUCTION]
    for tag in document["tags"]:
        lines += [f"## {tag['name'].capitalize()}", "", tag["description"], ""]
        for path, operations in document["paths"].items():
            for method in _METHODS:
                operation = operations.get(method)
                if operation and tag["name"] in operation["tags"]:
                    lines += _operation(method, path, operation)
    lines += ["## Types", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _type(name, schema)
    return "\n".join(lines)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path.removeprefix(PREFIX)}`"
    yield ""
    yield _text(operation.get("description") or operation["summary"] + ".")
    yield ""
    if parameters := operation.get("parameters"):
        yield "| parameter | in | type | meaning |"
        yield "|---|---|---|---|"
        for each in parameters:
            must = " (required)" if each.get("required") else ""
            meaning = _cell(each.get("description") or each["schema"].get("description"))
            yield f"| `{each['name']}`{must} | {each['in']} | {_kind(each['schema'])} | {meaning} |"
        yield ""
    if body := operation.get("requestBody"):
        yield f"Body: {_content(body['content'])}."
        yield ""
    for status, answer in operation["responses"].items():
        if status.startswith(("2", "3")):
            content = _content(answer["content"]) if answer.get("content") else "no content"
            yield f"Answer {status}: {content}."
            yield ""


def _content(content: Mapping[str, Any]) -> str:
    return ", ".join(
        _kind(each.get("schema", {})) if kind == "application/json" else f"`{kind}`"
        for kind, each in content.items()
    )


def _type(name: str, schema: _Schema) -> Iterator[str]:
    yield f"### `{name}`"
    yield ""
    if description := schema.get("description"):
        yield _text(description)
        yield ""
    properties = schema.get("properties")
    if not properties:
        yield f"{_kind(schema)}."
        yield ""
        return
    required = schema.get("required", ())
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for field, each in properties.items():
        must = " (required)" if field in required else ""
        yield f"| `{field}`{must} | {_kind(each)} | {_cell(each.get('description'))} |"
    yield ""


def _kind(schema: _Schema) -> str:
    """What a value may be, with links to types."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(each) for each in schema[several]))
    if values := schema.get("enum"):
        return _either(values)
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(inner := schema.get("additionalProperties"), Mapping):
        return f"object of {_kind(inner)}"  # pyright: ignore[reportUnknownArgumentType]
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _either(values: Sequence[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _text(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str | None) -> str:
    return _text(text or "").replace("|", "\\|")
