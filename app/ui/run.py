"""Open the window at once, work behind it, and end both in order."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication

from app.conversation import Conversation
from app.options import CommandLine, LiveOptions, RunOptions
from app.state import Snapshot
from app.ui.availability import ignore_foreign_plugins
from app.ui.main_window import MainWindow
from app.ui.preferences import Settings
from app.ui.shell import Shell

SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps Python to itself while others want it.

The window's thread asks for it many times in a frame, and the usual 5 ms would add up.
"""

_PATIENCE = 20.0
"""Seconds after the window has closed in which corrections that wait are still made and kept; the
first one has PyTorch imported. Where none waits the work ends within one."""


def run_window(
    conversation: Conversation | None,
    line: CommandLine | None = None,
    settings: Settings | None = None,
    *,
    begin_live: bool = False,
    close_when_ended: bool = False,
    screenshot_at: tuple[float, Path] | None = None,
) -> int:
    """Show ``conversation``, which begins once the window is on the screen, or the start page.

    What was typed, ``line``, comes before what was chosen, ``settings``, in all that is begun from
    the window; with ``begin_live`` that is a live session, at once. ``screenshot_at`` saves the
    window as an image when the session reaches that many seconds, or ends before. Returns the exit
    code of the conversation that was shown last.
    """
    ignore_foreign_plugins()
    sys.setswitchinterval(SWITCH_INTERVAL)
    app = QApplication.instance() or QApplication(["sdt-live"])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    app.setApplicationDisplayName("sdt-live")
    app.setQuitOnLastWindowClosed(False)
    # A loop of our own: to quit the application where it does not run yet would stay in force.
    loop = QEventLoop()
    closed = threading.Event()

    def close() -> None:
        closed.set()
        loop.quit()

    window = MainWindow(on_close=close)
    shell = Shell(window, line or CommandLine(RunOptions(LiveOptions())), settings or Settings())
    if conversation is None:
        shell.show_start()
    else:
        shell.show(conversation)
    if screenshot_at is not None:
        window.bridge.session_changed.connect(_Screenshot(window, *screenshot_at))
    if close_when_ended:
        window.bridge.session_changed.connect(lambda now: shell.quit() if _over(now) else None)
    window.show()
    app.processEvents()
    interrupt = signal.signal(signal.SIGINT, lambda *_: shell.quit())
    try:
        if not closed.is_set():  # nobody closed it while it was being painted
            shell.begin()
            if begin_live:
                shell.start_live()
            loop.exec()
    finally:
        signal.signal(signal.SIGINT, interrupt)
        shell.close()
    deadline = time.monotonic() + _PATIENCE
    while not shell.join(0.02) and time.monotonic() < deadline:
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
    window.deleteLater()
    app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
    return shell.exit_code


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
