"""Opens a recorded session: as it was, or its media to be read anew.

A session may come from a stranger, or have been cut off in the middle of a word. Nothing in it is
run, nothing outside its folder is read, and no more is held in memory than a session of a day
needs.
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
    ProblemOccurred,
    SpeakerFound,
    SpeakerRenamed,
    StageFinished,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceReassigned,
    UtteranceRevised,
    from_json,
)
from app.session import card as session_card
from app.session.card import CARD, MEDIA, SUFFIX, SessionCard
from app.session.log import EVENTS
from live_features.errors import UserFacingError
from live_features.media import Clock
from live_features.sources.recording import RecordingSource

MOST_LINE_BYTES = 262_144
MOST_EVENT_BYTES = 1 << 30
MOST_UTTERANCES = 50_000
MOST_SPEAKERS = 256
MOST_NOTICES = 50_000
_MOST_CODES = 64  # of stages and of reasons to drop
_MOST_CHARACTERS = 10_000  # of what is said in one utterance


def is_session(path: Path) -> bool:
    """Whether ``path`` is a folder that means to be a session."""
    return path.is_dir() and (path.suffix == SUFFIX or (path / CARD).is_file())


class RecordedSession:
    """A session folder whose card has been read.

    ``notes`` holds a sentence on everything that was left out in reading; it grows while
    :meth:`events` goes on.
    """

    def __init__(self, folder: Path) -> None:
        """Read the card; nothing else is opened.

        Raises:
            UserFacingError: this is no session, or one of a newer program, or may not be read.
        """
        self.folder = folder
        self.name = folder.absolute().name
        self.notes: list[str] = []
        with open_plain(folder, CARD) as file:
            data = _contents(file, folder, CARD, session_card.MOST_BYTES)
        try:
            self.card = SessionCard.from_json(data.decode("utf-8"))
        except ValueError as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise UserFacingError(
                f"{self.name} cannot be opened because its {CARD} is not usable ({reason}); "
                "copy the session again, or replay its media file alone."
            ) from None

    def events(self) -> Iterator[Event]:
        """The events as they were recorded, in their order.

        Of a session that was cut off the last line may be incomplete; it is left out, with a note.

        Raises:
            UserFacingError: a line before the last is damaged, or the file is too large.
        """
        if not (self.folder / EVENTS).exists() and not (self.folder / EVENTS).is_symlink():
            self.notes.append(f"{self.name} has no {EVENTS}: nothing was made of it.")
            return
        with open_plain(self.folder, EVENTS) as file:
            require_size(file, self.folder, EVENTS, MOST_EVENT_BYTES)
            yield from self._checked(file)

    def media(self, clock: Clock) -> RecordingSource:
        """What was seen and heard, at the pace of ``clock``.

        Raises:
            UserFacingError: it cannot be played.
        """
        open_plain(self.folder, MEDIA).close()
        channels = self.card.channels
        return RecordingSource(
            self.folder / MEDIA, clock, name=self.name, channels=channels if channels else None
        )

    def _checked(self, file: BinaryIO) -> Iterator[Event]:
        story = _Story()
        number = 0
        line = file.readline(MOST_LINE_BYTES + 1)
        while line:
            number += 1
            following = file.readline(MOST_LINE_BYTES + 1)
            try:
                event = _event(line)
                story.add(event)
            except ValueError as error:
                if not following:
                    self.notes.append(
                        f"The last line of {EVENTS} in {self.name} is incomplete and was left out."
                    )
                    return
                reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                raise UserFacingError(
                    f"Line {number} of {EVENTS} in {self.name} is damaged ({reason}); "
                    "replay the session without --as-recorded, which reads its media anew."
                ) from None
            yield event
            line = following


class _Story:
    """What events may refer to, people who were found and utterances that were labelled, and how
    much of what a view keeps there may be.
    """

    def __init__(self) -> None:
        self._speakers = 0
        self._utterances = 0
        self._notices = 0
        self._codes: set[str] = set()

    def add(self, event: Event) -> None:
        """Raises ``ValueError`` where ``event`` does not fit to those before."""
        match event:
            case SpeakerFound(speaker=speaker):
                _require(speaker == self._speakers < MOST_SPEAKERS, "speakers do not count up")
                self._speakers += 1
            case SpeakerRenamed(speaker=speaker):
                self._require_speaker(speaker)
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
            case DeviceChanged() | ProblemOccurred():
                self._notices += 1
                _require(self._notices <= MOST_NOTICES, "there are too many notices")
            case StageFinished(stage=code) | UtteranceDropped(reason=code):
                self._codes.add(code)
                _require(len(self._codes) <= _MOST_CODES, "there are too many codes")

    def _require_speaker(self, speaker: int) -> None:
        _require(0 <= speaker < self._speakers, "nobody knows its speaker")

    def _require_utterance(self, index: int) -> None:
        _require(0 <= index < self._utterances, "nobody knows its utterance")


def _event(line: bytes) -> Event:
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


def _contents(file: BinaryIO, folder: Path, name: str, most: int) -> bytes:
    require_size(file, folder, name, most)
    return file.read(most)
