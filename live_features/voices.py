"""Whose a voice is, and how it speaks: CAM++ (Wang et al. 2023), heard at two depths.

*CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking*,
Interspeech 2023: a convolutional front end over 80 mel bands, then densely connected time-delay
layers, each masked by what the utterance and its surroundings are like.

Its last layer tells people apart, whatever they feel. Two thirds of the way there it still hears
how somebody speaks: mean and deviation over time of what it knows then tell RAVDESS's emotions
apart better than the 1582 functionals that the paper takes from openSMILE (README), at no cost,
since the same pass goes on to tell whose voice it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from live_features.media import SAMPLE_RATE
from live_features.speaker_weights import read_weights

ACOUSTIC_SIZE = 1024
"""How many values tell how a voice speaks."""

SHORTEST = 0.5
"""Seconds; what is shorter is repeated until it is that long."""
STEP = 0.25
"""Seconds of which a multiple is listened to at a time.

For every length that it meets, oneDNN keeps a megabyte of made-to-measure code and weights.
"""
LONGEST = 3.0
"""Seconds; the middle of what is longer tells whose voice it is, more would tell no more."""

_FAINTEST = 0.1  # seconds of sound from which a voice can be told

_WINDOW, _HOP, _FFT = 400, 160, 512
_MELS = 80
_EMPHASIS = 0.97
_FULL_SCALE = 32768.0  # the network was trained on 16-bit integers
_LAYERS = ((12, 1), (24, 2), (16, 2))  # of each block: how many, and their dilation
_GROWTH = 32
_CONTEXT = 100  # frames that share a mask
_ACOUSTIC_DEPTH = 2  # blocks after which is heard how a voice speaks


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """The voice of an utterance.

    ``speaker``, float32 (192,) of unit length, tells whose it is: voices are compared by cosine.
    ``acoustic``, float32 (1024,), tells how it speaks; None for silence and clicks.
    """

    speaker: NDArray[np.float32]
    acoustic: NDArray[np.float32] | None


class VoiceEncoder(nn.Module):
    """Mono speech to its :class:`Voice`."""

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
        self.head.to(memory_format=torch.channels_last)

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Log mel spectra (B, frames, 80) to speakers (B, 192) and acoustics (B, 512, T)."""
        acoustic = self._acoustic(mels)
        x = self._through(acoustic, range(_ACOUSTIC_DEPTH, len(_LAYERS)))
        x = F.relu(self.last_norm(x))
        return self.dense_norm(self.dense(_moments(x)[..., None])).squeeze(-1), acoustic

    @torch.inference_mode()
    def listen(self, samples: NDArray[np.float32]) -> Voice:
        """The voice of mono speech (n,) at 16 kHz."""
        shortest, longest = round(SHORTEST * SAMPLE_RATE), round(LONGEST * SAMPLE_RATE)
        told = len(samples) >= _FAINTEST * SAMPLE_RATE and bool(np.any(samples))
        if len(samples) < shortest:
            samples = np.resize(samples, shortest)
        step = round(STEP * SAMPLE_RATE)
        length = min(len(samples) // step * step, longest)
        first = (len(samples) - length) // 2
        speaker, acoustic = self(self._mels(samples[first : first + length]))
        heard = [acoustic]
        for side in (samples[:first], samples[first + length :]):
            heard += [self._acoustic(self._mels(piece)) for piece in _pieces(side, step, longest)]
        return Voice(
            F.normalize(speaker[0], dim=0).numpy(),
            _moments(torch.cat(heard, dim=-1))[0].numpy() if told else None,
        )

    def _acoustic(self, mels: Tensor) -> Tensor:
        """(B, frames, 80) to (B, 512, T)."""
        x = self.head(mels.transpose(1, 2))  # (B, 320, frames)
        x = F.relu(self.first_norm(self.first(x)))
        return self._through(x, range(_ACOUSTIC_DEPTH))

    def _through(self, x: Tensor, blocks: range) -> Tensor:
        for i in blocks:
            for layer in self.blocks[i]:  # type: ignore[attr-defined]
                x = torch.cat([x, layer(x)], dim=1)
            x = self.transits[i](x)
        return x

    def _mels(self, samples: NDArray[np.float32]) -> Tensor:
        """(n,) to (1, frames, 80), as Kaldi computes them, without their mean over time."""
        wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
        frames = (wave * _FULL_SCALE).unfold(0, _WINDOW, _HOP)  # (frames, 400)
        frames = frames - frames.mean(dim=1, keepdim=True)
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        power = torch.fft.rfft((frames - _EMPHASIS * before) * self.window, _FFT).abs().square()
        mels = (power @ self.filters).clamp_min(torch.finfo(torch.float32).eps).log()
        return (mels - mels.mean(dim=0))[None]


def _moments(x: Tensor) -> Tensor:
    """(B, C, T) to (B, 2C): means over time, then deviations."""
    return torch.cat([x.mean(-1), x.std(-1)], dim=1)


def _pieces(samples: NDArray[np.float32], step: int, longest: int) -> Iterator[NDArray[np.float32]]:
    """``samples`` in pieces alike, multiples of ``step`` and at most ``longest`` samples long."""
    if len(samples) >= step:
        for piece in np.array_split(samples, -(-len(samples) // longest)):
            yield piece[: len(piece) // step * step]


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
