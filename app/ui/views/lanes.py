"""A lane for every speaker: what was felt, how surely, and where it changed."""

from __future__ import annotations

from collections.abc import MutableMapping
from html import escape
from typing import cast

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from app.state import LabelledUtterance, OpenUtterance, Snapshot
from app.ui.theme import DARK, Theme, blend, draw_face, ink_on, scaled_font
from app.ui.views.painting import (
    draw_chip,
    enlargement,
    numbers_html,
    percent,
    speaker_name,
    verdict,
)
from app.ui.views.timeline import TimeBar, TimePlot, forget
from live_features.emotions import EMOTIONS

_HEAD, _FOOT = 19.0, 9.0  # pixels above and below a bar, for what it was and for shifts
_TICK = 7.0
_FACE = 18.0


class EmotionBar(TimeBar):
    """The seven probabilities of an utterance, the winner at the bottom so heights compare.

    Above it stands what the utterance read as before, if that has changed; the tick under its
    left edge says that its speaker feels differently than in the utterance before.
    """

    def __init__(self, view: pg.ViewBox, theme: Theme) -> None:
        super().__init__(view, theme)
        self.utterance: LabelledUtterance | None = None
        self._name = ""
        self.shifted_from: str | None = None
        self._looked_at = 0.0

    @property
    def index(self) -> int | None:
        return None if self.utterance is None else self.utterance.index

    def show_utterance(
        self, utterance: LabelledUtterance, name: str, lane: int, shifted_from: str | None
    ) -> None:
        self.utterance = utterance
        self._name = name
        self.shifted_from = shifted_from
        self.place(utterance.start, utterance.end, -1.0 - lane)
        self.redraw()

    def look_at(self, strength: float) -> None:
        """Mark how much the selected utterance looked here, from 0 (not at all) to 1 (most)."""
        if strength != self._looked_at:
            self._looked_at = strength
            self.redraw()

    def numbers(self) -> str:
        if self.utterance is None:
            return ""
        shift = (
            f"<p>shift: {self.shifted_from} in the utterance before</p>"
            if self.shifted_from
            else ""
        )
        return numbers_html(self.utterance, self._name, self.theme) + shift

    def draw(self, painter: QPainter, box: QRectF, start: float) -> None:
        if self.utterance is None:
            return
        bar = lane_bar(box, enlargement(painter.font()))
        winner = EMOTIONS.index(self.utterance.emotion)
        fused = self.utterance.reading.fused
        order = (winner, *(i for i in range(len(EMOTIONS)) if i != winner))
        panel = QColor(self.theme.panel)
        below = bar.bottom()
        crown = bar
        total = 0.0
        for position in order:
            total += fused[position]
            top = bar.bottom() - round(min(total, 1.0) * bar.height())
            part = QRectF(bar.left(), top, bar.width(), below - top)
            colour = QColor(self.theme.emotions[position])
            if position == winner:
                crown = part
            else:
                colour = blend(colour, panel, 0.5)
            painter.fillRect(part, colour)
            below = top
        self.draw_outline(painter, bar)
        self._label(painter, crown, bar)
        if self.utterance.was is not None:
            self._was(painter, QRectF(box.left(), box.top(), box.width(), bar.top() - box.top()))
        if self._looked_at > 0:
            self._draw_looked(painter, QRectF(bar.left(), bar.bottom() + 2, bar.width(), _TICK - 2))
        if self.shifted_from is not None:
            self._shift(painter, QRectF(start, bar.bottom() + 1, bar.width(), _TICK))

    def _label(self, painter: QPainter, crown: QRectF, bar: QRectF) -> None:
        assert self.utterance is not None
        emotion = self.utterance.emotion
        face = _FACE * enlargement(painter.font())
        if bar.width() < face + 2 or crown.height() < face + 2:
            return
        painter.setFont(scaled_font(painter.font(), 0.88, bold=True))
        metrics = QFontMetricsF(painter.font())
        room = bar.width() - 8
        short = "?" if self.utterance.unsure else emotion
        options = (verdict(self.utterance), short)
        text = next((t for t in options if metrics.horizontalAdvance(t) <= room), "")
        width = metrics.horizontalAdvance(text)
        colour = self.theme.emotion(emotion)
        centre = crown.center()
        disc = QRectF(centre.x() - face / 2, centre.y() - face / 2, face, face)
        words = QRectF(crown.left(), centre.y(), crown.width(), metrics.height())
        if text and face + 5 + width <= room:
            disc.moveLeft(centre.x() - (face + 5 + width) / 2)
            words = QRectF(disc.right() + 5, crown.top(), width + 2, crown.height())
        elif text and crown.height() >= face + metrics.height() + 4:
            disc.moveTop(centre.y() - (face + metrics.height()) / 2)
            words.moveTop(disc.bottom() + 1)
        else:
            text = ""
        draw_face(painter, disc, emotion, blend(colour, QColor("#FFFFFF"), 0.22))
        if text:
            painter.setPen(ink_on(colour))
            painter.drawText(words, Qt.AlignmentFlag.AlignCenter, text)

    def _was(self, painter: QPainter, head: QRectF) -> None:
        assert self.utterance is not None
        before = self.utterance.was
        assert before is not None
        colour = self.theme.emotion(before)
        face = min(14.0 * enlargement(painter.font()), head.height() - 3)
        if head.width() < face + 1 or face < 9:
            painter.fillRect(QRectF(head.left(), head.bottom() - 6, head.width(), 4), colour)
            return
        painter.setFont(scaled_font(painter.font(), 0.82))
        metrics = QFontMetricsF(painter.font())
        top = head.bottom() - face - 2
        options = (("was ", before), ("was ", ""), ("", ""))
        room = head.width() - face - 4
        lead, word = next(
            (o for o in options if metrics.horizontalAdvance("".join(o)) <= room), options[-1]
        )
        painter.setPen(QColor(self.theme.muted))
        align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        left = head.left() + 1
        row = QRectF(left, top - 2, head.width(), face + 4)
        painter.drawText(row, align, lead)
        left += metrics.horizontalAdvance(lead)
        draw_face(painter, QRectF(left, top, face, face), before, colour)
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(row.translated(left - row.left() + face + 4, 0), align, word)

    def _draw_looked(self, painter: QPainter, foot: QRectF) -> None:
        """As wide as it was looked at."""
        painter.fillRect(foot, QColor(self.theme.grid))
        foot.setWidth(max(2.0, self._looked_at * foot.width()))
        painter.fillRect(foot, QColor(self.theme.accent))

    def _shift(self, painter: QPainter, foot: QRectF) -> None:
        width = min(_TICK, foot.width())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.theme.text))
        corner = foot.topLeft()
        painter.drawPolygon(
            QPolygonF((corner, corner + QPointF(width, _TICK), corner + QPointF(0, _TICK)))
        )


