"""The window in front of the real engine, closed in the middle of its work, and live."""

from __future__ import annotations

import threading

import pytest

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.options import ModelOptions, RunOptions
from app.state import Snapshot
from app.ui.availability import qt_unavailable

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from app.ui.run import run_window


@pytest.mark.usefixtures("qapp")
def test_closing_in_the_middle_labels_what_was_heard_and_leaves_nothing_running() -> None:
    run = RunOptions(DEMO_MEDIA, speed=2.0, models=ModelOptions(offline=True))
    conversation = Conversation(run)
    state = conversation.state
    seen: list[Snapshot] = []

    def close_after_the_first_label() -> None:
        now = state.snapshot()
        if now.utterances or now.phase == "failed":
            seen.append(now)
            QApplication.closeAllWindows()

    timer = QTimer()
    timer.setInterval(20)
    timer.timeout.connect(close_after_the_first_label)
    timer.start()
    conversation.open()
    status = run_window(conversation)
    timer.stop()
    assert status == 0
    assert seen[0].phase == "running"
    assert conversation.preview.get() is not None
    assert conversation.replay is not None
    read = conversation.replay.reading.snapshot()
    assert read.phase == "ended"
    # Reading is ahead of what is shown, and breaks off as well.
    assert len(seen[0].utterances) <= len(read.utterances) < 22
    assert state.snapshot().position < 60.0
    ours = {"session", "recogniser", "listener", "watcher", "player"}
    assert ours.isdisjoint(thread.name for thread in threading.enumerate())
    assert [w for w in QApplication.topLevelWidgets() if w.isVisible()] == []
