"""Opens a recorded session: as it was, or its media to be read anew.

Nothing in the folder is run, and nothing outside it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from app.events import Event
from app.session import card as session_card
from app.session.card import CARD, MEDIA, SUFFIX, SessionCard
from app.session.event_file import EventFile, open_plain, require_size
from app.session.features import FEATURES, Vectors, read_features
from app.session.features import MOST_BYTES as MOST_FEATURE_BYTES
from app.session.log import EVENTS
from live_features.errors import UserFacingError
from live_features.media import Clock
from live_features.sources.recording import RecordingSource


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
            require_size(file, folder, CARD, session_card.MOST_BYTES)
            data = file.read(session_card.MOST_BYTES)
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
        file = EventFile(
            self.folder,
            advice="replay the session without --as-recorded, which reads its media anew",
        )
        if not file.is_there:
            self.notes.append(f"{self.name} has no {EVENTS}: nothing was made of it.")
            return
        told = False
        for event in file:
            told = True
            yield event
        if not told:
            self.notes.append(f"{self.name} was cut off before anything was heard; it is empty.")
        elif file.torn:
            self.notes.append(
                f"The last line of {EVENTS} in {self.name} is incomplete and was left out."
            )
        if file.unknown:
            self.notes.append(
                f"A later version of this program made {self.name}; what only that knows was "
                "left out."
            )

    @property
    def has_features(self) -> bool:
        """Whether there is what was measured of its utterances; older sessions lack it."""
        return os.path.lexists(self.folder / FEATURES)

    @property
    def lacks_features(self) -> str:
        """One sentence on what that means where features are missing."""
        return (
            f"{self.name} does not hold what was measured of its utterances, so it cannot be "
            "corrected as it was; read it again, and correct that."
        )

    def features(self, utterances: int) -> dict[int, Vectors]:
        """What was measured of each of the first ``utterances``, by index; empty where nothing was.

        Raises:
            UserFacingError: the file is damaged or too large.
        """
        if not self.has_features:
            return {}
        with open_plain(self.folder, FEATURES) as file:
            require_size(file, self.folder, FEATURES, MOST_FEATURE_BYTES)
            try:
                return dict(read_features(file, utterances))
            except ValueError as error:
                raise UserFacingError(
                    f"{FEATURES} in {self.name} is damaged ({error}); replay the session, which "
                    "reads its media anew."
                ) from None

    def media(self, clock: Clock) -> RecordingSource:
        """What was seen and heard, at the pace of ``clock``.

        Raises:
            UserFacingError: it cannot be played.
        """
        if not os.path.lexists(self.folder / MEDIA):
            raise UserFacingError(
                f"{self.name} has no {MEDIA}, so there is nothing to play or to read anew; "
                "--as-recorded, or the window, shows what was made of it."
            )
        with open_plain(self.folder, MEDIA) as file:
            if not file.read(1):
                raise UserFacingError(
                    f"{self.name} was cut off before any sound was recorded, so there is nothing "
                    "to play; record another session."
                )
        channels = self.card.channels
        return RecordingSource(
            self.folder / MEDIA, clock, name=self.name, channels=channels if channels else None
        )
