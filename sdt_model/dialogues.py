"""Dialogues as features: one utterance, a whole conversation, a padded batch, and our store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdt_model.config import MODALITIES, SDTConfig, require_sizes
from sdt_model.errors import SDTError
from sdt_model.files import read_tensors, write_tensors

_FORMAT = "sdt-dialogues/1"
_LIMIT = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class UtteranceFeatures:
    """What is known of one utterance: a vector (D_m,) a modality, None where it is missing."""

    text: NDArray[np.float32] | None
    audio: NDArray[np.float32] | None
    visual: NDArray[np.float32] | None

    @property
    def vectors(self) -> tuple[NDArray[np.float32] | None, ...]:
        """The three vectors in the order of ``MODALITIES``."""
        return self.text, self.audio, self.visual

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The lengths of the three vectors."""
        return tuple(None if vector is None else len(vector) for vector in self.vectors)

    def check(self, config: SDTConfig) -> None:
        """Raise :class:`SDTError` unless the vectors are finite and of the model's sizes."""
        for modality, vector in zip(MODALITIES, self.vectors, strict=True):
            if vector is None:
                continue
            if vector.ndim != 1:
                raise SDTError(
                    f"the {modality} features of an utterance have shape {vector.shape}: "
                    "give one flat vector"
                )
            if not np.isfinite(vector).all():
                raise SDTError(
                    f"the {modality} features of an utterance hold numbers that are not finite: "
                    "extract them again or leave the modality out"
                )
        require_sizes(config.feature_sizes, self.sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Dialogue:
    """A conversation of N utterances in the order they were spoken.

    ``text``, ``audio``, ``visual`` are float32 (N, D_m), ``present`` (N, 3) says which of them are
    real (rows of a missing modality hold zeros), ``speakers`` (N,) int64 numbers people from 0 and
    ``labels`` (N,) int64 are class indices, None where nobody labelled. Raises :class:`SDTError`
    when the parts do not fit each other, hold numbers that are not finite, or are empty.
    """

    id: str
    text: NDArray[np.float32]
    audio: NDArray[np.float32]
    visual: NDArray[np.float32]
    present: NDArray[np.bool_]
    speakers: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        kinds = dict.fromkeys(MODALITIES, np.float32) | {"present": bool, "speakers": np.int64}
        for name, kind in kinds.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        if self.labels is not None:
            object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        count = len(self.speakers)
        if count == 0:
            raise SDTError(f"dialogue {self.id!r} has no utterances: leave it out")
        if self.present.shape != (count, len(MODALITIES)):
            raise self._invalid(f"presence flags of shape {self.present.shape} for {count} rows")
        for modality, values in zip(MODALITIES, self.features, strict=True):
            if values.ndim != 2 or len(values) != count:
                raise self._invalid(
                    f"{modality} features of shape {values.shape} for {count} utterances"
                )
            if not np.isfinite(values).all():
                raise self._invalid(f"{modality} features that are not finite")
        if self.speakers.min() < 0:
            raise self._invalid("a speaker number below 0")
        if self.labels is not None:
            if self.labels.shape != (count,):
                raise self._invalid(f"labels of shape {self.labels.shape} for {count} utterances")
            if self.labels.min() < 0:
                raise self._invalid("a label below 0")

    def _invalid(self, what: str) -> SDTError:
        return SDTError(f"dialogue {self.id!r} has {what}: extract its features again")

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def features(self) -> tuple[NDArray[np.float32], ...]:
        """The three feature arrays in the order of ``MODALITIES``."""
        return self.text, self.audio, self.visual

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """The width of each feature array."""
        return tuple(values.shape[1] for values in self.features)

    @classmethod
    def from_utterances(
        cls,
        id: str,
        utterances: Sequence[UtteranceFeatures],
        speakers: Sequence[int],
        config: SDTConfig,
        labels: Sequence[int] | None = None,
    ) -> Dialogue:
        """Stack utterances, each checked against ``config``, with zeros where one is missing."""
        count = len(utterances)
        features = [np.zeros((count, size), np.float32) for size in config.feature_sizes]
        present = np.zeros((count, len(MODALITIES)), bool)
        for row, utterance in enumerate(utterances):
            utterance.check(config)
            for i, vector in enumerate(utterance.vectors):
                if vector is not None:
                    features[i][row] = vector
                    present[row, i] = True
        text, audio, visual = features
        return cls(
            id=id,
            text=text,
            audio=audio,
            visual=visual,
            present=present,
            speakers=np.asarray(speakers, np.int64),
            labels=None if labels is None else np.asarray(labels, np.int64),
        )

    def prefix(self, length: int) -> Dialogue:
        """The dialogue as it stood after ``length`` utterances."""
        return Dialogue(
            id=self.id,
            text=self.text[:length],
            audio=self.audio[:length],
            visual=self.visual[:length],
            present=self.present[:length],
            speakers=self.speakers[:length],
            labels=None if self.labels is None else self.labels[:length],
        )

    def check(self, config: SDTConfig) -> None:
        """Raise :class:`SDTError` unless a model of this shape can read the dialogue."""
        require_sizes(config.feature_sizes, self.feature_sizes)
        if (speaker := int(self.speakers.max())) >= config.speakers:
            raise SDTError(
                f"dialogue {self.id!r} has speaker number {speaker}, the model has room for "
                f"{config.speakers} (0 to {config.speakers - 1}): map people to fewer numbers or "
                "train a model with more speakers"
            )
        if self.labels is not None and (label := int(self.labels.max())) >= len(config.classes):
            raise SDTError(
                f"dialogue {self.id!r} has label {label}, the model has {len(config.classes)} "
                f"classes (0 to {len(config.classes) - 1}): label it with the model's classes"
            )


@dataclass(frozen=True, slots=True, eq=False)
class DialogueBatch:
    """B dialogues padded to the longest, N utterances.

    ``text``, ``audio``, ``visual`` float32 (B, N, D_m); ``speakers`` int64 (B, N); ``mask`` bool
    (B, N), true for real utterances; ``present`` bool (B, N, 3); ``labels`` int64 (B, N), or None
    unless every dialogue has them. Padding rows hold zeros.
    """

    text: Tensor
    audio: Tensor
    visual: Tensor
    speakers: Tensor
    mask: Tensor
    present: Tensor
    labels: Tensor | None = None

    def to(self, device: torch.device | str) -> DialogueBatch:
        """The same batch on another device."""
        return DialogueBatch(
            text=self.text.to(device),
            audio=self.audio.to(device),
            visual=self.visual.to(device),
            speakers=self.speakers.to(device),
            mask=self.mask.to(device),
            present=self.present.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )


def collate(dialogues: Sequence[Dialogue], config: SDTConfig) -> DialogueBatch:
    """Pad dialogues into one batch, the padding spoken by the extra speaker of the embedding.

    What the model does not use (``config.modalities``) is marked missing.

    Raises :class:`SDTError` when a dialogue does not fit the model.
    """
    for dialogue in dialogues:
        dialogue.check(config)
    features = zip(*(dialogue.features for dialogue in dialogues), strict=True)
    text, audio, visual = (_pad(arrays) for arrays in features)
    labels = [dialogue.labels for dialogue in dialogues if dialogue.labels is not None]
    used = np.isin(MODALITIES, config.modalities)  # (3,)
    return DialogueBatch(
        text=text,
        audio=audio,
        visual=visual,
        speakers=_pad([d.speakers for d in dialogues], config.speakers),
        mask=_pad([np.ones(len(d), bool) for d in dialogues]),
        present=_pad([d.present & used for d in dialogues]),
        labels=_pad(labels) if len(labels) == len(dialogues) else None,
    )


def _pad(arrays: Sequence[NDArray[Any]], value: float = 0) -> Tensor:
    """B arrays (N_b, ...) to one tensor (B, N, ...)."""
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """Mean and standard deviation, float32 (D_m,) a modality, of the features trained on.

    Live features are standardised with the same numbers, so the statistics are part of a
    checkpoint. A feature that never varied in training says nothing and standardises to 0.
    """

    means: tuple[NDArray[np.float32], ...]
    deviations: tuple[NDArray[np.float32], ...]

    @classmethod
    def fit(cls, dialogues: Sequence[Dialogue]) -> FeatureStatistics:
        """Measure the present features of training dialogues (never of dev or test)."""
        if not dialogues:
            raise SDTError("there are no dialogues to measure: give the training dialogues")
        means, deviations = [], []
        for i in range(len(MODALITIES)):
            size = dialogues[0].features[i].shape[1]
            # Two passes in float64: openSMILE mixes features near 1e-4 with features near 1e7.
            count, total, squares = 0, np.zeros(size), np.zeros(size)
            for dialogue in dialogues:
                rows = dialogue.features[i][dialogue.present[:, i]].astype(np.float64)
                count += len(rows)
                total += rows.sum(axis=0)
            mean = total / max(count, 1)
            for dialogue in dialogues:
                rows = dialogue.features[i][dialogue.present[:, i]].astype(np.float64)
                squares += ((rows - mean) ** 2).sum(axis=0)
            deviation = np.sqrt(squares / max(count, 1))
            deviation[deviation <= 1e-6 * np.abs(mean)] = 0.0
            means.append(mean.astype(np.float32))
            deviations.append(deviation.astype(np.float32))
        return cls(tuple(means), tuple(deviations))

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        return tuple(len(mean) for mean in self.means)

    def standardise(self, features: UtteranceFeatures) -> UtteranceFeatures:
        """(x - mean) / deviation, cut to ±5, for each modality that is there."""
        require_sizes(self.feature_sizes, features.sizes)
        text, audio, visual = (
            None if vector is None else self._scale(vector, i)
            for i, vector in enumerate(features.vectors)
        )
        return UtteranceFeatures(text, audio, visual)

    def standardise_dialogue(self, dialogue: Dialogue) -> Dialogue:
        """The same for a whole dialogue; rows of a missing modality stay zero."""
        require_sizes(self.feature_sizes, dialogue.feature_sizes)
        text, audio, visual = (
            self._scale(values, i) * dialogue.present[:, i, None]
            for i, values in enumerate(dialogue.features)
        )
        return replace(dialogue, text=text, audio=audio, visual=visual)

    def _scale(self, values: NDArray[np.float32], modality: int) -> NDArray[np.float32]:
        mean, deviation = self.means[modality], self.deviations[modality]
        varies = deviation > 0
        scaled = (values - mean) / np.where(varies, deviation, 1.0)
        return np.clip(np.where(varies, scaled, 0.0), -_LIMIT, _LIMIT).astype(np.float32)

    def to_tensors(self) -> dict[str, Tensor]:
        """Named tensors for a checkpoint; :meth:`from_tensors` reads them back."""
        tensors = {}
        for modality, mean, deviation in zip(MODALITIES, self.means, self.deviations, strict=True):
            tensors[f"{modality}.mean"] = torch.from_numpy(mean)
            tensors[f"{modality}.deviation"] = torch.from_numpy(deviation)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> FeatureStatistics:
        """Raises :class:`KeyError` when a tensor is missing."""
        return cls(
            tuple(tensors[f"{modality}.mean"].numpy() for modality in MODALITIES),
            tuple(tensors[f"{modality}.deviation"].numpy() for modality in MODALITIES),
        )


def save_dialogues(
    path: Path, dialogues: Sequence[Dialogue], classes: Sequence[str] | None = None
) -> None:
    """Write dialogues as one safetensors file: utterances end to end, ids and lengths as JSON.

    ``classes`` names what the labels number, for :func:`load_classes`.
    """
    if not dialogues:
        raise SDTError(f"there are no dialogues to write to {path}: extract some first")
    for dialogue in dialogues:
        if dialogue.feature_sizes != dialogues[0].feature_sizes:
            raise SDTError(
                f"dialogues {dialogues[0].id!r} and {dialogue.id!r} have features of different "
                "sizes: extract all of them with the same encoders"
            )
    tensors = {
        name: torch.from_numpy(np.concatenate([getattr(d, name) for d in dialogues]))
        for name in (*MODALITIES, "present", "speakers")
    }
    labels = [np.full(len(d), -1, np.int64) if d.labels is None else d.labels for d in dialogues]
    tensors["labels"] = torch.from_numpy(np.concatenate(labels))
    description: dict[str, Any] = {
        "format": _FORMAT,
        "dialogues": [
            {"id": d.id, "utterances": len(d), "labelled": d.labels is not None} for d in dialogues
        ],
    }
    if classes is not None:
        description["classes"] = list(classes)
    write_tensors(path, tensors, {"description": json.dumps(description, ensure_ascii=False)})


def load_dialogues(path: Path) -> list[Dialogue]:
    """Read what :func:`save_dialogues` wrote.

    Raises :class:`SDTError` when the file is missing, damaged or of another kind, or when a
    dialogue in it is not valid; :meth:`Dialogue.check` then compares one with a model.
    """
    tensors, metadata, _ = read_tensors(path)
    try:
        description = json.loads(metadata["description"])
        entries = [
            (str(entry["id"]), int(entry["utterances"]), bool(entry["labelled"]))
            for entry in description["dialogues"]
        ]
        arrays = {
            name: tensors[name].numpy() for name in (*MODALITIES, "present", "speakers", "labels")
        }
        ends = np.cumsum([0, *(count for _, count, _ in entries)])
        known = description["format"] == _FORMAT
        complete = all(len(array) == ends[-1] for array in arrays.values())
    except (KeyError, TypeError, ValueError) as error:
        raise _another(path) from error
    if not known or not complete:
        raise _another(path)
    return [
        Dialogue(
            id=name,
            text=arrays["text"][start:end],
            audio=arrays["audio"][start:end],
            visual=arrays["visual"][start:end],
            present=arrays["present"][start:end],
            speakers=arrays["speakers"][start:end],
            labels=arrays["labels"][start:end] if has_labels else None,
        )
        for (name, _, has_labels), (start, end) in zip(entries, pairwise(ends), strict=True)
    ]


def load_classes(path: Path) -> tuple[str, ...] | None:
    """The class names in a file of :func:`save_dialogues`; None where it was given none.

    Raises :class:`SDTError` when the file is missing or damaged.
    """
    _, metadata, _ = read_tensors(path)
    try:
        names = json.loads(metadata["description"]).get("classes")
    except (KeyError, AttributeError, ValueError) as error:
        raise _another(path) from error
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _another(path)
    return tuple(names)


def _another(path: Path) -> SDTError:
    return SDTError(f"{path} is not a store of dialogues: write it again with save_dialogues")
