"""Settings: defaults, then ``settings.toml`` of the data directory, then ``PODIUM_*`` variables."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from podium.kernel.errors import SettingsInvalid
from podium.kernel.fields import told

Seconds = Annotated[float, Field(gt=0)]
_CORRECT = "Correct the value, or remove it to have the default."
_AS_LIST = 'Write a list as ["first", "second"], in a variable within the shell\'s quotes.'


def _begins_with(*schemes: str) -> Callable[[SecretStr], SecretStr]:
    """A check of URLs, which are secrets: it says what is wanted and not what is there."""

    def check(url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(schemes):
            raise ValueError(f"it begins with {' or '.join(schemes)}")
        return url

    return check


_DatabaseUrl = Annotated[
    SecretStr, AfterValidator(_begins_with("postgresql://", "postgres://", "postgresql+asyncpg://"))
]
_ValkeyUrl = Annotated[SecretStr, AfterValidator(_begins_with("redis://", "rediss://", "unix://"))]


def _host_name(text: str) -> str:
    """A name as a Host header has it; one that is written otherwise would never be met."""
    if not re.fullmatch(r"\*|\[[0-9A-Fa-f:.]+\]|[\w.-]+", text):
        raise ValueError(
            "a host name is given without scheme and port, an IPv6 address in brackets"
        )
    return text


def _base_url(text: str) -> str:
    """A URL that paths are appended to."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it begins with http:// or https:// and a host name")
    if parts.username is not None or "?" in text or "#" in text:
        raise ValueError("it has no user, query or fragment")
    return text.rstrip("/")


def _artifact_url(text: str) -> str:
    """Where artifacts are kept."""
    parts = urlsplit(text)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("it has no user, query or fragment; credentials are settings of their own")
    if parts.scheme == "file" and parts.netloc == "" and len(parts.path) > 1:
        return text
    if parts.scheme == "s3" and re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
        return text.rstrip("/")
    raise ValueError("it is file:///directory or s3://bucket/prefix")


