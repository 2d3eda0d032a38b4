"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_CELL = 100
_MARGIN = 130
_TITLE = 60
_INK = (40, 40, 40)
_PAPER = (255, 255, 255)
_FULL = np.array([150, 80, 10])  # BGR of a cell that holds all of its row
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def confusion_png(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> bytes:
    """PNG bytes of ``confusion[truth][answer]``: counts, and each row's shares as shades.

    ``title`` and the names of the ``classes`` are drawn in ASCII.
    """
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = _CELL * len(classes)
    top = _TITLE + 40
    picture = np.full((top + side + 20, _MARGIN + side + 20, 3), 255, np.uint8)
    _write(picture, f"{title}: rows are the truth, columns the answer", 20, 30, left=True)
    for row, name in enumerate(classes):
        middle = row * _CELL + _CELL // 2
        _write(picture, name, _MARGIN // 2, top + middle)
        _write(picture, name, _MARGIN + middle, _TITLE + 20)
        for column, share in enumerate(shares[row]):
            x, y = _MARGIN + column * _CELL, top + row * _CELL
            shade = np.array(_PAPER) * (1 - share) + _FULL * share
            picture[y : y + _CELL, x : x + _CELL] = shade.astype(np.uint8)
            ink = _PAPER if share > 0.5 else _INK
            _write(picture, str(counts[row, column]), x + _CELL // 2, y + 40, ink)
            _write(picture, f"{share:.0%}", x + _CELL // 2, y + 66, ink)
    for line in range(len(classes) + 1):
        x, y = _MARGIN + line * _CELL, top + line * _CELL
        cv2.line(picture, (x, top), (x, top + side), (200, 200, 200))
        cv2.line(picture, (_MARGIN, y), (_MARGIN + side, y), (200, 200, 200))
    return cv2.imencode(".png", picture)[1].tobytes()


def _write(
    picture: np.ndarray,
    text: str,
    x: int,
    y: int,
    ink: tuple[int, int, int] = _INK,
    *,
    left: bool = False,
) -> None:
    """Text around the point (x, y), or to the right of it."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.5, 1)
    origin = (x if left else x - width // 2, y + height // 2)
    cv2.putText(picture, text, origin, _FONT, 0.5, ink, 1, cv2.LINE_AA)
