"""Open the window at once, work behind it, and end both in order."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication

from app.conversation import Conversation
from app.state import Snapshot
from app.ui.availability import ignore_foreign_plugins
from app.ui.main_window import MainWindow

_PATIENCE = 5.0  # seconds given to the work to end after the window has closed


def run_window(
    conversation: Conversation,
    *,
    close_when_ended: bool = False,
    screenshot_at: tuple[float, Path] | None = None,
) -> int:
    """Show ``conversation``, which begins once the window is on the screen.

    ``screenshot_at`` saves the window as an image when the session reaches that many seconds, or
    ends before. Returns the exit code of the conversation that was shown last.
    """
    ignore_foreign_plugins()
    app = QApplication.instance() or QApplication(["sdt-live"])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    app.setApplicationDisplayName("sdt-live")
    window = MainWindow(on_close=app.quit)
    window.show_conversation(conversation)
    if screenshot_at is not None:
        window.bridge.session_changed.connect(_Screenshot(window, *screenshot_at))
    if close_when_ended:
        window.bridge.session_changed.connect(lambda now: window.close() if _over(now) else None)
    window.show()
    app.processEvents()
    interrupt = signal.signal(signal.SIGINT, lambda *_: window.close())
    try:
        if not conversation.stopping.is_set():  # nobody closed it while it was being painted
            conversation.begin()
            app.exec()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        conversation.close()
    _wait_for(conversation, app)
    window.deleteLater()
    app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
    return conversation.exit_code


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


def _wait_for(conversation: Conversation, app: QApplication) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not conversation.join(0.02) and time.monotonic() < deadline:
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
