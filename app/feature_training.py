"""Trains SDT, a model a seed, on a public feature file of IEMOCAP or MELD or on our own stores."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.training_curves import Curve, curves
from live_features.errors import UserFacingError
from sdt_model.checkpoints import save_checkpoint
from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.corpora import held_out_dialogues, read_public_pickle
from sdt_model.dialogues import Dialogue, FeatureStatistics, load_classes, load_dialogues
from sdt_model.evaluation import evaluate
from sdt_model.files import read_bytes, write_atomically
from sdt_model.model import SDT
from sdt_model.presets import PRESETS
from sdt_model.training import EpochReport, TrainingOptions, fit

PAPER_PROTOCOL = "best-test-epoch (paper protocol)"
VALIDATION_SELECTED = "validation-selected"

_HELD_OUT_SHARE = 0.1
_HELD_OUT_SEED = 0
_HEADROOM = 16.0
"""How far beyond the largest value trained on features may lie before a checkpoint cuts them."""


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """The fused classifier on the test split after ``epoch``."""

    epoch: int
    weighted_f1: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed reached on the test split, by either protocol.

    ``paper`` is the epoch best on the test split itself, ``selected`` the one best on the held-out
    dialogues, where it had ``held_out_weighted_f1``.
    """

    seed: int
    paper: EpochFigures
    selected: EpochFigures
    held_out_weighted_f1: float


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Dialogues as they are in the files: to train on, to select the epoch with, and to test on.

    ``standardised`` says whether the model gets them standardised; ``facts`` go on the card.
    ``classes`` names the labels where the files do.
    """

    name: str
    train: Sequence[Dialogue]
    held_out: Sequence[Dialogue]
    test: Sequence[Dialogue]
    standardised: bool
    facts: dict[str, Any]
    classes: tuple[str, ...] | None = None

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        return self.train[0].feature_sizes


def public_material(features: Path, corpus_name: str) -> Material:
    """A public feature file, not standardised, as the paper takes it.

    A tenth of the training dialogues, the same for every seed, is held out to select the epoch.

    Raises:
        UserFacingError, SDTError: the file is not of the corpus ``corpus_name`` or is broken.
    """
    corpus = read_public_pickle(features)
    if corpus.name != corpus_name:
        raise UserFacingError(
            f"{features} holds the features of {corpus.name}: run sdt-train {corpus.name} on it"
        )
    train, held_out = held_out_dialogues(corpus.train, _HELD_OUT_SHARE, _HELD_OUT_SEED)
    facts = {
        "corpus": corpus.name,
        "file": features.name,
        "file_sha256": _sha256(features),
        "held_out_seed": _HELD_OUT_SEED,
    }
    return Material(corpus.name, train, held_out, corpus.test, standardised=False, facts=facts)


def stored_material(folder: Path) -> Material:
    """A folder of our own feature stores: ``train``, ``dev`` and ``test.safetensors``.

    Raises:
        UserFacingError, SDTError: a store is missing or broken, or they are of different corpora.
    """
    stores = [folder / f"{name}.safetensors" for name in ("train", "dev", "test")]
    train, held_out, test = (load_dialogues(store) for store in stores)
    classes, *others = (load_classes(store) for store in stores)
    if any(other != classes for other in others):
        raise UserFacingError(
            f"The stores in {folder} name different classes: extract all three from one corpus"
        )
    facts = {store.name: {"sha256": _sha256(store)} for store in stores}
    return Material("store", train, held_out, test, standardised=True, facts=facts, classes=classes)


def train_on_features(
    material: Material,
    config: SDTConfig,
    options: TrainingOptions,
    out: Path,
    states: Path,
    *,
    seeds: Sequence[int],
    device: str,
    command: str,
    report: Callable[[str], None],
    variant: str = "",
    tensorboard: Path | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Train one model a seed, save the one best on the held-out dialogues, return its card.

    The feature sizes, and the classes where it names them, are those of ``material``, whatever
    ``config`` says. Unfinished trainings are
    kept in ``states``, under the names of the material and the ``variant``, and go on from there.
    ``command`` is noted on the card, ``report`` hears of every epoch, and ``tensorboard`` is a
    folder that gets the curves of every seed.

    Raises:
        UserFacingError, SDTError: the material does not fit, or training fails.
    """
    text, audio, visual = material.feature_sizes
    classes = material.classes or config.classes
    config = replace(config, text_dim=text, audio_dim=audio, visual_dim=visual, classes=classes)
    statistics = FeatureStatistics.fit(material.train) if material.standardised else None
    train, held_out, test = (
        dialogues
        if statistics is None
        else [statistics.standardise_dialogue(dialogue) for dialogue in dialogues]
        for dialogues in (material.train, material.held_out, material.test)
    )
    name = f"{material.name}-{variant}" if variant else material.name
    results: list[SeedResult] = []
    best: SDT | None = None
    for seed in seeds:
        report(f"Seed {seed}: {len(train)} dialogues to train on, {len(held_out)} to select with")
        torch.manual_seed(seed)
        with curves(None if tensorboard is None else tensorboard / f"{name}-seed-{seed}") as curve:
            run = _Run(SDT(config), states / f"{name}-seed-{seed}.pt", test, device, report, curve)
            result = run.train(train, held_out, replace(options, seed=seed), show_progress)
        if all(result.held_out_weighted_f1 > other.held_out_weighted_f1 for other in results):
            best = run.model.cpu()
        results.append(result)
    assert best is not None
    card = _card(material, command, config, options, results)
    save_checkpoint(out, best, statistics or unstandardised(best, material.train), card)
    return card


