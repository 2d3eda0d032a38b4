"""Putting a dialogue right in the window, with a real dialogue behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.conversation import Conversation
from app.options import RunOptions
from app.state import Snapshot
from app.ui.availability import qt_unavailable
from tests.app.small_dialogue import talk

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QToolButton

from app.ui.main_window import MainWindow

pytestmark = pytest.mark.usefixtures("nothing_left_alive")


class Desk:
    """The window, with what a person can do to it."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window = window
        self.qtbot = qtbot

    @property
    def now(self) -> Snapshot:
        assert self.window.conversation is not None
        return self.window.conversation.state.snapshot()

    def wait(self, holds: Callable[[], bool]) -> None:
        """Until it is so, and the window shows it."""
        self.qtbot.waitUntil(holds, timeout=10_000)
        self.window.bridge.poll()

    def press(self, key: Qt.Key, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.window.transcript, key, modifier)

    def undo(self) -> None:
        self.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def choose_row(self, row: int) -> None:
        view = self.window.transcript
        view.show_row(row)
        place = view.visualRect(view.model().index(row, 0)).center()
        self.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def write(self, text: str) -> None:
        """Into the line that has opened."""
        editor = self.editor
        editor.setText(text)
        self.qtbot.keyClick(editor, Qt.Key.Key_Return)

    @property
    def editor(self) -> QLineEdit:
        (editor,) = [e for e in self.window.findChildren(QLineEdit) if e.isVisible()]
        return editor

    @property
    def rows(self) -> list[str]:
        model = self.window.transcript.model()
        return [model.index(row, 0).data() for row in range(model.rowCount())]


@pytest.fixture
def desk(qtbot: Any) -> Iterator[Desk]:
    window = MainWindow(on_close=lambda: None)
    qtbot.addWidget(window)
    window.resize(1280, 900)
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    conversation = Conversation(RunOptions(Path("talk.mp4")), talk())
    window.show_conversation(conversation)
    conversation.begin()
    desk = Desk(window, qtbot)
    desk.wait(lambda: desk.now.phase == "ended")
    yield desk
    window.close()
    assert conversation.join(1.0)
    assert conversation.exit_code == 0
    del desk.window  # pytest keeps the desk for longer than the window may live


def entry(menu: QMenu, *path: str) -> QAction:
    """An entry of a menu by its words, through submenus."""
    menu.aboutToShow.emit()
    (action,) = [a for a in menu.actions() if a.text().replace("&", "") == path[0]]
    if len(path) == 1:
        return action
    submenu = action.menu()
    assert isinstance(submenu, QMenu)
    return entry(submenu, *path[1:])


