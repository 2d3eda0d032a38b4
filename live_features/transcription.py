"""Speech to words with Whisper, and the filters that keep noise from becoming an utterance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from live_features.errors import UserFacingError
from live_features.weights import Weights

_NO_SPEECH = 0.6
_UNLIKELY = -1.0
_REPETITIVE = 2.4


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of an utterance, or why there are none.

    ``rejected`` is a drop reason code: ``no_words``, ``not_speech`` (Whisper doubts there was
    speech and its guess is unlikely), ``repetition`` (the looping text Whisper makes of noise), or
    None for words to trust.
    """

    text: str
    rejected: str | None


class Transcriber:
    """Whisper through CTranslate2, greedy temperature 0: the same sound gives the same words."""

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "cpu",
        threads: int = 2,
        beam_size: int = 3,
        language: str | None = None,
    ) -> None:
        """Load a converted model; ``language`` is an ISO code, None lets a multilingual model tell.

        Raises:
            UserFacingError: the folder holds no model that CTranslate2 can load.
        """
        try:
            self._model = WhisperModel(
                str(weights.folder),
                device=device,
                compute_type="int8" if device == "cpu" else "float16",
                cpu_threads=threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserFacingError(
                f"The Whisper model in {weights.folder} cannot be loaded ({reason}): choose "
                f"another with --whisper, or reinstall it."
            ) from error
        self._beam_size = beam_size
        self._language = language if self._model.model.is_multilingual else "en"

    def __call__(self, samples: NDArray[np.float32]) -> Transcript:
        """Words of mono speech, float32 at 16 kHz."""
        segments, _ = self._model.transcribe(
            samples,
            language=self._language,
            beam_size=self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            vad_filter=False,
        )
        kept = list(segments)
        text = " ".join(segment.text.strip() for segment in kept).strip()
        if not any(character.isalnum() for character in text):
            return Transcript(text, "no_words")
        if any(segment.compression_ratio > _REPETITIVE for segment in kept):
            return Transcript(text, "repetition")
        if all(s.no_speech_prob > _NO_SPEECH and s.avg_logprob < _UNLIKELY for s in kept):
            return Transcript(text, "not_speech")
        return Transcript(text, None)