def unstandardised(model: SDT, dialogues: Sequence[Dialogue]) -> FeatureStatistics:
    """Statistics under which ``model``, changed in place, reads the features as they are.

    The paper does not standardise, but a checkpoint's statistics always cut to ±5 deviations. So
    the deviations are a power of two, large enough that nothing near the training ``dialogues`` is
    cut, and the projections are multiplied by the same: as powers of two are exact in binary, the
    model's answers stay the same to the bit.
    """
    means, deviations = [], []
    with torch.no_grad():
        for i, modality in enumerate(MODALITIES):
            largest = max(float(np.abs(dialogue.features[i]).max()) for dialogue in dialogues)
            scale = 2.0 ** math.ceil(math.log2(_HEADROOM * max(largest, 1.0) / 5.0))
            model.get_parameter(f"projections.{modality}.weight").mul_(scale)
            model.get_parameter(f"missing.{modality}").div_(scale)
            size = dialogues[0].features[i].shape[1]
            means.append(np.zeros(size, np.float32))
            deviations.append(np.full(size, scale, np.float32))
    return FeatureStatistics(tuple(means), tuple(deviations))


class _Run:
    """One seed's training with a test after every epoch, both kept for a later start."""

    def __init__(
        self,
        model: SDT,
        state: Path,
        test: Sequence[Dialogue],
        device: str,
        report: Callable[[str], None],
        curve: Curve,
    ) -> None:
        self.model = model
        self._state = state
        self._log = state.with_suffix(".json")
        self._test = test
        self._device = device
        self._report = report
        self._curve = curve
        self._tested: list[EpochFigures] = []

    def train(
        self,
        train: Sequence[Dialogue],
        held_out: Sequence[Dialogue],
        options: TrainingOptions,
        show_progress: bool,
    ) -> SeedResult:
        if self._state.exists():
            self._tested = self._read_log()
        result = fit(
            self.model,
            train,
            held_out,
            options,
            device=self._device,
            resume=self._state,
            on_epoch=self._on_epoch,
            show_progress=show_progress,
        )
        if [figures.epoch for figures in self._tested] != [e.epoch for e in result.history]:
            raise UserFacingError(
                f"{self._log} does not have the test figures of every epoch in {self._state}: "
                "delete both to start anew"
            )
        return SeedResult(
            seed=options.seed,
            paper=max(self._tested, key=lambda figures: figures.weighted_f1),
            selected=self._tested[result.best.epoch - 1],
            held_out_weighted_f1=result.best.dev_weighted_f1,
        )

    def _on_epoch(self, epoch: EpochReport, model: SDT) -> None:
        scores = evaluate(model, self._test, device=self._device).fused
        figures = EpochFigures(epoch.epoch, scores.weighted_f1, scores.accuracy)
        self._tested = [*self._tested[: epoch.epoch - 1], figures]
        log = json.dumps([asdict(figures) for figures in self._tested], indent=2)
        write_atomically(self._log, f"{log}\n".encode())
        self._curve(
            epoch.epoch,
            {
                "loss/total": epoch.loss,
                "loss/task": epoch.task,
                "loss/students": epoch.students,
                "loss/divergence": epoch.divergence,
                "held out/weighted F1": epoch.dev_weighted_f1,
                "held out/accuracy": epoch.dev_accuracy,
                "test/weighted F1": figures.weighted_f1,
                "test/accuracy": figures.accuracy,
            },
        )
        self._report(
            f"Epoch {epoch.epoch}: loss {epoch.loss:.3f}, weighted F1 "
            f"{epoch.dev_weighted_f1:.4f} held out, {figures.weighted_f1:.4f} test"
        )

    def _read_log(self) -> list[EpochFigures]:
        if not self._log.exists():
            return []
        try:
            return [EpochFigures(**figures) for figures in json.loads(read_bytes(self._log))]
        except (ValueError, TypeError) as error:
            raise UserFacingError(
                f"{self._log} is damaged: delete it and {self._state} to start anew"
            ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _card(
    material: Material,
    command: str,
    config: SDTConfig,
    options: TrainingOptions,
    results: Sequence[SeedResult],
) -> dict[str, Any]:
    saved = max(results, key=lambda result: result.held_out_weighted_f1)
    settings = asdict(options)
    del settings["seed"]
    counts = {
        "train": len(material.train),
        "held out of train" if material.name in PRESETS else "dev": len(material.held_out),
        "test": len(material.test),
    }
    return {
        "name": f"SDT on the {material.name} features",
        "command": command,
        "data": material.facts | {"dialogues": counts, "standardised": material.standardised},
        "ablations": {
            "unimodal_gates": config.unimodal_gates,
            "fusion": config.fusion,
            "modalities": list(config.modalities),
        },
        "training": settings,
        "protocols": {
            PAPER_PROTOCOL: "the epoch with the best weighted F1 on the test split itself, as the "
            "paper's code reports it: too good by what that choice gains",
            VALIDATION_SELECTED: "the epoch with the best weighted F1 on dialogues held out of "
            "train, tested once",
        },
        "seeds": [
            {
                "seed": result.seed,
                PAPER_PROTOCOL: asdict(result.paper),
                VALIDATION_SELECTED: asdict(result.selected)
                | {"held_out_weighted_f1": result.held_out_weighted_f1},
            }
            for result in results
        ],
        "figures": {
            PAPER_PROTOCOL: _over_seeds([result.paper for result in results]),
            VALIDATION_SELECTED: _over_seeds([result.selected for result in results]),
        },
        "saved": {"seed": saved.seed, "epoch": saved.selected.epoch, "by": VALIDATION_SELECTED},
        "not_for": "decisions about people; emotion inference of employees or pupils is "
        "prohibited in the EU (AI Act Art. 5(1)(f)); an expression is not a feeling",
    }


def _over_seeds(figures: Sequence[EpochFigures]) -> dict[str, dict[str, float | None]]:
    """Mean and sample standard deviation, None of a single seed."""
    return {
        name: {
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
        for name, values in (
            ("weighted_f1", [f.weighted_f1 for f in figures]),
            ("accuracy", [f.accuracy for f in figures]),
        )
    }