def test_selecting_an_utterance_selects_it_everywhere(desk: Desk) -> None:
    window = desk.window
    desk.choose_row(3)
    assert window.corrector.index == 3
    assert window.reading.utterance is desk.now.utterances[3]
    assert window.reading.title.text().startswith("Why ")

    # A click on the bar of another one.
    bar = window.gates.bars[5]
    place = window.gates.mapFromScene(bar.mapToScene(bar.rect().center()))
    desk.qtbot.mouseClick(window.gates.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert window.corrector.index == 5
    assert window.transcript.currentIndex().row() == 5

    desk.press(Qt.Key.Key_Up)
    assert window.corrector.index == 4
    desk.press(Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert window.corrector.index == 5
    window.reading.back.click()
    assert window.corrector.index is None
    assert window.reading.title.text() == "Newest reading"
    assert window.reading.utterance is desk.now.utterances[-1]


def test_a_speaker_is_renamed_where_the_name_stands_and_that_undone(desk: Desk) -> None:
    desk.choose_row(2)
    desk.press(Qt.Key.Key_F2)
    assert desk.editor.text() == "Speaker 1"
    desk.write("Ada")
    desk.wait(lambda: desk.now.speakers == ("Ada", "Speaker 2"))
    assert "Ada: Sentence 0" in desk.rows[0]
    assert desk.window.corrector.undo_action.text() == "&Undo rename"
    desk.undo()
    desk.wait(lambda: desk.now.speakers == ("Speaker 1", "Speaker 2"))
    assert not desk.window.corrector.undo_action.isEnabled()
    assert desk.window.corrector.redo_action.text() == "&Redo rename"
    desk.press(
        Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    desk.wait(lambda: desk.now.speakers[0] == "Ada")


def test_escape_leaves_a_name_as_it_was(desk: Desk) -> None:
    desk.choose_row(2)
    desk.press(Qt.Key.Key_F2)
    desk.editor.setText("Nobody")
    desk.qtbot.keyClick(desk.editor, Qt.Key.Key_Escape)
    assert [e for e in desk.window.findChildren(QLineEdit) if e.isVisible()] == []
    assert desk.window.corrector.index == 2
    desk.press(Qt.Key.Key_Escape)
    assert desk.window.corrector.index is None
    desk.qtbot.wait(100)
    assert desk.now.speakers == ("Speaker 1", "Speaker 2")


def test_two_speakers_are_merged_and_told_apart_again(desk: Desk) -> None:
    window = desk.window
    menu = window.corrector.speaker_menu(1)
    entry(menu, "Merge into", "Speaker 1").trigger()
    desk.wait(lambda: {u.speaker for u in desk.now.utterances} == {0})
    assert window.lanes.getViewBox().viewRange()[1] == [-1.0, 0.0]
    assert all("Speaker 1" in row for row in desk.rows)

    desk.choose_row(3)
    desk.press(Qt.Key.Key_N)
    desk.wait(lambda: [u.speaker for u in desk.now.utterances] == [0] * 3 + [1] * 5)
    assert window.lanes.getViewBox().viewRange()[1] == [-2.0, 0.0]
    desk.undo()
    desk.undo()
    desk.wait(lambda: [u.speaker for u in desk.now.utterances] == [0, 1] * 4)


def test_an_utterance_is_reassigned_from_its_menu(desk: Desk) -> None:
    desk.choose_row(4)
    menu = desk.window.corrector.utterance_menu(4)
    entry(menu, "Reassign to", "Speaker 2").trigger()
    desk.wait(lambda: desk.now.utterances[4].speaker == 1)
    assert "Speaker 2: Sentence 4" in desk.rows[4]
    assert desk.window.lanes.bars[4].rect().top() == -2.0


def test_words_are_corrected_where_they_stand(desk: Desk) -> None:
    desk.choose_row(1)
    desk.press(Qt.Key.Key_E)
    assert desk.editor.text() == "Sentence 1"
    before = desk.now.utterances[1].reading
    desk.write("I never said that.")
    desk.wait(lambda: desk.now.utterances[1].reading != before)
    assert desk.now.utterances[1].text == "I never said that."
    assert "I never said that." in desk.rows[1]


def test_a_modality_is_switched_off_and_on(desk: Desk) -> None:
    window = desk.window
    (button,) = [b for b in window.findChildren(QToolButton) if b.text() == "audio"]
    assert button.isChecked()
    button.click()
    desk.wait(lambda: all(u.reading.audio is None for u in desk.now.utterances))
    assert desk.now.on == {"text", "visual"}
    assert all("audio" in bar.missing for bar in window.gates.bars.values())
    assert (button.isChecked(), button.text()) == (False, "audio")
    entry(window.corrector_menu, "Read face").trigger()
    desk.wait(lambda: desk.now.on == {"text"})
    entry(window.corrector_menu, "Read words").trigger()
    desk.wait(lambda: desk.now.refusals == 1)
    assert "leave words, voice or face on" in window.status.currentMessage()
    assert window.corrector.switches["text"].isChecked()
    desk.undo()
    desk.undo()
    desk.wait(lambda: len(desk.now.on) == 3)


def test_a_speaker_gets_a_colour_everywhere(desk: Desk) -> None:
    window = desk.window
    menu = window.corrector.speaker_menu(0)
    entry(menu, "Colour", "teal").trigger()
    desk.wait(lambda: desk.now.colours[0] is not None)
    assert window.theme.speaker(0).name() == desk.now.colours[0].lower()
    window.dark_action.trigger()
    assert window.theme.speaker(0).name() == desk.now.colours[0].lower()
    assert window.theme.speaker(1).name() == window.theme.speakers[1].lower()
    entry(window.corrector.speaker_menu(0), "Colour", "As before").trigger()
    desk.wait(lambda: desk.now.colours == (None, None))
    assert window.theme.speaker(0).name() == window.theme.speakers[0].lower()


def test_the_present_is_marked_with_a_note(desk: Desk) -> None:
    window = desk.window
    desk.press(Qt.Key.Key_M)
    desk.write("here it turns")
    desk.wait(lambda: len(desk.now.marks) == 1)
    assert (desk.now.marks[0].time, desk.now.marks[0].note) == (32.0, "here it turns")
    assert [line.value() for line in window.lanes.marks.values()] == [32.0]
    assert [line.value() for line in window.gates.marks.values()] == [32.0]
    entry(window.corrector_menu, "Remove a marker", "0:32 here it turns").trigger()
    desk.wait(lambda: not desk.now.marks)
    assert not window.lanes.marks


def test_menus_show_names_and_notes_as_they_were_written(desk: Desk) -> None:
    corrector = desk.window.corrector
    desk.choose_row(1)
    desk.press(Qt.Key.Key_F2)
    desk.write("Ann & Bob")
    desk.wait(lambda: desk.now.speakers[1] == "Ann & Bob")
    desk.press(Qt.Key.Key_M)
    desk.write("Q&A\tbegins")
    desk.wait(lambda: len(desk.now.marks) == 1)
    desk.choose_row(0)
    menus = {
        "Merge into": corrector.speaker_menu(0),
        "Reassign to": corrector.utterance_menu(0),
        "Remove a marker": desk.window.corrector_menu,
    }
    shown = []
    for title, menu in menus.items():
        submenu = entry(menu, title).menu()
        assert isinstance(submenu, QMenu)
        submenu.aboutToShow.emit()
        shown += [action.text() for action in submenu.actions()]
    assert shown == ["Ann && Bob", "Ann && Bob", "0:32 Q&&A begins"]


def test_why_says_where_it_looked_and_goes_there(desk: Desk) -> None:
    window = desk.window
    desk.choose_row(6)
    desk.wait(lambda: desk.now.attention is not None and desk.now.attention.index == 6)
    looks = window.reading.looks
    assert looks.count() == 6
    shares = [looks.item(row).data(Qt.ItemDataRole.UserRole)[0] for row in range(looks.count())]
    assert shares == sorted(shares, reverse=True)
    assert window.reading.pairs.count() == 10
    window.reading.pairs.setCurrentIndex(2)
    assert window.reading.pairs.currentText() == "voice, for words"
    pair = [looks.item(row).data(Qt.ItemDataRole.UserRole)[0] for row in range(looks.count())]
    assert pair != shares

    other = next(r for r in range(looks.count()) if "itself" not in looks.item(r).text())
    target = looks.item(other).data(Qt.ItemDataRole.UserRole + 1)
    desk.qtbot.mouseClick(
        looks.viewport(),
        Qt.MouseButton.LeftButton,
        pos=looks.visualItemRect(looks.item(other)).center(),
    )
    assert window.corrector.index == target


def test_why_says_how_long_each_stage_took(desk: Desk) -> None:
    desk.choose_row(0)
    said = desk.window.reading.delays.accessibleName()
    assert said == "After the end of speech: words after 0.31 s, features after 0.35 s, " + (
        "label after 0.60 s"
    )


def test_menus_open_on_names_and_utterances(desk: Desk) -> None:
    window = desk.window
    desk.choose_row(2)
    box = window.transcript.chip_box(2)
    assert box is not None
    desk.qtbot.mouseClick(window.transcript.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert [a.text() for a in menu.actions()] == ["Rename …", "Merge into", "Colour"]
    menu.close()
    box = window.lanes.chip_box(1)
    assert box is not None
    desk.qtbot.mouseClick(window.lanes.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.actions()[0].trigger()
    menu.close()
    assert desk.editor.text() == "Speaker 2"
    desk.qtbot.keyClick(desk.editor, Qt.Key.Key_Escape)

    window.transcript.utterance_menu.emit(5, window.mapToGlobal(QPoint(5, 5)))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert window.corrector.index == 5
    menu.close()


def test_escape_leaves_a_presentation_before_it_lets_go_of_an_utterance(desk: Desk) -> None:
    window = desk.window
    desk.choose_row(2)
    window.presentation.action.setChecked(True)
    desk.qtbot.keyClick(window.lanes, Qt.Key.Key_Escape)
    assert not window.presentation.action.isChecked()
    assert window.corrector.index == 2
    desk.qtbot.keyClick(window.lanes, Qt.Key.Key_Escape)
    assert window.corrector.index is None


def test_nothing_can_be_corrected_where_there_is_no_conversation(desk: Desk) -> None:
    desk.choose_row(2)
    desk.window.end_conversation()
    corrector = desk.window.corrector
    assert corrector.index is None
    for action in (corrector.words_action, corrector.rename_action, corrector.undo_action):
        assert not action.isEnabled()
