"""Selecting an utterance everywhere at once, and putting right who said it, and what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, QPoint, QRect, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QIcon, QKeySequence, QPainter, QPixmap
from PySide6.QtWidgets import QColorDialog, QMenu, QToolButton, QWidget

from app.corrections import (
    SENSES,
    Attention,
    CorrectWords,
    LookBack,
    Mark,
    Merge,
    Reassign,
    Recolour,
    Redo,
    Rename,
    Request,
    Split,
    Switch,
    Undo,
    Unmark,
)
from app.state import LabelledUtterance, Snapshot
from app.ui.inline_editor import InlineEditor
from app.ui.theme import Theme
from app.ui.views.gates import GatesView
from app.ui.views.lanes import LanesView
from app.ui.views.painting import clock, speaker_name
from app.ui.views.reading import ReadingView
from app.ui.views.transcript import TranscriptView
from live_features.emotions import MODALITIES

_WORTH_TELLING = 0.5
"""What was looked at this much more than if all had been looked at alike is marked."""
_LOOK_MS = 150
_COLOURS = ("violet", "brown", "teal", "pink", "olive", "slate")


class Corrector(QObject):
    """Ties the views of utterances together, and asks for corrections.

    ``selected`` carries the index of the utterance that is selected, or None, and ``refused`` the
    sentence on why something cannot be done. Nothing here waits: what is asked for is seen in a
    later snapshot.
    """

    selected = Signal(object)
    refused = Signal(str)

    def __init__(
        self,
        window: QWidget,
        *,
        lanes: LanesView,
        gates: GatesView,
        transcript: TranscriptView,
        reading: ReadingView,
    ) -> None:
        super().__init__(window)
        self._window = window
        self._lanes = lanes
        self._gates = gates
        self._transcript = transcript
        self._reading = reading
        self._put: Callable[[Request], bool] | None = None
        self._theme: Theme | None = None
        self.snapshot = Snapshot()
        self.index: int | None = None
        self._looked_for: object = None
        self._marked: object = None
        self._presenting = False
        self._possible = True
        self._looking = QTimer(self)
        self._looking.setSingleShot(True)
        self._looking.setInterval(_LOOK_MS)
        self._looking.timeout.connect(self._look)
        self.switches = {m: self._switch(m, key) for m, key in zip(MODALITIES, "123", strict=True)}
        self._make_actions()

        for plot in (lanes, gates):
            plot.utterance_clicked.connect(self.select)
            plot.utterance_menu.connect(self._open_utterance_menu)
        lanes.speaker_clicked.connect(self._open_speaker_menu)
        transcript.utterance_chosen.connect(self.select)
        transcript.utterance_menu.connect(self._open_utterance_menu)
        transcript.speaker_clicked.connect(self._open_speaker_menu_in_row)
        transcript.words_clicked.connect(self.edit_words)
        reading.let_go.connect(lambda: self.select(None))
        reading.chosen.connect(self.select)

    # --- What is shown -----------------------------------------------------------------------

    def listen_to(self, put: Callable[[Request], bool] | None) -> None:
        """Ask here from now on, of another conversation; None where nothing can be asked."""
        self._put = put
        self.select(None)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        refused = snapshot.refusals > self.snapshot.refusals
        self.snapshot = snapshot
        if refused:
            self.refused.emit(snapshot.refused)
        if self.index is not None and self.index >= len(snapshot.utterances):
            self.select(None)
        for modality, action in self.switches.items():
            if action.isChecked() != (modality in snapshot.on):
                action.setChecked(modality in snapshot.on)
        _name(self.undo_action, "Undo", snapshot.undo)
        _name(self.redo_action, "Redo", snapshot.redo)
        attention = snapshot.attention
        if self.index is not None:
            looked = self._looked_for
            if looked != (self.index, snapshot.utterances) and not self._looking.isActive():
                self._looking.start()
            if attention is not None and attention.index == self.index:
                self._mark_looked(attention)
        self._enable()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme

    def set_possible(self, possible: bool) -> None:
        """Whether what is shown can be corrected at all."""
        if possible != self._possible:
            self._possible = possible
            self._marked = None
            self._enable()

    def set_presenting(self, presenting: bool) -> None:
        """Leave Esc to the presentation while there is one."""
        self._presenting = presenting
        self._enable()

    def select(self, index: int | None) -> None:
        """Select an utterance everywhere, or none."""
        if index is not None and not 0 <= index < len(self.snapshot.utterances):
            return
        changed = index != self.index
        self.index = index
        if changed:
            self._lanes.select(index)
            self._gates.select(index)
            self._transcript.select(index)
            self._transcript.show_looked({})
            self._marked = None
            self._reading.select(index)
            self._look()
            self._enable()
        self.selected.emit(index)

    def step(self, by: int) -> None:
        """Select the utterance ``by`` places later; the newest where none is selected."""
        count = len(self.snapshot.utterances)
        if count:
            start = count if self.index is None else self.index
            self.select(min(max(start + by, 0), count - 1))

    def _look(self) -> None:
        if self.index is not None:
            self._looked_for = (self.index, self.snapshot.utterances)
            self._ask(LookBack(self.index))

    def _mark_looked(self, attention: Attention) -> None:
        count = len(self.snapshot.utterances)
        if self._marked == (id(attention), count):
            return
        self._marked = (id(attention), count)
        shares = attention.mean
        others = [0.0 if i == self.index else share for i, share in enumerate(shares[:count])]
        most = max(others, default=0.0)
        told = [s if s > (1 + _WORTH_TELLING) / max(len(shares), 1) else 0.0 for s in others]
        self._lanes.select(self.index, tuple(s / most if most else 0.0 for s in told))
        self._transcript.show_looked({i: s for i, s in enumerate(told) if s})

    # --- Asking ------------------------------------------------------------------------------

    def _ask(self, request: Request) -> None:
        if self._put is not None and self._possible and not self._put(request):
            self.refused.emit("Too much is being waited for; try again in a moment.")

    def edit_name(self, speaker: int) -> None:
        """Rename a speaker where the name stands."""
        row = self.index
        if row is not None and self.snapshot.utterances[row].speaker == speaker:
            box = self._transcript.chip_box(row)
            over: QWidget = self._transcript.viewport()
        else:
            box = None
        if box is None:
            box, over = self._lanes.chip_box(speaker), self._lanes.viewport()
        if box is not None:
            InlineEditor(
                over,
                box,
                speaker_name(self.snapshot.speakers, speaker),
                "Name of the speaker",
                lambda name: self._ask(Rename(speaker, name)),
            )

    def edit_words(self, index: int) -> None:
        """Correct what was said where it stands."""
        if not self._can_ask or not 0 <= index < len(self.snapshot.utterances):
            return
        self._transcript.show_row(index)
        box = self._transcript.words_box(index)
        if box is not None:
            InlineEditor(
                self._transcript.viewport(),
                box,
                self.snapshot.utterances[index].text,
                "What was said",
                lambda text: self._ask(CorrectWords(index, text)),
            )

    def drop_marker(self) -> None:
        """Mark the present, and ask for a note."""
        time = self.snapshot.position
        left = self._lanes.mapFromScene(self._lanes.now.mapToScene(0, 0)).x()
        box = QRect(left + 4, 2, 220, 24)
        self._lanes.setFocus()
        InlineEditor(
            self._lanes.viewport(),
            box,
            "",
            f"Note on the marker at {clock(time)}",
            lambda note: self._ask(Mark(time, note)),
            placeholder=f"{clock(time)}, a short note",
        )

    # --- Menus -------------------------------------------------------------------------------

    def fill_menu(self, menu: QMenu) -> None:
        """Everything that can be put right, for the menu bar."""
        menu.addActions([self.undo_action, self.redo_action])
        menu.addSeparator()
        menu.addActions([self.words_action, self.rename_action])
        self._add_choices(menu)
        menu.addSeparator()
        menu.addActions(list(self.switches.values()))
        menu.addSeparator()
        menu.addAction(self.mark_action)
        marks = menu.addMenu("Remove a &marker")
        marks.aboutToShow.connect(lambda: self._fill_marks(marks))
        menu.addSeparator()
        menu.addActions([self.earlier_action, self.later_action, self.newest_action])
        menu.aboutToShow.connect(lambda: marks.setEnabled(bool(self.snapshot.marks)))

    def utterance_menu(self, index: int) -> QMenu:
        """What can be done about the selected utterance ``index``."""
        menu = QMenu(self._window)
        menu.addAction(self.words_action)
        menu.addAction(self.rename_action)
        self._add_choices(menu)
        return menu

    def speaker_menu(self, speaker: int) -> QMenu:
        """What can be done about a speaker."""
        menu = QMenu(self._window)
        rename = menu.addAction("Rename …", lambda: self.edit_name(speaker))
        rename.setShortcut(QKeySequence("F2"))
        self._fill_merge(menu.addMenu("Merge into"), speaker)
        self._fill_colours(menu.addMenu("Colour"), speaker)
        return menu

    def switch_buttons(self) -> tuple[QToolButton, ...]:
        """A button for each modality, to switch it off and on."""
        buttons = []
        for modality, action in self.switches.items():
            button = QToolButton()
            button.setDefaultAction(action)
            button.setAccessibleName(f"Read {SENSES[modality]}")
            buttons.append(button)
        return tuple(buttons)

    def _add_choices(self, menu: QMenu) -> None:
        menu.addAction(self.split_action)
        reassign, merge, colour = (
            menu.addMenu(title) for title in ("Reass&ign to", "Mer&ge speaker into", "&Colour")
        )
        reassign.aboutToShow.connect(lambda: self._fill_reassign(reassign))
        merge.aboutToShow.connect(lambda: self._fill_merge(merge, self._speaker))
        colour.aboutToShow.connect(lambda: self._fill_colours(colour, self._speaker))
        for entry in (reassign, merge, colour):
            menu.aboutToShow.connect(
                partial(lambda e: e.setEnabled(self._can_ask and self.index is not None), entry)
            )

    def _fill_reassign(self, menu: QMenu) -> None:
        menu.clear()
        utterance = self._utterance
        for speaker, name in self._people:
            if utterance is not None and speaker != utterance.speaker:
                request = Reassign(utterance.index, speaker)
                menu.addAction(self._dot(speaker), _literally(name), partial(self._ask, request))
        _say_if_empty(menu, "Nobody else has been heard")

    def _fill_merge(self, menu: QMenu, speaker: int | None) -> None:
        menu.clear()
        for other, name in self._people:
            if speaker is not None and other != speaker:
                request = Merge(speaker, other)
                menu.addAction(self._dot(other), _literally(name), partial(self._ask, request))
        _say_if_empty(menu, "Nobody else has been heard")

    def _fill_colours(self, menu: QMenu, speaker: int | None) -> None:
        menu.clear()
        if speaker is None or self._theme is None:
            return
        for name, colour in zip(_COLOURS, self._theme.speakers, strict=True):
            request = Recolour(speaker, colour)
            menu.addAction(_icon(QColor(colour)), name, partial(self._ask, request))
        menu.addSeparator()
        menu.addAction("As before", partial(self._ask, Recolour(speaker, None)))
        menu.addAction("Choose …", partial(self._choose_colour, speaker))

    def _fill_marks(self, menu: QMenu) -> None:
        menu.clear()
        for mark in self.snapshot.marks:
            text = f"{clock(mark.time)} {mark.note}".strip()
            menu.addAction(_literally(text), partial(self._ask, Unmark(mark.number)))

    def _choose_colour(self, speaker: int) -> None:
        assert self._theme is not None
        dialog = QColorDialog(self._theme.speaker(speaker), self._window)
        dialog.setWindowTitle(f"Colour of {speaker_name(self.snapshot.speakers, speaker)}")
        dialog.colorSelected.connect(lambda c: self._ask(Recolour(speaker, c.name())))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _open_utterance_menu(self, index: int, place: QPoint) -> None:
        self.select(index)
        self._pop_up(self.utterance_menu(index), place)

    def _open_speaker_menu(self, speaker: int) -> None:
        box = self._lanes.chip_box(speaker)
        if box is not None and self._can_ask:
            place = self._lanes.viewport().mapToGlobal(box.bottomLeft())
            self._pop_up(self.speaker_menu(speaker), place)

    def _open_speaker_menu_in_row(self, index: int) -> None:
        self.select(index)
        box = self._transcript.chip_box(index)
        if box is not None and self._can_ask:
            place = self._transcript.viewport().mapToGlobal(box.bottomLeft())
            self._pop_up(self.speaker_menu(self.snapshot.utterances[index].speaker), place)

    def _pop_up(self, menu: QMenu, place: QPoint) -> None:
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(place)

    # --- Actions -----------------------------------------------------------------------------

    def _make_actions(self) -> None:
        self.undo_action = self._action("&Undo", "Ctrl+Z", lambda: self._ask(Undo()))
        self.redo_action = self._action("&Redo", "Ctrl+Shift+Z", lambda: self._ask(Redo()))
        self.words_action = self._action(
            "Correct the &words …", "E", lambda: self.edit_words(self._chosen)
        )
        self.rename_action = self._action("Re&name the speaker …", "F2", self._rename)
        self.split_action = self._action(
            "New speaker from &here", "N", lambda: self._ask(Split(self._chosen))
        )
        self.split_action.setToolTip(
            "All that this speaker says from here on is somebody else's (N)"
        )
        self.mark_action = self._action("Mark the &present …", "M", self.drop_marker)
        self.earlier_action = self._action("&Earlier utterance", "Alt+Up", lambda: self.step(-1))
        self.later_action = self._action("&Later utterance", "Alt+Down", lambda: self.step(1))
        self.newest_action = self._action("Select &nothing", "Esc", lambda: self.select(None))
        self._enable()

    def _action(self, text: str, key: str, do: Callable[[], object]) -> QAction:
        action = QAction(text, self._window)
        action.setShortcut(QKeySequence(key))
        action.setToolTip(f"{text.replace('&', '').removesuffix(' …')} ({key})")
        action.triggered.connect(lambda _: do())
        return action

    def _switch(self, modality: str, key: str) -> QAction:
        action = QAction(f"Read &{SENSES[modality]}", self._window)
        action.setIconText(modality)
        action.setCheckable(True)
        action.setChecked(True)
        action.setShortcut(QKeySequence(f"Ctrl+{key}"))
        action.setToolTip(
            f"Read the whole conversation with or without the {SENSES[modality]} (Ctrl+{key})"
        )
        # What is shown comes from a snapshot, also where this is refused.
        action.triggered.connect(lambda on: self._ask(Switch(modality, on)))
        return action

    def _rename(self) -> None:
        if self._speaker is not None:
            self.edit_name(self._speaker)

    def _enable(self) -> None:
        now, asks = self.snapshot, self._can_ask
        chosen = asks and self.index is not None
        for action in (self.words_action, self.rename_action, self.split_action):
            action.setEnabled(chosen)
        for switch in self.switches.values():
            switch.setEnabled(asks)
        self.newest_action.setEnabled(self.index is not None and not self._presenting)
        self.mark_action.setEnabled(asks and now.phase in ("running", "ended"))
        self.undo_action.setEnabled(asks and now.undo is not None)
        self.redo_action.setEnabled(asks and now.redo is not None)
        for action in (self.earlier_action, self.later_action):
            action.setEnabled(bool(now.utterances))

    @property
    def _can_ask(self) -> bool:
        return self._put is not None and self._possible

    @property
    def _chosen(self) -> int:
        return -1 if self.index is None else self.index

    @property
    def _utterance(self) -> LabelledUtterance | None:
        return None if self.index is None else self.snapshot.utterances[self.index]

    @property
    def _speaker(self) -> int | None:
        return None if self._utterance is None else self._utterance.speaker

    @property
    def _people(self) -> list[tuple[int, str]]:
        now = self.snapshot
        return [(s, name) for s, name in enumerate(now.speakers) if s not in now.left]

    def _dot(self, speaker: int) -> QIcon:
        return QIcon() if self._theme is None else _icon(self._theme.speaker(speaker))


def _name(action: QAction, verb: str, what: str | None) -> None:
    action.setText(f"&{verb} {what}" if what else f"&{verb}")


def _literally(text: str) -> str:
    """What a menu shows as ``text``: & would begin a shortcut, a tab what stands at the right."""
    return text.replace("&", "&&").replace("\t", " ")


def _say_if_empty(menu: QMenu, sentence: str) -> None:
    if menu.isEmpty():
        menu.addAction(sentence).setEnabled(False)


def _icon(colour: QColor) -> QIcon:
    picture = QPixmap(16, 16)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(colour)
    painter.setPen(QColor(0, 0, 0, 0))
    painter.drawEllipse(2, 2, 12, 12)
    painter.end()
    return QIcon(picture)
