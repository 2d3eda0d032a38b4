"""What lanes and gates share: the time axis, its following of the present, and a bar a second wide.

Bars paint in pixels, not in plot units, so that edges stay crisp and words keep their size at every
zoom. A bar draws itself anew only when it has something new to show or gets another size; scrolling
moves its picture.
"""

from __future__ import annotations

import textwrap
from collections.abc import MutableMapping
from typing import TypeVar

import pyqtgraph as pg
from PySide6.QtCore import QObject, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QFont, QPainter, QPen, QPixmap, QPixmapCache
from PySide6.QtWidgets import (
    QGraphicsRectItem,
    QGraphicsSceneHoverEvent,
    QStyleOptionGraphicsItem,
    QWidget,
)

from app.state import LabelledUtterance, Snapshot
from app.ui.theme import Theme, scaled_font
from app.ui.views.overview import VEILED, Overview
from app.ui.views.painting import clock

_Bar = TypeVar("_Bar", bound="TimeBar")

GUTTER = 104
"""Width in pixels left of the plots, the same in both so that their times line up."""

_LONGEST_NOTE = 28  # characters
_SPAN = 60.0
_AHEAD = 2.0
_NARROWEST = 2.0
_COARSE = 0.5
"""Seconds a pixel beyond which bars are drawn as strips."""

_TICK_PIXELS = 70.0
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


class TimeAxis(pg.AxisItem):
    """Seconds written as m:ss, ticked at steps a clock has."""

    def tickSpacing(  # noqa: N802
        self,
        earliest: float,
        latest: float,
        size: float,
    ) -> list[tuple[float, float]]:
        wanted = (latest - earliest) * _TICK_PIXELS / max(size, 1.0)
        step = next((s for s in _TICKS if s >= wanted), _TICKS[-1])
        return [(float(step), 0.0)]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:  # noqa: N802
        return [clock(value) if value >= 0 else "" for value in values]


