"""The window, fed with a made-up session."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_session import UTTERANCES, reading, session, with_problem

from app.conversation import Conversation
from app.events import (
    DeviceChanged,
    EffortChanged,
    SessionPaused,
    SessionResumed,
    SessionStarted,
    ShiftMeasured,
    SpeechStarted,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceRevised,
)
from app.options import RunOptions
from app.state import SessionState
from app.ui.availability import APT_LINE, has_display, ignore_foreign_plugins, qt_unavailable
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.media import VideoFrame

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication

from app.ui.main_window import MainWindow
from app.ui.run import run_window
from app.ui.theme import DARK, LIGHT, Theme

pytestmark = pytest.mark.usefixtures("nothing_left_alive")

Open = Callable[..., MainWindow]


@pytest.fixture
def open_window(qtbot: Any) -> Open:
    def open_(state: SessionState, *, frame: VideoFrame | None = None) -> MainWindow:
        window = MainWindow(on_close=lambda: None)
        qtbot.addWidget(window)
        window.show_conversation(made_up(state, frame))
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        return window

    return open_


def made_up(
    state: SessionState | None = None,
    frame: VideoFrame | None = None,
    work: Callable[[Conversation], None] = lambda _: None,
) -> Conversation:
    conversation = Conversation(RunOptions(Path("made-up.mp4")), work)
    conversation.state = state or conversation.state
    if frame is not None:
        conversation.preview.put(frame)
    return conversation


def rows(window: MainWindow) -> list[str]:
    model = window.transcript.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def long_session(utterances: int) -> SessionState:
    state = SessionState()
    state(
        SessionStarted(
            media_time=0.0,
            source="long",
            duration=None,
            has_audio=True,
            has_video=False,
            device="CPU",
            weights={},
        )
    )
    for index in range(utterances):
        state(labelled(index))
    state.show(position=4.0 * utterances)
    return state


def labelled(index: int) -> UtteranceLabelled:
    start = 4.0 * index
    return UtteranceLabelled(
        media_time=start + 3.0,
        index=index,
        start=start,
        end=start + 3.0,
        speaker=index % 3,
        text=f"Sentence number {index}",
        reading=reading(EMOTIONS[index % 7], 0.6, index),
    )


def test_all_utterances_appear_in_transcript_lanes_and_gates(open_window: Open) -> None:
    window = open_window(session())

    texts = rows(window)
    assert len(texts) == len(UTTERANCES)
    for sentence, (_, _, speaker, text, *_) in zip(texts, UTTERANCES, strict=True):
        assert f"Speaker {speaker + 1}: {text}" in sentence
    assert sorted(window.lanes.bars) == sorted(window.gates.bars) == list(range(len(UTTERANCES)))
    assert window.emotions.utterance is not None
    assert window.emotions.utterance.text == UTTERANCES[-1][3]


def test_a_revision_tells_what_the_utterance_read_as_before(open_window: Open) -> None:
    window = open_window(session())

    assert "was joy" in rows(window)[4]
    assert "was joy 42\u2009%, now sadness 61\u2009%" in window.lanes.bars[4].numbers()
    assert "was" not in rows(window)[0]


def test_a_revision_arrives_in_place(open_window: Open) -> None:
    state = session(until=16.5)
    window = open_window(state)
    untouched = window.lanes.bars[3].utterance
    assert "joy" in rows(window)[4]

    state(UtteranceRevised(media_time=16.5, index=4, reading=reading("anger", 0.7, 1)))
    window.bridge.poll()

    assert "anger" in rows(window)[4]
    assert "was joy" in rows(window)[4]
    assert window.lanes.bars[3].utterance is untouched


def test_a_speakers_change_of_emotion_is_marked(open_window: Open) -> None:
    bars = open_window(session(until=22.0)).lanes.bars

    assert bars[2].shifted_from == "neutral"
    assert bars[0].shifted_from is None
    assert bars[5].shifted_from == "joy"


def test_missing_modalities_are_shown_as_missing(open_window: Open) -> None:
    window = open_window(session())

    assert window.gates.bars[11].missing == ("audio", "visual")
    assert window.gates.bars[0].missing == ()
    assert "missing: audio, visual" in window.gates.bars[11].numbers()


def test_hovering_names_every_number(open_window: Open) -> None:
    text = open_window(session()).lanes.bars[3].numbers()

    assert all(emotion in text for emotion in EMOTIONS)
    assert "88\u2009%" in text
    assert "gates" in text
    assert "contribution" in text


def test_the_open_utterance_is_hatched_and_announced(open_window: Open) -> None:
    window = open_window(session(until=53.3))

    assert window.lanes.speaking
    assert window.caption.speaking.startswith("speaking")
    assert not open_window(session(until=47.0)).lanes.speaking


def test_what_is_being_said_is_shown_as_provisional(open_window: Open) -> None:
    state = session(until=22.0)
    window = open_window(state)
    state(SpeechStarted(media_time=22.5, channel=None))
    state.show(position=24.5)
    state(
        UtteranceProvisional(
            media_time=24.0,
            index=6,
            start=22.5,
            speaker=1,
            text="I was going to",
            reading=reading("anger", 0.52, 3),
        )
    )
    window.bridge.poll()

    assert window.lanes.open_bar.isVisible()
    assert "So far: <i>I was going to …</i>" in window.lanes.open_bar.numbers()
    assert "anger 52" in window.lanes.open_bar.numbers()
    assert window.caption.accessibleDescription() == "I was going to"
    assert len(rows(window)) == len(state.snapshot().utterances)

    state(labelled(6))
    window.bridge.poll()
    assert window.caption.accessibleDescription() == "Sentence number 6"


def test_a_device_that_is_away_stays_in_the_status_bar_until_it_is_back(
    open_window: Open,
) -> None:
    state = session(until=16.5)
    window = open_window(state)
    away = "The camera is gone: plug it in again."
    state(DeviceChanged(media_time=16.5, device="camera", code="lost", message=away))
    state(EffortChanged(media_time=16.6, without=("provisional labels",)))
    window.bridge.poll()
    assert window.status.problem.text() == f"! {away}"
    assert "without provisional labels" in window.status.problem.toolTip()

    back = "The camera works again."
    state(DeviceChanged(media_time=18.0, device="camera", code="returned", message=back))
    window.bridge.poll()
    assert "without provisional labels" in window.status.problem.text()
    assert away in window.status.problem.toolTip()


def test_gates_toggle_shows_contributions(open_window: Open, qtbot: Any) -> None:
    window = open_window(session())
    bar = window.gates.bars[3]
    assert bar.utterance is not None
    assert bar.shares == bar.utterance.reading.gates

    qtbot.keyClick(window, Qt.Key.Key_G)

    assert bar.shares == bar.utterance.reading.contributions
    assert sum(bar.shares) == pytest.approx(1.0)


def test_it_follows_the_present_until_the_user_looks_elsewhere(
    open_window: Open, qtbot: Any
) -> None:
    state = long_session(50)
    window = open_window(state)
    plot = window.lanes.getViewBox()
    assert plot.viewRange()[0][1] > 200.0
    assert window.gates.getViewBox().viewRange()[0] == pytest.approx(plot.viewRange()[0], abs=0.5)

    centre = QPointF(window.lanes.viewport().rect().center())
    wheel = QWheelEvent(
        centre,
        window.lanes.viewport().mapToGlobal(centre),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(window.lanes.viewport(), wheel)
    assert not window.follow_action.isChecked()
    kept = plot.viewRange()[0]
    state.show(position=260.0)
    window.bridge.poll()
    assert plot.viewRange()[0] == pytest.approx(kept)

    qtbot.keyClick(window, Qt.Key.Key_F)
    assert plot.viewRange()[0][1] > 260.0


def test_a_playhead_moves_ten_times_a_second_and_everything_else_at_once(open_window: Open) -> None:
    state = session()
    window = open_window(state)
    window.bridge.stop()
    shown: list[float] = []
    window.bridge.session_changed.connect(lambda snapshot: shown.append(snapshot.position))
    began = state.snapshot().position
    window.bridge.poll()  # nothing has changed

    for step in range(1, 8):
        state.show(position=began + step / 30)
        window.bridge.poll()
    assert shown == pytest.approx([began + step / 30 for step in (3, 6)])

    state.show(position=began + 60.0)
    window.bridge.poll()
    state.show(position=began + 60.01)
    window.bridge.poll()
    state(labelled(len(UTTERANCES)))
    window.bridge.poll()
    assert shown[2:] == [began + 60.0, began + 60.01]


def test_the_transcript_stays_where_the_user_scrolled(open_window: Open, qtbot: Any) -> None:
    state = long_session(60)
    window = open_window(state)
    bar = window.transcript.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())

    bar.setValue(100)
    assert not window.transcript.following
    state(labelled(60))
    window.bridge.poll()
    QApplication.processEvents()
    assert bar.value() == 100

    window.transcript.follow()
    assert bar.value() == bar.maximum()


def test_three_hundred_utterances_then_every_one_revised(open_window: Open) -> None:
    state = long_session(300)
    window = open_window(state)
    bars = dict(window.lanes.bars)
    for index in range(300):
        state(UtteranceRevised(media_time=1.0, index=index, reading=reading("fear", 0.9, index)))
    window.bridge.poll()
    window.grab()

    assert len(rows(window)) == 300
    assert all("fear" in row for row in rows(window))
    assert window.lanes.bars == bars
    assert all(bar.utterance and bar.utterance.emotion == "fear" for bar in bars.values())


def test_faces_are_drawn_in_their_speakers_colour(open_window: Open) -> None:
    frame = VideoFrame(image=np.full((360, 640, 3), 90, np.uint8), time=30.0)
    window = open_window(session(until=30.0), frame=frame)
    assert [face.speaker for face in window.video.faces] == [0, 1]

    colours = pixels(window.video.grab().toImage())
    for speaker in (0, 1):
        assert has_colour(colours, window.theme.speakers[speaker])
    assert not has_colour(colours, window.theme.speakers[2])


def test_old_faces_are_not_shown(open_window: Open) -> None:
    state = session(until=30.0)
    state.show(position=33.0)
    assert open_window(state).video.faces == ()


def test_without_a_picture_the_placeholder_takes_little_room(open_window: Open) -> None:
    assert open_window(long_session(3)).video.height() < 160


def test_phases(open_window: Open) -> None:
    state = SessionState()
    window = open_window(state)
    assert window.pages.currentIndex() == 0
    assert window.message_page.message.text()

    state.show(message="Loading the speech recogniser")
    window.bridge.poll()
    assert window.message_page.message.text() == "Loading the speech recogniser"

    state.show(phase="failed", message="The file talk.mp4 does not exist.")
    window.bridge.poll()
    assert window.message_page.message.text() == "The file talk.mp4 does not exist."


def test_a_failure_in_the_middle_leaves_the_results_in_sight(open_window: Open) -> None:
    state = session(until=40.0)
    window = open_window(state)
    assert window.pages.currentIndex() == 1
    assert not window.banner.isVisible()

    state.show(phase="failed", message="The camera was unplugged.")
    window.bridge.poll()

    assert window.pages.currentIndex() == 1
    assert window.banner.isVisible()
    assert window.banner.text() == "The camera was unplugged."


def test_status_bar(open_window: Open) -> None:
    status = open_window(with_problem(session(until=53.0))).status

    assert status.phase.text() == "Listening"
    assert status.position.text() == "0:53 / 1:24"
    assert status.utterances.text() == "12 utterances"
    assert status.backlog.text() == "0.8 s behind"
    assert status.dropped.text() == "1 dropped"
    assert "no words" in status.dropped.toolTip()
    assert "camera" in status.problem.text()
    assert status.latency.text().startswith("label after 0.41 s")
    assert status.device.text() == "CPU, 2 threads"


def test_what_is_unlike_training_is_named(open_window: Open) -> None:
    state = session(until=53.0)
    state(ShiftMeasured(media_time=50.0, text=0.2, audio=0.9, visual=None))
    window = open_window(state)
    assert window.status.shift.text() == "like training"
    assert "words: 0.2" in window.status.shift.toolTip()
    assert "face" not in window.status.shift.toolTip()
    state(ShiftMeasured(media_time=53.0, text=0.2, audio=2.4, visual=1.3))
    window.bridge.poll()
    assert window.status.shift.text() == "unlike training: voice, face"


def test_an_answer_that_is_too_unlikely_is_called_unsure(open_window: Open) -> None:
    state = session(until=53.0)
    told = state.snapshot().utterances[-1]
    doubtful = replace(told.reading, unsure=True)
    state(UtteranceRevised(media_time=told.end, index=told.index, reading=doubtful))
    window = open_window(state)
    said = rows(window)
    assert "(unsure" in said[told.index]
    assert "unsure" not in said[0]


def test_light_and_dark(open_window: Open, qtbot: Any) -> None:
    window = open_window(session())
    first = window.theme
    qtbot.keyClick(window, Qt.Key.Key_D)
    assert {window.theme, first} == {LIGHT, DARK}
    assert has_colour(pixels(window.grab().toImage()), window.theme.panel)
    assert not has_colour(pixels(window.lanes.grab().toImage()), first.panel)


def test_another_conversation_starts_from_nothing(open_window: Open, qtbot: Any) -> None:
    frame = VideoFrame(image=np.full((360, 640, 3), 90, np.uint8), time=30.0)
    window = open_window(session(), frame=frame)
    first = window.conversation
    assert first is not None
    window.follow_action.setChecked(False)

    second = made_up()
    window.show_conversation(second)

    assert first.stopping.is_set()
    assert not second.stopping.is_set()
    assert rows(window) == []
    assert window.lanes.bars == window.gates.bars == {}
    assert window.emotions.utterance is None
    assert window.caption.accessibleDescription() == ""
    assert window.pages.currentIndex() == 0
    assert window.follow_action.isChecked()
    assert not window.status.position.isVisible()

    short = session(until=22.0)
    window.show_conversation(made_up(short))
    assert len(rows(window)) == len(short.snapshot().utterances) == len(window.lanes.bars)
    assert not has_colour(pixels(window.video.grab().toImage()), "#5A5A5A")


def test_closing_tells_the_engine_once(qtbot: Any) -> None:
    closed: list[bool] = []
    window = MainWindow(on_close=lambda: closed.append(True))
    qtbot.addWidget(window)
    conversation = made_up(session())
    window.show_conversation(conversation)
    window.show()
    qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    window.close()
    assert closed == [True]
    assert conversation.stopping.is_set()


def test_run_window_shows_the_work_and_saves_a_screenshot(qapp: Any, tmp_path: Path) -> None:
    image = tmp_path / "window.png"

    def work(conversation: Conversation) -> None:
        finished = session()
        conversation.state.show(
            **{
                field: getattr(finished.snapshot(), field)
                for field in ("utterances", "speakers", "position", "duration", "phase")
            }
        )

    code = run_window(made_up(work=work), close_when_ended=True, screenshot_at=(20.0, image))
    assert code == 0
    assert QImage(str(image)).width() >= 1000


def close_all_windows() -> None:
    for widget in QApplication.topLevelWidgets():
        widget.close()


def test_closing_the_window_stops_the_work(qapp: Any) -> None:
    started = threading.Event()
    stopped: list[bool] = []

    def work(conversation: Conversation) -> None:
        started.set()
        stopped.append(conversation.stopping.wait(20.0))

    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: close_all_windows() if started.is_set() else None)
    timer.start()
    assert run_window(made_up(work=work)) == 0
    timer.stop()
    assert stopped == [True]


def test_a_window_closed_before_the_work_began_starts_none(qapp: Any) -> None:
    started: list[bool] = []
    QTimer.singleShot(0, close_all_windows)
    assert run_window(made_up(work=lambda _: started.append(True))) == 0
    assert started == []


def test_a_failure_a_person_can_mend_is_shown_and_gives_code_2(qapp: Any) -> None:
    def work(conversation: Conversation) -> None:
        raise UserFacingError("The folder is not readable: choose another.")

    conversation = made_up(work=work)
    assert run_window(conversation, close_when_ended=True) == 2
    assert conversation.state.snapshot().message == "The folder is not readable: choose another."


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_our_own_ends_in_phase_failed(qapp: Any) -> None:
    def work(conversation: Conversation) -> None:
        raise ZeroDivisionError

    conversation = made_up(work=work)
    assert run_window(conversation, close_when_ended=True) == 1
    assert conversation.state.snapshot().phase == "failed"


def test_an_opencv_plugin_folder_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", str(Path("site", "cv2", "qt", "plugins")))
    ignore_foreign_plugins()
    ignore_foreign_plugins()
    assert qt_unavailable() is None
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", "elsewhere")
    ignore_foreign_plugins()


@pytest.mark.skipif("sys.platform != 'linux'", reason="other systems always have a display")
def test_a_display_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_display()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":9871")
    assert not has_display()
    assert "apt install" in APT_LINE


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", ["normal", "protanopia", "deuteranopia", "tritanopia"])
def test_any_two_emotions_differ_for_any_sight(theme: Theme, sight: str) -> None:
    seen = [lab(colour, _MACHADO[sight]) for colour in theme.emotions]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 24.0


# Machado, Oliveira and Fernandes 2009, severity 1, on linear sRGB.
_MACHADO = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of ``#RRGGBB`` as somebody with this sight sees it."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x, y, z = to_xyz @ np.clip(sight @ linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def pixels(image: QImage) -> np.ndarray:
    """The image as uint8 RGB of shape (height, width, 3)."""
    image = image.convertToFormat(QImage.Format.Format_RGBA8888)
    flat = np.array(image.constBits(), np.uint8)
    return flat.reshape(image.height(), image.width(), 4)[..., :3]


def has_colour(image: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(image.astype(int) - wanted).max(axis=-1) <= 2).sum() >= 30)


def test_the_status_bar_says_what_time_does_and_what_is_being_done(open_window: Open) -> None:
    state = session(until=16.5)
    window = open_window(state)
    phase = window.status.phase
    assert phase.text() == "Listening"
    for playing, said in (
        ("playing", "Playing"),
        ("paused", "Paused"),
        ("waiting", "Still being read"),
    ):
        state.show(playing=playing)
        window.bridge.poll()
        assert phase.text() == said
    state.show(playing="paused", busy="reading again …")
    window.bridge.poll()
    assert phase.text() == "Paused, reading again …"
    state(SessionPaused(media_time=17.0))
    state.show(playing="", busy="")
    window.bridge.poll()
    assert phase.text() == "Paused"
    assert "nothing is heard, seen or recorded" in window.banner.text()
    for plot in (window.lanes, window.gates):
        assert [line.value() for line in plot.pauses.values()] == [17.0]
    state(SessionResumed(media_time=18.0))
    window.bridge.poll()
    assert phase.text() == "Listening"
    assert not window.banner.isVisible()
    assert [line.value() for line in window.lanes.pauses.values()] == [17.0], "it stays in sight"
