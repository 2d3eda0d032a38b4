"""Acted studio voices as other people, rooms and lines would have made them sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE

Samples = NDArray[np.float32]
"""Mono speech at 16 kHz."""

_TELEPHONE_RATE = 8_000
_TELEPHONE_FROM = 300.0  # Hz
_NOISE = (10.0, 25.0)  # dB below the speech
_DECAY = (0.15, 0.5)  # seconds until an echo has faded by 60 dB
_PACE = (1.06, 1.14)


def faster(samples: Samples, rng: np.random.Generator) -> Samples:
    """Shorter and higher, as a smaller person speaks."""
    return _at_pace(samples, rng.uniform(*_PACE))


def slower(samples: Samples, rng: np.random.Generator) -> Samples:
    """Longer and deeper, as a larger person speaks."""
    return _at_pace(samples, 1 / rng.uniform(*_PACE))


def on_the_telephone(samples: Samples, rng: np.random.Generator) -> Samples:
    """Between 300 Hz and 4 kHz, with noise on the line."""
    narrow = soxr.resample(samples, SAMPLE_RATE, _TELEPHONE_RATE)
    wide = soxr.resample(narrow, _TELEPHONE_RATE, SAMPLE_RATE)
    spectrum = np.fft.rfft(wide)
    spectrum[np.fft.rfftfreq(len(wide), 1 / SAMPLE_RATE) < _TELEPHONE_FROM] = 0
    return _with_noise(np.fft.irfft(spectrum, len(wide)), rng)


def in_a_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """With echoes that fade, and noise."""
    seconds = rng.uniform(*_DECAY)
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.normal(0, 0.03, len(times)) * 10 ** (-3 * times / seconds)
    echo[0] = 1.0
    size = len(samples) + len(echo) - 1
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echo, size), size)
    return _with_noise(wet[: len(samples)], rng)


AUGMENTATIONS: tuple[Callable[[Samples, np.random.Generator], Samples], ...] = (
    faster,
    slower,
    on_the_telephone,
    in_a_room,
)


def _at_pace(samples: Samples, pace: float) -> Samples:
    changed: Samples = soxr.resample(samples, SAMPLE_RATE * pace, SAMPLE_RATE)
    return changed


def _with_noise(samples: NDArray[np.float64], rng: np.random.Generator) -> Samples:
    level = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-rng.uniform(*_NOISE) / 20)
    return (samples + rng.normal(0, level, len(samples))).astype(np.float32)
