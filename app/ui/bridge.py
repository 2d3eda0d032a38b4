"""From the engine's threads to the window: poll, compare, hand on. Never waits."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from app.preview import LatestFrame
from app.session.replay import Replay
from app.state import SessionState, Snapshot

_PERIOD_MS = 33
_STEP = 0.09  # seconds; a playhead that has moved less is a pixel or so from where it was


class Bridge(QObject):
    """Looks at the session and the newest frame 30 times a second, in the window's thread.

    ``session_changed`` carries a :class:`~app.state.Snapshot` and fires only when its version has
    grown; where only time has gone on, that is told once it is a tenth of a second.
    ``frame_changed`` carries a :class:`~live_features.media.VideoFrame` not seen before.
    """

    session_changed = Signal(object)
    frame_changed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._state: SessionState | Replay = SessionState()
        self._preview = LatestFrame()
        self._told: Snapshot | None = None
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
        if changed and not _has_hardly_moved(told, snapshot):
            self._told = snapshot
            self.session_changed.emit(snapshot)
        frame = self._preview.get()
        if frame is not self._frame:
            self._frame = frame
            self.frame_changed.emit(frame)


def _has_hardly_moved(before: Snapshot | None, now: Snapshot) -> bool:
    return (
        before is not None
        # Where time stands still, each step is one that somebody took.
        and now.playing in ("playing", "")
        # A playhead that stands still has not made the version grow: something else has.
        and 0.0 < now.position - before.position < _STEP
        and now == replace(before, version=now.version, position=now.position)
    )
