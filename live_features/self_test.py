"""Tries out at start-up what this machine can keep up with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from live_features import weights
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE
from live_features.transcription import Transcriber

_LONGEST = 5 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Trial:
    """How a Whisper size did: seconds of computing for a second of speech, or why it did not."""

    name: str
    real_time_factor: float | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class WhisperChoice:
    """The size that was chosen, loaded, where its weights came from, and all that were tried."""

    name: str
    transcribe: Transcriber
    origin: str
    trials: tuple[Trial, ...]


def choose_whisper(
    available: Sequence[str],
    speech: NDArray[np.float32],
    *,
    budget: float = 0.5,
    device: str = "cpu",
    language: str | None = None,
) -> WhisperChoice:
    """The largest Whisper size that needs at most ``budget`` seconds for a second of speech.

    ``available`` names sizes on this machine from small to large, as
    :func:`live_features.weights.whisper_sizes_here` does; ``speech`` is mono float32 at 16 kHz, of
    which 5 s are used, and ``language`` what is going to be spoken. The first size that is too slow
    ends the trials; should that be the smallest, it is chosen all the same. A size that cannot be
    loaded is passed over.

    Raises:
        UserFacingError: none of them can be loaded.
    """
    sample = speech[:_LONGEST]
    chosen: tuple[str, Transcriber, str] | None = None
    trials: list[Trial] = []
    for name in available:
        try:
            found = weights.whisper(name, offline=True)
            transcribe = Transcriber(found, device=device, language=language)
        except UserFacingError as error:
            trials.append(Trial(name, None, str(error)))
            continue
        factor = _seconds(transcribe, sample) * SAMPLE_RATE / len(sample)
        trials.append(Trial(name, factor))
        if chosen is None or factor <= budget:
            chosen = name, transcribe, found.origin
        if factor > budget:
            break
    if chosen is None:
        problems = " ".join(trial.problem for trial in trials if trial.problem)
        raise UserFacingError(
            problems or "There is no Whisper model on this machine: choose one with --whisper."
        )
    return WhisperChoice(*chosen, tuple(trials))


def _seconds(transcribe: Transcriber, speech: NDArray[np.float32]) -> float:
    began = time.perf_counter()
    transcribe(speech)
    return time.perf_counter() - began
