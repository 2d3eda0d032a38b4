"""The events of a session, read back from their file: the one door for recordings and exports.

A file may come from a stranger, from a later version of this program, or have been cut off in the
middle of a word. Nothing in it is run, and no more is held in memory than a session of a day needs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.events import (
    DeviceChanged,
    Event,
    MarkerPlaced,
    ProblemOccurred,
    SpeakerColoured,
    SpeakerFound,
    SpeakerLeft,
    SpeakerRenamed,
    StageFinished,
    UtteranceCorrected,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceReassigned,
    UtteranceRevised,
    from_json,
)
from app.session.log import EVENTS
from live_features.errors import UserFacingError

MOST_LINE_BYTES = 262_144
MOST_EVENT_BYTES = 1 << 30
MOST_UTTERANCES = 50_000
MOST_SPEAKERS = 256
MOST_NOTICES = 50_000
_MOST_CODES = 64  # of stages and of reasons to drop
_MOST_CHARACTERS = 10_000  # of what is said in one utterance


class EventFile:
    """The events in ``events.jsonl`` of a folder, in their order, read while iterating.

    Afterwards ``torn`` says whether the last line was cut off while it was written, and is left
    out, and ``unknown`` how many lines tell of what only a later version knows.

    Iterating raises :class:`UserFacingError` where the file is larger than any that is written
    here, no plain file, or damaged before its last line; ``advice`` ends the sentence on that.
    """

    def __init__(self, folder: Path, *, advice: str) -> None:
        self.torn = False
        self.unknown = 0
        self._folder = folder
        self._name = folder.absolute().name
        self._advice = advice

    @property
    def is_there(self) -> bool:
        return os.path.lexists(self._folder / EVENTS)

    def __iter__(self) -> Iterator[Event]:
        with open_plain(self._folder, EVENTS) as file:
            require_size(file, self._folder, EVENTS, MOST_EVENT_BYTES)
            yield from self._checked(file)

    def _checked(self, file: BinaryIO) -> Iterator[Event]:
        story = _Story()
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            try:
                event = _event(line)
                if event is None:
                    self.unknown += 1
                    continue
                story.add(event)
            except ValueError as error:
                if not line.endswith(b"\n") and len(line) <= MOST_LINE_BYTES:
                    self.torn = True
                    return
                reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                raise UserFacingError(
                    f"Line {number} of {EVENTS} in {self._name} is damaged ({reason}); "
                    f"{self._advice}."
                ) from None
            yield event


class _Story:
    """What events may refer to, people who were found and utterances that were labelled, and how
    much of what a view keeps there may be.
    """

    def __init__(self) -> None:
        self._speakers = 0
        self._left: set[int] = set()
        self._utterances = 0
        self._notices = 0
        self._codes: set[str] = set()

    def add(self, event: Event) -> None:
        """Raises ``ValueError`` where ``event`` does not fit to those before."""
        match event:
            case SpeakerFound(speaker=speaker):
                if speaker in self._left:
                    self._left.remove(speaker)
                    return
                _require(speaker == self._speakers < MOST_SPEAKERS, "speakers do not count up")
                self._speakers += 1
            case SpeakerRenamed(speaker=speaker) | SpeakerColoured(speaker=speaker):
                self._require_speaker(speaker)
            case SpeakerLeft(speaker=speaker):
                self._require_speaker(speaker)
                self._left.add(speaker)
            case UtteranceLabelled(index=index, speaker=speaker, text=text):
                _require(index == self._utterances < MOST_UTTERANCES, "utterances do not count up")
                _require(len(text) <= _MOST_CHARACTERS, "nobody says so much at once")
                self._require_speaker(speaker)
                self._utterances += 1
            case UtteranceReassigned(index=index, speaker=speaker):
                self._require_utterance(index)
                self._require_speaker(speaker)
            case UtteranceRevised(index=index):
                self._require_utterance(index)
            case UtteranceCorrected(index=index, text=text):
                self._require_utterance(index)
                _require(len(text) <= _MOST_CHARACTERS, "nobody says so much at once")
            case DeviceChanged() | ProblemOccurred() | MarkerPlaced():
                self._notices += 1
                _require(self._notices <= MOST_NOTICES, "there are too many notices")
            case StageFinished(stage=code) | UtteranceDropped(reason=code):
                self._codes.add(code)
                _require(len(self._codes) <= _MOST_CODES, "there are too many codes")

    def _require_speaker(self, speaker: int) -> None:
        _require(0 <= speaker < self._speakers, "nobody knows its speaker")

    def _require_utterance(self, index: int) -> None:
        _require(0 <= index < self._utterances, "nobody knows its utterance")


def _event(line: bytes) -> Event | None:
    if len(line) > MOST_LINE_BYTES:
        raise ValueError("it is too long")
    return from_json(line.decode("utf-8"))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def open_plain(folder: Path, name: str) -> BinaryIO:
    """A file of the session: a plain one that lies in the folder itself.

    A link may lead anywhere, and opening a pipe may never return.
    """
    path = folder / name
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise UserFacingError(
                f"{name} in {folder} is a link or no file at all, which a session may not hold; "
                "copy the session again, with the files themselves."
            )
        return path.open("rb")
    except FileNotFoundError:
        raise UserFacingError(
            f"{folder} has no {name}, so it is no session or was cut off at its very beginning; "
            "choose another."
        ) from None
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror}); check its permissions and the disk."
        ) from None


def require_size(file: BinaryIO, folder: Path, name: str, most: int) -> None:
    """Raises :class:`UserFacingError` where a file of the session is larger than ``most`` bytes."""
    if os.fstat(file.fileno()).st_size > most:
        raise UserFacingError(
            f"{name} in {folder} is larger than any that this program writes; choose another."
        )
