"""The artifact store that keeps objects in an S3-compatible bucket, below a prefix of it.

The only module that knows obstore, which is the extra ``s3``.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit
from uuid import UUID

from obstore.exceptions import BaseError
from obstore.store import S3Store

from podium.kernel.errors import NotFound, TooLarge, Unavailable
from podium.storage.artifacts import OWNER, Content, Place, Stored, replaced

_PART: Final = 8 * 1024 * 1024
_MOST_PARTS: Final = 9_000
"""An upload may have 10,000 parts."""
_UPLOADS: Final = 4
"""How many uploads one process has under way; each holds up to three parts in memory."""
_PIECE: Final = 256 * 1024
_ABORT_SECONDS: Final = 20.0
_SETTLED: Final = "See PODIUM_ARTIFACT_URL and the settings beside it."
_TROUBLES: Final = (
    ("NoSuchBucket", "There is no bucket {bucket}", "Make it, or correct PODIUM_ARTIFACT_URL."),
    ("InvalidAccessKeyId", "The access key is not known", "Correct the credentials."),
    ("SignatureDoesNotMatch", "The secret key does not fit the access key", "Correct it."),
    ("AccessDenied", "The credentials may not do this", "Let them read, write, list and delete."),
    ("ExpiredToken", "The credentials have expired", "Renew them and restart the process."),
    ("redirect without LOCATION", "The bucket is in another region", "Set its region."),
    ("AuthorizationHeaderMalformed", "The bucket is in another region", "Set its region."),
    ("403 Forbidden", "The credentials may not do this", "Let them read, write, list and delete."),
    ("169.254.169.254", "There are no credentials", "Set AWS_ACCESS_KEY_ID and its secret."),
)
"""What the store's answer or the library's message holds, what it means, and what to do."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Which bucket, and how it is reached. Without an endpoint it is one of AWS; without a region
    or keys they are those that AWS's own variables, or the machine, give."""

    name: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    access_key: str | None = None
    secret_key: str | None = None


