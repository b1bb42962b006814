"""Structured logs: to the console, and as JSON lines to ``logs/podium.log`` of the data directory.

Every process of one data directory appends to the same file. A line is one write in append mode,
so lines of several processes never mix; the file is opened anew when it was rotated away. The
standard library's loggers (uvicorn, alembic, asyncpg, …) pass through the same chain, and
everything is redacted before it is written.
"""

import logging
import os
import shutil
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog

from podium.kernel.files import private_directory
from podium.kernel.redaction import redact
from podium.kernel.settings import Settings

MAX_LINE_CHARS = 64 * 1024
"""A longer line is reduced to its message, so that a line stays one short write."""

ROTATE_BYTES = 20 * 2**20
ROTATED_FILES = 5

_QUIET = ("uvicorn", "alembic", "asyncio", "httpx", "httpcore", "websockets", "sqlalchemy")


def configure_logging(settings: Settings, process: str, *, brief: bool = False) -> None:
    """Send this process's logs to the console and the log file. Call it once, at the start.

    ``process`` names it in every line: ``supervisor``, ``api``, ``worker-1``. The console is
    left out when standard error is the log file itself, as it is in a detached server. Where it is
    ``brief``, for people who were told the rest, it gets warnings and errors alone unless a level
    or a format was set.
    """
    level = settings.log_level.upper()
    file = LogFile(settings.data_dir / "logs" / "podium.log")
    file.setFormatter(_formatter(process, _to_json))
    handlers: list[logging.Handler] = [file]
    if not file.is_stream(sys.stderr):
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(_formatter(process, _console_renderer(settings, sys.stderr)))
        if brief and not settings.model_fields_set & {"log_level", "log_format"}:
            console.setLevel("WARNING")
        handlers.append(console)
    logging.basicConfig(level=level, handlers=handlers, force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel("DEBUG" if level == "DEBUG" else "WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def leave_console() -> None:
    """Log to the file alone from here on."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, LogFile)]


def rotate(path: Path, *, limit: int = ROTATE_BYTES, keep: int = ROTATED_FILES) -> bool:
    """Rename ``path`` to ``path.1`` (and ``.1`` to ``.2``, …) once it passes ``limit`` bytes.

    For one process at a time; writers open the file anew by themselves. True if it rotated.
    """
    if not path.exists() or path.stat().st_size < limit:
        return False
    for number in range(keep, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    path.replace(path.with_name(f"{path.name}.1"))
    return True


def rotate_in_place(path: Path, *, limit: int = ROTATE_BYTES) -> bool:
    """Copy ``path`` to ``path.1`` and empty it, for writers that keep it open in append mode.

    What they write between the two steps is lost. True if it rotated.
    """
    if not path.exists() or path.stat().st_size < limit:
        return False
    older = path.with_name(f"{path.name}.1")
    shutil.copyfile(path, older)
    older.chmod(0o600)
    os.truncate(path, 0)
    return True


class LogFile(logging.Handler):
    """Appends one line per record. Never raises: a full disk must not stop the work."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        private_directory(path.parent)
        self._descriptor = self._open()
        self._identity = os.fstat(self._descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace")
            self._follow_rotation()
            os.write(self._descriptor, line + b"\n")
        except OSError:
            return
        except Exception:  # noqa: BLE001 - logging never breaks the caller
            self.handleError(record)

    def is_stream(self, stream: TextIO) -> bool:
        """Whether ``stream`` writes to this very file."""
        try:
            return os.path.samestat(os.fstat(stream.fileno()), self._identity)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def _follow_rotation(self) -> None:
        try:
            if os.path.samestat(self._path.stat(), self._identity):
                return
        except FileNotFoundError:
            pass
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh
        self._identity = os.fstat(fresh)


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return redact(event)


def _to_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    if len(line) <= MAX_LINE_CHARS:
        return line
    kept = {key: event[key] for key in ("time", "level", "logger", "process", "pid")}
    kept |= {"event": str(event["event"])[: MAX_LINE_CHARS // 8], "cut_from": len(line)}
    return orjson.dumps(kept, default=str).decode()


_COMMON: tuple[structlog.types.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    structlog.processors.UnicodeDecoder(),
)


def _formatter(process: str, renderer: structlog.types.Processor) -> logging.Formatter:
    identity: Mapping[str, Any] = {"process": process, "pid": os.getpid()}

    def add_process(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event.update(identity)
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            add_process,
            _redact_event,
            renderer,
        ],
    )


def _console_renderer(settings: Settings, stream: TextIO) -> structlog.types.Processor:
    terminal = stream.isatty()
    if settings.log_format == "text" or (settings.log_format == "auto" and terminal):
        return structlog.dev.ConsoleRenderer(
            colors=terminal and "NO_COLOR" not in os.environ, timestamp_key="time"
        )
    return _to_json
