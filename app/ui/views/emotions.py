"""The seven emotions: legend, and the newest reading in the same seven rows."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.state import LabelledUtterance
from app.ui.theme import Theme, draw_face, scaled_font
from app.ui.views.painting import (
    draw_modality,
    numbers_html,
    percent,
    students,
)
from live_features.emotions import EMOTIONS, MODALITIES

_DETAILED_ROW = 36.0  # pixels; rows this high also show the three students
_TIGHT_ROW = 27.0  # and these do where they have to
_STUDENT_STEP, _TIGHT_STEP = 5.0, 4.0
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


class EmotionsView(QWidget):
    """Face, word and colour of every emotion, with its probability in an utterance.

    Where there is room, thin bars below say what the three students think.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("The seven emotions and how likely each is")
        self._theme = theme
        self.utterance: LabelledUtterance | None = None
        self._least = _DETAILED_ROW
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(300, round(len(EMOTIONS) * (QFontMetricsF(self.font()).height() + 9)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return self.sizeHint()

    def show_utterance(self, utterance: LabelledUtterance | None, name: str) -> None:
        """Show how this one reads, said by ``name``."""
        if utterance is self.utterance:
            return
        self.utterance = utterance
        self.setToolTip("" if utterance is None else numbers_html(utterance, name, self._theme))
        self.update()

    def show_students(self, always: bool) -> None:
        """Take the room for the three students' bars, whatever there is."""
        key = QFontMetricsF(self.font()).height() + 8
        self._least = _TIGHT_ROW if always else _DETAILED_ROW
        self.setMinimumHeight(round(len(EMOTIONS) * _TIGHT_ROW + key) + 1 if always else 0)

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        key = QFontMetricsF(self.font()).height() + 8
        detailed = self.height() - key >= len(EMOTIONS) * self._least
        rows = QRectF(0, 0, self.width(), self.height() - (key if detailed else 0))
        step = rows.height() / len(EMOTIONS)
        for row, emotion in enumerate(EMOTIONS):
            self._draw_row(painter, QRectF(0, row * step, rows.width(), step), emotion, detailed)
        if detailed:
            self._draw_key(painter, QRectF(2, rows.bottom(), rows.width(), key))

    def _draw_row(self, painter: QPainter, row: QRectF, emotion: str, detailed: bool) -> None:
        theme = self._theme
        position = EMOTIONS.index(emotion)
        metrics = QFontMetricsF(scaled_font(self.font(), 1.0, bold=True))
        word = max(map(metrics.horizontalAdvance, EMOTIONS)) + 14
        number = metrics.horizontalAdvance(percent(1)) + 6
        face = min(row.height() - 5, 26.0)
        middle = row.center().y()
        disc = QRectF(2, middle - face / 2, face, face)
        draw_face(painter, disc, emotion, theme.emotion(emotion))
        wins = self.utterance is not None and self.utterance.emotion == emotion
        painter.setFont(scaled_font(self.font(), 1.0, bold=wins))
        painter.setPen(QColor(theme.text))
        cell = QRectF(disc.right() + 9, row.top(), word, row.height())
        painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignLeft, emotion)
        roomy = row.height() >= _DETAILED_ROW
        thick = 10.0 if detailed and roomy else 8.0
        thin_step = _STUDENT_STEP if roomy else _TIGHT_STEP
        below = 3 * thin_step + 2 if detailed else 0.0
        track = QRectF(cell.right(), middle - (thick + below) / 2, 0, thick)
        track.setRight(row.right() - number - 4)
        draw_share(painter, track, QColor(theme.grid), 1.0)
        if self.utterance is None:
            return
        reading = self.utterance.reading
        draw_share(painter, track, theme.emotion(emotion), reading.fused[position])
        painter.setPen(QColor(theme.text if wins else theme.muted))
        cell = QRectF(row.right() - number, row.top(), number - 2, row.height())
        painter.drawText(
            cell, _MIDDLE | Qt.AlignmentFlag.AlignRight, percent(reading.fused[position])
        )
        if not detailed:
            return
        thin = QRectF(track.left(), track.bottom() + 3, track.width(), thin_step - 2)
        for modality, probabilities in students(reading):
            if probabilities is not None:
                draw_share(painter, thin, theme.modality(modality), probabilities[position])
            thin.translate(0, thin_step)

    def _draw_key(self, painter: QPainter, row: QRectF) -> None:
        """Whose opinions the thin bars are."""
        painter.setFont(scaled_font(self.font(), 0.9))
        metrics = QFontMetricsF(painter.font())
        painter.setPen(QColor(self._theme.muted))
        lead = "thin bars: students"
        painter.drawText(row, _MIDDLE | Qt.AlignmentFlag.AlignLeft, lead)
        left = row.left() + metrics.horizontalAdvance(lead) + 14
        for modality in MODALITIES:
            width = metrics.horizontalAdvance(modality) + 34
            draw_modality(
                painter, QRectF(left, row.top(), width, row.height()), modality, self._theme
            )
            left += width


class EmotionLegend(QWidget):
    """The seven faces with their words, in one row."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("Legend of the seven emotions")
        self._theme = theme

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(len(EMOTIONS) * 92, 74)

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setFont(scaled_font(self.font(), 1.0))
        painter.setPen(QColor(self._theme.muted))
        step = self.width() / len(EMOTIONS)
        for column, emotion in enumerate(EMOTIONS):
            face = QRectF((column + 0.5) * step - 19, 2, 38, 38)
            draw_face(painter, face, emotion, self._theme.emotion(emotion))
            word = QRectF(column * step, 46, step, self.height() - 46)
            painter.drawText(
                word, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, emotion
            )


def draw_share(painter: QPainter, track: QRectF, colour: QColor, share: float) -> None:
    """Fill ``share`` of a rounded track, never less than its round end."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    filled = QRectF(track)
    filled.setWidth(max(track.height(), share * track.width()))
    painter.drawRoundedRect(filled, track.height() / 2, track.height() / 2)
