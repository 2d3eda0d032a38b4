"""How well a model reads labelled dialogues, with all of the context and with only the past.

Beside the figures: how sure they are, how steady labels are as a dialogue grows, and whether the
gates tell what an answer rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from torch import Tensor

from sdt_model.config import MODALITIES
from sdt_model.dialogues import Dialogue, DialogueBatch, collate
from sdt_model.errors import SDTError
from sdt_model.model import SDT, SDTOutput

Context = Literal["full", "prefix"]

_BINS = 15
_ROWS = 32
_LEVEL = 95.0
_SAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Scores:
    """One classifier's figures, all but ``confusion`` between 0 and 1.

    ``f1`` has one value a class and ``confusion[truth][answer]`` counts utterances.
    ``calibration_error`` is the expected calibration error over 15 equal bins of confidence.
    """

    utterances: int
    weighted_f1: float
    accuracy: float
    f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The fused classifier over all utterances, each student over those that have its modality.

    A student is None where no utterance has its modality.
    """

    context: Context
    fused: Scores
    text: Scores | None
    audio: Scores | None
    visual: Scores | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for a checkpoint's card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 % of what a figure might have been on other dialogues."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """How sure one classifier's figures are, from a bootstrap over dialogues."""

    weighted_f1: Interval
    accuracy: Interval


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model says about M labelled utterances, dialogue after dialogue.

    ``probabilities`` (M, 4, C) are those of the fused classifier and of the text, audio and visual
    students, ``labels`` (M,) the truth, ``present`` (M, 3) says which modalities are real and
    ``dialogues`` (M,) numbers the dialogue that an utterance belongs to.
    """

    context: Context
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    present: NDArray[np.bool_]
    dialogues: NDArray[np.int64]

    def evaluation(self) -> Evaluation:
        """The figures of all four classifiers."""
        fused, text, audio, visual = (
            score(self.probabilities[rows, i], self.labels[rows]) if rows.any() else None
            for i, rows in enumerate(self._rows())
        )
        assert fused is not None
        return Evaluation(self.context, fused, text, audio, visual)

    def intervals(self, seed: int = 0) -> tuple[Intervals | None, ...]:
        """Intervals of the fused classifier and the students, each over the same utterances."""
        answers = self.probabilities.argmax(-1)  # (M, 4, C) -> (M, 4)
        classes = self.probabilities.shape[-1]
        return tuple(
            bootstrap(answers[rows, i], self.labels[rows], self.dialogues[rows], classes, seed)
            if rows.any()
            else None
            for i, rows in enumerate(self._rows())
        )

    def _rows(self) -> tuple[NDArray[np.bool_], ...]:
        return np.ones(len(self.labels), bool), *self.present.T


