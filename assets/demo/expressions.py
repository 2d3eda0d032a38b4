"""What a drawn face can do, and the seven expressions the demo needs."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Expression:
    """How far each part of a face has moved from rest, most in [-1, 1].

    Brows: ``inner`` and ``outer`` ends up, ``squeeze`` together. Eyes: ``lids`` is the opening (1
    at rest, 0 shut), ``squint`` raises the lower lid, ``gaze_x`` and ``gaze_y`` turn the eyes.
    Mouth: ``corners`` up, ``wide``, ``open``, ``teeth`` shown, ``sneer`` raises the upper lip,
    ``pout`` pushes up the lower one, ``square`` straightens the opening. Skin: ``folds`` beside the
    nose, ``wrinkle`` on it, ``forehead`` lines, ``cheeks`` raised.
    """

    inner: float = 0.0
    outer: float = 0.0
    squeeze: float = 0.0
    lids: float = 1.0
    squint: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    corners: float = 0.0
    wide: float = 0.0
    open: float = 0.0
    teeth: float = 0.0
    sneer: float = 0.0
    pout: float = 0.0
    square: float = 0.0
    folds: float = 0.0
    wrinkle: float = 0.0
    forehead: float = 0.0
    cheeks: float = 0.0

    def as_array(self) -> NDArray[np.float64]:
        return np.array([getattr(self, f.name) for f in fields(self)])

    @classmethod
    def from_array(cls, values: NDArray[np.float64]) -> Expression:
        return cls(*(float(value) for value in values))


EXPRESSIONS = {
    "neutral": Expression(inner=-0.05, lids=0.97, corners=0.2, wide=0.1),
    "surprise": Expression(
        inner=1.0, outer=1.0, lids=1.6, wide=-0.35, open=0.75, forehead=0.9, corners=-0.05
    ),
    "fear": Expression(
        inner=1.4, outer=-0.5, squeeze=0.35, lids=1.6, wide=0.2, open=0.16, corners=-0.9,
        teeth=0.9, square=1.2, folds=0.9, forehead=0.35,
    ),
    "sadness": Expression(
        inner=1.4, outer=-1.1, squeeze=0.9, lids=0.34, gaze_y=0.8, corners=-1.25, wide=0.4,
        open=0.2, pout=0.45, folds=0.8, forehead=0.2,
    ),
    "joy": Expression(
        inner=0.05, outer=0.08, lids=0.75, squint=0.95, corners=0.95, wide=0.8, open=0.34,
        teeth=1.0, folds=0.95, cheeks=1.0,
    ),
    "disgust": Expression(
        inner=-0.75, outer=-0.6, squeeze=1.3, lids=0.48, squint=0.85, corners=-0.85, wide=-0.1,
        sneer=1.0, open=0.4, teeth=0.85, square=0.15, folds=1.4, wrinkle=1.2, cheeks=0.9,
    ),
    "anger": Expression(
        inner=-1.5, outer=-0.05, squeeze=1.5, lids=1.08, squint=0.95, wide=-0.25, open=0.34,
        teeth=1.0, sneer=0.35, pout=0.4, square=1.3, folds=1.2, wrinkle=0.4,
    ),
}  # fmt: skip
"""After the action units of Ekman & Friesen's prototypes, exaggerated."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head is: shift in face units, roll in degrees, ``yaw``/``pitch`` in [-1, 1]."""

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
