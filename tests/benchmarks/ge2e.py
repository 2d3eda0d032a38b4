"""The voice encoder of the speakers benchmark's baseline: GE2E, as many tools use it.

Wan et al. 2018, *Generalized End-to-End Loss for Speaker Verification*, with the weights that the
Resemblyzer package carries. The package's own code is not imported: it needs webrtcvad, which has
to be compiled.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from live_features.media import SAMPLE_RATE
from live_features.weights import PackagedWeights, Weights

WEIGHTS = PackagedWeights(
    "Resemblyzer",
    "resemblyzer",
    ".",
    {"pretrained.pt": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"},
)

_FFT = 400
_HOP = 160
_MELS = 40
_WINDOW_FRAMES = 160
_WINDOW_STEP = 77
_LEVEL = 10 ** (-30 / 20)


class GE2E(nn.Module):
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
