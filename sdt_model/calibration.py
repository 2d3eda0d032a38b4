"""Probabilities that mean what they say, and when to say nothing.

After training, each classifier's logits are divided by a temperature (Guo et al. 2017, *On
calibration of modern neural networks*, eq. 9) that is found on dialogues it has not learned from.
As z / T = (W / T) h + b / T, the temperature becomes part of the weights: every reader of the
checkpoint gets calibrated probabilities, and labels stay what they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sdt_model.config import MODALITIES
from sdt_model.evaluation import Predictions
from sdt_model.model import SDT

_COLDEST, _HOTTEST = 0.1, 10.0
_STEPS = 60
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Temperatures:
    """What the logits of the fused classifier and of the students are divided by."""

    fused: float
    text: float
    audio: float
    visual: float


@dataclass(frozen=True, slots=True)
class Abstention:
    """Below which confidence the fused classifier had better say that it is unsure.

    Of the answers at or above ``below`` the share ``precision`` was right on the dialogues it was
    chosen on, and ``answered`` is the share of utterances that they are.
    """

    below: float
    precision: float
    answered: float


def fit_temperatures(predictions: Predictions) -> Temperatures:
    """The temperatures under which the truth is likeliest; 1 for a modality that is never there."""
    rows = (np.ones(len(predictions.labels), bool), *predictions.present.T)
    return Temperatures(
        *(
            _temperature(predictions.probabilities[there, i], predictions.labels[there])
            for i, there in enumerate(rows)
        )
    )


def temper(model: SDT, temperatures: Temperatures) -> None:
    """Make the temperatures part of the weights of ``model``, changed in place."""
    students = [cast(nn.Sequential, model.students[m])[-1] for m in MODALITIES]
    given = (temperatures.fused, temperatures.text, temperatures.audio, temperatures.visual)
    with torch.no_grad():
        for linear, temperature in zip((model.classifier, *students), given, strict=True):
            linear = cast(nn.Linear, linear)
            linear.weight.div_(temperature)
            linear.bias.div_(temperature)


def choose_abstention(predictions: Predictions, precision: float) -> Abstention:
    """The lowest confidence from which on the fused answers are right often enough.

    Where no threshold reaches ``precision``, the one that comes nearest.
    """
    fused = predictions.probabilities[:, 0]
    confidences = fused.max(-1)
    order = np.argsort(-confidences, kind="stable")
    right = (fused.argmax(-1) == predictions.labels)[order]
    reached = np.cumsum(right) / np.arange(1, len(right) + 1)
    # A handful of answers says little about how often such answers are right.
    least = max(1, len(right) // 20)
    # Answers that are equally sure are given, or not given, together.
    sure = confidences[order]
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
    ends = ends[ends >= least - 1]
    enough = ends[reached[ends] >= precision]
    last = int(enough[-1]) if len(enough) else int(ends[reached[ends].argmax()])
    return Abstention(
        below=float(sure[last]),
        precision=float(reached[last]),
        answered=(last + 1) / len(right),
    )


def abstaining(predictions: Predictions, below: float) -> Abstention:
    """How an abstention chosen elsewhere fares here."""
    fused = predictions.probabilities[:, 0]
    sure = fused.max(-1) >= below
    right = fused.argmax(-1) == predictions.labels
    return Abstention(below, float(right[sure].mean()) if sure.any() else 0.0, float(sure.mean()))


def _temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """By golden section in log T: the likelihood of softmax(z / T) has one peak."""
    if not len(labels):
        return 1.0
    logits = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    truth = np.arange(len(labels)), labels

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        highest = scaled.max(-1, keepdims=True)
        normaliser = highest[:, 0] + np.log(np.exp(scaled - highest).sum(-1))
        return float((normaliser - scaled[truth]).mean())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    for _ in range(_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
