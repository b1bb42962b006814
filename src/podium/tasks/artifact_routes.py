"""Files that attempts kept, over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from podium.kernel.web import api_router, provided
from podium.storage.artifacts import ArtifactStore
from podium.tasks.download import Download, etag_of, part_of, told_only, unchanged
from podium.tasks.model import ArtifactList
from podium.tasks.routes import Db, Seen, Tasks

router = api_router("/tasks", "tasks")

_Attempt = Annotated[int | None, Query(ge=1, lt=2**31)]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/{task_id}/artifacts", operation_id="listArtifacts")
async def list_artifacts(task_id: Seen, tasks: Tasks, database: Db) -> ArtifactList:
    """Files that attempts kept."""
    async with database.connect() as conn:
        return ArtifactList(items=await tasks.artifacts(conn, task_id))


@router.head(
    "/{task_id}/artifacts/{name:path}", operation_id="headArtifact", include_in_schema=False
)
@router.get(
    "/{task_id}/artifacts/{name:path}",
    operation_id="getArtifact",
    response_class=StreamingResponse,
    responses={
        200: {"content": _BYTES},
        206: {"description": "The part that `Range` asks for.", "content": _BYTES},
        304: {"description": "The content is the one that `If-None-Match` names."},
    },
)
async def get_artifact(
    request: Request,
    task_id: Seen,
    name: str,
    tasks: Tasks,
    database: Db,
    artifacts: Annotated[ArtifactStore, Depends(provided(ArtifactStore))],
    attempt: _Attempt = None,
) -> Response:
    """One file; of the newest attempt that kept it unless one is named. `Range` with one range is
    served, on the condition of `If-Range` if it is given; `ETag` is the SHA-256 of the whole."""
    async with database.connect() as conn:
        found = await tasks.artifact(conn, task_id, name, attempt)
    etag = etag_of(found)
    if request.headers.get("if-none-match") in (etag, "*"):
        return unchanged(found)
    part = part_of(found.size, etag, request.headers)
    if request.method == "HEAD":
        return told_only(found, part)
    where = (task_id, found.attempt, name, found.size)
    content = await (artifacts.open(*where, *part) if part else artifacts.open(*where))
    return Download(content, found, part)
