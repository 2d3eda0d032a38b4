"""Open the window at once, work behind it, and end both in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication

from app.preview import LatestFrame
from app.state import SessionState, Snapshot
from app.ui.availability import ignore_foreign_plugins
from app.ui.main_window import MainWindow
from live_features.errors import UserFacingError

_PATIENCE = 5.0  # seconds given to the work to end after the window has closed


def run_window(
    state: SessionState,
    preview: LatestFrame,
    *,
    title: str,
    work: Callable[[threading.Event], None],
    close_when_ended: bool = False,
    screenshot_at: tuple[float, Path] | None = None,
) -> int:
    """Show ``state`` and ``preview`` in a window while ``work`` fills them in a thread of its own.

    ``work`` is started once the window is on the screen; it gets an event that is set when the
    window closes, and should return soon after. ``screenshot_at`` saves the window as an image
    when the session reaches that many seconds, or ends before. Returns 0, or 2 where ``work``
    raised :class:`~live_features.errors.UserFacingError` (the window shows its message), or 1 where
    it broke on something else.
    """
    ignore_foreign_plugins()
    app = QApplication.instance() or QApplication([title])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    app.setApplicationDisplayName(title)
    stop = threading.Event()
    worker = _Worker(work, stop, state)

    def end() -> None:
        stop.set()
        app.quit()

    window = MainWindow(state, preview, on_close=end)
    window.setWindowTitle(title)
    if screenshot_at is not None:
        window.bridge.session_changed.connect(_Screenshot(window, *screenshot_at))
    if close_when_ended:
        window.bridge.session_changed.connect(lambda now: window.close() if _over(now) else None)
    window.show()
    app.processEvents()
    interrupt = signal.signal(signal.SIGINT, lambda *_: window.close())
    try:
        if not stop.is_set():  # nobody closed it while it was being painted
            worker.start()
            app.exec()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        stop.set()
    _wait_for(worker, app)
    window.deleteLater()
    app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
    return worker.exit_code


class _Worker(threading.Thread):
    """Runs the work and turns its failure into a phase of the session."""

    def __init__(
        self, work: Callable[[threading.Event], None], stop: threading.Event, state: SessionState
    ) -> None:
        super().__init__(name="session", daemon=True)
        self._work = work
        self._stop_event = stop
        self._state = state
        self.exit_code = 0

    def run(self) -> None:
        broke = True
        try:
            self._work(self._stop_event)
            broke = False
        except UserFacingError as error:
            broke = False
            self.exit_code = 2
            self._state.show(phase="failed", message=str(error))
        finally:
            if broke:
                self.exit_code = 1
                self._state.show(
                    phase="failed",
                    message="The program broke off by a mistake of its own; "
                    "the terminal it was started from says where.",
                )


class _Screenshot:
    """Saves the window once, when the session gets to a given time or is over."""

    def __init__(self, window: MainWindow, media_time: float, path: Path) -> None:
        self._window = window
        self._media_time = media_time
        self._path = path
        self._taken = False

    def __call__(self, now: Snapshot) -> None:
        if not self._taken and (now.position >= self._media_time or _over(now)):
            self._taken = True
            self._window.grab().save(str(self._path))


def _over(now: Snapshot) -> bool:
    return now.phase in ("ended", "failed")


def _wait_for(worker: threading.Thread, app: QApplication) -> None:
    deadline = time.monotonic() + _PATIENCE
    while worker.is_alive() and time.monotonic() < deadline:
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
        worker.join(0.02)
