"""What the window shows before a session: the three ways to begin one, and what to know first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.session.card import SUFFIX
from app.ui.theme import Theme, blend, scaled_font
from app.ui.views.emotions import EmotionLegend

PRIVACY = (
    "Nothing that is seen or heard leaves this machine, and nothing is kept unless you record it. "
    "A label says how people tend to call such an expression, not what somebody feels."
)

_WIDTH = 940
_SHOWN = 4  # recent sessions


class StartPage(QScrollArea):
    """The ways to begin; what happens then is the business of the actions it is given.

    ``recent_chosen`` carries the path of a session or recording, ``record_toggled`` whether live
    sessions are to be kept.
    """

    recent_chosen = Signal(object)
    record_toggled = Signal(bool)

    def __init__(self, theme: Theme, *, live: QAction, open_: QAction, demo: QAction) -> None:
        super().__init__()
        self.setAccessibleName("Start page")
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.live = Choice(live, "Talk live", _draw_microphone, theme)
        self.open = Choice(open_, "Open a recording or session", _draw_film, theme)
        self.demo = Choice(demo, "Watch the demo", _draw_play, theme)
        self.open.set_text("Any file with sound or pictures, or a .sdt folder. Or drop it here.")
        self.demo.set_text("A short conversation of two people who do not exist.")
        self._choices = (self.live, self.open, self.demo)
        self._legend = EmotionLegend(theme)

        self.record = QCheckBox("&Record live sessions")
        self.record.toggled.connect(self.record_toggled)
        self.space = _label("", "muted")
        self.trouble = _label("", "banner")
        self.trouble.hide()
        self.recent_buttons: tuple[QPushButton, ...] = ()
        self._recent = QVBoxLayout()
        self._recent.setSpacing(2)
        self._recent_title = _label("Recent", "title")
        self.setWidget(self._page())

    def set_theme(self, theme: Theme) -> None:
        for part in (*self._choices, self._legend):
            part.set_theme(theme)

    def show_devices(self, microphone: str, camera: str, trouble: str = "") -> None:
        """Say what a live session will use, and in a sentence what stands against it."""
        self.live.set_text(f"{microphone}\n{camera}")
        self.trouble.setText(trouble)
        self.trouble.setVisible(bool(trouble))

    def show_recording(self, *, on: bool, where: str) -> None:
        self.record.setChecked(on)
        self.space.setText(where)

    def show_recent(self, paths: Sequence[Path]) -> None:
        for old in self.recent_buttons:
            self._recent.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._recent_title.setVisible(bool(paths))
        self.recent_buttons = tuple(self._recent_button(path) for path in paths[:_SHOWN])
        for button in self.recent_buttons:
            self._recent.addWidget(button)

    def _recent_button(self, path: Path) -> QPushButton:
        kind = "Session" if path.suffix == SUFFIX else "Recording"
        # A single & would make a shortcut of what follows it.
        button = QPushButton(f"{path.stem}   ·   {path.parent}".replace("&", "&&"))
        button.setObjectName("link")
        button.setToolTip(f"Open {path}")
        button.setAccessibleName(f"{kind} {path.stem} in {path.parent}")
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self.recent_chosen.emit(path))
        return button

    def _page(self) -> QWidget:
        title = QLabel("sdt-live")
        title.setFont(scaled_font(self.font(), 2.6, bold=True))
        line = _label("reads the emotion of a conversation while it happens", "muted")
        line.setFont(scaled_font(self.font(), 1.3))
        choices = QHBoxLayout()
        choices.setSpacing(16)
        for choice in self._choices:
            choices.addWidget(choice, 1)
        record = QHBoxLayout()
        record.setSpacing(10)
        record.addWidget(self.record)
        record.addWidget(self.space, 1)
        privacy = _label(PRIVACY, "muted")
        privacy.setWordWrap(True)
        privacy.setAlignment(Qt.AlignmentFlag.AlignHCenter)

        middle = QWidget()
        middle.setMaximumWidth(_WIDTH)
        column = QVBoxLayout(middle)
        column.setSpacing(12)
        column.addStretch(3)
        centre = Qt.AlignmentFlag.AlignHCenter
        column.addWidget(title, alignment=centre)
        column.addWidget(line, alignment=centre)
        column.addSpacing(18)
        column.addLayout(choices)
        column.addLayout(record)
        column.addWidget(self.trouble)
        column.addSpacing(6)
        column.addWidget(self._recent_title)
        column.addLayout(self._recent)
        column.addStretch(2)
        column.addWidget(self._legend, alignment=centre)
        column.addWidget(privacy)
        column.addStretch(1)

        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(24, 12, 24, 12)
        row.addStretch(1)
        row.addWidget(middle, 100)
        row.addStretch(1)
        return page


class Choice(QAbstractButton):
    """A card to click: a drawing, what it does, a few words, and the key that does it too."""

    def __init__(
        self,
        action: QAction,
        title: str,
        draw: Callable[[QPainter], None],
        theme: Theme,
    ) -> None:
        super().__init__()
        self._action = action
        self._title = title
        self._draw = draw
        self._theme = theme
        self._text = ""
        self._key = action.shortcut().toString()
        self.setAccessibleName(title)
        self.setToolTip(f"{action.toolTip()}")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.clicked.connect(action.trigger)

    def set_text(self, text: str) -> None:
        self._text = text
        self.setAccessibleDescription(text)
        self.update()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(240, round(11.5 * QFontMetricsF(self.font()).height()))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(200, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        theme = self._theme
        accent = QColor(theme.accent)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        lively = self.underMouse() or self.hasFocus()
        ground = QColor(theme.panel)
        if self.isDown():
            ground = blend(accent, ground, 0.16)
        elif self.underMouse():
            ground = blend(accent, ground, 0.07)
        painter.setPen(QPen(accent if lively else QColor(theme.edge), 2 if lively else 1))
        painter.setBrush(ground)
        painter.drawRoundedRect(box, 12, 12)

        line = QFontMetricsF(self.font()).height()
        inner = box.adjusted(18, 18, -18, -14)
        size = 2.6 * line
        painter.save()
        painter.translate(inner.topLeft())
        painter.scale(size / 40, size / 40)
        pen = QPen(accent, 2.6)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        self._draw(painter)
        painter.restore()

        painter.setPen(QColor(theme.muted))
        painter.setFont(scaled_font(self.font(), 0.9))
        top_right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        painter.drawText(inner, top_right, self._key)

        wrap = int(
            Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        )
        painter.setPen(QColor(theme.text))
        painter.setFont(scaled_font(self.font(), 1.25, bold=True))
        words = inner.adjusted(0, size + 0.7 * line, 0, 0)
        title = painter.boundingRect(words, wrap, self._title)
        painter.drawText(words, wrap, self._title)
        painter.setPen(QColor(theme.muted))
        painter.setFont(self.font())
        words.setTop(title.bottom() + 0.35 * line)
        metrics = QFontMetricsF(painter.font())
        for paragraph in self._text.split("\n"):
            if "\n" in self._text:
                paragraph = metrics.elidedText(  # noqa: PLW2901
                    paragraph, Qt.TextElideMode.ElideRight, words.width()
                )
            used = painter.boundingRect(words, wrap, paragraph)
            painter.drawText(words, wrap, paragraph)
            words.setTop(used.bottom() + 2)


def _label(text: str, name: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName(name)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


# Drawings on a field of 40 by 40.


def _draw_microphone(painter: QPainter) -> None:
    painter.drawRoundedRect(QRectF(13, 3, 14, 21), 7, 7)
    stand = QPainterPath()
    stand.moveTo(7, 18)
    stand.cubicTo(7, 36, 33, 36, 33, 18)
    stand.moveTo(20, 32)
    stand.lineTo(20, 38)
    painter.drawPath(stand)


def _draw_film(painter: QPainter) -> None:
    folder = QPainterPath()
    folder.moveTo(4, 33)
    folder.lineTo(4, 8)
    folder.lineTo(15, 8)
    folder.lineTo(19, 13)
    folder.lineTo(36, 13)
    folder.lineTo(36, 33)
    folder.closeSubpath()
    painter.drawPath(folder)
    wave = QPainterPath()
    for x, half in ((11, 2), (16, 5), (20, 3), (24, 6), (29, 2)):
        wave.moveTo(x, 23 - half)
        wave.lineTo(x, 23 + half)
    painter.drawPath(wave)


def _draw_play(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(20, 20), 17, 17)
    triangle = QPainterPath()
    triangle.moveTo(16, 12.5)
    triangle.lineTo(28, 20)
    triangle.lineTo(16, 27.5)
    triangle.closeSubpath()
    painter.fillPath(triangle, painter.pen().color())
    painter.drawPath(triangle)
