"""From the engine's threads to the window: poll, compare, hand on. Never waits."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from app.preview import LatestFrame
from app.session.replay import Replay
from app.state import SessionState, Snapshot

_PERIOD_MS = 33
_JUMP = 0.5  # seconds; so far nothing that plays moves between two looks


class Bridge(QObject):
    """Looks at the session and the newest frame 30 times a second, in the window's thread.

    ``session_changed`` carries a :class:`~app.state.Snapshot` and fires only when its version has
    grown; where only the playhead has moved on, that is told at every second look.
    ``frame_changed`` carries a :class:`~live_features.media.VideoFrame` not seen before.
    """

    session_changed = Signal(object)
    frame_changed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._state: SessionState | Replay = SessionState()
        self._preview = LatestFrame()
        self._told: Snapshot | None = None
        self._has_told = False
        self._frame: object = None
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self.poll)

    def watch(self, state: SessionState | Replay, preview: LatestFrame) -> None:
        """Look at these from now on, and tell of them at once."""
        self._state, self._preview = state, preview
        self._told = self._frame = None
        self.poll()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def poll(self) -> None:
        snapshot, told = self._state.snapshot(), self._told
        changed = told is None or snapshot.version != told.version
        # What moving a playhead 30 times a second would cost is better spent on reading.
        if changed and not (self._has_told and _has_only_moved(told, snapshot)):
            self._told, self._has_told = snapshot, True
            self.session_changed.emit(snapshot)
        else:
            self._has_told = False
        frame = self._preview.get()
        if frame is not self._frame:
            self._frame = frame
            self.frame_changed.emit(frame)


def _has_only_moved(before: Snapshot | None, now: Snapshot) -> bool:
    return (
        before is not None
        and 0.0 <= now.position - before.position < _JUMP
        and now == replace(before, version=now.version, position=now.position)
    )
