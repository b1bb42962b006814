"""Tells once that telemetry cannot be sent, where OpenTelemetry complains of each message."""

import logging
from typing import Literal

import structlog

_log = structlog.get_logger(__name__)

Signal = Literal["traces", "metrics"]


class Outage:
    """Tells once that a signal cannot be sent, and once that it is again."""

    def __init__(self, signal: Signal, heard: "Heard") -> None:
        self._signal = signal
        self._heard = heard
        self._down = False

    def note(self, *, sent: bool) -> None:
        """How one message fared."""
        if sent is not self._down:
            return
        self._down = not sent
        if sent:
            _log.info("telemetry.is_sent_again", signal=self._signal)
        else:
            _log.warning("telemetry.not_sent", signal=self._signal, reason=self._heard.last)


class Heard(logging.Handler):
    """Keeps the last complaint of OpenTelemetry, which makes one for each message."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def listen() -> Heard:
    """Hear what OpenTelemetry complains of, in place of the log."""
    logger = logging.getLogger("opentelemetry")
    heard = next((each for each in logger.handlers if isinstance(each, Heard)), None)
    if heard is None:
        logger.addHandler(heard := Heard(logging.WARNING))
        logger.propagate = False
    return heard
