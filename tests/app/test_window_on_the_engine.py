"""The window in front of the real engine, closed in the middle of its work, and live."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.corrections import Rename
from app.events import SessionEnded, UtteranceLabelled
from app.options import CommandLine, LiveOptions, ModelOptions, RunOptions
from app.session.reader import RecordedSession
from app.state import Snapshot
from app.ui.availability import qt_unavailable
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from app.ui.main_window import MainWindow
from app.ui.preferences import Preferences, Settings
from app.ui.run import run_window
from app.ui.shell import Shell


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


def test_a_live_session_is_recorded_ended_and_corrected(
    qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    blocks = [i.samples[:, 0] for i in source if isinstance(i, AudioBlock) and i.end <= 7.0]
    desk = FakeDevice("Desk mic", np.concatenate(blocks), rate=SAMPLE_RATE)
    fake = FakeSoundDevice([desk])
    monkeypatch.setattr("live_features.sources.portaudio.load_portaudio", lambda: fake)
    monkeypatch.setattr("live_features.sources.microphone.load_portaudio", lambda: fake)
    settings = Settings()
    settings.understand()
    settings.save(Preferences(camera=-1, speakers=2, record=True))
    line = CommandLine(RunOptions(LiveOptions(), models=ModelOptions(offline=True)))
    window = MainWindow(on_close=lambda: None)
    qtbot.addWidget(window)
    shell = Shell(window, line, settings)
    shell.show_start()
    window.show()
    assert not desk.handed

    shell.live_action.trigger()
    qtbot.waitUntil(lambda: window.pages.currentIndex() == 1, timeout=120_000)
    conversation = window.conversation
    assert conversation is not None
    folder = conversation.options.record
    assert folder is not None
    state = conversation.state
    qtbot.waitUntil(lambda: bool(state.snapshot().utterances), timeout=60_000)
    shell.end_action.trigger()
    qtbot.waitUntil(lambda: state.snapshot().phase == "ended", timeout=60_000)
    assert conversation.requests.put(Rename(speaker=0, name="Mia"))
    qtbot.waitUntil(lambda: "Mia" in state.snapshot().speakers, timeout=20_000)
    told = len(state.snapshot().utterances)

    shell.close_action.trigger()
    qtbot.waitUntil(lambda: window.pages.currentWidget() is shell.start_page, timeout=60_000)
    events = list(RecordedSession(folder).events())
    assert sum(isinstance(event, UtteranceLabelled) for event in events) == told
    assert any(isinstance(event, SessionEnded) for event in events)

    assert settings.recent == (folder,)
    qtbot.waitUntil(lambda: bool(shell.start_page.recent_buttons), timeout=20_000)
    assert folder.stem in shell.start_page.recent_buttons[0].text()
    window.close()
    shell.close()
    assert shell.join(60.0)
    assert shell.exit_code == 0