class BucketStore:
    """Artifacts as objects. Requests that fail are repeated for half a minute."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._store = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            client_options={
                "allow_http": (_endpoint(bucket) or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                # Of a whole answer: a slow reader may take hours. Silence ends earlier.
                "timeout": timedelta(days=1),
                "read_timeout": timedelta(seconds=60),
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)},
            **_options(bucket),
        )
        self._places = asyncio.Semaphore(_UPLOADS)

    @property
    def shown(self) -> str:
        endpoint = _endpoint(self._bucket)
        at = f"?endpoint={endpoint}" if endpoint else ""
        return f"s3://{'/'.join(filter(None, (self._bucket.name, self._bucket.prefix)))}{at}"

    async def put(
        self, task_id: UUID, attempt: int, name: str, content: bytes | Path, most: int | None = None
    ) -> Stored:
        key = str(Place.of(task_id, attempt, name))
        async with self._places:
            source = await asyncio.to_thread(_Source.open, content, most)
            try:
                return await self._upload(key, source)
            finally:
                source.file.close()

    async def _upload(self, key: str, source: "_Source") -> Stored:
        begun = await source.read()
        if len(begun) < source.part:  # all of it, so one request, which is whole or nothing
            with self.troubles():
                await self._store.put_async(key, begun, use_multipart=False)
            return source.stored
        sending = asyncio.ensure_future(self._send(key, source, begun))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            # The library aborts an upload whose source fails, and not one that is cancelled.
            source.failure = InterruptedError("the upload was cancelled")
            sending.add_done_callback(_heard)
            await asyncio.wait([sending], timeout=_ABORT_SECONDS)
            raise
        return source.stored

    async def _send(self, key: str, source: "_Source", begun: bytes) -> None:
        parts = source.parts(begun)
        try:
            with self.troubles():
                await self._store.put_async(key, parts, chunk_size=source.part, max_concurrency=2)
        except Exception:
            if source.failure is not None:
                raise source.failure from None
            raise

    async def open(
        self,
        task_id: UUID,
        attempt: int,
        name: str,
        size: int,
        first: int = 0,
        count: int | None = None,
    ) -> Content:
        key = str(Place.of(task_id, attempt, name))
        whole = first == 0 and count in (None, size)
        stop = size if count is None else first + count
        try:
            with self.troubles():
                found = await self._store.get_async(
                    key, options=None if whole else {"range": (first, stop)}
                )
        except FileNotFoundError:
            raise NotFound(f"The content of artifact {name!r} is not kept any more.") from None
        except Unavailable as error:
            # It has fewer bytes than are on record. (Names in the library's text may hold a 416.)
            if "status code: 416" in str(error.__cause__):
                raise replaced(name) from None
            raise
        if found.meta["size"] != size or found.range != (first, stop):
            raise replaced(name)
        return _ObjectContent(self, found.stream(min_chunk_size=_PIECE))

    async def remove(self, places: Sequence[Place]) -> None:
        if places:
            with self.troubles():
                await self._store.delete_async([str(place) for place in places])

    async def kept(self, after: str, most: int) -> Sequence[Place]:
        found: list[Place] = []
        with self.troubles():
            pages = self._store.list(  # pyright: ignore[reportUnknownMemberType] - of arrow
                offset=after or None, chunk_size=min(most, 1000)
            )
            async for page in pages:
                places = (Place.parse(each["path"]) for each in page)
                found += [place for place in places if place is not None]
                if len(found) >= most:
                    break
        return found[:most]

    async def claim(self, owner: UUID, instead_of: UUID | None) -> bool:
        with self.troubles():
            try:
                mark = await (await self._store.get_async(OWNER)).bytes_async()
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
            else:
                marked = bytes(mark).decode(errors="replace").strip()
                if marked == str(owner):
                    return True
                if marked != str(instead_of):
                    return False
            await self._store.put_async(OWNER, f"{owner}\n".encode(), use_multipart=False)
        return False

    async def check(self) -> None:
        with self.troubles():
            found = self._store.list(chunk_size=1)  # pyright: ignore[reportUnknownMemberType]
            async for _ in found:
                break

    @contextmanager
    def troubles(self) -> Generator[None]:
        """Tell what the store refused as ``Unavailable``; what is not there stays
        ``FileNotFoundError``."""
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise
            raise self._unavailable(error) from error
        except BaseError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        text = str(error)
        for mark, meaning, advice in _TROUBLES:
            if mark in text:
                told = meaning.format(bucket=self._bucket.name)
                return Unavailable(
                    f"Artifacts in {self.shown}: {told}.", hint=f"{advice} {_SETTLED}"
                )
        # No more of it: the rest of the library's text is for its own authors.
        return Unavailable(
            f"Artifacts in {self.shown}: the store cannot be used now.",
            hint=f"It is tried again. Look whether it answers. {_SETTLED}",
        )


class _ObjectContent:
    """A part of an object as it arrives. The library takes it up again where it breaks off."""

    def __init__(self, store: BucketStore, stream: AsyncIterator[Any]) -> None:
        self._store = store
        self._stream: AsyncIterator[Any] | None = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[bytes]:
        with self._store.troubles():
            while self._stream is not None:
                try:
                    piece = await anext(self._stream)
                except StopAsyncIteration:
                    return
                yield bytes(piece)

    async def aclose(self) -> None:
        self._stream = None  # its connection goes with it


class _Source:
    """What is uploaded, hashed and counted as it is read."""

    def __init__(self, file: BinaryIO, size: int, most: int | None) -> None:
        self.file = file
        self.part = max(_PART, -(-size // _MOST_PARTS))
        self.failure: Exception | None = None
        self._most = most
        self._digest = hashlib.sha256()
        self._size = 0

    @classmethod
    def open(cls, content: bytes | Path, most: int | None) -> "_Source":
        if isinstance(content, bytes):
            return cls(BytesIO(content), len(content), most)
        file = content.open("rb")
        return cls(file, os.fstat(file.fileno()).st_size, most)

    @property
    def stored(self) -> Stored:
        return Stored(self._size, self._digest.digest())

    async def read(self) -> bytes:
        """The next part; shorter than ``part`` only at the end."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        content = self.file.read(self.part)
        self._digest.update(content)
        self._size += len(content)
        # Looked at as it is read: a file may grow meanwhile.
        if self._most is not None and self._size > self._most:
            raise TooLarge(f"The artifact has more than {self._most} bytes.", limit=self._most)
        return content

    async def parts(self, begun: bytes) -> AsyncGenerator[bytes]:
        """All parts. Fails once ``failure`` is set, and sets it to what failed here."""
        part = begun
        while part:
            if self.failure is not None:
                raise self.failure
            yield part
            try:
                part = await self.read()
            except Exception as error:
                self.failure = error
                raise


def _heard(sending: "asyncio.Future[None]") -> None:
    """Whoever cancelled an upload does not ask how it ended."""
    if not sending.cancelled():
        sending.exception()


def _endpoint(bucket: Bucket) -> str | None:
    """The store's URL; None for AWS itself."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return bucket.endpoint or next((os.environ[name] for name in names if name in os.environ), None)


def _options(bucket: Bucket) -> dict[str, Any]:
    """What the library is told beside its own defaults, those of AWS's variables."""
    endpoint = _endpoint(bucket)
    path_style = endpoint is not None if bucket.path_style is None else bucket.path_style
    if endpoint and not path_style:
        parts = urlsplit(endpoint)
        endpoint = f"{parts.scheme}://{bucket.name}.{parts.netloc}{parts.path}"
    given = {
        "aws_endpoint_url_s3": endpoint,  # goes before all other variables
        "region": bucket.region,
        "access_key_id": bucket.access_key,
        "secret_access_key": bucket.secret_key,
        "checksum_algorithm": "SHA256",
        "virtual_hosted_style_request": not path_style,
    }
    return {name: value for name, value in given.items() if value is not None}
