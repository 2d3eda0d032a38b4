"""What other people, rooms and lines make of a voice."""

from __future__ import annotations

import numpy as np
import pytest

from app.voice_augmentation import (
    AUGMENTATIONS,
    Samples,
    faster,
    in_a_room,
    on_the_telephone,
    slower,
)

TONE = (0.2 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)).astype(np.float32)


def pitch(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples, 160_000)).argmax()) / 10


def power(samples: Samples, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(spectrum[(hertz >= low) & (hertz < high)].sum() / spectrum.sum())


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.mark.parametrize("change", AUGMENTATIONS)
def test_a_change_is_drawn_and_can_be_drawn_again(change: object) -> None:
    assert callable(change)
    once, again = change(TONE, rng()), change(TONE, rng())
    assert once.dtype == np.float32
    assert np.isfinite(once).all()
    np.testing.assert_array_equal(once, again)
    assert len(once) != len(TONE) or np.abs(once - TONE).max() > 0.01


def test_faster_is_shorter_and_higher_and_slower_the_opposite() -> None:
    quick, slow = faster(TONE, rng()), slower(TONE, rng())
    assert len(quick) < len(TONE) < len(slow)
    assert pitch(quick) > 210
    assert pitch(slow) < 190


def test_a_telephone_has_no_bass_and_little_above_four_kilohertz() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    line = on_the_telephone(noise, rng())
    assert power(noise, 4_100, 8_001) > 0.4
    assert power(line, 4_100, 8_001) < 0.1
    assert power(line, 0, 290) < 0.02


def test_a_room_goes_on_sounding() -> None:
    click = np.zeros(8_000, np.float32)
    click[1000] = 0.9
    heard = in_a_room(click, rng())
    assert len(heard) == len(click)
    early, late = heard[1001:2500], heard[6000:]
    assert np.abs(early).mean() > 2 * np.abs(late).mean()
