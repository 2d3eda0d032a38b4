"""A session read back from its event log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.events import SessionStarted, UtteranceLabelled
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
    started: SessionStarted | None = None
    delays = []
    for event in log:
        match event:
            case SessionStarted():
                started = event
            case UtteranceLabelled() if started is not None and started.speed == 1.0:
                delays.append(event.emitted_at - event.media_time)
        state(event)
    if started is None:
        raise UserFacingError(
            f"{folder / EVENTS} holds no session: give a folder that sdt-live --export wrote."
        )
    return LoggedSession(state.snapshot(), started, tuple(delays), log.torn)
