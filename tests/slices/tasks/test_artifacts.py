"""Files that attempts kept, over HTTP."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from podium.kernel.ids import uuid7
from podium.storage.artifacts import DirectoryStore
from slices.tasks.conftest import NOBODY, Desk


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


def store(desk: Desk) -> DirectoryStore:
    return DirectoryStore(desk.settings.data_dir / "artifacts")


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


async def test_ranges(desk: Desk) -> None:
    task = await desk.create()
    await keep(desk, task, "big", bytes(range(256)) * 4096)
    whole = await desk.api.get(path(task, "big"))
    assert whole.headers["accept-ranges"] == "bytes"
    part = await desk.api.get(path(task, "big"), headers={"Range": "bytes=255-257"})
    assert (part.status_code, part.content) == (206, bytes([255, 0, 1]))
    assert part.headers["content-range"] == f"bytes 255-257/{256 * 4096}"
    end = await desk.api.get(path(task, "big"), headers={"Range": "bytes=-2"})
    assert end.content == bytes([254, 255])
    beyond = await desk.api.get(path(task, "big"), headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416


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
    await store(desk).delete(UUID(task["id"]))
    assert "not kept any more" in (await desk.call("GET", path(task, "x"), 404))["detail"]


async def test_files_go_with_their_task(own_desk: Desk) -> None:
    desk = own_desk
    async with desk.worker():
        task = await desk.until(await desk.create("report"), "succeeded")
    assert (await desk.api.get(path(task, "note.txt"))).content == b"kept"
    folder = desk.settings.data_dir / "artifacts" / task["id"]
    assert folder.is_dir()
    await desk.call("DELETE", f"tasks/{task['id']}", 204)
    assert not folder.exists()
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
