"""A whole conversation from afar: thousands of utterances in one item, each a few pixels wide.

Bars with faces and words cannot be told apart when an hour is in sight, and painting each by itself
takes longer than a frame may.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QGraphicsRectItem, QStyleOptionGraphicsItem, QWidget

from app.state import LabelledUtterance

VEILED = 0.35
"""How much is seen of what lies ahead of the playhead."""

_LONGEST = 30.0  # seconds; a longer utterance than this may begin out of sight unseen

Sketch = Callable[[QPainter, LabelledUtterance, QRectF], None]


class Overview(QGraphicsRectItem):
    """Draws utterances by ``sketch``, each into a strip as high as its lane, in pixels.

    ``lane_of`` says which lane of the plot an utterance belongs to, as the y of its top.
    """

    def __init__(
        self, view: pg.ViewBox, lane_of: Callable[[LabelledUtterance], float], sketch: Sketch
    ) -> None:
        super().__init__()
        self._view = view
        self._lane_of = lane_of
        self._sketch = sketch
        self._utterances: tuple[LabelledUtterance, ...] = ()
        self._starts: list[float] = []
        self._first_ahead = 0
        self.setPen(QPen(Qt.PenStyle.NoPen))
        self.setZValue(-1)
        self.hide()
        view.addItem(self, ignoreBounds=True)

    def show_utterances(
        self, utterances: tuple[LabelledUtterance, ...], first_ahead: int, bottom: float, top: float
    ) -> None:
        """Those from ``first_ahead`` on lie ahead; lanes reach from ``bottom`` to ``top``."""
        if utterances is not self._utterances:
            self._utterances = utterances
            self._starts = [utterance.start for utterance in utterances]
        self._first_ahead = first_ahead
        end = utterances[-1].end if utterances else 0.0
        self.setRect(QRectF(0.0, bottom, max(end, 1.0), top - bottom))
        self.update()

    def index_at(self, place: QPointF) -> int | None:
        """The utterance at a point of the plot; where several are so near, the nearest."""
        after = bisect_right(self._starts, place.x())
        near = range(max(after - 3, 0), min(after + 3, len(self._utterances)))
        mine = [
            index
            for index in near
            if 0.0 <= self._lane_of(self._utterances[index]) - place.y() <= 1.0
        ]
        return min(mine, key=lambda index: abs(self._starts[index] - place.x()), default=None)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionGraphicsItem,
        widget: QWidget | None = None,
    ) -> None:
        left, right = self._view.viewRange()[0]
        first = bisect_left(self._starts, left - _LONGEST)
        last = bisect_right(self._starts, right)
        transform = painter.worldTransform()
        lanes: dict[float, QRectF] = {}
        scale, origin = transform.m11(), transform.dx()
        painter.save()
        painter.resetTransform()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for index in range(first, last):
            if index in (first, self._first_ahead):
                painter.setOpacity(VEILED if index >= self._first_ahead else 1.0)
            utterance = self._utterances[index]
            top = self._lane_of(utterance)
            lane = lanes.get(top)
            if lane is None:
                lane = lanes[top] = transform.mapRect(QRectF(0.0, top - 1.0, 1.0, 1.0))
            start = utterance.start * scale + origin
            width = max((utterance.end - utterance.start) * scale, 1.0)
            self._sketch(painter, utterance, QRectF(start, lane.top(), width, lane.height()))
        painter.restore()
