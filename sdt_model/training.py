"""Training SDT: Adam with L2 on the distillation loss, stopped early on the development set."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdt_model.dialogues import Dialogue, collate
from sdt_model.distillation import distillation_loss
from sdt_model.errors import SDTError
from sdt_model.evaluation import evaluate
from sdt_model.files import read_bytes, write_atomically
from sdt_model.model import SDT


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train; the defaults are the paper's on IEMOCAP where it names a value.

    ``l2`` is added to the gradient (the paper's L2, not decoupled decay). ``patience`` is the
    number of epochs without a better weighted F1 on dev before training stops, None to run through.
    ``class_weights`` (C,) weigh the likelihoods, ``gammas`` the three losses.

    Augmentations, all off at their defaults: ``modality_dropout`` is the chance that a dialogue
    loses a modality altogether (no camera, no microphone) and, where it did not, that an utterance
    does; at least one stays. ``permute_speakers`` draws new speaker numbers for every dialogue, so
    that a number means "same" or "other", never a character. ``prefix_probability`` is the chance
    that a dialogue is cut after a random utterance, as a live conversation is. ``text_alone`` is
    the chance that a dialogue keeps nothing but its words, where it has any.

    ``average_decay`` keeps a moving average of the weights over the steps (Polyak & Juditsky 1992),
    which is what dev is scored with and what the model ends with: one step of noise less decides.

    ``mixed_precision`` runs the model in bfloat16 where torch holds that to be safe; weights,
    losses and the optimiser stay in float32.
    """

    epochs: int = 150
    batch_size: int = 16
    learning_rate: float = 1e-4
    l2: float = 1e-5
    patience: int | None = None
    seed: int = 0
    class_weights: tuple[float, ...] | None = None
    gammas: tuple[float, float, float] = (1.0, 1.0, 1.0)
    modality_dropout: float = 0.0
    permute_speakers: bool = False
    prefix_probability: float = 0.0
    text_alone: float = 0.0
    average_decay: float | None = None
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SDTError(f"the training option {name} must be at least 1")
        for name in ("modality_dropout", "prefix_probability", "text_alone"):
            if not 0 <= getattr(self, name) <= 1:
                raise SDTError(f"the training option {name} must be between 0 and 1")
        if self.patience is not None and self.patience < 1:
            raise SDTError("the training option patience must be at least 1")
        if self.average_decay is not None and not 0 <= self.average_decay < 1:
            raise SDTError("the training option average_decay must be at least 0 and below 1")
        if not 0 < self.learning_rate < math.inf:
            raise SDTError("the training option learning_rate must be a number above 0")


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Mean losses of an epoch (from 1) per utterance, and what it scored on dev (fused)."""

    epoch: int
    loss: float
    task: float
    students: float
    divergence: float
    dev_weighted_f1: float
    dev_accuracy: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """Every epoch, and the one whose weights the model now has."""

    history: tuple[EpochReport, ...]
    best: EpochReport


def fit(
    model: SDT,
    train: Sequence[Dialogue],
    dev: Sequence[Dialogue],
    options: TrainingOptions,
    *,
    device: torch.device | str = "cpu",
    resume: Path | None = None,
    on_epoch: Callable[[EpochReport, SDT], None] | None = None,
    show_progress: bool = False,
) -> FitResult:
    """Train ``model`` in place on standardised dialogues; it ends with the best epoch's weights.

    Every epoch draws shuffling, augmentation and dropout from its own seed: on one kind of device
    the same start gives the same end, and on the CPU bit for bit. With ``resume`` the state is
    written to that file after every epoch, and an interrupted run that is started again with the
    same arguments goes on from there to the numbers that it would have reached; only ``epochs`` and
    ``patience`` may differ. ``on_epoch`` hears of every epoch, with the model that dev was scored
    with, before its state is written, so it hears again of one that was interrupted in between.

    Raises :class:`SDTError` when data, options or the state do not fit, or when the loss diverges.
    """
    _check(model, train, dev, options)
    model.to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=options.learning_rate, weight_decay=options.l2)
    average = None
    if options.average_decay is not None:
        average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(options.average_decay), use_buffers=True
        )
    judged = model if average is None else cast(SDT, average.module)
    history: list[EpochReport] = []
    best_weights = _copy_weights(model)
    run = _fingerprint(model, train, dev, options)
    if resume is not None and resume.exists():
        history, best_weights = _load_state(resume, run, model, average, optimiser)
        if len(history) > options.epochs:
            raise SDTError(
                f"{resume} has been trained for {len(history)} epochs already: ask for at least as "
                "many, or delete it"
            )

    epochs = range(len(history) + 1, options.epochs + 1)
    for epoch in track(epochs, "Training", disable=not show_progress):
        if _stalled(history, options.patience):
            break
        losses = _train_epoch(model, average, optimiser, train, options, epoch=epoch, device=device)
        scores = evaluate(judged, dev, device=device).fused
        report = EpochReport(epoch, *losses, scores.weighted_f1, scores.accuracy)
        history.append(report)
        if _best(history) is report:
            best_weights = _copy_weights(judged)
        if on_epoch is not None:
            on_epoch(report, judged)
        if resume is not None:
            _save_state(
                resume, run, model, average, optimiser, history=history, best_weights=best_weights
            )
    model.load_state_dict(best_weights)
    model.eval()
    return FitResult(tuple(history), _best(history))


def inverse_frequencies(dialogues: Sequence[Dialogue], classes: int) -> tuple[float, ...]:
    """The paper's class weights, 1 / share of each class among the labels; 0 for an absent one."""
    labels = np.concatenate([d.labels for d in dialogues if d.labels is not None])
    counts = np.bincount(labels, minlength=classes)
    return tuple(float(len(labels) / count) if count else 0.0 for count in counts)


