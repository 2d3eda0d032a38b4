"""A session read back from its event log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.events import Event, SessionStarted, UtteranceLabelled
from app.session.event_file import EventFile
from app.session.log import EVENTS
from app.state import SessionState, Snapshot
from live_features.errors import UserFacingError


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


class Notes:
    """A sink that keeps, of a session that goes on, what an export needs beside the snapshot."""

    def __init__(self) -> None:
        self._started: SessionStarted | None = None
        self._delays: list[float] = []

    def __call__(self, event: Event) -> None:
        match event:
            case SessionStarted():
                self._started = event
            case UtteranceLabelled() if self._started is not None and self._started.speed == 1.0:
                self._delays.append(event.emitted_at - event.media_time)

    def session(self, snapshot: Snapshot, *, torn: bool = False) -> LoggedSession | None:
        """What has been so far, None where nothing has begun; from any thread."""
        if self._started is None:
            return None
        return LoggedSession(snapshot, self._started, tuple(self._delays), torn)


def read_session(folder: Path) -> LoggedSession:
    """Fold the event log in ``folder``, which an export or a recorded session wrote.

    Raises:
        UserFacingError: there is no log, it cannot be read, or it is damaged before its last line.
    """
    log = EventFile(folder, advice="take another copy of the session")
    if not log.is_there:
        raise UserFacingError(
            f"There is no {EVENTS} in {folder}: give a folder that sdt-live --export wrote."
        )
    state = SessionState()
    notes = Notes()
    for event in log:
        notes(event)
        state(event)
    session = notes.session(state.snapshot(), torn=log.torn)
    if session is None:
        raise UserFacingError(
            f"{folder / EVENTS} holds no session: give a folder that sdt-live --export wrote."
        )
    return session
