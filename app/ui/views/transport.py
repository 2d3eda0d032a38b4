"""Under the picture of a recording: where playing is, what is where, how fast, and over again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from html import escape

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QBrush,
    QColor,
    QIcon,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
)
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from app.session.player import SPEEDS
from app.state import LabelledUtterance
from app.ui.theme import Theme, blend
from app.ui.views.painting import clock, speaker_name, verdict

_MARKS_TOP, _MARKS_HIGH = 2.0, 11.0  # pixels
_TRACK_TOP, _TRACK_HIGH = 18.0, 4.0
_HANDLE = 6.5
_MARGIN = 8.0
_ICON = 18
_SHORTEST_LOOP = 0.2  # seconds; less is a slip of the hand


class TimeSlider(QWidget):
    """The whole recording from left to right: utterances, what is read, the loop, the playhead.

    ``sought`` carries the second that was clicked or dragged to, ``looped`` two seconds that were
    dragged over with Shift held or with the right button.
    """

    sought = Signal(float)
    looped = Signal(float, float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("Where playing is")
        self.setMouseTracking(True)
        self.setFixedHeight(30)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._theme = theme
        self.position = self.duration = 0.0
        self._read_until = 0.0
        self._loop: tuple[float, float] | None = None
        self._utterances: tuple[LabelledUtterance, ...] = ()
        self._starts: list[float] = []
        self._speakers: tuple[str, ...] = ()
        self._marks: QPixmap | None = None
        self._hovered: float | None = None
        self._seeking = False
        self._loop_from: float | None = None
        self._loop_to: float | None = None

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(300, 30)

    def show_time(
        self,
        position: float,
        duration: float,
        read_until: float,
        loop: tuple[float, float] | None,
    ) -> None:
        """All in seconds; beyond ``read_until`` nothing is known yet."""
        shown = (self.position, self.duration, self._read_until, self._loop)
        if shown == (position, duration, read_until, loop):
            return
        before = self._look()
        if duration != self.duration:
            self._marks = None
        self.position, self.duration = position, duration
        self._read_until, self._loop = read_until, loop
        if self._look() == before:
            return
        said = f"{clock(position)} of {clock(duration)}"
        if said != self.accessibleDescription():
            self.setAccessibleDescription(said)
        self.update()

    def _look(self) -> tuple[object, ...]:
        """What can be told apart by eye, to half a pixel."""
        here, read = self.x_of(self.position), self.x_of(self._read_until)
        return round(2 * here), round(2 * read), self.duration, self._loop

    def show_utterances(
        self, utterances: tuple[LabelledUtterance, ...], speakers: tuple[str, ...]
    ) -> None:
        """All that is known of the recording, in order of time."""
        self._speakers = speakers
        if utterances is not self._utterances:
            self._utterances = utterances
            self._starts = [utterance.start for utterance in utterances]
            self._marks = None
            self.update()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self._marks = None
        self.update()

    def utterance_at(self, time: float) -> LabelledUtterance | None:
        """Whatever was being said at ``time``."""
        after = bisect_right(self._starts, time)
        if after == 0:
            return None
        utterance = self._utterances[after - 1]
        return utterance if time <= utterance.end else None

    def x_of(self, time: float) -> float:
        """Where a second stands, in pixels."""
        room = self.width() - 2 * _MARGIN
        return _MARGIN + room * min(max(time / self.duration, 0.0), 1.0) if self.duration else 0.0

    def time_at(self, x: float) -> float:
        room = max(self.width() - 2 * _MARGIN, 1.0)
        return min(max((x - _MARGIN) / room, 0.0), 1.0) * self.duration

    # --- Mouse -------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        time = self.time_at(event.position().x())
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if event.button() == Qt.MouseButton.RightButton or shift:
            self._loop_from = self._loop_to = time
        elif event.button() == Qt.MouseButton.LeftButton:
            self._seeking = True
            self.sought.emit(time)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        time = self.time_at(event.position().x())
        self._hovered = time
        if self._loop_from is not None:
            self._loop_to = time
        elif self._seeking:
            self.sought.emit(time)
        QToolTip.showText(event.globalPosition().toPoint() + QPoint(0, 8), self.tip(time), self)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        first, last = self._loop_from, self._loop_to
        self._loop_from = self._loop_to = None
        self._seeking = False
        if first is not None and last is not None and abs(last - first) >= _SHORTEST_LOOP:
            self.looped.emit(min(first, last), max(first, last))
        self.update()

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802
        self._hovered = None
        self.update()

    def tip(self, time: float) -> str:
        """What there is at a second."""
        utterance = self.utterance_at(time)
        if utterance is None:
            unread = "" if time <= self._read_until else " &nbsp;still being read"
            return f"{clock(time)}{unread}"
        name = escape(speaker_name(self._speakers, utterance.speaker))
        return (
            f"{clock(time)} &nbsp;<b>{name}</b> &nbsp;{verdict(utterance)}"
            f"<br><i>{escape(utterance.text)}</i>"
        )

    # --- Painting ----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = self._theme
        left, right = _MARGIN, self.width() - _MARGIN
        self._draw_loop(painter)
        if self._marks is None or self._marks.size() != self.size() * self.devicePixelRatioF():
            self._marks = self._drawn_marks()
        painter.drawPixmap(QPointF(0, 0), self._marks)
        painter.setPen(Qt.PenStyle.NoPen)
        track = QRectF(left, _TRACK_TOP, right - left, _TRACK_HIGH)
        painter.setBrush(QColor(theme.grid))
        painter.drawRoundedRect(track, 2, 2)
        here, read = self.x_of(self.position), self.x_of(min(self._read_until, self.duration))
        if read < right - 1:
            hatch = blend(QColor(theme.muted), QColor(theme.panel), 0.6)
            painter.setBrush(QBrush(hatch, Qt.BrushStyle.BDiagPattern))
            painter.drawRect(QRectF(read, _TRACK_TOP - 1, right - read, _TRACK_HIGH + 2))
        painter.setBrush(QColor(theme.accent))
        painter.drawRoundedRect(QRectF(left, _TRACK_TOP, max(here - left, 1), _TRACK_HIGH), 2, 2)
        if self._hovered is not None:
            painter.setPen(QPen(QColor(theme.muted), 1))
            x = round(self.x_of(self._hovered)) + 0.5
            painter.drawLine(QPointF(x, 1), QPointF(x, self.height() - 3))
        painter.setPen(QPen(QColor(theme.panel), 1.5))
        painter.setBrush(QColor(theme.accent))
        painter.drawEllipse(QPointF(here, _TRACK_TOP + _TRACK_HIGH / 2), _HANDLE, _HANDLE)

    def _draw_loop(self, painter: QPainter) -> None:
        loop = self._loop
        if self._loop_from is not None and self._loop_to is not None:
            loop = (min(self._loop_from, self._loop_to), max(self._loop_from, self._loop_to))
        if loop is None:
            return
        accent = QColor(self._theme.accent)
        painter.setPen(QPen(accent, 1.5))
        wash = QColor(accent)
        wash.setAlphaF(0.2)
        painter.setBrush(wash)
        first, last = self.x_of(loop[0]), self.x_of(loop[1])
        painter.drawRoundedRect(QRectF(first, 0.75, max(last - first, 2), 27.5), 3, 3)

    def _drawn_marks(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        for utterance in self._utterances:
            start, end = self.x_of(utterance.start), self.x_of(utterance.end)
            colour = (
                QColor(self._theme.muted)
                if utterance.unsure
                else self._theme.emotion(utterance.emotion)
            )
            gap = 1.0 if end - start > 3 else 0.0
            painter.fillRect(
                QRectF(start, _MARKS_TOP, max(end - start - gap, 1.0), _MARKS_HIGH), colour
            )
        painter.end()
        return picture


class Transport(QWidget):
    """The slider, and below it play and pause, the time, the speed and the loop.

    Of a recorded session also which reading is shown, and in how many utterances the two differ.
    Everything that can be clicked is one of the window's actions.
    """

    speed_chosen = Signal(float)

    def __init__(
        self,
        theme: Theme,
        *,
        earlier: QAction,
        play: QAction,
        later: QAction,
        loop: QAction,
        readings: Sequence[QAction],
        read_anew: QAction,
    ) -> None:
        super().__init__()
        self.setAccessibleName("Playing")
        self.slider = TimeSlider(theme)
        self._play = play
        self._playing = False
        self._earlier, self._later = earlier, later
        self.time = QLabel()
        self.time.setAccessibleName("Time")
        self.speed = QToolButton()
        self.speed.setAccessibleName("Speed")
        self.speed.setToolTip("How fast to play; voices keep their pitch ( [ slower, ] faster )")
        self.speed.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.speed)
        for speed in SPEEDS:
            action = menu.addAction(_times(speed))
            action.triggered.connect(lambda _=False, speed=speed: self.speed_chosen.emit(speed))
        self.speed.setMenu(menu)
        self.differences = QLabel()
        self.differences.setObjectName("muted")

        buttons = QHBoxLayout()
        buttons.setContentsMargins(4, 0, 4, 0)
        buttons.setSpacing(4)
        for action in (earlier, play, later):
            button = _action_button(action, "Previous utterance" if action is earlier else "")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            button.setIconSize(QSize(_ICON, _ICON))
            buttons.addWidget(button)
        buttons.addSpacing(6)
        buttons.addWidget(self.time, 1)
        buttons.addWidget(self.speed)
        buttons.addWidget(_action_button(loop))

        self._sessions = QWidget()
        session = QHBoxLayout(self._sessions)
        session.setContentsMargins(4, 0, 4, 0)
        session.setSpacing(4)
        self.reading_buttons = [_action_button(action) for action in readings]
        for button in self.reading_buttons:
            session.addWidget(button)
        self.anew_button = _action_button(read_anew)
        session.addWidget(self.anew_button)
        session.addWidget(self.differences, 1)

        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addWidget(self.slider)
        rows.addLayout(buttons)
        rows.addWidget(self._sessions)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_theme(theme)

    def show_time(self, position: float, duration: float, *, waiting: bool) -> None:
        note = " · still being read" if waiting else ""
        text = f"{clock(position)} / {clock(duration)}{note}"
        if text != self.time.text():
            self.time.setText(text)

    def show_speed(self, speed: float) -> None:
        text = _times(speed)
        if text != self.speed.text():
            self.speed.setText(text)

    def show_session(self, *, is_one: bool, both: bool, differences: str) -> None:
        """Of a recorded session: whether both readings are there, and how they differ."""
        self._sessions.setVisible(is_one)
        for button in self.reading_buttons:
            button.setVisible(both)
        self.anew_button.setVisible(not both)
        if differences != self.differences.text():
            self.differences.setText(differences)

    def set_theme(self, theme: Theme) -> None:
        self.slider.set_theme(theme)
        ink = QColor(theme.text)
        self._icons = {shape: _icon(shape, ink) for shape in ("play", "pause", "back", "on")}
        self._earlier.setIcon(self._icons["back"])
        self._later.setIcon(self._icons["on"])
        self._show_play(self._playing)

    def show_playing(self, playing: bool) -> None:
        if playing != self._playing:
            self._show_play(playing)

    def _show_play(self, playing: bool) -> None:
        self._playing = playing
        self._play.setText("Pause" if playing else "Play")
        self._play.setIcon(self._icons["pause" if playing else "play"])
        self._play.setToolTip(f"{self._play.text()} (Space)")


def _times(speed: float) -> str:
    return f"{speed:g}×"


def _action_button(action: QAction, name: str = "") -> QToolButton:
    button = QToolButton()
    button.setDefaultAction(action)
    button.setAccessibleName(name or action.text().replace("&", ""))
    # Keys belong to the window; a button that has been clicked takes none of them away.
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _icon(shape: str, ink: QColor) -> QIcon:
    picture = QPixmap(2 * _ICON, 2 * _ICON)
    picture.setDevicePixelRatio(2)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ink)
    if shape == "pause":
        painter.drawRect(QRect(4, 3, 3, 12))
        painter.drawRect(QRect(11, 3, 3, 12))
    elif shape == "play":
        painter.drawPolygon(QPolygonF([QPointF(4, 2), QPointF(15, 9), QPointF(4, 16)]))
    else:
        if shape == "back":
            painter.translate(_ICON, 0)
            painter.scale(-1, 1)
        painter.drawPolygon(QPolygonF([QPointF(3, 3), QPointF(12, 9), QPointF(3, 15)]))
        painter.drawRect(QRect(12, 3, 3, 12))
    painter.end()
    return QIcon(picture)