def augment(
    dialogue: Dialogue, speakers: int, options: TrainingOptions, rng: np.random.Generator
) -> Dialogue:
    """A variation of a dialogue for one epoch; ``speakers`` is the model's number of them."""
    if rng.random() < options.prefix_probability:
        dialogue = dialogue.prefix(int(rng.integers(1, len(dialogue) + 1)))
    if options.permute_speakers:
        dialogue = replace(dialogue, speakers=rng.permutation(speakers)[dialogue.speakers])
    # Nothing is drawn for what is off, so that runs without it stay what they were.
    if options.text_alone and rng.random() < options.text_alone:
        alone = dialogue.present & (np.arange(3) == 0)
        if alone[:, 0].all():
            dialogue = replace(dialogue, present=alone)
    if options.modality_dropout:
        lost = rng.random((len(dialogue), 3)) < options.modality_dropout
        lost |= rng.random(3) < options.modality_dropout
        present = dialogue.present & ~lost
        # Where everything would be lost, one modality drawn for the dialogue stays, or, if the
        # utterance never had that one, all that it had.
        survivor = dialogue.present & (np.arange(3) == rng.integers(3))
        survivor = np.where(survivor.any(axis=1, keepdims=True), survivor, dialogue.present)
        silent = ~present.any(axis=1, keepdims=True)
        dialogue = replace(dialogue, present=np.where(silent, survivor, present))
    return dialogue


