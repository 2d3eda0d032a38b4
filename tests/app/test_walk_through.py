"""What a person does on the first day: the real window and engine, devices that play a file.

Demo, live with a pause, recorded, played as it was, a speaker renamed and coloured, a report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.corrections import Recolour, Rename
from app.events import SessionEnded, SessionPaused, SessionResumed, UtteranceLabelled
from app.options import CommandLine, LiveOptions, ModelOptions, RunOptions
from app.session.reader import RecordedSession
from app.session.replay import Reading
from app.ui.availability import qt_unavailable
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from tests.fake_camera import FakeCamera
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from app.ui.consent import ConsentCard
from app.ui.main_window import MainWindow
from app.ui.preferences import Preferences, Settings
from app.ui.shell import Shell

pytestmark = pytest.mark.usefixtures("nothing_left_alive")

SECONDS = 7.0


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """A microphone and a camera at which the beginning of the demo is played."""
    sound, pictures = [], []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock) and item.end > SECONDS:
            break
        if isinstance(item, AudioBlock):
            sound.append(item.samples[:, 0])
        elif isinstance(item, VideoFrame) and len(pictures) < 50:
            pictures.append(item.image)
    desk = FakeDevice("Desk mic", np.concatenate(sound), rate=SAMPLE_RATE)
    fake = FakeSoundDevice([desk])
    monkeypatch.setattr("live_features.sources.portaudio.load_portaudio", lambda: fake)
    monkeypatch.setattr("live_features.sources.microphone.load_portaudio", lambda: fake)
    camera = FakeCamera(pictures, 15.0)
    monkeypatch.setattr("live_features.sources.webcam.open_with_opencv", camera)
    monkeypatch.setattr("live_features.sources.webcam.system_cameras", lambda: {0: "Lid camera"})
    return desk


def test_from_the_demo_to_a_report_of_ones_own(  # noqa: PLR0915
    qtbot: Any, tmp_path: Any, desk: FakeDevice
) -> None:
    def wait(true: Callable[[], object]) -> None:
        qtbot.waitUntil(lambda: bool(true()), timeout=120_000)

    settings = Settings()
    settings.save(Preferences(speakers=2, record=True, unsure_below=99))
    line = CommandLine(RunOptions(LiveOptions(), models=ModelOptions(offline=True)))
    window = MainWindow(on_close=lambda: None)
    qtbot.addWidget(window)
    shell = Shell(window, line, settings)
    shell.show_start()
    window.show()

    shell.demo_action.trigger()
    wait(lambda: window.transcript.model().rowCount())
    window.status.clearMessage()  # that there is nothing to hear it with
    assert window.status.phase.text() in ("Playing", "Still being read")
    assert not shell.pause_action.isEnabled()
    window.playing.play_action.trigger()
    wait(lambda: window.status.phase.text() == "Paused")

    shell.live_action.trigger()
    (card,) = window.findChildren(ConsentCard)
    assert not desk.handed
    card.accept()
    wait(lambda: window.pages.currentIndex() == 1 and shell.pause_action.isEnabled())
    live = the_conversation(window)
    folder = live.options.record
    assert folder is not None
    assert window.status.phase.text() == "Listening"
    wait(lambda: window.video.faces)
    wait(lambda: live.state.snapshot().utterances)

    assert live.state.snapshot().utterances[0].unsure
    live.doubt(None)
    wait(lambda: not live.state.snapshot().utterances[0].unsure)

    shell.pause_action.trigger()
    wait(lambda: window.status.phase.text() == "Paused")
    assert "nothing is heard, seen or recorded" in window.banner.text()
    assert window.banner.isVisible()
    assert shell.pause_action.text() == "&Resume live session"
    assert window.video.faces == ()
    shell.pause_action.trigger()
    wait(lambda: window.status.phase.text() == "Listening")
    assert not window.banner.isVisible()
    wait(desk.exhausted.is_set)
    shell.end_action.trigger()
    wait(lambda: live.state.snapshot().phase == "ended")
    said = [u.text for u in live.state.snapshot().utterances]

    shell.close_action.trigger()
    wait(lambda: shell.start_page.recent_buttons)
    assert settings.recent == (folder,)
    assert folder.stem in shell.start_page.recent_buttons[0].text()
    events = list(RecordedSession(folder).events())
    assert sum(isinstance(event, UtteranceLabelled) for event in events) == len(said)
    for kind in (SessionPaused, SessionResumed, SessionEnded):
        assert sum(isinstance(event, kind) for event in events) == 1

    shell.start_page.recent_buttons[0].click()
    wait(lambda: window.transcript.model().rowCount() == len(said))
    session = the_conversation(window)
    assert session.replay is not None
    assert session.replay.showing is Reading.AS_IT_WAS
    assert not session.newest.utterances[0].unsure
    window.playing.go_to(len(said) - 1)
    assert session.requests.put(Rename(speaker=0, name="Mia"))
    assert session.requests.put(Recolour(speaker=0, colour="#1A4FA8"))
    wait(lambda: session.newest.colours[:1] == ("#1A4FA8",))
    assert session.newest.speakers[0] == "Mia"

    report = tmp_path / "report.html"
    shell.exporter.write("html", report, redact=False)
    wait(lambda: report.exists() and "</html>" in report.read_text(encoding="utf-8"))
    page = report.read_text(encoding="utf-8")
    assert "Mia" in page
    assert "#1A4FA8" in page
    assert all(text.split()[0] in page for text in said)

    shell.close_action.trigger()
    wait(lambda: window.pages.currentWidget() is shell.start_page)
    window.close()
    shell.close()
    assert shell.join(60.0)
    assert shell.exit_code == 0


def the_conversation(window: MainWindow) -> Conversation:
    assert window.conversation is not None
    return window.conversation
