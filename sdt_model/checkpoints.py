"""A trained model as a folder: ``weights.safetensors`` and, for people, ``card.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdt_model.config import SDTConfig
from sdt_model.dialogues import FeatureStatistics
from sdt_model.domain_shift import ShiftReference
from sdt_model.errors import SDTError
from sdt_model.files import read_bytes, read_tensors, write_atomically, write_tensors
from sdt_model.model import SDT

WEIGHTS = "weights.safetensors"
CARD = "card.json"
_MODEL = "model."
_STATISTICS = "statistics."
_SHIFT = "shift."
_UNSURE = "unsure_below"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model ready for use (in float32, on the CPU, in evaluation mode) and what belongs to it.

    ``card`` is the content of ``card.json``: how the model came about and what it scored. A fused
    answer with less confidence than ``unsure_below`` is none. ``shift`` is None where nobody
    measured how far training features lie apart.
    """

    model: SDT
    statistics: FeatureStatistics
    card: dict[str, Any]
    unsure_below: float = 0.0
    shift: ShiftReference | None = None

    @property
    def config(self) -> SDTConfig:
        return self.model.config


def save_checkpoint(
    folder: Path,
    model: SDT,
    statistics: FeatureStatistics,
    card: Mapping[str, Any],
    half_precision: bool = False,
    *,
    unsure_below: float = 0.0,
    shift: ShiftReference | None = None,
) -> None:
    """Write model, feature statistics and card into ``folder``, each file in one step.

    ``card`` holds free JSON fields; ``sha256`` (of the weights file), ``config``, ``unsure_below``,
    ``statistics`` (the feature sizes) and ``weights_dtype`` are added to it. ``half_precision``
    stores the model, not the statistics, as float16: half the size, and weights rounded to about
    three digits.
    """
    dtype = torch.float16 if half_precision else torch.float32
    tensors = {_MODEL + name: t.to(dtype) for name, t in model.state_dict().items()}
    tensors |= {_STATISTICS + name: t for name, t in statistics.to_tensors().items()}
    if shift is not None:
        tensors |= {_SHIFT + name: t for name, t in shift.to_tensors().items()}
    config = model.config.to_dict()
    # A second entry of metadata would make the file's bytes depend on the day.
    tensors[_UNSURE] = torch.tensor(unsure_below, dtype=torch.float64)
    sha256 = write_tensors(folder / WEIGHTS, tensors, {"config": json.dumps(config)})
    facts = {
        "sha256": sha256,
        "config": config,
        "unsure_below": unsure_below,
        "statistics": {"feature_sizes": list(statistics.feature_sizes)},
        "weights_dtype": "float16" if half_precision else "float32",
    }
    text = json.dumps({**card, **facts}, indent=2, ensure_ascii=False)
    # The command may name a file whose name is no UTF-8.
    write_atomically(folder / CARD, f"{text}\n".encode("utf-8", "replace"))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify what :func:`save_checkpoint` wrote.

    Raises :class:`SDTError` when a file is missing, damaged, altered since it was written, or does
    not belong with the other.
    """
    if not folder.is_dir():
        raise SDTError(f"there is no checkpoint folder at {folder}: check the path")
    card = _read_card(folder / CARD)
    tensors, metadata, sha256 = read_tensors(folder / WEIGHTS)
    if sha256 != card.get("sha256"):
        raise SDTError(
            f"{folder / WEIGHTS} is not the file its {CARD} describes (the SHA-256 differs): "
            "copy the whole checkpoint folder again"
        )
    try:
        settings = json.loads(metadata["config"])
        config = SDTConfig.from_dict(settings)
    except (KeyError, json.JSONDecodeError) as error:
        raise SDTError(
            f"{folder / WEIGHTS} carries no model settings: use a checkpoint made by sdt-train"
        ) from error
    if settings != card.get("config"):
        raise SDTError(
            f"the model settings in {folder / CARD} differ from those inside {WEIGHTS}: "
            "restore the original card"
        )
    model = _build(config, _part(tensors, _MODEL), folder)
    statistics = _statistics(config, _part(tensors, _STATISTICS), folder)
    unsure_below = tensors.get(_UNSURE, torch.tensor(0.0))
    if unsure_below.numel() != 1:
        raise SDTError(
            f"the threshold of answers in {folder} is no number: use a checkpoint made by sdt-train"
        )
    shift = _shift(_part(tensors, _SHIFT), folder)
    return Checkpoint(model, statistics, card, float(unsure_below), shift)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(read_bytes(path))
    except ValueError as error:
        raise SDTError(f"{path} is not JSON: copy the whole checkpoint folder again") from error
    if not isinstance(card, dict):
        raise SDTError(f"{path} is not a JSON object: copy the whole checkpoint folder again")
    return card


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _build(config: SDTConfig, weights: Mapping[str, Tensor], folder: Path) -> SDT:
    model = SDT(config)
    expected = model.state_dict()
    if weights.keys() != expected.keys():
        odd = sorted(weights.keys() ^ expected.keys())[0]
        raise SDTError(
            f"the weights in {folder} do not fit their settings ({odd} is on one side only): "
            "use a checkpoint made with this version"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise SDTError(
                f"the weights in {folder} do not fit their settings ({name} has shape "
                f"{tuple(tensor.shape)}, the settings ask for {tuple(expected[name].shape)}): "
                "use a checkpoint made with this version"
            )
    model.load_state_dict(weights, assign=True)
    return model.eval()


def _statistics(
    config: SDTConfig, tensors: Mapping[str, Tensor], folder: Path
) -> FeatureStatistics:
    try:
        statistics = FeatureStatistics.from_tensors(tensors)
    except KeyError as error:
        raise SDTError(
            f"the checkpoint in {folder} lacks the feature statistics {error}: "
            "use a checkpoint made by sdt-train"
        ) from error
    if statistics.feature_sizes != config.feature_sizes:
        raise SDTError(
            f"the feature statistics in {folder} are for sizes {statistics.feature_sizes}, the "
            f"model takes {config.feature_sizes}: use a checkpoint made by sdt-train"
        )
    return statistics


def _shift(tensors: Mapping[str, Tensor], folder: Path) -> ShiftReference | None:
    if not tensors:
        return None
    try:
        reference = ShiftReference.from_tensors(tensors)
    except KeyError as error:
        raise SDTError(
            f"the checkpoint in {folder} lacks {error} of its training distances: "
            "use a checkpoint made by sdt-train"
        ) from error
    if reference.median.shape != (3,) or reference.odd.shape != (3,):
        raise SDTError(
            f"the training distances in {folder} are not three numbers each: "
            "use a checkpoint made by sdt-train"
        )
    return reference