class OpenBar(TimeBar):
    """Speech that goes on, hatched: over all lanes until it is known whose it is."""

    def __init__(self, view: pg.ViewBox, theme: Theme) -> None:
        super().__init__(view, theme)
        self._reading: OpenUtterance | None = None
        self.setZValue(-5)
        self.hide()

    def show_reading(self, reading: OpenUtterance | None) -> None:
        if reading is not self._reading:
            self._reading = reading
            self.redraw()

    def numbers(self) -> str:
        if self._reading is None:
            return "Somebody is speaking; the emotion follows when they pause."
        said = escape(self._reading.text)
        sure = percent(self._reading.confidence)
        return f"So far: <i>{said} …</i><br>{self._reading.emotion} {sure}, provisional"

    def draw(self, painter: QPainter, box: QRectF, start: float) -> None:
        reading = self._reading
        scale = enlargement(painter.font())
        face = _FACE * scale
        colour = QColor(
            self.theme.accent if reading is None else self.theme.emotion(reading.emotion)
        )
        bar = box if reading is None or reading.speaker is None else lane_bar(box, scale)
        wash = QColor(colour)
        wash.setAlphaF(0.5)
        painter.fillRect(bar, QBrush(wash, Qt.BrushStyle.BDiagPattern))
        painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        if reading is not None and bar.width() >= face + 4:
            middle = bar.center()
            disc = QRectF(middle.x() - face / 2, middle.y() - face / 2, face, face)
            draw_face(painter, disc, reading.emotion, colour)


