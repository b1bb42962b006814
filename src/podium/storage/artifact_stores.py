"""Which artifact store the settings name."""

import asyncio
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr

from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.kernel.settings import Settings
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.artifacts import ArtifactStore

_log = structlog.get_logger(__name__)
_CHECK_SECONDS = 5.0
_KNOWN_SECONDS = 15.0


def artifact_directory(settings: Settings) -> Path | None:
    """The directory in which artifacts are kept; None when they are in a bucket."""
    if settings.artifact_url is None:
        return settings.data_dir / "artifacts"
    parts = urlsplit(settings.artifact_url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def artifact_store(settings: Settings) -> ArtifactStore:
    """The store, or ``SettingsInvalid`` when what it needs is not installed."""
    directory = artifact_directory(settings)
    return _bucket_store(settings) if directory is None else DirectoryStore(directory)


class StoreCheck:
    """Whether a store can be used, asked again after a quarter of a minute."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self._lock = asyncio.Lock()
        self._known: Unavailable | None = None
        self._until = 0.0

    async def trouble(self) -> Unavailable | None:
        """Why it cannot be used now."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._known = await _trouble(self.store)
                self._until = time.monotonic() + _KNOWN_SECONDS
            return self._known

    async def tell(self) -> None:
        """Write to the log what keeps a process that starts from using it."""
        if trouble := await self.trouble():
            _log.error("artifacts.unusable", error=trouble.message, hint=trouble.hint)


async def _trouble(store: ArtifactStore) -> Unavailable | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await store.check()
    except TimeoutError:
        return Unavailable(
            f"Artifacts in {store.shown}: no answer within {_CHECK_SECONDS:g} seconds.",
            hint="Look whether the store can be reached from here.",
        )
    except Unavailable as error:
        return error
    return None


def _bucket_store(settings: Settings) -> ArtifactStore:
    parts = urlsplit(settings.artifact_url or "")
    try:
        from podium.storage.artifact_bucket import Bucket, BucketStore
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "obstore":
            raise
        raise SettingsInvalid(
            "PODIUM_ARTIFACT_URL names a bucket, and the library for it is not installed.",
            hint="Install it: pip install 'podium[s3]'.",
        ) from None
    return BucketStore(
        Bucket(
            name=parts.netloc,
            prefix=unquote(parts.path).strip("/"),
            endpoint=settings.artifact_endpoint,
            region=settings.artifact_region,
            path_style=settings.artifact_path_style,
            access_key=_plain(settings.artifact_access_key),
            secret_key=_plain(settings.artifact_secret_key),
        )
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