class TimePlot(pg.PlotWidget):
    """A plot over session time that pans and zooms along time only.

    ``utterance_clicked`` carries an index, ``utterance_menu`` an index and where on the screen a
    menu was asked for.
    """

    utterance_clicked = Signal(int)
    utterance_menu = Signal(int, object)

    def __init__(self, *, left: pg.AxisItem, show_times: bool) -> None:
        super().__init__(axisItems={"left": left, "bottom": TimeAxis("bottom")})
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=True, y=False)
        self.setFrameShape(pg.QtWidgets.QFrame.Shape.NoFrame)
        self.getPlotItem().setContentsMargins(0, 0, 6, 0)
        left.setWidth(GUTTER)
        self._usual_font = QFont(self.font())
        bottom = self.getAxis("bottom")
        bottom.setStyle(showValues=show_times, tickLength=-4 if show_times else 0)
        bottom.setHeight(None if show_times else 1)
        box = self.getViewBox()
        box.setDefaultPadding(0.0)
        box.setLimits(minXRange=_NARROWEST, xMin=-1.0)
        self.now = pg.InfiniteLine(angle=90, movable=False)
        self.now.setZValue(50)
        self.addItem(self.now, ignoreBounds=True)
        self.marks: dict[int, pg.InfiniteLine] = {}
        self.pauses: dict[float, pg.InfiniteLine] = {}
        self._mark_pen = self._pause_pen = QPen()
        self._note_fill = QBrush()
        self._notes = not show_times
        self._first_ahead = self._dimmed_of = 0
        self.layer = QGraphicsRectItem()
        self.layer.setPen(QPen(Qt.PenStyle.NoPen))
        box.addItem(self.layer, ignoreBounds=True)
        self.overview = Overview(box, self.lane_of, self.sketch)
        box.sigXRangeChanged.connect(self._choose_detail)
        box.sigResized.connect(self._choose_detail)
        self.scene().sigMouseClicked.connect(self._clicked)

    def enlarge(self, factor: float) -> None:
        """Larger words and faces, and more room for names, for those who watch from afar."""
        font = scaled_font(self._usual_font, factor)
        self.setFont(font)
        left = self.getAxis("left")
        left.setFont(font)
        left.setWidth(GUTTER * factor)
        left.picture = None

    @property
    def utterance_bars(self) -> MutableMapping[int, TimeBar]:
        """The bar of each utterance by its index."""
        raise NotImplementedError

    @property
    def height_of_lanes(self) -> float:
        """From 0 up, or down where it is negative."""
        return 1.0

    def lane_of(self, utterance: LabelledUtterance) -> float:
        """The y of the top of the lane that an utterance belongs to."""
        return 1.0

    def sketch(self, painter: QPainter, utterance: LabelledUtterance, strip: QRectF) -> None:
        """Paint a bar that is only a few pixels wide into ``strip``, its lane in pixels."""
        raise NotImplementedError

    @property
    def from_afar(self) -> bool:
        """Whether so much is in sight that bars are but strips."""
        return bool(self.overview.isVisible())

    def _choose_detail(self, *_: object) -> None:
        coarse = float(self.getViewBox().viewPixelSize()[0]) > _COARSE
        if coarse != self.from_afar:
            self.overview.setVisible(coarse)
            self.layer.setVisible(not coarse)

    def dim(self, snapshot: Snapshot) -> None:
        """Draw what lies ahead of the playhead as if seen through a veil."""
        count = len(snapshot.utterances)
        first = count - snapshot.ahead
        changed = range(min(first, self._first_ahead), max(first, self._first_ahead))
        for index in (*changed, *range(self._dimmed_of, count)):
            if index in self.utterance_bars:
                self.utterance_bars[index].setOpacity(VEILED if index >= first else 1.0)
        height = self.height_of_lanes
        self.overview.show_utterances(snapshot.utterances, first, min(height, 0), max(height, 0))
        self._first_ahead, self._dimmed_of = first, count

    def keep_only(self, count: int) -> None:
        """Forget the bars of all utterances but the first ``count``."""
        bars = self.utterance_bars
        for index in [index for index in bars if index >= count]:
            bars.pop(index).remove()

    def show_moments(self, snapshot: Snapshot) -> None:
        """Draw a line at every moment that is marked, and wherever the session was paused."""
        now = {mark.number: mark for mark in snapshot.marks}
        for number in self.marks.keys() - now.keys():
            self.removeItem(self.marks.pop(number))
        for number in now.keys() - self.marks.keys():
            mark = now[number]
            self.marks[number] = self._draw_line(mark.time, mark.note, self._mark_pen)
        for time in self.pauses.keys() - set(snapshot.pauses):
            self.removeItem(self.pauses.pop(time))
        for time in set(snapshot.pauses) - self.pauses.keys():
            self.pauses[time] = self._draw_line(time, "paused", self._pause_pen)

    def _draw_line(self, time: float, text: str, pen: QPen) -> pg.InfiniteLine:
        line = pg.InfiniteLine(pos=time, angle=90, pen=pen)
        line.setZValue(40)
        if self._notes:
            text = textwrap.shorten(text, _LONGEST_NOTE, placeholder=" …")
            note = pg.InfLineLabel(line, text, position=1.0, anchors=[(0, 0)] * 2)
            note.setColor(pen.color())
            note.fill = self._note_fill
        self.addItem(line, ignoreBounds=True)
        return line

    def clicked_at(self, place: QPointF) -> None:
        """Something else than a bar was clicked, at ``place`` in the scene."""

    def _clicked(self, event: pg.GraphicsScene.mouseEvents.MouseClickEvent) -> None:
        bars = [item for item in self.scene().items(event.scenePos()) if isinstance(item, TimeBar)]
        index = next((bar.index for bar in bars if bar.index is not None), None)
        if index is None and self.from_afar:
            index = self.overview.index_at(self.getViewBox().mapSceneToView(event.scenePos()))
        if index is None:
            self.clicked_at(event.scenePos())
        elif event.button() == Qt.MouseButton.RightButton:
            self.utterance_menu.emit(index, event.screenPos().toPoint())
        else:
            self.utterance_clicked.emit(index)

    def set_theme(self, theme: Theme) -> None:
        self._mark_pen = QPen(QColor(theme.warning), 0, Qt.PenStyle.DashLine)
        self._pause_pen = QPen(QColor(theme.muted), 0, Qt.PenStyle.DotLine)
        self._note_fill = QBrush(QColor(theme.panel))
        for lines, pen in ((self.marks, self._mark_pen), (self.pauses, self._pause_pen)):
            for line in lines.values():
                line.setPen(pen)
                for note in (child for child in line.childItems() if hasattr(child, "setColor")):
                    note.setColor(pen.color())
                    note.fill = self._note_fill
        self.setBackground(QColor(theme.panel))
        self.now.setPen(QPen(QColor(theme.accent), 0))
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(QPen(QColor(theme.grid), 0))
            axis.setTextPen(QColor(theme.muted))
            axis.setStyle(tickFont=scaled_font(self.font(), 0.86))


