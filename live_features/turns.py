"""Where one person stops and another begins, though nobody pauses.

The network is pyannote's segmentation 3.0 (Plaquet & Bredin 2023, *Powerset multi-class cross
entropy loss for neural speaker diarization*): of up to three people in a window, who speaks when.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from live_features.media import SAMPLE_RATE
from live_features.precision import multiplies_in_bfloat16
from live_features.speaker_weights import read_weights

WINDOW = 5.0
"""Seconds of sound that are looked at together; in 3 s a voice that rises passes for another."""
SURE_AFTER = 0.3
"""Seconds that must have been heard after a change before it counts."""
SHORTEST_TURN = 0.25
"""Seconds of an utterance before a change in it counts."""

_FILTER_LENGTH, _FILTER_STRIDE, _POOLED = 251, 10, 3
# Samples between two outputs of the bands, and those that an output depends on.
_BAND_STRIDE = _FILTER_STRIDE * _POOLED
_BAND_LENGTH = _FILTER_LENGTH + _FILTER_STRIDE * (_POOLED - 1)
_BLOCK = 36
"""Outputs of the bands that are computed together: for every length that it meets, oneDNN keeps
made-to-measure code and weights, and the time since the last look has very many."""
_BLOCK_LENGTH = (_BLOCK - 1) * _BAND_STRIDE + _BAND_LENGTH  # samples

_STEP, _FIRST = 270 / SAMPLE_RATE, 495 / SAMPLE_RATE  # seconds: frames, and the middle of the first
_PEOPLE = ((1, 4, 5), (2, 4, 6), (3, 5, 6))  # classes in which each of the three speaks
_THREE = range(3)
_LEAST_FRAMES = 10
_SWITCH = 12.0  # nats that another speaker must be likelier by
_SUSPECT = 4.0  # from which on it is suspected
_FLOOR = 0.02
_RECENT = 0.3  # seconds in which a hint is looked for
_HEARD = 0.5  # probability from which on somebody counts as speaking
_HINT = 0.2  # mean probability of another speaker that is one


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the recent sound says.

    ``change`` is the second at which somebody else took over, ``sure`` whether enough of them has
    been heard to know. ``hint`` tells that somebody may just be taking over: it is worth to look
    again soon.
    """

    change: float | None = None
    sure: bool = False
    hint: bool = False


