"""Who is speaking: voice embeddings and an online clustering of them.

The embedding is GE2E (Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification"),
with the weights that the Resemblyzer package carries. The package's own code is not imported: it
needs webrtcvad, which has to be compiled, and our endpointer has already cut the speech.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from live_features.media import SAMPLE_RATE
from live_features.weights import Weights

_FFT = 400
_HOP = 160
_MELS = 40
_WINDOW_FRAMES = 160
_WINDOW_STEP = 77
_LEVEL = 10 ** (-30 / 20)


class VoiceEncoder(nn.Module):
    """Three LSTM layers over 40 mel bands; the last state, projected, is the voice."""

    filters: Tensor
    window: Tensor

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        filters = mel_filter_bank(
            num_frequency_bins=_FFT // 2 + 1,
            num_mel_filters=_MELS,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE / 2,
            sampling_rate=SAMPLE_RATE,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        stored = torch.load(
            weights.folder / "pretrained.pt", map_location="cpu", weights_only=True
        )["model_state"]
        scoring = ("similarity_weight", "similarity_bias")
        self.load_state_dict({k: v for k, v in stored.items() if k not in scoring})
        self.eval()

    def forward(self, mels: Tensor) -> Tensor:
        """(B, frames, 40) power mel spectra to (B, 256) embeddings of unit length."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.inference_mode()
    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The voice of mono speech at 16 kHz: float32 (256,), unit length.

        As in the published recipe, windows of 1.6 s are embedded and averaged.
        """
        rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        # The recipe raises quiet speech to -30 dBFS and leaves loud speech alone.
        gain = max(_LEVEL / rms, 1.0) if rms > 0 else 1.0
        wave = torch.from_numpy(samples * np.float32(gain))
        short = _WINDOW_FRAMES * _HOP - len(wave)
        if short > 0:
            wave = nn.functional.pad(wave, (0, short))
        spectrum = torch.stft(
            wave, _FFT, _HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        mels = (spectrum.abs().square().T @ self.filters).float()  # (frames, 40)
        windows = mels.unfold(0, _WINDOW_FRAMES, _WINDOW_STEP).transpose(1, 2)  # (W, 160, 40)
        mean = self(windows).mean(0)
        return nn.functional.normalize(mean, dim=0).numpy()


@dataclass(slots=True)
class _Voice:
    total: NDArray[np.float32]
    seconds: float

    def similarity(self, embedding: NDArray[np.float32]) -> float:
        return float(self.total @ embedding / max(float(np.linalg.norm(self.total)), 1e-9))


class SpeakerTracker:
    """Gives each utterance a speaker number, in the order in which people are first heard.

    An utterance joins the voice it is most similar to, or founds a new one when no known voice is
    similar enough. A very short utterance never founds a voice while there is one to join, because
    its embedding says little.
    """

    def __init__(
        self,
        *,
        known_number: int | None = None,
        at_most: int = 9,
        same_voice: float = 0.70,
        founding_seconds: float = 0.8,
    ) -> None:
        """``known_number`` fixes how many people there are; ``same_voice`` is a cosine."""
        self._limit = known_number or at_most
        self._same_voice = same_voice
        self._founding_seconds = founding_seconds
        self._voices: list[_Voice] = []

    def __call__(self, embedding: NDArray[np.float32], seconds: float) -> int:
        """The speaker, counted from 0, of an utterance lasting ``seconds``."""
        scores = [voice.similarity(embedding) for voice in self._voices]
        best = int(np.argmax(scores)) if scores else -1
        unlike = not scores or scores[best] < self._same_voice
        may_found = len(self._voices) < self._limit and (
            not scores or seconds >= self._founding_seconds
        )
        if unlike and may_found:
            self._voices.append(_Voice(embedding * seconds, seconds))
            return len(self._voices) - 1
        voice = self._voices[best]
        voice.total = voice.total + embedding * seconds
        voice.seconds += seconds
        return best

    def reset(self) -> None:
        """Forget every voice."""
        self._voices.clear()
