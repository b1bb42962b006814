"""What is generated from the code is as the code would generate it, and says enough."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from podium.api import docs, openapi, websocket
from podium.api.assembly import application
from podium.api.event_types import CATALOGUE
from podium.kernel.errors import PodiumError
from podium.kernel.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return application().openapi()


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_committed_documents_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert openapi.main(["--check"]) == 0
    assert docs.main(["--check"]) == 0


def test_checks_fail_on_stale_documents_and_writing_repairs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for module, told in ((openapi, "openapi.json"), (docs, "errors.md")):
        assert module.main(["--check"]) == 1
        assert told in capsys.readouterr().err
        assert module.main([]) == 0
        assert module.main(["--check"]) == 0
    (tmp_path / "docs/reference/errors.md").write_text("stale")
    assert docs.main(["--check"]) == 1


def test_every_operation_has_a_name_a_tag_a_summary_and_declared_errors(
    spec: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in spec["tags"]}
    for path, _, operation in operations(spec):
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]*)*", operation["operationId"])
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert {"400", "421", "429", "500", "503"} <= set(operation["responses"])
        if not path.startswith("/health/"):
            assert {"401", "403"} <= set(operation["responses"])
            assert operation["security"] == [{"token": []}]


def test_references_of_the_document_lead_somewhere(spec: dict[str, Any]) -> None:
    found = set(re.findall(r"'\$ref': '#/([^']+)'", str(spec)))
    assert found
    for reference in found:
        place: Any = spec
        for part in reference.split("/"):
            place = place[part]


def test_request_bodies_refuse_unknown_fields(spec: dict[str, Any]) -> None:
    for _, _, operation in operations(spec):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            names = re.findall(r"schemas/(\w+)", str(content["schema"]))
            assert names
            for name in names:
                assert spec["components"]["schemas"][name]["additionalProperties"] is False


def test_error_codes_are_unique_and_explained() -> None:
    kinds = docs.error_kinds()
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert 400 <= kind.status < 600
        assert kind is PodiumError or (
            kind.__doc__ and kind.__doc__.endswith((".", '."""', "\n    "))
        )
        assert f"| `{kind.code}` | {kind.status} |" in docs.errors_page()


def test_every_event_that_is_written_is_in_the_catalogue() -> None:
    known = {kind.name for kind in CATALOGUE}
    assert len(known) == len(CATALOGUE)
    written: set[str] = set()
    for path in Path(str(resources.files("podium"))).rglob("*"):
        if path.suffix == ".py":
            pattern = r"""(?:NewEvent|_tell)\(\s*(?:conn,\s*)?["']([a-z]+\.[a-z_]+)["']"""
            written |= set(re.findall(pattern, path.read_text()))
        elif path.suffix == ".sql":
            pattern = r"'((?:task|worker|agent|project|token)\.[a-z_]+)'"
            written |= set(re.findall(pattern, path.read_text()))
    assert len(written) > 20
    assert written - known == set()
    page = docs.events_page()
    assert all(f"## `{name}`" in page for name in known)


def test_the_page_on_streams_names_every_close_code() -> None:
    page = (ROOT / "docs/reference/streams.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", page, re.MULTILINE)}
    used = {*websocket.CLOSE_CODES.values(), websocket.BAD_MESSAGE, websocket.SLOW}
    used |= {websocket.RESTARTING}
    assert documented == used


def test_the_page_of_settings_tells_which_values_they_take() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \| `\w+` \| ([^|]*) \|", docs.settings_page(), re.MULTILINE)
    )
    assert set(rows) == set(Settings.model_fields)
    assert rows["port"] == "whole number, 0 to 65535"
    assert rows["lease_seconds"] == "number of seconds, more than 0"
    assert rows["max_body_bytes"] == "whole number of bytes, at least 1024"
    assert rows["worker_processes"] == "whole number, 1 to 10000"
    assert rows["worker_name"] == "text, 1 to 100 characters"
    assert rows["log_format"] == "`auto`, `text` or `json`"
    assert (rows["home"], rows["valkey_url"], rows["host"]) == ("path", "URL", "text")
    for name, schema in Settings.model_json_schema()["properties"].items():
        limits = {**schema, **schema.get("anyOf", [{}])[0]}
        for limit in limits.keys() - {"default", "title", "description", "type", "anyOf", "items"}:
            told = limits[limit] if isinstance(limits[limit], list) else [limits[limit]]
            if limit not in {"format", "writeOnly"}:
                assert all(re.search(rf"\b{value}\b", rows[name]) for value in told), (name, limit)
