"""The log: what happened to devices, what was dropped or left out, and why. No words, no faces."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from platformdirs import user_log_path

from app.events import (
    DeviceChanged,
    EffortChanged,
    Event,
    ProblemOccurred,
    SessionEnded,
    SessionPaused,
    SessionResumed,
    SessionStarted,
    UtteranceDropped,
)

_PACKAGES = ("app", "live_features", "sdt_model")
_BYTES, _KEPT = 1_000_000, 3

_log = logging.getLogger(__name__)


def log_file() -> Path:
    """Where the log is, whether or not it exists yet."""
    return user_log_path("sdt-live", appauthor=False) / "sdt-live.log"


def start_logging(path: Path | None = None) -> Path | None:
    """Write the packages' log to ``path`` (:func:`log_file` by default), a few megabytes at most.

    Returns the file, or None where it cannot be written: the program works without.
    """
    path = path or log_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8", delay=False)
    except OSError:
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        for old in [h for h in logger.handlers if isinstance(h, RotatingFileHandler)]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return path


class _LogFile(RotatingFileHandler):
    """On a disk that is full nothing is logged, and nobody bothered with that on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """The record is lost."""


def log_event(event: Event) -> None:
    """A sink that notes what one would want to know of a session that went wrong."""
    at = f"{event.media_time:.2f} s"
    match event:
        case SessionStarted():
            _log.info("session of %s began on %s, models: %s", *_known(event))
        case DeviceChanged():
            lost = f", {event.lost:.2f} s of sound lost" if event.lost else ""
            _log.warning("%s: %s %s%s (%s)", at, event.device, event.code, lost, event.message)
        case SessionPaused():
            _log.info("%s: paused", at)
        case SessionResumed():
            _log.info("%s: resumed", at)
        case EffortChanged(without=without) if without:
            _log.warning("%s: too slow for this machine, without %s", at, ", ".join(without))
        case EffortChanged():
            _log.info("%s: keeps up again, nothing is left out", at)
        case UtteranceDropped():
            _log.info("%.2f s to %.2f s dropped: %s", event.start, event.end, event.reason)
        case ProblemOccurred(message=message):
            _log.error("%s: %s", at, message)
        case SessionEnded():
            _log.info("%s: ended (%s), %d utterances", at, event.reason, event.utterances)


def _known(event: SessionStarted) -> tuple[str, str, str]:
    models = ", ".join(f"{name} from {origin}" for name, origin in event.weights.items())
    return event.source, event.device, models
