"""The window: picture and newest reading at left, the course of the conversation at right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.conversation import Conversation
from app.state import Snapshot
from app.ui.bridge import Bridge
from app.ui.correcting import Corrector
from app.ui.message_page import MessagePage
from app.ui.playing import Playing
from app.ui.presentation import FACTOR, Presentation
from app.ui.start_page import StartPage
from app.ui.theme import DARK, LIGHT, Theme, palette, scaled_font, style_sheet
from app.ui.views.gates import GatesView
from app.ui.views.lanes import LanesView
from app.ui.views.reading import ReadingView
from app.ui.views.status import StatusView
from app.ui.views.timeline import Follower
from app.ui.views.transcript import TranscriptView
from app.ui.views.video import CaptionView, VideoView
from live_features.media import VideoFrame

_SMALLEST_TYPE = 10.0  # points
_SAID_MS = 8000
_PAUSED = "Paused: nothing is heard, seen or recorded until you resume (Ctrl+Shift+P)."


class MainWindow(QMainWindow):
    """Shows a session while it happens and stays open afterwards.

    Everything comes by polling the conversation; the window never waits for its engine.
    ``may_close`` says whether it closes when it is asked to, and ``on_close`` is called once, when
    it does. ``path_dropped`` carries what was dropped on the window, ``colours_chosen`` which
    colours were chosen.
    """

    path_dropped = Signal(object)
    colours_chosen = Signal(str)

    def __init__(self, *, on_close: Callable[[], None]) -> None:
        super().__init__()
        self.conversation: Conversation | None = None
        self.start_page: StartPage | None = None
        self.may_close: Callable[[], bool] = lambda: True
        self._on_close: Callable[[], None] | None = on_close
        font = self.font()
        font.setPointSizeF(max(_SMALLEST_TYPE, font.pointSizeF()))
        self.setFont(font)
        self.resize(1280, 800)
        self.setAcceptDrops(True)

        self.theme = _system_theme()
        self._colours: tuple[str | None, ...] = ()
        self.video = VideoView(self.theme)
        self.caption = CaptionView(self.theme)
        self._large_caption = CaptionView(self.theme)
        self.reading = ReadingView(self.theme)
        self.emotions = self.reading.emotions
        self.lanes = LanesView(self.theme)
        self.gates = GatesView(self.theme)
        self.transcript = TranscriptView(self.theme)
        self.status = StatusView()
        self.follower = Follower((self.lanes, self.gates), self)
        self.bridge = Bridge(self)

        self.corrector = Corrector(
            self,
            lanes=self.lanes,
            gates=self.gates,
            transcript=self.transcript,
            reading=self.reading,
        )
        self.presentation = Presentation(self, (self.lanes, self.gates))
        self.presentation.changed.connect(self._enlarge)
        self.playing = Playing(
            self, self.theme, lanes=self.lanes, gates=self.gates, transcript=self.transcript
        )
        self._make_actions()
        self.pages = QStackedWidget()
        self.message_page = MessagePage(self.theme)
        self.pages.addWidget(self.message_page)
        self.pages.addWidget(self._session_page())
        self.setCentralWidget(self.pages)
        self.setStatusBar(self.status)

        self.follower.toggled.connect(self.follow_action.setChecked)
        self.follow_action.toggled.connect(self._follow)
        self.contribution_action.toggled.connect(self.gates.show_contributions)
        self.contribution_action.toggled.connect(self._name_gates)
        self.transcript.followed.connect(lambda following: self._newest.setVisible(not following))
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._follow_system_theme)

        self._use_theme(self.theme)
        self._name_gates(False)
        self.bridge.session_changed.connect(self._show_snapshot)
        self.bridge.frame_changed.connect(self._show_frame)
        self.corrector.refused.connect(self._say)
        self.playing.said.connect(self._say)

    def _say(self, sentence: str) -> None:
        self.status.showMessage(sentence, _SAID_MS)

    def set_start_page(self, page: StartPage) -> None:
        """What is shown where there is no conversation."""
        self.start_page = page
        page.set_theme(self.theme)
        self.pages.addWidget(page)

    def show_start(self) -> None:
        """Show the start page, and no conversation."""
        assert self.start_page is not None
        self.end_conversation()
        self.setWindowTitle("sdt-live")
        self.pages.setCurrentWidget(self.start_page)

    def show_message(self, headline: str, text: str) -> None:
        """Show no conversation yet, but what goes on before there is one."""
        self.message_page.show_waiting(headline, text)
        self.pages.setCurrentWidget(self.message_page)

    def use_colours(self, name: str) -> None:
        """``system``, ``light`` or ``dark``."""
        actions = {
            "system": self.system_action,
            "light": self.light_action,
            "dark": self.dark_action,
        }
        actions[name].trigger()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        if _dropped(event.mimeData()) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        path = _dropped(event.mimeData())
        if path is not None:
            event.acceptProposedAction()
            self.path_dropped.emit(path)

    def show_conversation(self, conversation: Conversation) -> None:
        """Show this one from now on; the one before, if any, ends by itself."""
        self.end_conversation()
        self.conversation = conversation
        self.setWindowTitle(conversation.title)
        self.corrector.listen_to(conversation.requests.put)
        self.playing.watch(conversation)
        self.bridge.watch(conversation.state, conversation.preview)

    def end_conversation(self) -> None:
        """End what is shown, and show nothing more of it."""
        self.bridge.stop()
        if self.conversation is not None:
            self.conversation.close()
            self.conversation = None
            self.corrector.listen_to(None)
            self.playing.watch(None)
            self._clear()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if not self.may_close():
            event.ignore()
            return
        self.bridge.stop()
        if self.conversation is not None:
            self.conversation.close()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()
        event.accept()

    def _clear(self) -> None:
        for view in (self.video, self.lanes, self.gates):
            view.reset()
        self.pages.setCurrentIndex(0)
        self._show_snapshot(Snapshot())
        self.transcript.follow()
        self.follower.set_following(True)

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        for view in (self.video, self.caption, self.reading, self.lanes, self.gates):
            view.show_snapshot(snapshot)
        self._large_caption.show_snapshot(snapshot)
        self.transcript.show_snapshot(snapshot)
        if self.conversation is not None:
            self.corrector.set_possible(self.conversation.can_be_corrected)
        self.corrector.show_snapshot(snapshot)
        self.playing.show_snapshot(snapshot)
        self._show_colours(snapshot.colours)
        self.status.show_snapshot(snapshot)
        self.follower.show_position(snapshot.position)
        self._show_phase(snapshot)

    def _show_colours(self, chosen: tuple[str | None, ...]) -> None:
        if chosen != self._colours and any(chosen + self._colours):
            self._colours = chosen
            self._use_theme(self.theme)

    def _show_phase(self, snapshot: Snapshot) -> None:
        failed = snapshot.phase == "failed"
        nothing_yet = snapshot.phase == "loading" or (failed and not snapshot.utterances)
        if not nothing_yet and self.pages.currentIndex() == 0:
            share = 38 if snapshot.has_video else 28
            for column, part in enumerate((share, 100 - share)):
                self._columns.setStretchFactor(column, part)
            self._columns.setSizes([100 * share, 100 * (100 - share)])
        self.pages.setCurrentIndex(0 if nothing_yet else 1)
        if nothing_yet:
            self.message_page.show_snapshot(snapshot)
        lost = dict(snapshot.devices).get("microphone", "")
        sentence = _PAUSED if snapshot.paused else snapshot.message or lost
        self.banner.setVisible(bool(sentence) and not nothing_yet)
        if sentence != self.banner.text():
            self.banner.setText(sentence)

    def _show_frame(self, frame: VideoFrame | None) -> None:
        if frame is not None:
            self.video.show_frame(frame)

    def _follow(self, following: bool) -> None:
        self.follower.set_following(following)
        if following:
            self.transcript.follow()

    def _enlarge(self) -> None:
        large = self.presentation.action.isChecked()
        self.corrector.set_presenting(large)
        self._gates_title.setFont(scaled_font(self.font(), FACTOR if large else 1.0))
        self._use_theme(self.theme)

    def _name_gates(self, contributions: bool) -> None:
        self._gates_title.setText("Contribution share" if contributions else "Gate weights")

    def _use_theme(self, theme: Theme) -> None:
        if theme.chosen != self._colours:
            theme = replace(theme, chosen=self._colours)
        self.theme = theme
        QApplication.setPalette(palette(theme))
        self.setStyleSheet(style_sheet(theme))
        for view in (self.video, self.caption, self.reading, self.lanes, self.gates):
            view.set_theme(theme)
        self._large_caption.set_theme(theme)
        self.transcript.set_theme(theme)
        self.corrector.set_theme(theme)
        self.playing.set_theme(theme)
        self.message_page.set_theme(theme)
        if self.start_page is not None:
            self.start_page.set_theme(theme)

    def _choose_theme(self, name: str, theme: Theme) -> None:
        self._use_theme(theme)
        self.colours_chosen.emit(name)

    def _follow_system_theme(self) -> None:
        if self.system_action.isChecked():
            self._use_theme(_system_theme())

    def _swap_theme(self) -> None:
        (self.light_action if self.theme.name == DARK.name else self.dark_action).trigger()

    def _make_actions(self) -> None:
        self.session_menu = self.menuBar().addMenu("&Session")
        quit_action = self.session_menu.addAction("&Quit", self.close)
        quit_action.setShortcut(QKeySequence("Ctrl+Q"))
        quit_action.setStatusTip("End the session and close the window")

        self.corrector_menu = self.menuBar().addMenu("&Edit")
        self.corrector.fill_menu(self.corrector_menu)

        self.playing.fill_menu(self.menuBar().addMenu("&Play"))

        view = self.menuBar().addMenu("&View")
        self.follow_action = self._toggle("&Follow", "F", "Keep the last minute in sight")
        self.follow_action.setChecked(True)
        self.contribution_action = self._toggle(
            "&Contribution share",
            "G",
            "Show how much each modality contributes instead of its mean gate weight",
        )
        view.addActions([self.follow_action, self.contribution_action, self.presentation.action])
        view.addSeparator()
        choices = QActionGroup(self)
        self.system_action, self.light_action, self.dark_action = (
            choices.addAction(name) for name in ("Colours of the &system", "&Light", "&Dark")
        )
        self.system_action.setCheckable(True)
        self.light_action.setCheckable(True)
        self.dark_action.setCheckable(True)
        self.system_action.setChecked(True)
        self.system_action.triggered.connect(lambda: self._choose_theme("system", _system_theme()))
        self.light_action.triggered.connect(lambda: self._choose_theme("light", LIGHT))
        self.dark_action.triggered.connect(lambda: self._choose_theme("dark", DARK))
        view.addActions(choices.actions())
        swap = view.addAction("S&wap light and dark", self._swap_theme)
        swap.setShortcut(QKeySequence("D"))

    def _toggle(self, text: str, key: str, tip: str) -> QAction:
        action = QAction(text, self)
        action.setCheckable(True)
        action.setShortcut(QKeySequence(key))
        action.setToolTip(f"{tip} ({key})")
        action.setStatusTip(tip)
        return action

    def _session_page(self) -> QWidget:
        page = QWidget()
        self.banner = QLabel()
        self.banner.setObjectName("banner")
        self.banner.setWordWrap(True)

        left = QWidget()
        picture = QVBoxLayout(left)
        picture.setContentsMargins(0, 0, 0, 0)
        picture.setSpacing(10)
        picture.addWidget(_card(self.video, self.playing.transport, self.caption))
        picture.addWidget(_card(self.reading), 1)

        self._gates_title = QLabel()
        follow = _button(self.follow_action)
        swap = _button(self.contribution_action)
        self._newest = QToolButton()
        self._newest.setText("Newest")
        self._newest.setToolTip("Scroll to the newest utterance and stay there")
        self._newest.clicked.connect(self.transcript.follow)
        self._newest.hide()

        right = QSplitter(Qt.Orientation.Vertical)
        right.setHandleWidth(10)
        right.setChildrenCollapsible(False)
        lanes_heading = _heading(QLabel("Emotions over time"), follow)
        switches = (*self.corrector.switch_buttons(), swap)
        transcript = _card(_heading(QLabel("Transcript"), self._newest), self.transcript)
        right.addWidget(_card(lanes_heading, self.lanes))
        right.addWidget(_card(_heading(self._gates_title, *switches), self.gates))
        right.addWidget(transcript)
        right.setSizes([300, 190, 330])
        for position, stretch in enumerate((3, 2, 4)):
            right.setStretchFactor(position, stretch)

        self._columns = QSplitter(Qt.Orientation.Horizontal)
        self._columns.setHandleWidth(10)
        self._columns.setChildrenCollapsible(False)
        self._columns.addWidget(left)
        self._columns.addWidget(right)

        rows = QVBoxLayout(page)
        rows.setContentsMargins(10, 4, 10, 6)
        rows.addWidget(self.banner)
        rows.addWidget(self._columns, 1)
        self._large_caption.setFont(scaled_font(self.font(), FACTOR))
        self._large_caption.setFixedHeight(5 * self._large_caption.fontMetrics().height())
        large_caption = _card(self._large_caption)
        rows.addWidget(large_caption)
        self.presentation.arrange(
            large_caption, (left, transcript, lanes_heading, *switches, self.status)
        )
        return page


def _dropped(data: QMimeData) -> Path | None:
    """The file or folder that is being dropped, None where it is something else."""
    paths = [url.toLocalFile() for url in data.urls() if url.isLocalFile()]
    return Path(paths[0]) if len(paths) == 1 else None


def _system_theme() -> Theme:
    dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
    return DARK if dark else LIGHT


def _card(*parts: QWidget) -> QFrame:
    card = QFrame()
    card.setObjectName("card")
    column = QVBoxLayout(card)
    column.setContentsMargins(10, 8, 10, 10)
    column.setSpacing(6)
    for part in parts:
        column.addWidget(part)
    return card


def _heading(title: QLabel, *controls: QWidget) -> QWidget:
    row = QWidget()
    line = QHBoxLayout(row)
    line.setContentsMargins(2, 0, 0, 0)
    title.setObjectName("title")
    line.addWidget(title)
    line.addStretch(1)
    for control in controls:
        line.addWidget(control)
    return row


def _button(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setDefaultAction(action)
    button.setText(action.text().replace("&", ""))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    return button