class SpeakerAxis(pg.AxisItem):
    """The speakers' names, each on his colour, beside his lane."""

    def __init__(self) -> None:
        super().__init__("left")
        self._theme = DARK
        self._people: tuple[tuple[int, str], ...] = ()

    def show_people(self, people: tuple[tuple[int, str], ...], theme: Theme) -> None:
        """A lane for each of ``people``, a speaker and a name."""
        self._people = people
        self._theme = theme
        self.picture = None
        self.update()

    def chip(self, lane: int) -> QRectF:
        """Where the name stands, in the axis's own coordinates."""
        height = self.size().height() / max(1, len(self._people))
        middle = lane * height + _HEAD + (height - _HEAD - _FOOT) / 2
        high = QFontMetricsF(scaled_font(self.font(), 0.92, bold=True)).height() + 4
        return QRectF(
            self.boundingRect().left() + 4, middle - high / 2, self.size().width() - 14, high
        )

    def speaker_at(self, place: QPointF) -> int | None:
        """Whose name is at ``place``, in the axis's own coordinates."""
        for lane, (speaker, _) in enumerate(self._people):
            if self.chip(lane).contains(place):
                return speaker
        return None

    def paint(self, painter: QPainter, option: object, widget: object) -> None:
        painter.setFont(scaled_font(self.font(), 0.92, bold=True))
        for lane, (speaker, name) in enumerate(self._people):
            draw_chip(painter, self.chip(lane), name, self._theme.speaker(speaker))


