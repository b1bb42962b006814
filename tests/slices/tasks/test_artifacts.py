"""Files that attempts kept, over HTTP."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from buckets import KEYS, S3
from podium import app as composition
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.kernel.web import PREFIX
from podium.storage.artifact_stores import artifact_store
from podium.storage.artifacts import ArtifactStore, Place
from podium.storage.database import Database
from slices.tasks.conftest import NOBODY, Desk


@pytest.fixture(params=["directory", "bucket"])
async def any_desk(
    request: pytest.FixtureRequest,
    prepared: Settings,
    admin_token: str,
    database: Database,
    s3: S3,
) -> AsyncIterator[Desk]:
    """A desk of an installation of the test's own, with either kind of store."""
    changes = {
        "artifact_url": f"s3://{s3.make_bucket()}/files",
        "artifact_endpoint": s3.url,
        **{f"artifact_{name}": SecretStr(str(value)) for name, value in KEYS.items()},
    }
    settings = prepared.model_copy(update=changes if request.param == "bucket" else {})
    app = composition.create_api(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=f"http://localhost{PREFIX}",
            headers={"Authorization": f"Bearer {admin_token}"},
        ) as api,
    ):
        yield Desk(api, settings, database, "default")


async def keep(
    desk: Desk,
    task: dict[str, Any],
    name: str,
    content: bytes,
    *,
    attempt: int = 1,
    content_type: str = "text/plain",
) -> None:
    stored = await store(desk).put(UUID(task["id"]), attempt, name, content)
    await desk.run(
        "insert into artifact (id, task_id, attempt, name, content_type, size, sha256)"
        " values (:id, :task, :attempt, :name, :type, :size, :sha)",
        id=uuid7(),
        task=task["id"],
        attempt=attempt,
        name=name,
        type=content_type,
        size=stored.size,
        sha=stored.sha256,
    )


def store(desk: Desk) -> ArtifactStore:
    return artifact_store(desk.settings)


def path(task: dict[str, Any], name: str) -> str:
    return f"tasks/{task['id']}/artifacts/{quote(name, safe='')}"


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("report.md", "report.md"),
        ("out/deep/report.md", "report.md"),
        ("Größe 表.txt", "Größe 表.txt"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ('a b;"c"', 'a b;"c"'),
        ("folder/", "artifact"),
        ("%2e%2e", "%2e%2e"),
    ],
)
async def test_every_name_is_served_as_a_download(desk: Desk, name: str, file_name: str) -> None:
    task = await desk.create()
    await keep(desk, task, name, b"content")
    answer = await desk.api.get(path(task, name))
    assert (answer.status_code, answer.content) == (200, b"content")
    kind, _, given = answer.headers["content-disposition"].partition("; filename")
    assert kind == "attachment"
    assert given in (f'="{file_name}"', f"*=utf-8''{quote(file_name)}")
    assert answer.headers["x-content-type-options"] == "nosniff"
    [listed] = (await desk.get(task, "artifacts"))["items"]
    assert (listed["name"], listed["size"], listed["attempt"]) == (name, 7, 1)
    assert listed["sha256"].startswith("ed7002b4")


