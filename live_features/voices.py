"""What a voice is like: CAM++ embeddings (Wang et al. 2023).

*CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking*,
Interspeech 2023: a convolutional front end over 80 mel bands, then densely connected time-delay
layers, each masked by what the utterance and its surroundings are like.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from live_features.media import SAMPLE_RATE
from live_features.speaker_weights import read_weights

SHORTEST = 0.5
"""Seconds; what is shorter is repeated until it is that long."""
STEP = 0.25
"""Seconds of which a multiple is listened to, in the middle of the speech.

For every length that it meets, oneDNN keeps a megabyte of made-to-measure code and weights.
"""
LONGEST = 3.0
"""Seconds; of what is longer the middle is listened to: more costs time and tells no more."""

_WINDOW, _HOP, _FFT = 400, 160, 512
_MELS = 80
_EMPHASIS = 0.97
_FULL_SCALE = 32768.0  # the network was trained on 16-bit integers
_LAYERS = ((12, 1), (24, 2), (16, 2))  # of each block: how many, and their dilation
_GROWTH = 32
_CONTEXT = 100  # frames that share a mask


class VoiceEncoder(nn.Module):
    """Mono speech to a vector of unit length; voices are compared by cosine."""

    filters: Tensor
    window: Tensor

    def __init__(self, weights: Path) -> None:
        """``weights`` is the safetensors file.

        Raises:
            UserFacingError: it is missing or damaged.
        """
        super().__init__()
        self.head = _Head()
        self.first = nn.Conv1d(320, 128, 5, stride=2, padding=2, bias=False)
        self.first_norm = nn.BatchNorm1d(128)
        channels = 128
        blocks, transits = [], []
        for count, dilation in _LAYERS:
            layers = [_MaskedLayer(channels + _GROWTH * i, dilation) for i in range(count)]
            blocks.append(nn.ModuleList(layers))
            channels += _GROWTH * count
            transits.append(_Transit(channels))
            channels //= 2
        self.blocks, self.transits = nn.ModuleList(blocks), nn.ModuleList(transits)
        self.last_norm = nn.BatchNorm1d(channels)
        self.dense = nn.Conv1d(2 * channels, 192, 1, bias=False)
        self.dense_norm = nn.BatchNorm1d(192, affine=False)
        filters = mel_filter_bank(
            num_frequency_bins=_FFT // 2 + 1,
            num_mel_filters=_MELS,
            min_frequency=20.0,
            max_frequency=SAMPLE_RATE / 2,
            sampling_rate=SAMPLE_RATE,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        povey = torch.hann_window(_WINDOW, periodic=False) ** 0.85
        self.register_buffer("window", povey, persistent=False)
        read_weights(self, weights)

    def forward(self, mels: Tensor) -> Tensor:
        """(B, frames, 80) log mel spectra to (B, 192)."""
        x = self.head(mels.transpose(1, 2))  # (B, 320, frames)
        x = F.relu(self.first_norm(self.first(x)))
        for block, transit in zip(self.blocks, self.transits, strict=True):
            for layer in block:  # type: ignore[attr-defined]
                x = torch.cat([x, layer(x)], dim=1)
            x = transit(x)
        x = F.relu(self.last_norm(x))
        statistics = torch.cat([x.mean(-1), x.std(-1)], dim=1)  # (B, 1024)
        return self.dense_norm(self.dense(statistics[..., None])).squeeze(-1)

    @torch.inference_mode()
    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The voice of mono speech at 16 kHz: float32 (192,), unit length."""
        shortest, longest = round(SHORTEST * SAMPLE_RATE), round(LONGEST * SAMPLE_RATE)
        if len(samples) < shortest:
            samples = np.resize(samples, shortest)
        step = round(STEP * SAMPLE_RATE)
        length = min(len(samples) // step * step, longest)
        first = (len(samples) - length) // 2
        samples = samples[first : first + length]
        mels = self._mels(torch.from_numpy(np.ascontiguousarray(samples, np.float32)))
        voice = self(mels[None])[0]
        return F.normalize(voice, dim=0).numpy()

    def _mels(self, wave: Tensor) -> Tensor:
        """(n,) to (frames, 80), as Kaldi computes them, without their mean over time."""
        frames = (wave * _FULL_SCALE).unfold(0, _WINDOW, _HOP)  # (frames, 400)
        frames = frames - frames.mean(dim=1, keepdim=True)
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        power = torch.fft.rfft((frames - _EMPHASIS * before) * self.window, _FFT).abs().square()
        mels = (power @ self.filters).clamp_min(torch.finfo(torch.float32).eps).log()
        return mels - mels.mean(dim=0)


class _MaskedLayer(nn.Module):
    """A dilated convolution, each channel of it weighed by its context."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm1d(channels)
        self.reduce = nn.Conv1d(channels, 128, 1, bias=False)
        self.norm2 = nn.BatchNorm1d(128)
        self.local = nn.Conv1d(128, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.squeeze = nn.Conv1d(128, 64, 1)
        self.mask = nn.Conv1d(64, _GROWTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm2(self.reduce(F.relu(self.norm1(x)))))  # (B, 128, T)
        around = F.avg_pool1d(x, _CONTEXT, _CONTEXT, ceil_mode=True)
        around = around.repeat_interleave(_CONTEXT, dim=-1)[..., : x.shape[-1]]
        context = x.mean(dim=-1, keepdim=True) + around
        return self.local(x) * torch.sigmoid(self.mask(F.relu(self.squeeze(context))))


class _Transit(nn.Module):
    """Half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.reduce = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.reduce(F.relu(self.norm(x)))
        return result


class _Head(nn.Module):
    """A spectrum as a picture: (B, 80, T) to (B, 320, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(32, 32, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x[:, None])))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class _Residual(nn.Module):
    """Two convolutions and a short cut; the first takes every ``stride``-th frequency."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        short: Sequence[nn.Module] = ()
        if stride != 1:
            short = nn.Conv2d(32, 32, 1, stride=(stride, 1), bias=False), nn.BatchNorm2d(32)
        self.shortcut = nn.Sequential(*short)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))
