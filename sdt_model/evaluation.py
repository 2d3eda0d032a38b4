"""How well a model reads labelled dialogues: with all of the context, and with only the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from torch import Tensor

from sdt_model.dialogues import Dialogue, DialogueBatch, collate
from sdt_model.errors import SDTError
from sdt_model.model import SDT, SDTOutput

Context = Literal["full", "prefix"]

_BINS = 15
_ROWS = 32


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
    if not dialogues:
        raise SDTError("there are no dialogues to evaluate: give at least one")
    if unlabelled := next((d for d in dialogues if d.labels is None), None):
        raise SDTError(f"dialogue {unlabelled.id!r} has no labels: it cannot be evaluated")
    read = _read_full if context == "full" else _read_prefixes
    was_training = model.training
    model.to(device).eval()
    with torch.inference_mode():
        probabilities = np.concatenate(list(read(model, dialogues, device)))  # (M, 4, C)
    model.train(was_training)

    labels = np.concatenate([d.labels for d in dialogues if d.labels is not None])  # (M,)
    present = np.concatenate([d.present for d in dialogues])  # (M, 3)
    fused, *students = np.moveaxis(probabilities, 1, 0)  # (M, 4, C) -> four of (M, C)
    text, audio, visual = (
        score(p[here], labels[here]) if here.any() else None
        for p, here in zip(students, present.T, strict=True)
    )
    return Evaluation(context, score(fused, labels), text, audio, visual)


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
        count = len(dialogue)
        whole = collate([dialogue], model.config).to(device)
        # Row i is the dialogue after i + 1 utterances: the same features, the rest masked out.
        prefixes = torch.ones(count, count, dtype=torch.bool, device=device).tril()
        for rows in torch.arange(count, device=device).split(_ROWS):
            output = model(_repeat(whole, prefixes[rows]))
            last = rows.cpu().numpy()
            yield _probabilities(output)[range(len(last)), last]  # (R, N, 4, C) -> (R, 4, C)


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
