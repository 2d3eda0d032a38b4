"""The bar below the picture, its keys, and what is clicked elsewhere, over a recorded session."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.conversation import Conversation
from app.events import SessionEnded, SessionStarted
from app.options import RunOptions
from app.session.replay import Reading
from app.ui.availability import qt_unavailable
from tests.app.recorded_sessions import write_session
from tests.app.synthetic_session import DURATION, UTTERANCES
from tests.app.synthetic_session import events as synthetic_events
from tests.app.test_replay import read_otherwise

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QToolButton

from app.ui.main_window import MainWindow

pytestmark = pytest.mark.usefixtures("nothing_left_alive")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("sessions") / "talk.sdt")


class Desk:
    """Holds the window, which pytest would keep for longer than it may live."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window


@pytest.fixture
def desk(qtbot: Any, folder: Path) -> Iterator[Desk]:
    conversation = Conversation(RunOptions(folder))
    conversation.open()
    window = MainWindow(on_close=lambda: None)
    qtbot.addWidget(window)
    window.show_conversation(conversation)
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    conversation.begin()
    replay = window.playing.replay
    assert replay is not None
    bar = window.playing.transport
    qtbot.waitUntil(lambda: replay.is_complete and bar.isVisible(), timeout=20_000)
    qtbot.waitUntil(lambda: "Speaker 2" in bar.slider.tip(10.0), timeout=20_000)
    if replay.player.playing:
        qtbot.keyClick(window, Qt.Key.Key_Space)
    assert not replay.player.playing
    desk = Desk(window)
    yield desk
    window.close()
    # Selecting an utterance has asked where it looked, and PyTorch takes its time.
    assert conversation.join(60.0)
    del desk.window


def at(window: MainWindow, qtbot: Any, time: float, within: float = 0.02) -> None:
    """Wait until the window shows this second."""
    qtbot.waitUntil(lambda: abs(window.playing.transport.slider.position - time) <= within)


