"""A session read back from its event log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.events import CUT_OFF, Event, SessionEnded, SessionStarted, UtteranceLabelled
from app.session.event_file import EventFile
from app.session.log import EVENTS
from app.state import SessionState, Snapshot
from live_features.errors import UserFacingError


@dataclass(frozen=True, slots=True)
class LoggedSession:
    """What an export is made from.

    ``delays`` are the seconds from the end of speech to the label, an utterance each, and empty
    unless the session kept pace with a real clock. ``torn`` says that the last line of the log was
    cut off and left out; ``redacted`` that words and names have been taken out. ``ended`` is the
    second at which it ended, None where it goes on or was cut off.
    """

    snapshot: Snapshot
    started: SessionStarted
    delays: tuple[float, ...]
    torn: bool
    redacted: bool = False
    ended: float | None = None

    @property
    def duration(self) -> float:
        """Seconds of the session, or, where it did not end, to the last thing that is known of."""
        return max(self.eventful, self.ended or 0.0)

    @property
    def eventful(self) -> float:
        """Seconds in which there is anything to show: the recording, words, marks and pauses."""
        now = self.snapshot
        moments = (*(u.end for u in now.utterances), *(m.time for m in now.marks), *now.pauses)
        return max(*moments, self.started.duration or 0.0, 0.0)


class Notes:
    """A sink that keeps, of a session that goes on, what an export needs beside the snapshot."""

    def __init__(self) -> None:
        self._started: SessionStarted | None = None
        self._delays: list[float] = []
        self._ended: float | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case SessionStarted():
                self._started = event
            case UtteranceLabelled() if self._started is not None and self._started.speed == 1.0:
                self._delays.append(event.emitted_at - event.media_time)
            case SessionEnded() if event.reason != CUT_OFF:
                self._ended = event.media_time

    def session(self, snapshot: Snapshot, *, torn: bool = False) -> LoggedSession | None:
        """What has been so far, None where nothing has begun; from any thread."""
        if self._started is None:
            return None
        delays = tuple(self._delays)
        return LoggedSession(snapshot, self._started, delays, torn, ended=self._ended)


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