async def test_plain_paths_reach_names_with_slashes(desk: Desk) -> None:
    task = await desk.create()
    await keep(desk, task, "out/report.md", b"content")
    answer = await desk.api.get(f"tasks/{task['id']}/artifacts/out/report.md")
    assert answer.content == b"content"


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ("application/json", "application/json"),
        ("text/plain; charset=latin-1", "text/plain; charset=latin-1"),
        ("text/html\r\nX-Evil: 1", "application/octet-stream"),
        ("текст/plain", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
async def test_only_real_media_types_are_served(desk: Desk, given: str, served: str) -> None:
    task = await desk.create()
    await keep(desk, task, "x", b"1", content_type=given)
    answer = await desk.api.get(path(task, "x"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, served)


async def test_ranges(any_desk: Desk) -> None:
    desk = any_desk
    task = await desk.create()
    content = bytes(range(256)) * 4096
    await keep(desk, task, "big", content)
    whole = await desk.api.get(path(task, "big"))
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == str(len(content))
    assert whole.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    for asked, first, last in (
        ("bytes=255-257", 255, 257),
        ("bytes=-2", len(content) - 2, len(content) - 1),
        ("bytes=1048570-", 1048570, len(content) - 1),
        ("bytes=1048575-99999999", 1048575, 1048575),
        ("bytes=0-0", 0, 0),
        ("bytes=-99999999", 0, len(content) - 1),
    ):
        part = await desk.api.get(path(task, "big"), headers={"Range": asked})
        assert (part.status_code, part.content) == (206, content[first : last + 1]), asked
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(content)}"
        assert part.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x"])
async def test_what_is_no_single_range_gets_the_whole(desk: Desk, asked: str) -> None:
    task = await desk.create()
    await keep(desk, task, "x", b"content")
    answer = await desk.api.get(path(task, "x"), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, b"content")


@pytest.mark.parametrize(
    ("content", "asked"), [(b"content", "bytes=7-"), (b"", "bytes=0-"), (b"", "bytes=-1")]
)
async def test_ranges_beyond_the_end(desk: Desk, content: bytes, asked: str) -> None:
    task = await desk.create()
    await keep(desk, task, "x", content)
    answer = await desk.api.get(path(task, "x"), headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_unsatisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


async def test_conditions(desk: Desk) -> None:
    task = await desk.create()
    await keep(desk, task, "x", b"content")
    etag = (await desk.api.get(path(task, "x"))).headers["etag"]
    going_on = {"Range": "bytes=3-", "If-Range": etag}
    assert (await desk.api.get(path(task, "x"), headers=going_on)).content == b"tent"
    for other in ('"0"', f"W/{etag}", "Sun, 22 Nov 2026 00:00:00 GMT"):
        changed = await desk.api.get(path(task, "x"), headers={**going_on, "If-Range": other})
        assert (changed.status_code, changed.content) == (200, b"content")
    known = await desk.api.get(path(task, "x"), headers={"If-None-Match": etag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)


async def test_head_tells_what_get_would(desk: Desk) -> None:
    task = await desk.create()
    await keep(desk, task, "x", b"content")
    for headers in ({}, {"Range": "bytes=1-3"}):
        told, got = [
            await desk.api.request(method, path(task, "x"), headers=headers)
            for method in ("HEAD", "GET")
        ]
        assert (told.status_code, told.content) == (got.status_code, b"")
        varying = {"date", "x-request-id"}
        assert {k: v for k, v in told.headers.items() if k not in varying} == {
            k: v for k, v in got.headers.items() if k not in varying
        }


async def test_the_newest_attempt_is_served_unless_one_is_named(desk: Desk) -> None:
    task = await desk.create()
    for attempt in (1, 2, 3):
        await keep(desk, task, "x", b"%d" % attempt, attempt=attempt)
    await keep(desk, task, "y", b"only first", attempt=1)
    assert (await desk.api.get(path(task, "x"))).content == b"3"
    assert (await desk.api.get(path(task, "x"), params={"attempt": 2})).content == b"2"
    assert (await desk.api.get(path(task, "y"))).content == b"only first"
    await desk.call("GET", path(task, "y"), 404, params={"attempt": 2})
    listed = [
        (each["name"], each["attempt"]) for each in (await desk.get(task, "artifacts"))["items"]
    ]
    assert listed == [("x", 3), ("x", 2), ("x", 1), ("y", 1)]


async def test_what_is_not_there(desk: Desk) -> None:
    task = await desk.create()
    assert (await desk.call("GET", path(task, "x"), 404))["code"] == "not_found"
    await desk.call("GET", f"tasks/{NOBODY}/artifacts/x", 404)
    await keep(desk, task, "x", b"1")
    await store(desk).remove([Place.of(UUID(task["id"]), 1, "x")])
    assert "not kept any more" in (await desk.call("GET", path(task, "x"), 404))["detail"]


async def test_files_go_with_their_task(any_desk: Desk) -> None:
    desk = any_desk
    async with desk.worker():
        task = await desk.until(await desk.create("report"), "succeeded")
    assert (await desk.api.get(path(task, "note.txt"))).content == b"kept"
    assert len(await store(desk).kept("", 10)) == 1
    await desk.call("DELETE", f"tasks/{task['id']}", 204)
    assert await store(desk).kept("", 10) == []
    left = await desk.run(
        "select (select count(*) from artifact) + (select count(*) from log)"
        " + (select count(*) from attempt)"
    )
    assert left[0][0] == 0


@pytest.mark.parametrize(
    ("given", "code", "advice"),
    [
        ({"name": ""}, "artifact_name", ""),
        ({"name": "x" * 256}, "artifact_name", ""),
        ({"name": "a\nb"}, "artifact_name", ""),
        ({"name": "x", "type": "text/html\r\nX-Evil: 1"}, "artifact_type", "text/plain"),
    ],
)
async def test_an_attempt_fails_over_names_that_nobody_could_fetch(
    desk: Desk, given: dict[str, str], code: str, advice: str
) -> None:
    async with desk.worker():
        ended = await desk.until(await desk.create("keep", input=given), "failed")
    assert (ended["error"]["class"], ended["error"]["code"]) == ("agent", code)
    assert advice in ended["error"].get("hint", "")


async def test_an_attempt_fails_for_want_of_room(own_desk: Desk) -> None:
    desk = own_desk
    (desk.settings.data_dir / "artifacts").write_text("a file is in the way")
    async with desk.worker():
        ended = await desk.until(await desk.create("keep", input={"name": "x"}), "failed")
    assert (ended["error"]["class"], ended["error"]["code"]) == ("resource", "artifact_not_kept")