class Follower(QObject):
    """Keeps the last minute in sight until the user pans or zooms.

    ``toggled`` tells of every change of :attr:`following`, whoever made it.
    """

    toggled = Signal(bool)

    def __init__(self, plots: tuple[TimePlot, ...], parent: QObject) -> None:
        super().__init__(parent)
        self._plots = plots
        self._position = 0.0
        self.following = True
        master = plots[0].getViewBox()
        master.setXRange(0.0, _SPAN, padding=0)
        for plot in plots:
            plot.getViewBox().sigRangeChangedManually.connect(self._pause)
            if plot is not plots[0]:
                plot.getViewBox().setXLink(master)

    def show_position(self, position: float) -> None:
        """Move the now-line and, when following, the plots; less than a pixel is not moved."""
        self._position = position
        for plot in self._plots:
            if abs(plot.now.value() - position) >= self._pixel():
                plot.now.setValue(position)
        if self.following:
            self._scroll()

    def set_following(self, following: bool) -> None:
        if following == self.following:
            return
        self.following = following
        if following:
            self._scroll()
        self.toggled.emit(following)

    def _pause(self, *_: object) -> None:
        self.set_following(False)

    def _pixel(self) -> float:
        """Seconds under one pixel."""
        return float(self._plots[0].getViewBox().viewPixelSize()[0])

    def _scroll(self) -> None:
        box = self._plots[0].getViewBox()
        start, end = box.viewRange()[0]
        wanted = max(0.0, self._position + _AHEAD - _SPAN)
        if abs(wanted - start) >= self._pixel() or abs(end - start - _SPAN) > 1e-6:
            box.setXRange(wanted, wanted + _SPAN, padding=0)


class TimeBar(QGraphicsRectItem):
    """Something that lasted from one second to another, in the coordinates of ``view``.

    A plain Qt item, whose bounds Qt knows without asking Python: scrolling past hundreds of them
    costs nothing but the few in sight.
    """

    def __init__(self, view: pg.ViewBox, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self._view = view
        self._hovered = False
        self._selected = False
        self._look: tuple[float, ...] | None = None
        self._cached = QPixmapCache.Key()
        self.setPen(QPen(Qt.PenStyle.NoPen))
        self.setAcceptHoverEvents(True)
        view.addItem(self, ignoreBounds=True)

    def remove(self) -> None:
        """Leave the plot for good."""
        self._view.removeItem(self)

    def place(self, start: float, end: float, bottom: float, height: float = 1.0) -> None:
        self.setRect(QRectF(start, bottom, max(end - start, 0.05), height))

    def set_theme(self, theme: Theme) -> None:
        self.theme = theme
        self.redraw()

    @property
    def index(self) -> int | None:
        """The utterance that is drawn, None for something else."""
        return None

    def select(self, selected: bool) -> None:
        """Frame the bar, or not."""
        if selected != self._selected:
            self._selected = selected
            self.redraw()

    def numbers(self) -> str:
        """The tooltip, asked for only when the pointer arrives."""
        return ""

    def draw(self, painter: QPainter, box: QRectF, start: float) -> None:
        """Paint into ``box``, the part in sight, in pixels, y downwards; ``start`` may lie left."""
        raise NotImplementedError

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionGraphicsItem,
        widget: QWidget | None = None,
    ) -> None:
        whole = painter.worldTransform().mapRect(self.rect())
        in_sight = self._view.sceneBoundingRect()
        left = round(whole.left())
        start = min(0, left - round(in_sight.left()))
        end = min(left + round(whole.width()), round(in_sight.right()))
        size = QSize(max(1, end - left + start), max(1, round(whole.height())))
        look = (size.width(), size.height(), start, painter.device().devicePixelRatio())
        picture = QPixmap()
        if look != self._look or not QPixmapCache.find(self._cached, picture):
            picture = self._picture(size, start, look[-1], painter.font())
            self._look = look
            self._cached = QPixmapCache.insert(picture)
        painter.save()
        painter.resetTransform()
        painter.drawPixmap(QPointF(left - start, round(whole.top())), picture)
        painter.restore()

    def _picture(self, size: QSize, start: float, ratio: float, font: QFont) -> QPixmap:
        picture = QPixmap(size * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setFont(font)
        self.draw(painter, QRectF(QPointF(0, 0), size.toSizeF()), start)
        painter.end()
        return picture

    def redraw(self) -> None:
        """Forget the picture of the bar and paint a new one."""
        self._look = None
        self.update()

    def hoverEnterEvent(self, event: QGraphicsSceneHoverEvent) -> None:  # noqa: N802
        self.setToolTip(self.numbers())
        self._hovered = True
        self.redraw()

    def hoverLeaveEvent(self, event: QGraphicsSceneHoverEvent) -> None:  # noqa: N802
        self._hovered = False
        self.redraw()

    def draw_outline(self, painter: QPainter, box: QRectF) -> None:
        """A frame while the pointer is on the bar, or the utterance is selected."""
        if self._hovered or self._selected:
            colour = self.theme.accent if self._selected else self.theme.text
            painter.setPen(QPen(QColor(colour), 3 if self._selected else 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box.adjusted(1, 1, -1, -1))


def forget(bars: MutableMapping[int, _Bar]) -> None:
    """Take all of these from their plot."""
    for bar in bars.values():
        bar.remove()
    bars.clear()
