"""How it was said: openSMILE's INTERSPEECH 2010 paralinguistic set, the paper's 1582 values.

Schuller et al., "The INTERSPEECH 2010 Paralinguistic Challenge": 38 low-level descriptors and their
deltas under 21 functionals, plus pitch onsets and duration.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensmile
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE

ACOUSTIC_SIZE = 1582
SHORTEST = 0.1
"""Seconds below which the functionals are not defined."""

_LEVEL = 0.05
_CEILING = 0.99


class AcousticExtractor:
    """Maps the speech of one utterance to its functionals.

    Speech is brought to one level first, because loudness descriptors would otherwise tell the
    microphone's gain rather than the voice.
    """

    def __init__(self) -> None:
        config = Path(opensmile.__file__).parent / "core/config/is09-13/IS10_paraling_compat.conf"
        self._smile = opensmile.Smile(feature_set=str(config), feature_level="func")

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """IS10 functionals, float32 of shape (1582,), of mono speech at 16 kHz.

        None when there is nothing to measure: silence, or less than :data:`SHORTEST` seconds.
        """
        if len(samples) < SHORTEST * SAMPLE_RATE or not np.any(samples):
            return None
        # openSMILE takes 16-bit integers, and the wrapper would wrap a full-scale sample around.
        levelled = np.clip(to_level(samples), -_CEILING, _CEILING)
        values = self._smile.process_signal(levelled, SAMPLE_RATE).to_numpy()[0]
        return np.nan_to_num(values, posinf=0.0, neginf=0.0).astype(np.float32)


def to_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale speech to an RMS of 0.05 (-26 dBFS); silence stays as it is."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples if rms == 0.0 else (samples * np.float32(_LEVEL / rms)).astype(np.float32)
