"""How much text, audio and visual weigh in each utterance."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import cast

import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPen

from app.state import LabelledUtterance, Snapshot
from app.ui.theme import DARK, Theme, blend, ink_on, scaled_font
from app.ui.views.painting import draw_modality, numbers_html, percent, speaker_name, students
from app.ui.views.timeline import TimeBar, TimePlot, forget
from live_features.emotions import MODALITIES


class GateBar(TimeBar):
    """Three shares stacked to 1, text on top; hatched where the modality is missing."""

    def __init__(self, view: pg.ViewBox, theme: Theme) -> None:
        super().__init__(view, theme)
        self.utterance: LabelledUtterance | None = None
        self._name = ""
        self._contributions = False

    @property
    def index(self) -> int | None:
        return None if self.utterance is None else self.utterance.index

    @property
    def shares(self) -> tuple[float, ...]:
        """What is drawn, in order text, audio, visual."""
        assert self.utterance is not None
        reading = self.utterance.reading
        return reading.contributions if self._contributions else reading.gates

    @property
    def missing(self) -> tuple[str, ...]:
        """The modalities drawn as missing."""
        assert self.utterance is not None
        return tuple(m for m, seen in students(self.utterance.reading) if seen is None)

    def show_utterance(self, utterance: LabelledUtterance, name: str) -> None:
        self.utterance = utterance
        self._name = name
        self.place(utterance.start, utterance.end, 0.0)
        self.redraw()

    def show_contributions(self, contributions: bool) -> None:
        self._contributions = contributions
        self.redraw()

    def numbers(self) -> str:
        return numbers_html(self.utterance, self._name, self.theme) if self.utterance else ""

    def draw(self, painter: QPainter, box: QRectF, start: float) -> None:
        if self.utterance is None:
            return
        bar = box.adjusted(0, 0, -1.0 if box.width() > 4 else 0.0, 0)
        painter.setFont(scaled_font(painter.font(), 0.84))
        metrics = QFontMetricsF(painter.font())
        above = bar.top()
        total = 0.0
        for modality, share in zip(MODALITIES, self.shares, strict=True):
            total += share
            below = bar.top() + round(min(total, 1.0) * bar.height())
            part = QRectF(bar.left(), above, bar.width(), below - above)
            above = below
            self._segment(painter, part, modality)
            text = percent(share)
            if modality in self.missing:
                text = next((t for t in (f"no {modality}", "none") if fits(t, part, metrics)), "")
            if text and fits(text, part, metrics):
                painter.drawText(part, Qt.AlignmentFlag.AlignCenter, text)
        self.draw_outline(painter, bar)

    def _segment(self, painter: QPainter, part: QRectF, modality: str) -> None:
        colour = self.theme.modality(modality)
        if modality in self.missing:
            panel = QColor(self.theme.panel)
            painter.fillRect(part, blend(QColor(self.theme.muted), panel, 0.12))
            hatch = blend(QColor(self.theme.muted), panel, 0.35)
            painter.fillRect(part, QBrush(hatch, Qt.BrushStyle.FDiagPattern))
            painter.setPen(QColor(self.theme.text))
        else:
            painter.fillRect(part, colour)
            painter.setPen(ink_on(colour))


class ModalityAxis(pg.AxisItem):
    """The three modalities with their colours, in the order in which the bars are stacked."""

    def __init__(self) -> None:
        super().__init__("left")
        self._theme = DARK
        self._on = frozenset(MODALITIES)

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.picture = None
        self.update()

    def show_on(self, on: frozenset[str]) -> None:
        """Fade the modalities that are switched off."""
        if on != self._on:
            self._on = on
            self.picture = None
            self.update()

    def paint(self, painter: QPainter, option: object, widget: object) -> None:
        painter.setFont(scaled_font(painter.font(), 0.92))
        left = self.boundingRect().left() + 10
        third = self.size().height() / len(MODALITIES)
        for position, modality in enumerate(MODALITIES):
            row = QRectF(left, position * third, self.size().width() - 12, third)
            painter.setOpacity(1.0 if modality in self._on else 0.35)
            draw_modality(painter, row, modality, self._theme)


class GatesView(TimePlot):
    """Modality gate weights, or contribution shares, over session time."""

    def __init__(self, theme: Theme) -> None:
        self._axis = ModalityAxis()
        super().__init__(left=self._axis, show_times=True)
        self.setAccessibleName("Weights of text, audio and visual for each utterance")
        self.setMinimumHeight(100)
        self._theme = theme
        self._shown: tuple[LabelledUtterance, ...] = ()
        self.bars: dict[int, GateBar] = {}
        self.contributions = False
        self._selected: int | None = None
        self._speakers: tuple[str, ...] = ()
        self._thirds = [pg.InfiniteLine(pos=third / 3, angle=0) for third in (1, 2)]
        for line in self._thirds:
            line.setZValue(20)
            self.addItem(line, ignoreBounds=True)
        self.getViewBox().setYRange(0, 1, padding=0)

    def sketch(self, painter: QPainter, utterance: LabelledUtterance, strip: QRectF) -> None:
        reading = utterance.reading
        shares = reading.contributions if self.contributions else reading.gates
        top = strip.top()
        for modality, share in zip(MODALITIES, shares, strict=True):
            part = QRectF(strip.left(), top, strip.width(), share * strip.height())
            painter.fillRect(part, self._theme.modality(modality))
            top += part.height()

    @property
    def utterance_bars(self) -> MutableMapping[int, TimeBar]:
        return cast(MutableMapping[int, TimeBar], self.bars)

    def reset(self) -> None:
        """Forget all utterances."""
        forget(self.bars)
        self._shown = ()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self.show_moments(snapshot)
        self._axis.show_on(snapshot.on)
        renamed = snapshot.speakers != self._speakers
        if snapshot.utterances is not self._shown or renamed:
            self._show_utterances(snapshot, renamed)
        self.dim(snapshot)

    def _show_utterances(self, snapshot: Snapshot, renamed: bool) -> None:
        self._speakers = snapshot.speakers
        for utterance in snapshot.utterances:
            bar = self.bars.get(utterance.index)
            if bar is None:
                bar = self.bars[utterance.index] = GateBar(self.getViewBox(), self._theme)
                bar.setParentItem(self.layer)
                bar.show_contributions(self.contributions)
                bar.select(utterance.index == self._selected)
            if bar.utterance is not utterance or renamed:
                bar.show_utterance(utterance, speaker_name(snapshot.speakers, utterance.speaker))
        self._shown = snapshot.utterances
        self.keep_only(len(snapshot.utterances))

    def select(self, index: int | None) -> None:
        """Frame this utterance and no other."""
        self._selected = index
        for position, bar in self.bars.items():
            bar.select(position == index)

    def show_contributions(self, contributions: bool) -> None:
        """Stack the shares ‖g ⊙ H‖ instead of the mean gates, which all sit near a third."""
        self.contributions = contributions
        for bar in self.bars.values():
            bar.show_contributions(contributions)
        self.overview.update()

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        self._theme = theme
        self._axis.set_theme(theme)
        line = QColor(theme.text)
        line.setAlphaF(0.45)
        for third in self._thirds:
            third.setPen(QPen(line, 0, Qt.PenStyle.DotLine))
        for bar in self.bars.values():
            bar.set_theme(theme)


def fits(text: str, box: QRectF, metrics: QFontMetricsF) -> bool:
    return (
        metrics.horizontalAdvance(text) <= box.width() - 6 and metrics.height() <= box.height() + 1
    )