class Settings(BaseSettings):
    """Every setting of Podium. A field's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix="PODIUM_", extra="forbid", frozen=True)

    home: Path = Field(
        default=Path("~/.podium"),
        description="Data directory: embedded servers, artifacts, logs, the local admin token.",
    )
    database_url: _DatabaseUrl | None = Field(
        default=None,
        description="PostgreSQL 15 or later, as postgresql://user:password@host/database. "
        "Unset: the embedded server. Its query takes libpq's parameters, such as sslmode, and "
        "pooler=transaction where a transaction pooler stands before it.",
    )
    valkey_url: _ValkeyUrl | None = Field(
        default=None,
        description="Valkey or Redis, as redis://host:6379/0 or unix:///path. "
        "Unset: the embedded server.",
    )
    database_pool_size: int = Field(
        default=10,
        ge=2,
        le=200,
        description="Most connections of one process to PostgreSQL; an idle worker keeps 4.",
    )

    host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    port: int = Field(
        default=8250,
        ge=0,
        le=65535,
        description="Port of the API; 0 takes a free one. Where the default is taken, so does a "
        "server that a command starts for itself.",
    )
    allowed_hosts: list[Annotated[str, AfterValidator(_host_name)]] = Field(
        default=[],
        description="Further host names under which the API answers, besides loopback, `host` and "
        "the name in `public_url`; others get 421. `*` stands for all.",
    )
    cors_origins: list[str] = Field(
        default=[], description="Origins of other sites whose pages may call the API."
    )
    public_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None,
        description="URL under which other machines reach the API, such as "
        "https://podium.example.com. Workers give it to their agents; unset, that of loopback or "
        "of `host`.",
    )
    max_body_bytes: int = Field(
        default=32 * 2**20, ge=1024, description="Largest request body in bytes."
    )
    max_payload_bytes: int = Field(
        default=256 * 2**10,
        ge=1024,
        description="Largest input or output of a task in bytes; larger outputs become artifacts.",
    )
    max_artifact_bytes: int = Field(
        default=2**30, ge=1024, description="Largest file in bytes that an attempt may keep."
    )
    max_artifacts: int = Field(
        default=1000, ge=1, le=100_000, description="Most files that one attempt may keep."
    )
    max_artifacts_total_bytes: int = Field(
        default=4 * 2**30, ge=1024, description="Bytes of all files that one attempt may keep."
    )
    artifact_url: Annotated[str, AfterValidator(_artifact_url)] | None = Field(
        default=None,
        description="Where artifacts are kept: file:///directory, or s3://bucket/prefix of an "
        "S3-compatible store. Unset: `artifacts` in the data directory.",
    )
    artifact_endpoint: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None,
        description="URL of the S3-compatible store, which may have a private address. Unset: "
        "`AWS_ENDPOINT_URL`, else AWS.",
    )
    artifact_region: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Region of the bucket. Unset: `AWS_REGION` or `AWS_DEFAULT_REGION`.",
    )
    artifact_path_style: bool | None = Field(
        default=None,
        description="Whether the bucket is named in the path of requests and not in the host name. "
        "Unset: with `artifact_endpoint` it is, else it is not.",
    )
    artifact_access_key: SecretStr | None = Field(
        default=None,
        description="Access key of the bucket. Unset: `AWS_ACCESS_KEY_ID`, or what the machine "
        "gives.",
    )
    artifact_secret_key: SecretStr | None = Field(
        default=None,
        description="Secret key that belongs to it. Unset: `AWS_SECRET_ACCESS_KEY`.",
    )
    requests_per_second: float = Field(
        default=2000, gt=0, description="Requests per second and token, averaged; above it 429."
    )
    request_burst: int = Field(
        default=4000, ge=1, description="Requests a token may make at once before its rate counts."
    )
    stream_buffer: int = Field(
        default=10_000,
        ge=10,
        description="Newest events that the API keeps in memory, and at most 32 MB of them; slower "
        "followers read from the database.",
    )

    workers: int = Field(default=1, ge=0, le=64, description="Worker processes that `up` starts.")
    worker_name: str = Field(
        default="worker", min_length=1, max_length=100, description="Name shown for this worker."
    )
    worker_concurrency: int = Field(
        default=600, ge=1, le=10_000, description="Attempts that one worker process runs at once."
    )
    worker_processes: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="How many of them may be processes of their own, as commands and sync "
        "functions are; unset: 4 for each CPU, and at least 16.",
    )
    worker_queues: list[str] = Field(
        default=[], description="Queues that a worker serves; empty means all."
    )
    worker_metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port at which a worker shows its metrics to Prometheus, on `host` and without "
        "a token; the further workers of `up` take the next ports. Unset: none.",
    )
    lease_seconds: Seconds = Field(
        default=12, description="How long a worker is trusted without a renewal of its lease."
    )
    drain_seconds: float = Field(
        default=30, ge=0, description="How long a stopping worker lets its attempts finish."
    )
    max_losses: int = Field(
        default=3, ge=1, description="Attempts lost to dead workers before a task is dead."
    )

    confinement: Literal["auto", "bubblewrap", "landlock", "none"] = Field(
        default="auto",
        description="How agent processes are kept from Podium's own files. `auto` takes the best "
        "that the platform offers and says so when it offers nothing.",
    )
    function_modules: list[str] = Field(
        default=[],
        description="Module prefixes from which function agents may be loaded as module:function; "
        "functions published as entry points are always allowed.",
    )

    idle_shutdown_seconds: float = Field(
        default=300,
        ge=0,
        description="A server that a command started for itself ends after this long without "
        "tasks or requests.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto",
        description="Console log format; `auto` is text on a terminal, else JSON. Unless this or "
        "the level is set, `podium up` shows warnings and errors alone; its log file has all.",
    )
    otlp_endpoint: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None,
        description="URL of an OpenTelemetry collector that takes OTLP over HTTP, such as "
        "http://127.0.0.1:4318. Every process sends traces and metrics there; unset, to where "
        "OTEL_EXPORTER_OTLP_ENDPOINT says, else nowhere.",
    )
    slow_query_seconds: float = Field(
        default=1,
        ge=0,
        description="A statement that takes PostgreSQL longer is logged, without its values, and "
        "counted; 0 logs none.",
    )
    event_retention_days: int = Field(default=30, ge=1, description="Days that events are kept.")
    log_retention_days: int = Field(default=14, ge=1, description="Days that agent logs are kept.")
    idempotency_hours: int = Field(
        default=24, ge=1, description="Hours during which an idempotency key is remembered."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, _settings_file())
        return init_settings, env_settings, file

    @cached_property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return self.home.expanduser().absolute()

    @property
    def embedded_postgres(self) -> bool:
        """Whether PostgreSQL is the embedded one; ``up`` gives its children the URL of that."""
        return self.database_url is None or "postgres" in _embedded()

    @property
    def embedded_valkey(self) -> bool:
        """Whether Valkey is the embedded one."""
        return self.valkey_url is None or "valkey" in _embedded()


def _embedded() -> list[str]:
    """The servers that ``up`` runs for this process."""
    return os.environ.get("PODIUM_EMBEDDED", "").split(",")


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process, or ``SettingsInvalid`` that names each wrong value."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = "; ".join(
            f"{_place(item['loc'])}: {told(item, Settings)}"
            for item in error.errors(include_url=False)
        )
        no_list = any(item["type"] == "list_type" for item in error.errors())
        hint = _AS_LIST if no_list else _CORRECT
        raise SettingsInvalid(f"Settings cannot be used: {wrong}.", hint=hint) from None
    except SettingsError as error:
        raise _no_list() or SettingsInvalid(str(error), hint=_CORRECT) from None
    except (ValueError, OSError) as error:  # a settings.toml that is no TOML, or is closed to us
        raise SettingsInvalid(
            f"{_settings_file()} cannot be read: {error}.", hint="Correct or remove the file."
        ) from None


def _settings_file() -> Path:
    home = Path(os.environ.get("PODIUM_HOME", "~/.podium")).expanduser()
    return home.absolute() / "settings.toml"


def _place(location: Sequence[int | str]) -> str:
    """A setting, and where its value is from."""
    name = ".".join(str(part) for part in location)
    variable = f"PODIUM_{location[0]}".upper()
    if variable in _environment():
        return f"{name} ({variable})"
    return f"{name} ({_settings_file()})" if _settings_file().exists() else name


def _no_list() -> SettingsInvalid | None:
    """What is wrong with a variable that should hold a list: those are written as JSON."""
    for name in Settings.model_fields:
        variable = f"PODIUM_{name}".upper()
        value = _environment().get(variable)
        if value is None or not isinstance(Settings.model_fields[name].default, list):
            continue
        try:
            json.loads(value)
        except ValueError:
            parts = [part.strip(" '\"") for part in value.strip(" []").split(",")]
            meant = json.dumps([part for part in parts if part])
            return SettingsInvalid(
                f"{variable} is no JSON list: {value}.", hint=f"Write it as '{meant}'."
            )
    return None


def _environment() -> Mapping[str, str]:
    """The environment as settings are looked up in it: without regard to case."""
    return {name.upper(): value for name, value in os.environ.items()}
