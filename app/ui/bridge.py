"""From the engine's threads to the window: poll, compare, hand on. Never waits."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from app.preview import LatestFrame
from app.session.replay import Replay
from app.state import SessionState

_PERIOD_MS = 33


class Bridge(QObject):
    """Looks at the session and the newest frame 30 times a second, in the window's thread.

    ``session_changed`` carries a :class:`~app.state.Snapshot` and fires only when its version has
    grown; ``frame_changed`` carries a :class:`~live_features.media.VideoFrame` not seen before.
    """

    session_changed = Signal(object)
    frame_changed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._state: SessionState | Replay = SessionState()
        self._preview = LatestFrame()
        self._version: int | None = None
        self._frame: object = None
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self.poll)

    def watch(self, state: SessionState | Replay, preview: LatestFrame) -> None:
        """Look at these from now on, and tell of them at once."""
        self._state, self._preview = state, preview
        self._version = self._frame = None
        self.poll()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def poll(self) -> None:
        snapshot = self._state.snapshot()
        if snapshot.version != self._version:
            self._version = snapshot.version
            self.session_changed.emit(snapshot)
        frame = self._preview.get()
        if frame is not self._frame:
            self._frame = frame
            self.frame_changed.emit(frame)
