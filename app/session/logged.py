"""A session read back from its event log."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.events import (
    DeviceChanged,
    Event,
    ProblemOccurred,
    Reading,
    SessionEnded,
    SessionStarted,
    SpeakerFound,
    SpeakerRenamed,
    StageFinished,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceReassigned,
    UtteranceRevised,
)
from app.session.reader import (
    MOST_EVENT_BYTES,
    MOST_LINE_BYTES,
    open_plain,
    require_size,
)
from app.state import SessionState, Snapshot
from live_features.emotions import EMOTIONS, MODALITIES
from live_features.errors import UserFacingError

LOG_NAME = "events.jsonl"

_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        SessionStarted,
        UtteranceDropped,
        StageFinished,
        SpeakerFound,
        SpeakerRenamed,
        UtteranceLabelled,
        UtteranceReassigned,
        UtteranceRevised,
        DeviceChanged,
        ProblemOccurred,
        SessionEnded,
    )
}
"""What a finished session is made of; the rest, faces above all, only mattered while it ran."""


@dataclass(frozen=True, slots=True)
class LoggedSession:
    """What an export is made from.

    ``delays`` are the seconds from the end of speech to the label, an utterance each, and empty
    unless the session kept pace with a real clock. ``torn`` says that the last line of the log was
    cut off and left out; ``redacted`` that words and names have been taken out.
    """

    snapshot: Snapshot
    started: SessionStarted
    delays: tuple[float, ...]
    torn: bool
    redacted: bool = False

    @property
    def duration(self) -> float:
        """Seconds of the session: of the recording where known, else to the last word."""
        heard = max((u.end for u in self.snapshot.utterances), default=0.0)
        return max(heard, self.started.duration or 0.0)


def read_session(folder: Path) -> LoggedSession:
    """Fold the event log in ``folder``, which an export or a recorded session wrote.

    Raises:
        UserFacingError: there is no log, it cannot be read, or it is damaged before its last line.
    """
    path = folder / LOG_NAME
    if not os.path.lexists(path):
        raise UserFacingError(
            f"There is no {LOG_NAME} in {folder}: give a folder that sdt-live --export wrote."
        )
    with open_plain(folder, LOG_NAME) as file:
        require_size(file, folder, LOG_NAME, MOST_EVENT_BYTES)
        return _folded(file, path)


def _folded(file: BinaryIO, path: Path) -> LoggedSession:
    state = SessionState()
    started: SessionStarted | None = None
    delays = []
    lines = _Lines(file)
    for event in _events(lines, path):
        match event:
            case SessionStarted():
                started = event
            case UtteranceLabelled() if started is not None and started.speed == 1.0:
                delays.append(event.emitted_at - event.media_time)
        try:
            state(event)
        except IndexError:
            raise UserFacingError(
                f"{path} is damaged: a {event.kind} is about somebody or something that was not "
                "told of before; take another copy."
            ) from None
    if started is None:
        raise UserFacingError(
            f"{path} holds no session: give a folder that sdt-live --export wrote."
        )
    return LoggedSession(state.snapshot(), started, tuple(delays), lines.torn)


class _Lines:
    """The whole lines of a log; afterwards ``torn`` says whether one was cut off while written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.torn = False

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(MOST_LINE_BYTES + 1):
            if not line.endswith(b"\n") and len(line) <= MOST_LINE_BYTES:
                self.torn = True
                return
            yield line


def _events(lines: Iterable[bytes], path: Path) -> Iterator[Event]:
    for number, line in enumerate(lines, 1):
        try:
            if len(line) > MOST_LINE_BYTES:
                raise ValueError("too long")
            fields = json.loads(line.decode("utf-8", "replace"))
            event = _event(fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserFacingError(
                f"Line {number} of {path} is damaged: take another copy of the session."
            ) from None
        if event is not None:
            yield event


def _event(fields: dict[str, Any]) -> Event | None:
    """The event of a line, None where an export has no use for its kind."""
    kind = _KINDS.get(fields.pop("event"))
    if kind is None:
        return None
    for name in ("media_time", "emitted_at", "start", "end"):
        if name in fields:
            fields[name] = float(fields[name])
    for name in ("text", "name", "source", "message"):
        if name in fields and not isinstance(fields[name], str):
            raise ValueError(name)
    if "reading" in fields:
        fields["reading"] = _reading(fields["reading"])
    # Fields that a later version added are no reason to refuse a log.
    known = {f.name for f in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in fields.items() if name in known})


def _reading(fields: dict[str, Any]) -> Reading:
    def student(modality: str) -> tuple[float, ...] | None:
        given = fields[modality]
        return None if given is None else _numbers(given, len(EMOTIONS))

    return Reading(
        fused=_numbers(fields["fused"], len(EMOTIONS)),
        text=student("text"),
        audio=student("audio"),
        visual=student("visual"),
        gates=_numbers(fields["gates"], len(MODALITIES)),
        contributions=_numbers(fields["contributions"], len(MODALITIES)),
        unsure=fields.get("unsure") is True,
    )


def _numbers(values: list[Any], count: int) -> tuple[float, ...]:
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers instead of {count}")
    return tuple(float(value) for value in values)