def evaluate(
    model: SDT,
    dialogues: Sequence[Dialogue],
    context: Context = "full",
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Score ``model``, moved to ``device``, on labelled and standardised dialogues.

    With ``context="prefix"`` each utterance is labelled as the newest of the dialogue so far, as a
    live session first shows it. Raises :class:`SDTError` when a dialogue has no labels or does not
    fit the model.
    """
    return predict(model, dialogues, context, device).evaluation()


def predict(
    model: SDT,
    dialogues: Sequence[Dialogue],
    context: Context = "full",
    device: torch.device | str = "cpu",
) -> Predictions:
    """The probabilities behind :func:`evaluate`, with the same arguments and errors."""
    _require(dialogues)
    if unlabelled := next((d for d in dialogues if d.labels is None), None):
        raise SDTError(f"dialogue {unlabelled.id!r} has no labels: it cannot be evaluated")
    read = _read_full if context == "full" else _read_prefixes
    with _reading(model, device):
        probabilities = np.concatenate(list(read(model, dialogues, device)))  # (M, 4, C)
    return Predictions(
        context=context,
        probabilities=probabilities,
        labels=np.concatenate([d.labels for d in dialogues if d.labels is not None]),
        present=np.concatenate([d.present for d in dialogues]) & _used(model),
        dialogues=np.repeat(np.arange(len(dialogues)), [len(d) for d in dialogues]),
    )


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Scores:
    """Figures of probabilities (M, C) against class indices (M,)."""
    answers = probabilities.argmax(-1)
    classes = range(probabilities.shape[1])
    confusion = confusion_matrix(labels, answers, labels=classes)
    per_class = f1_score(labels, answers, labels=classes, average=None, zero_division=0)
    return Scores(
        utterances=len(labels),
        weighted_f1=float(f1_score(labels, answers, average="weighted", zero_division=0)),
        accuracy=float(accuracy_score(labels, answers)),
        f1=tuple(float(value) for value in per_class),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        calibration_error=_calibration_error(probabilities.max(-1), answers == labels),
    )


def bootstrap(
    answers: NDArray[np.int64],
    labels: NDArray[np.int64],
    dialogues: NDArray[np.int64],
    classes: int,
    seed: int = 0,
) -> Intervals:
    """95 % percentile intervals for class indices ``answers`` (M,) against ``labels`` (M,).

    Whole dialogues are drawn with replacement, as many as there are, 2000 times over: the
    utterances of one conversation share people and topic, and drawing them singly would look too
    sure. ``dialogues`` (M,) says which utterances belong together.
    """
    names, dialogue = np.unique(dialogues, return_inverse=True)
    cells = (dialogue * classes + labels) * classes + answers
    confusions = np.bincount(cells, minlength=len(names) * classes**2)  # (D · C · C,)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), _SAMPLES)  # (S, D)
    sums = drawn @ confusions.reshape(len(names), -1)  # (S, D) x (D, C · C) -> (S, C · C)
    sums = sums.reshape(-1, classes, classes)

    right = np.diagonal(sums, axis1=1, axis2=2)  # (S, C, C) -> (S, C)
    true, answered = sums.sum(axis=2), sums.sum(axis=1)
    # 2 TP / (2 TP + FP + FN); a class neither there nor answered has no weight either.
    f1 = 2 * right / np.maximum(true + answered, 1)
    total = true.sum(axis=1)
    return Intervals(
        weighted_f1=_interval((f1 * true).sum(axis=1) / total),
        accuracy=_interval(right.sum(axis=1) / total),
    )


def _interval(values: NDArray[np.float64]) -> Interval:
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))


@dataclass(frozen=True, slots=True)
class Stability:
    """How the fused label of an utterance fares while the dialogue goes on after it.

    ``flips`` is the mean number of label changes an utterance, ``ever_flipped`` the share of
    utterances with at least one; ``mean_until_final`` and ``median_until_final`` count the later
    utterances after which the label is the one it keeps, 0 where the first label is.
    """

    utterances: int
    flips: float
    ever_flipped: float
    mean_until_final: float
    median_until_final: float


def prefix_stability(
    model: SDT, dialogues: Sequence[Dialogue], device: torch.device | str = "cpu"
) -> Stability:
    """Label every prefix of standardised dialogues, as a live session does, and compare.

    Labels are not needed. Raises :class:`SDTError` when a dialogue does not fit the model.
    """
    _require(dialogues)
    labels = []
    with _reading(model, device):
        for dialogue in dialogues:
            outputs = _prefix_outputs(model, dialogue, device)
            rows = [output.fused.argmax(-1).cpu().numpy() for _, output in outputs]
            labels.append(np.concatenate(rows))  # (N, N)
    return stability(labels)


def stability(labels: Sequence[NDArray[np.int64]]) -> Stability:
    """Figures of one array (N, N) a dialogue: ``[n, i]`` is utterance i's label in prefix n.

    Prefix n ends with utterance n, so only entries with i ≤ n are read.
    """
    flips, until_final = [], []
    for table in labels:
        for i in range(len(table)):
            changes = np.flatnonzero(np.diff(table[i:, i]))
            flips.append(len(changes))
            until_final.append(int(changes[-1]) + 1 if len(changes) else 0)
    return Stability(
        utterances=len(flips),
        flips=float(np.mean(flips)),
        ever_flipped=float(np.mean(np.array(flips) > 0)),
        mean_until_final=float(np.mean(until_final)),
        median_until_final=float(np.median(until_final)),
    )


@dataclass(frozen=True, slots=True)
class Distribution:
    """Mean, standard deviation and the 5th and 95th percentile over utterances."""

    mean: float
    sd: float
    p5: float
    p95: float


@dataclass(frozen=True, slots=True)
class ModalityGates:
    """What the multimodal gate does with one modality, over the utterances that have it.

    ``gate`` is the mean of g_m over the hidden dimensions and ``contribution`` the share
    ‖g_m ⊙ H_m‖ / Σ ‖g ⊙ H‖ of the three; either sums to 1 over the modalities. ``drop`` is how
    much of the fused probability of the predicted class goes when the modality is marked missing in
    the whole dialogue, as when it is switched off live: above 0 where the modality spoke for the
    answer. The agreements are Spearman's rank correlations of gate and contribution with that drop,
    None where either is the same for all utterances.
    """

    utterances: int
    gate: Distribution
    contribution: Distribution
    drop: Distribution
    gate_agreement: float | None
    contribution_agreement: float | None


@dataclass(frozen=True, slots=True)
class GateReport:
    """The three modalities; None for one that no utterance has."""

    text: ModalityGates | None
    audio: ModalityGates | None
    visual: ModalityGates | None


def gate_report(
    model: SDT, dialogues: Sequence[Dialogue], device: torch.device | str = "cpu"
) -> GateReport:
    """Ask whether the gates of ``model`` tell what its answers rest on, with full context.

    The dialogues are standardised; labels are not needed. A model trained without modality dropout
    has never met a missing modality, and what dropping one does to it says accordingly less.
    Raises :class:`SDTError` when a dialogue does not fit the model.
    """
    _require(dialogues)
    gates, contributions, drops = [], [], []
    with _reading(model, device):
        for first in range(0, len(dialogues), _ROWS):
            batch = collate(dialogues[first : first + _ROWS], model.config).to(device)
            output = model(batch)
            norms = (output.gates * output.hidden).norm(dim=-1)  # (B, N, 3, d) -> (B, N, 3)
            chance = output.fused.softmax(-1)  # (B, N, C)
            answer = chance.argmax(-1, keepdim=True)  # (B, N, 1)
            without = [
                model(_without(batch, m)).fused.softmax(-1).gather(-1, answer) for m in range(3)
            ]
            drop = chance.gather(-1, answer) - torch.cat(without, dim=-1)  # (B, N, 3)
            gates.append(output.gates.mean(-1)[batch.mask].cpu().double().numpy())  # (M, 3)
            contributions.append((norms / norms.sum(-1, keepdim=True))[batch.mask].cpu().numpy())
            drops.append(drop[batch.mask].cpu().numpy())
    figures = [np.concatenate(parts).T for parts in (gates, contributions, drops)]  # three (3, M)
    present = (np.concatenate([d.present for d in dialogues]) & _used(model)).T  # (3, M)
    text, audio, visual = (
        _modality_gates(*(values[m, here] for values in figures)) if here.any() else None
        for m, here in enumerate(present)
    )
    return GateReport(text, audio, visual)


def rank_correlation(x: NDArray[np.floating], y: NDArray[np.floating]) -> float | None:
    """Spearman's ρ of two series (M,), ties at their mean rank; None where one is constant."""
    first, second = _ranks(x), _ranks(y)
    if not np.ptp(first) or not np.ptp(second):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[position]


def _modality_gates(
    gate: NDArray[np.float64], contribution: NDArray[np.float32], drop: NDArray[np.float32]
) -> ModalityGates:
    return ModalityGates(
        utterances=len(gate),
        gate=_distribution(gate),
        contribution=_distribution(contribution),
        drop=_distribution(drop),
        gate_agreement=rank_correlation(gate, drop),
        contribution_agreement=rank_correlation(contribution, drop),
    )


def _distribution(values: NDArray[np.floating]) -> Distribution:
    p5, p95 = np.percentile(values, [5, 95])
    return Distribution(float(values.mean()), float(values.std()), float(p5), float(p95))


def _without(batch: DialogueBatch, modality: int) -> DialogueBatch:
    others = torch.arange(3, device=batch.present.device) != modality
    return replace(batch, present=batch.present & others)


def _used(model: SDT) -> NDArray[np.bool_]:
    """Which modalities (3,) the model reads at all."""
    return np.isin(MODALITIES, model.config.modalities)


def _require(dialogues: Sequence[Dialogue]) -> None:
    if not dialogues:
        raise SDTError("there are no dialogues to evaluate: give at least one")


@contextmanager
def _reading(model: SDT, device: torch.device | str) -> Iterator[None]:
    """The model on ``device``, without dropout and gradients; afterwards in its old mode."""
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Σ over bins of (share of utterances) · |accuracy - mean confidence|."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(bins, right - confidence.astype(np.float64), minlength=_BINS)
    return float(np.abs(gap).sum() / len(confidence))


def _read_full(
    model: SDT, dialogues: Sequence[Dialogue], device: torch.device | str
) -> Iterator[NDArray[np.float32]]:
    for first in range(0, len(dialogues), _ROWS):
        batch = collate(dialogues[first : first + _ROWS], model.config).to(device)
        yield _probabilities(model(batch))[batch.mask.cpu().numpy()]  # (B, N, 4, C) -> (M, 4, C)


def _read_prefixes(
    model: SDT, dialogues: Sequence[Dialogue], device: torch.device | str
) -> Iterator[NDArray[np.float32]]:
    for dialogue in dialogues:
        for last, output in _prefix_outputs(model, dialogue, device):
            yield _probabilities(output)[range(len(last)), last]  # (R, N, 4, C) -> (R, 4, C)


def _prefix_outputs(
    model: SDT, dialogue: Dialogue, device: torch.device | str
) -> Iterator[tuple[NDArray[np.int64], SDTOutput]]:
    """Every prefix as one row, some at a time: the newest utterances (R,), outputs (R, N, ...)."""
    count = len(dialogue)
    whole = collate([dialogue], model.config).to(device)
    # Row i is the dialogue after i + 1 utterances: the same features, the rest masked out.
    prefixes = torch.ones(count, count, dtype=torch.bool, device=device).tril()
    for rows in torch.arange(count, device=device).split(_ROWS):
        yield rows.cpu().numpy(), model(_repeat(whole, prefixes[rows]))


def _repeat(dialogue: DialogueBatch, masks: Tensor) -> DialogueBatch:
    """One dialogue (1, N, ...) under several masks (R, N)."""
    rows = len(masks)
    return DialogueBatch(
        text=dialogue.text.expand(rows, -1, -1),
        audio=dialogue.audio.expand(rows, -1, -1),
        visual=dialogue.visual.expand(rows, -1, -1),
        speakers=dialogue.speakers.expand(rows, -1),
        mask=masks,
        present=dialogue.present.expand(rows, -1, -1),
    )


def _probabilities(output: SDTOutput) -> NDArray[np.float32]:
    logits = torch.stack([output.fused, *output.students], dim=2)  # four (B, N, C) -> (B, N, 4, C)
    return logits.softmax(-1).float().cpu().numpy()