class SpeakerSegmentation(nn.Module):
    """Sound to who speaks: silence, one of three people, or two of them."""

    filters: Tensor

    def __init__(self, weights: Path) -> None:
        """``weights`` is the safetensors file.

        Raises:
            UserFacingError: it is missing or damaged.
        """
        super().__init__()
        self.wave_norm = nn.InstanceNorm1d(1, affine=True)
        self.register_buffer("filters", torch.zeros(80, 1, _FILTER_LENGTH))
        self.convolutions = nn.ModuleList([nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norms = nn.ModuleList([nn.InstanceNorm1d(n, affine=True) for n in (80, 60, 60)])
        self.lstm = nn.LSTM(60, 128, num_layers=4, batch_first=True, bidirectional=True)
        self.linears = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, 7)
        read_weights(self, weights)
        self._lstm_type = torch.float32
        if multiplies_in_bfloat16():
            # Two thirds of the time is spent here; the weights were kept in 16 bits anyway.
            self._lstm_type = torch.bfloat16
            self.lstm.to(self._lstm_type)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, 1, n) at 16 kHz to probabilities (B, frames, 7), a frame every 270 samples."""
        return self.judge(wave, self.bands(wave))

    def bands(self, wave: Tensor) -> Tensor:
        """(B, 1, n) through 80 band-pass filters: (2, B, 80, frames), a frame every 30 samples.

        Of every three of their outputs the highest, then the lowest.
        """
        filtered = F.conv1d(wave, self.filters, stride=_FILTER_STRIDE)
        return torch.stack([F.max_pool1d(filtered, _POOLED), -F.max_pool1d(-filtered, _POOLED)])

    def judge(self, wave: Tensor, bands: Tensor) -> Tensor:
        """What :meth:`forward` says of a wave of which :meth:`bands` are known already.

        The network filters the wave after bringing it to mean 0 and variance 1, and takes the
        largest of every three magnitudes. Filters are linear, so the former may be made up for
        afterwards; and the largest magnitude is the highest's or the lowest's.
        """
        gain, bias = self.wave_norm.weight, self.wave_norm.bias
        variance, mean = torch.var_mean(wave, dim=-1, correction=0, keepdim=True)
        scale = gain / (variance + self.wave_norm.eps).sqrt()
        shifts = (bias - mean * scale) * self.filters.sum(dim=-1)
        x = (bands * scale).add_(shifts).abs_().amax(dim=0)
        x = F.leaky_relu(self.norms[0](x))
        for convolution, norm in zip(self.convolutions, self.norms[1:], strict=True):
            x = F.leaky_relu(norm(F.max_pool1d(convolution(x), _POOLED)))
        x, _ = self.lstm(x.transpose(1, 2).to(self._lstm_type))
        x = x.float()
        for linear in self.linears:
            x = F.leaky_relu(linear(x))
        return self.classifier(x).softmax(dim=-1)


class TurnFinder:
    """Keeps the last seconds of one line and tells when the person who speaks changes."""

    def __init__(self, segmentation: SpeakerSegmentation) -> None:
        self._segmentation = segmentation
        self.reset()

    def reset(self) -> None:
        """Forget the line; its next sample is at second 0."""
        self._recent = np.zeros(0, np.float32)
        self._bands = torch.zeros(2, 1, 80, 0)
        self._seen: NDArray[np.float32] | None = None
        self._heard = 0

    def push(self, samples: NDArray[np.float32]) -> None:
        """Hear the next mono samples."""
        self._recent = np.concatenate([self._recent, samples])
        self._heard += len(samples)
        self._seen = None
        # Whole steps of the bands are forgotten, so that what they were for the rest stays true.
        gone = max(0, len(self._recent) - round(WINDOW * SAMPLE_RATE)) // _BAND_STRIDE
        self._recent = self._recent[gone * _BAND_STRIDE :]
        self._bands = self._bands[..., gone:]

    def look(self, since: float) -> Look:
        """Whether, after ``since`` (seconds), somebody else began to speak."""
        now = self._heard / SAMPLE_RATE
        begins = now - len(self._recent) / SAMPLE_RATE
        if now - max(since, begins) < SHORTEST_TURN + SURE_AFTER:
            return Look()
        if self._seen is None:
            self._seen = self._listen()
        probabilities = self._seen
        times = begins + _FIRST + _STEP * np.arange(len(probabilities))
        within = times >= since
        if within.sum() < _LEAST_FRAMES:
            return Look()
        times, active = times[within], _active(probabilities[within])
        for switch in (_SWITCH, _SUSPECT):
            path = _speakers(active, probabilities[within, 0], switch)
            changes = [
                _taken_over(times, active, path, int(i)) for i in np.flatnonzero(np.diff(path))
            ]
            for at in changes:
                if since + SHORTEST_TURN < at:
                    sure = switch == _SWITCH and at <= now - SURE_AFTER
                    return Look(change=at, sure=sure, hint=True)
        lately = active[times > now - _RECENT - _FIRST]
        others = np.delete(lately, path[-1], axis=1)
        return Look(hint=bool(changes) or bool((others.mean(axis=0) > _HINT).any()))

    @torch.inference_mode()
    def _listen(self) -> NDArray[np.float32]:
        """(frames, 7)"""
        wave = torch.from_numpy(self._recent)[None, None]
        known = [self._bands]
        new = wave[..., self._bands.shape[-1] * _BAND_STRIDE :]
        while (left := (new.shape[-1] - _BAND_LENGTH) // _BAND_STRIDE + 1) > 0:
            block = new[..., :_BLOCK_LENGTH]
            padded = F.pad(block, (0, _BLOCK_LENGTH - block.shape[-1]))
            known.append(self._segmentation.bands(padded)[..., :left])
            new = new[..., _BLOCK * _BAND_STRIDE :]
        self._bands = torch.cat(known, dim=-1)
        return self._segmentation.judge(wave, self._bands)[0].numpy()


def _taken_over(
    times: NDArray[np.floating], active: NDArray[np.float32], path: NDArray[np.int64], last: int
) -> float:
    """The second at which whoever has the floor up to frame ``last`` falls silent.

    Where two talk at once that is later than when the other one is heard first.
    """
    silent = active[last + 1 :, path[last]] < _HEARD
    end = last + 1 + int(silent.argmax()) if silent.any() else len(times) - 1
    return float(times[end - 1] + times[end]) / 2


def _active(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(F, 7) to (F, 3): how likely each of the three speaks, alone or not."""
    return np.stack([probabilities[:, list(classes)].sum(1) for classes in _PEOPLE], axis=1)


def _speakers(
    active: NDArray[np.float32], silence: NDArray[np.float32], switch: float
) -> NDArray[np.int64]:
    """Who of the three has the floor in each frame (F,), by the likeliest path with few changes.

    ``active`` (F, 3) says how likely each speaks, ``silence`` (F,) that nobody does. Silence speaks
    for nobody, so a speaker keeps the floor through a pause.
    """
    scores = np.log(np.clip(active + silence[:, None], _FLOOR, 1.0))  # (F, 3)
    # Plain numbers: for three people arrays would cost twenty times as much.
    first, *others = scores.tolist()
    best, came_from = first, []
    for frame in others:
        leader = max(_THREE, key=best.__getitem__)
        switched = best[leader] - switch
        came_from.append([i if best[i] >= switched else leader for i in _THREE])
        best = [max(best[i], switched) + frame[i] for i in _THREE]
    path = [max(_THREE, key=best.__getitem__)]
    for before in reversed(came_from):
        path.append(before[path[-1]])
    return np.array(path[::-1], np.int64)