def _train_epoch(
    model: SDT,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    dialogues: Sequence[Dialogue],
    options: TrainingOptions,
    *,
    epoch: int,
    device: torch.device | str,
) -> tuple[float, float, float, float]:
    rng = np.random.default_rng([options.seed, epoch])
    weights = None
    if options.class_weights is not None:
        weights = torch.tensor(options.class_weights, device=device)
    order = rng.permutation(len(dialogues))
    sums, utterances = np.zeros(4), 0
    model.train()
    with _seeded(int(rng.integers(2**63)), torch.device(device)):
        for first in range(0, len(order), options.batch_size):
            chosen = [dialogues[i] for i in order[first : first + options.batch_size]]
            varied = [augment(d, model.config.speakers, options, rng) for d in chosen]
            batch = collate(varied, model.config).to(device)
            assert batch.labels is not None
            with torch.autocast(
                torch.device(device).type, torch.bfloat16, enabled=options.mixed_precision
            ):
                output = model(batch)
            loss = distillation_loss(
                output.float(),
                batch.labels,
                batch.mask,
                model.config.temperature,
                batch.present,
                class_weights=weights,
                gammas=options.gammas,
            )
            optimiser.zero_grad()
            loss.total.backward()
            optimiser.step()
            if average is not None:
                average.update_parameters(model)
            terms = torch.stack([loss.total, loss.task, loss.students, loss.divergence])
            count = sum(len(dialogue) for dialogue in varied)
            sums += terms.detach().cpu().double().numpy() * count
            utterances += count
    total, task, students, divergence = (float(value) for value in sums / utterances)
    if not np.isfinite(total):
        raise SDTError(
            f"the training loss is no longer finite in epoch {epoch}: "
            "standardise the features or lower the learning rate"
        )
    return total, task, students, divergence


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from ``seed``; the caller's generators go on undisturbed."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        torch.manual_seed(seed)
        yield


def _stalled(history: Sequence[EpochReport], patience: int | None) -> bool:
    if patience is None or not history:
        return False
    return len(history) - _best(history).epoch >= patience


def _best(history: Sequence[EpochReport]) -> EpochReport:
    return max(history, key=lambda report: report.dev_weighted_f1)  # the first of equals


def _copy_weights(model: SDT) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _check(
    model: SDT, train: Sequence[Dialogue], dev: Sequence[Dialogue], options: TrainingOptions
) -> None:
    for name, dialogues in (("training", train), ("development", dev)):
        if not dialogues:
            raise SDTError(f"there are no {name} dialogues: give at least one")
        for dialogue in dialogues:
            dialogue.check(model.config)
            if dialogue.labels is None:
                raise SDTError(f"the {name} dialogue {dialogue.id!r} has no labels: leave it out")
    weights, classes = options.class_weights, len(model.config.classes)
    if weights is not None and len(weights) != classes:
        raise SDTError(f"{len(weights)} class weights for {classes} classes: give one for each")


def _fingerprint(
    model: SDT, train: Sequence[Dialogue], dev: Sequence[Dialogue], options: TrainingOptions
) -> str:
    """What a run must share with its saved state: model shape, options and data."""
    settings = asdict(replace(options, epochs=1, patience=None))
    digest = hashlib.sha256(json.dumps([model.config.to_dict(), settings]).encode())
    for dialogue in (*train, *dev):
        for values in (*dialogue.features, dialogue.present, dialogue.speakers, dialogue.labels):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _save_state(
    path: Path,
    run: str,
    model: SDT,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    *,
    history: Sequence[EpochReport],
    best_weights: dict[str, Tensor],
) -> None:
    state = {
        "run": run,
        "history": [asdict(report) for report in history],
        "model": model.state_dict(),
        "average": None if average is None else average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "best_weights": best_weights,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _load_state(
    path: Path,
    run: str,
    model: SDT,
    average: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
) -> tuple[list[EpochReport], dict[str, Tensor]]:
    data = io.BytesIO(read_bytes(path))
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
        saved_run = state["run"]
    except (RuntimeError, EOFError, KeyError, TypeError, UnpicklingError) as error:
        raise SDTError(
            f"{path} is not the state of a training run: delete it to start anew"
        ) from error
    if saved_run != run:
        raise SDTError(
            f"{path} belongs to a run with another model, other options or other dialogues: "
            "start with the same ones, or delete it to start anew"
        )
    model.load_state_dict(state["model"])
    if average is not None:
        average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return [EpochReport(**report) for report in state["history"]], state["best_weights"]
