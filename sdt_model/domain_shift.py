"""How far what is heard and seen lies from what a checkpoint was trained on.

Standardised features have mean 0 and deviation 1 in training, so the root mean square over an
utterance's features is near 1 there, and larger for a voice, a camera or a way of talking that
training never had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdt_model.config import MODALITIES
from sdt_model.dialogues import Dialogue, UtteranceFeatures

_ODD = 99.0
_WINDOW = 10


@dataclass(frozen=True, slots=True)
class Shift:
    """One number a modality, None where it has not been there lately.

    0 is as near to training as its median utterance or nearer, 1 as far from it as the oddest
    hundredth of training, and more is further.
    """

    text: float | None
    audio: float | None
    visual: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ShiftReference:
    """Distances in training: ``median`` and ``odd`` (the 99th percentile), float32 (3,)."""

    median: NDArray[np.float32]
    odd: NDArray[np.float32]

    @classmethod
    def fit(cls, dialogues: Sequence[Dialogue]) -> ShiftReference:
        """Measure standardised training dialogues."""
        median, odd = np.zeros(3, np.float32), np.ones(3, np.float32)
        for i in range(len(MODALITIES)):
            rows = np.concatenate([d.features[i][d.present[:, i]] for d in dialogues])
            if len(rows):
                distances = np.sqrt(np.mean(np.square(rows), axis=1))
                median[i], odd[i] = np.percentile(distances, [50.0, _ODD])
        return cls(median, np.maximum(odd, median + 1e-3))

    def to_tensors(self) -> dict[str, Tensor]:
        """Named tensors for a checkpoint; :meth:`from_tensors` reads them back."""
        return {"median": torch.from_numpy(self.median), "odd": torch.from_numpy(self.odd)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ShiftReference:
        """Raises :class:`KeyError` when a tensor is missing."""
        return cls(tensors["median"].numpy(), tensors["odd"].numpy())


class ShiftMeter:
    """The mean shift over the last ten utterances that had a modality."""

    def __init__(self, reference: ShiftReference) -> None:
        self._reference = reference
        self._recent: tuple[deque[float], ...] = tuple(deque(maxlen=_WINDOW) for _ in MODALITIES)

    def __call__(self, features: UtteranceFeatures) -> Shift:
        """Take in the standardised features of the next utterance."""
        for i, vector in enumerate(features.vectors):
            if vector is not None:
                self._recent[i].append(float(np.sqrt(np.mean(np.square(vector)))))
        return Shift(*(self._shift(i) for i in range(len(MODALITIES))))

    def _shift(self, i: int) -> float | None:
        if not self._recent[i]:
            return None
        median, odd = float(self._reference.median[i]), float(self._reference.odd[i])
        return max(0.0, (float(np.mean(self._recent[i])) - median) / (odd - median))