def test_the_smallest_step_shows_while_paused(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    window.playing.seek(12.0)
    at(window, qtbot, 12.0)
    window.playing.seek(12.06)
    at(window, qtbot, 12.06, within=0.001)
    window.playing.transport.slider.looped.emit(12.1, 13.5)
    qtbot.waitUntil(window.playing.loop_action.isChecked)
    at(window, qtbot, 12.1, within=0.001)


def test_space_plays_and_pauses(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    assert window.playing.transport.isVisible()
    player = window.playing.replay.player
    qtbot.keyClick(window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: player.position > 0.2)
    qtbot.waitUntil(lambda: window.playing.play_action.text() == "Pause")
    qtbot.keyClick(window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: window.playing.play_action.text() == "Play")


def test_keys_step_by_utterance_and_by_five_seconds(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    window.playing.seek(20.0)
    qtbot.keyClick(window, Qt.Key.Key_Right)
    at(window, qtbot, UTTERANCES[6][0])
    qtbot.keyClick(window, Qt.Key.Key_K)
    at(window, qtbot, UTTERANCES[7][0])
    qtbot.keyClick(window, Qt.Key.Key_Left)
    at(window, qtbot, UTTERANCES[6][0])
    qtbot.keyClick(window, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    at(window, qtbot, UTTERANCES[6][0] + 5.0)
    # In the middle of an utterance it is its own beginning that comes before.
    window.playing.seek(29.0)
    qtbot.keyClick(window, Qt.Key.Key_J)
    at(window, qtbot, UTTERANCES[7][0])
    window.playing.seek(0.1)
    qtbot.keyClick(window, Qt.Key.Key_Left)
    at(window, qtbot, 0.0)


def test_brackets_change_the_speed(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    player = window.playing.replay.player
    button = window.playing.transport.speed
    faster, slower = Qt.Key.Key_BracketRight, Qt.Key.Key_BracketLeft
    keys = [faster] * 4 + [slower] * 5
    for key, speed in zip(keys, (1.5, 2.0, 4.0, 4.0, 2.0, 1.5, 1.0, 0.5, 0.5), strict=True):
        qtbot.keyClick(window, key)
        assert player.speed == speed
        # Also while the picture stands still.
        qtbot.waitUntil(lambda said=f"{speed:g}×": button.text() == said)


def test_clicking_on_the_slider_seeks(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    slider = window.playing.transport.slider
    qtbot.waitUntil(lambda: slider.duration > DURATION - 1)
    place = QPoint(round(slider.x_of(30.0)), 20)
    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=place)
    at(window, qtbot, 30.0, within=0.5)


def test_dragging_with_shift_loops_what_was_dragged_over(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    slider, player = window.playing.transport.slider, window.playing.replay.player
    qtbot.waitUntil(lambda: slider.duration > DURATION - 1)
    first, last = (QPoint(round(slider.x_of(t)), 8) for t in (40.0, 10.0))
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, shift, first)
    qtbot.mouseMove(slider, last)
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, shift, last)
    assert player.loop == pytest.approx((10.0, 40.0), abs=0.5)
    qtbot.waitUntil(window.playing.loop_action.isChecked)
    qtbot.keyClick(window, Qt.Key.Key_L)
    assert player.loop is None


def test_l_loops_the_selected_utterances(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    player, transcript = window.playing.replay.player, window.transcript
    qtbot.waitUntil(lambda: transcript.model().rowCount() == len(UTTERANCES))
    transcript.setCurrentIndex(transcript.model().index(3, 0))
    qtbot.keyClick(transcript, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(window, Qt.Key.Key_L)
    assert player.loop == pytest.approx((UTTERANCES[3][0], UTTERANCES[4][1]))


def test_where_there_is_nothing_to_loop_nothing_is_said_to_loop(desk: Desk, qtbot: Any) -> None:
    playing = desk.window.playing
    action, player = playing.loop_action, playing.replay.player
    # Of a recording that is read anew, nothing is known yet.
    playing.replay.add(Reading.ANEW)
    playing.replay.show_reading(Reading.ANEW)
    qtbot.waitUntil(playing.reading_actions[Reading.ANEW].isChecked)
    action.trigger()
    assert player.loop is None
    assert not action.isChecked()


def test_hovering_tells_time_and_words(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    slider = window.playing.transport.slider
    qtbot.waitUntil(lambda: slider.duration > DURATION - 1)
    tip = slider.tip(10.0)
    assert tip.startswith("0:10")
    assert "Speaker 2" in tip
    assert "joy 88" in tip
    assert UTTERANCES[3][3] in tip
    assert slider.tip(0.5) == "0:00"


def test_a_row_and_a_bar_lead_to_their_utterance(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    transcript = window.transcript
    qtbot.waitUntil(lambda: transcript.model().rowCount() == len(UTTERANCES))
    transcript.show_row(1)
    box = transcript.words_box(1)
    qtbot.mouseClick(transcript.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    at(window, qtbot, UTTERANCES[1][0])
    assert window.corrector.index == 1
    window.lanes.utterance_clicked.emit(9)
    at(window, qtbot, UTTERANCES[9][0])
    qtbot.waitUntil(lambda: transcript.model().playhead == 9)
    # What lies ahead is there, but veiled.
    assert window.lanes.bars[2].opacity() == 1.0
    assert window.lanes.bars[10].opacity() < 1.0
    assert window.gates.bars[10].opacity() < 1.0
    window.playing.seek(DURATION)
    qtbot.waitUntil(lambda: window.lanes.bars[13].opacity() == 1.0)


def test_the_row_that_plays_stays_in_sight_until_one_scrolls(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    transcript = window.transcript
    qtbot.waitUntil(lambda: transcript.model().rowCount() == len(UTTERANCES))
    for row in (0, 13, 5):
        window.playing.go_to(row)
        qtbot.waitUntil(lambda row=row: transcript.chip_box(row) is not None)
    transcript.verticalScrollBar().setValue(0)
    window.playing.go_to(0)
    qtbot.waitUntil(lambda: transcript.model().playhead == 0)
    transcript.verticalScrollBar().setValue(transcript.verticalScrollBar().maximum())
    assert not transcript.following
    window.playing.go_to(1)
    qtbot.waitUntil(lambda: transcript.model().playhead == 1)
    assert transcript.chip_box(1) is None
    window.follow_action.setChecked(False)
    window.follow_action.setChecked(True)
    qtbot.waitUntil(lambda: transcript.chip_box(1) is not None)


def test_two_readings_and_what_differs(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    playing = window.playing
    qtbot.waitUntil(playing.transport.anew_button.isVisible)
    assert not any(button.isVisible() for button in playing.transport.reading_buttons)
    timeline = playing.replay.add(Reading.ANEW)
    for event in read_otherwise():
        timeline(event)
    playing.seek(DURATION)
    qtbot.waitUntil(lambda: "read otherwise" in playing.transport.differences.text())
    assert all(button.isVisible() for button in playing.transport.reading_buttons)
    model = window.transcript.model()
    qtbot.waitUntil(lambda: "then anger" in model.index(7, 0).data())
    assert "now fear" in model.index(7, 0).data()
    qtbot.keyClick(window, Qt.Key.Key_R)
    assert playing.replay.showing is Reading.ANEW
    qtbot.waitUntil(playing.reading_actions[Reading.ANEW].isChecked)
    qtbot.waitUntil(lambda: "(fear" in model.index(7, 0).data())
    assert "then anger" in model.index(7, 0).data()


def test_reading_anew_shows_while_paused(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    playing = window.playing
    replay = playing.replay
    qtbot.waitUntil(playing.transport.anew_button.isVisible)
    action = playing.reading_actions[Reading.ANEW]
    timeline = replay.add(Reading.ANEW)
    # The same labels again, so that nothing else changes.
    for event in synthetic_events():
        if isinstance(event, SessionStarted):
            timeline(dataclasses.replace(event, speed=None))
        elif not isinstance(event, SessionEnded):
            timeline(event)
    qtbot.waitUntil(lambda: playing.transport.differences.text() == "0 of 14 read otherwise")
    for share in (0.5, 0.75):
        replay.note_progress(share * replay.duration)
        text = f"Re-analysed {share:.0%}"
        qtbot.waitUntil(lambda text=text: action.text() == text)
    timeline(SessionEnded(media_time=DURATION, reason="end_of_media", utterances=14))
    qtbot.waitUntil(lambda: action.text() == "Re-analysed")
    assert not replay.player.playing


def test_what_is_read_again_cannot_be_read_again_at_once(desk: Desk, qtbot: Any) -> None:
    playing = desk.window.playing
    action, replay = playing.anew_action, playing.replay
    qtbot.waitUntil(action.isEnabled)
    qtbot.waitUntil(lambda: replay.snapshot() is replay.snapshot())
    before = replay.snapshot()
    desk.window.conversation.close()  # so that no model is loaded
    assert desk.window.conversation.join(60.0)
    action.trigger()
    qtbot.waitUntil(lambda: not action.isEnabled())
    assert replay.snapshot().version > before.version


def test_what_is_selected_stays_so_in_a_reading_of_fewer_utterances(desk: Desk, qtbot: Any) -> None:
    window = desk.window
    playing, transcript = window.playing, window.transcript
    timeline = playing.replay.add(Reading.ANEW)
    last = len(UTTERANCES) - 1
    for event in read_otherwise():
        if getattr(event, "index", None) != last:
            timeline(event)
    for selected, left in ((5, 5), (last, None)):
        playing.replay.show_reading(Reading.AS_IT_WAS)
        qtbot.waitUntil(lambda: transcript.model().rowCount() == last + 1)
        window.corrector.select(selected)
        assert transcript.selected_rows() == [selected]
        playing.seek(DURATION)
        qtbot.keyClick(window, Qt.Key.Key_R)
        qtbot.waitUntil(lambda: transcript.model().rowCount() == last)
        assert window.corrector.index == left
        assert transcript.selected_rows() == ([] if left is None else [left])
        at(window, qtbot, DURATION, within=0.5)


def test_live_sessions_have_no_transport(desk: Desk) -> None:
    window = desk.window
    live = Conversation(RunOptions(Path("x")), work=lambda _: None)
    window.show_conversation(live)
    assert not window.playing.transport.isVisible()
    assert not window.playing.play_action.isEnabled()


def test_everything_has_a_name_and_a_tip(desk: Desk) -> None:
    window = desk.window
    transport = window.playing.transport
    for button in transport.findChildren(QToolButton):
        assert button.accessibleName()
        assert button.toolTip()
    assert transport.slider.accessibleName()
    assert transport.slider.accessibleDescription()
