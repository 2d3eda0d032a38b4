"""Trains the paper's model on the public feature file of IEMOCAP or MELD, with several seeds."""

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

from live_features.errors import UserFacingError
from sdt_model.checkpoints import save_checkpoint
from sdt_model.config import MODALITIES
from sdt_model.corpora import PublicCorpus, held_out_dialogues, read_public_pickle
from sdt_model.dialogues import Dialogue, FeatureStatistics
from sdt_model.evaluation import evaluate
from sdt_model.files import read_bytes, write_atomically
from sdt_model.model import SDT
from sdt_model.presets import Preset
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


def train_on_features(
    corpus_name: str,
    preset: Preset,
    features: Path,
    out: Path,
    states: Path,
    *,
    seeds: Sequence[int],
    epochs: int | None,
    device: str,
    command: str,
    report: Callable[[str], None],
    show_progress: bool = False,
) -> dict[str, Any]:
    """Train one model a seed as ``preset`` says, save one of them, return its card.

    A tenth of the training dialogues, the same for every seed, is held out to select the epoch.
    The model saved in ``out`` is that of the seed best on them. Unfinished trainings are kept in
    ``states`` and go on from there. The feature sizes are those of the file, whatever the preset
    says, and ``epochs`` replaces its number of epochs. ``command`` is noted on the card and
    ``report`` hears of every epoch.

    Raises:
        UserFacingError, SDTError: the file is not of the corpus ``corpus_name`` or is broken, or
            training fails.
    """
    corpus = read_public_pickle(features)
    if corpus.name != corpus_name:
        raise UserFacingError(
            f"{features} holds the features of {corpus.name}: run sdt-train {corpus.name} on it"
        )
    text, audio, visual = corpus.feature_sizes
    config = replace(preset.config, text_dim=text, audio_dim=audio, visual_dim=visual)
    options = preset.options
    if epochs is not None:
        options = replace(options, epochs=epochs)
    train, held_out = held_out_dialogues(corpus.train, _HELD_OUT_SHARE, _HELD_OUT_SEED)

    results: list[SeedResult] = []
    best: SDT | None = None
    for seed in seeds:
        report(f"Seed {seed}: {len(train)} dialogues to train on, {len(held_out)} to select with")
        torch.manual_seed(seed)
        run = _Run(
            SDT(config),
            states / f"{corpus_name}-seed-{seed}.pt",
            corpus.test,
            device,
            report,
        )
        result = run.train(train, held_out, replace(options, seed=seed), show_progress)
        if all(result.held_out_weighted_f1 > other.held_out_weighted_f1 for other in results):
            best = run.model.cpu()
        results.append(result)
    assert best is not None
    card = _card(corpus, features, command, options, results, (len(train), len(held_out)))
    save_checkpoint(out, best, unstandardised(best, corpus.train), card)
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
    ) -> None:
        self.model = model
        self._state = state
        self._log = state.with_suffix(".json")
        self._test = test
        self._device = device
        self._report = report
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

    def _on_epoch(self, epoch: EpochReport) -> None:
        scores = evaluate(self.model, self._test, device=self._device).fused
        figures = EpochFigures(epoch.epoch, scores.weighted_f1, scores.accuracy)
        self._tested = [*self._tested[: epoch.epoch - 1], figures]
        log = json.dumps([asdict(figures) for figures in self._tested], indent=2)
        write_atomically(self._log, f"{log}\n".encode())
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


def _card(
    corpus: PublicCorpus,
    features: Path,
    command: str,
    options: TrainingOptions,
    results: Sequence[SeedResult],
    split: tuple[int, int],
) -> dict[str, Any]:
    saved = max(results, key=lambda result: result.held_out_weighted_f1)
    with features.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    settings = asdict(options)
    del settings["seed"]
    return {
        "name": f"SDT on the public {corpus.name} features",
        "command": command,
        "data": {
            "file": features.name,
            "file_sha256": sha256,
            "corpus": corpus.name,
            "dialogues": {"train": split[0], "held out of train": split[1]}
            | {"test": len(corpus.test)},
            "held_out_seed": _HELD_OUT_SEED,
            "standardised": False,
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