class LanesView(TimePlot):
    """Emotion lanes over session time, one per speaker.

    ``speaker_clicked`` carries the speaker whose name was clicked.
    """

    speaker_clicked = Signal(int)

    def __init__(self, theme: Theme) -> None:
        self._axis = SpeakerAxis()
        super().__init__(left=self._axis, show_times=False)
        self.setAccessibleName("Emotion lanes, one for each speaker")
        self._theme = theme
        self._speakers: tuple[str, ...] = ()
        self._people: tuple[int, ...] = ()
        self._lanes: tuple[int, ...] = ()
        self._selected: int | None = None
        self._looked: tuple[float, ...] = ()
        self._shown: tuple[LabelledUtterance, ...] = ()
        self.bars: dict[int, EmotionBar] = {}
        self._grounds: list[pg.InfiniteLine] = []
        self.open_bar = OpenBar(self.getViewBox(), theme)
        self._set_lanes((0,))

    @property
    def speaking(self) -> bool:
        """Whether the open utterance is drawn."""
        return bool(self.open_bar.isVisible())

    @property
    def height_of_lanes(self) -> float:
        return -float(len(self._lanes))

    def lane_of(self, utterance: LabelledUtterance) -> float:
        return -float(self._lane(utterance.speaker))

    def sketch(self, painter: QPainter, utterance: LabelledUtterance, strip: QRectF) -> None:
        theme = self._theme
        bar = lane_bar(strip)
        painter.fillRect(bar, QColor(theme.grid))
        high = round(min(utterance.confidence, 1.0) * bar.height())
        colour = QColor(theme.muted) if utterance.unsure else theme.emotion(utterance.emotion)
        painter.fillRect(QRectF(bar.left(), bar.bottom() - high, bar.width(), high), colour)

    @property
    def utterance_bars(self) -> MutableMapping[int, TimeBar]:
        return cast(MutableMapping[int, TimeBar], self.bars)

    def reset(self) -> None:
        """Forget all utterances."""
        forget(self.bars)
        self._shown = ()
        self.open_bar.show_reading(None)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        heard = max((u.speaker + 1 for u in snapshot.utterances), default=0)
        everybody = range(max(heard, len(snapshot.speakers)))
        people = tuple(s for s in everybody if s not in snapshot.left)
        moved = people != self._people
        if moved or snapshot.speakers != self._speakers:
            self._speakers = snapshot.speakers
            self._people = people
            self._set_lanes(people or (0,))
            self._name_lanes()
            moved = True
        if moved or snapshot.utterances is not self._shown:
            self._show_utterances(snapshot.utterances, moved)
        self.dim(snapshot)
        self.show_moments(snapshot)
        since = snapshot.speaking_since
        self.open_bar.setVisible(since is not None)
        if since is not None:
            reading = snapshot.provisional
            self.open_bar.show_reading(reading)
            end = max(snapshot.position, since)
            if reading is None or reading.speaker is None:
                self.open_bar.place(since, end, -len(self._lanes), len(self._lanes))
            else:
                self.open_bar.place(since, end, -1.0 - self._lane(reading.speaker))

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        self._theme = theme
        for item in (*self.bars.values(), self.open_bar):
            item.set_theme(theme)
        for ground in self._grounds:
            ground.setPen(QPen(QColor(theme.grid), 0))
        self._name_lanes()

    def select(self, index: int | None, looked: tuple[float, ...] = ()) -> None:
        """Frame this utterance and no other, and mark how much it ``looked`` at each."""
        self._selected, self._looked = index, looked
        for position, bar in self.bars.items():
            self._mark(position, bar)

    def chip_box(self, speaker: int) -> QRect | None:
        """Where a speaker's name stands in this widget."""
        if speaker not in self._lanes:
            return None
        box = self._axis.mapRectToScene(self._axis.chip(self._lane(speaker)))
        return self.mapFromScene(box).boundingRect()

    def clicked_at(self, place: QPointF) -> None:
        speaker = self._axis.speaker_at(self._axis.mapFromScene(place))
        if speaker is not None and speaker in self._people:
            self.speaker_clicked.emit(speaker)

    def _mark(self, position: int, bar: EmotionBar) -> None:
        bar.select(position == self._selected)
        bar.look_at(self._looked[position] if position < len(self._looked) else 0.0)

    def _lane(self, speaker: int) -> int:
        return self._lanes.index(speaker) if speaker in self._lanes else 0

    def _set_lanes(self, people: tuple[int, ...]) -> None:
        if people == self._lanes:
            return
        self._lanes = people
        lanes = len(people)
        self.getViewBox().setYRange(-lanes, 0, padding=0)
        self.setMinimumHeight(62 * lanes)
        while len(self._grounds) < lanes - 1:
            ground = pg.InfiniteLine(pos=-1.0 - len(self._grounds), angle=0)
            ground.setPen(QPen(QColor(self._theme.grid), 0))
            ground.setZValue(-10)
            self._grounds.append(ground)
            self.addItem(ground, ignoreBounds=True)

    def _name_lanes(self) -> None:
        names = tuple((s, speaker_name(self._speakers, s)) for s in self._people)
        self._axis.show_people(names, self._theme)

    def _show_utterances(self, utterances: tuple[LabelledUtterance, ...], moved: bool) -> None:
        felt: dict[int, str] = {}
        for utterance in utterances:
            before = felt.get(utterance.speaker)
            shifted_from = before if before != utterance.emotion else None
            felt[utterance.speaker] = utterance.emotion
            bar = self.bars.get(utterance.index)
            if bar is None:
                bar = self.bars[utterance.index] = EmotionBar(self.getViewBox(), self._theme)
                bar.setParentItem(self.layer)
                self._mark(utterance.index, bar)
            if moved or bar.utterance is not utterance or bar.shifted_from != shifted_from:
                name = speaker_name(self._speakers, utterance.speaker)
                bar.show_utterance(utterance, name, self._lane(utterance.speaker), shifted_from)
        self._shown = utterances
        self.keep_only(len(utterances))


def lane_bar(lane: QRectF, scale: float = 1.0) -> QRectF:
    """Where in a lane (pixels) the bar stands, leaving head and foot room and a gap at the end.

    ``scale`` is how much larger than usual type is.
    """
    head = min(_HEAD * scale, lane.height() * 0.28)
    foot = min(_FOOT, lane.height() * 0.14)
    gap = 1.0 if lane.width() > 4 else 0.0
    return lane.adjusted(0, round(head), -gap, -round(foot))
