"""Train the face expression network on FER2013.

``python -m live_features.expression_training --data FER2013_FOLDER --out FIRST``

A second generation, ``--teacher FIRST --out assets/expression``, goes on from the first's weights
and learns what the first says of the faces beside what people say of them (born-again networks,
Furlanello et al. 2018). The teacher sees a face as it is and mirrored, the network what
:func:`augment` leaves of it, and has to see in the worse picture what its teacher sees in the good
one (Xie et al. 2020).

Where other programs keep the cores busy, ``OMP_NUM_THREADS=1`` before it makes steps several times
faster: threads that wait for each other at every layer then cost more than they bring.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.expression import (
    CARD_FILE,
    FACE_SIZE,
    WEIGHTS_FILE,
    ExpressionEncoder,
    ExpressionNetwork,
    NetworkConfig,
    config_from_json,
    config_to_json,
    normalise,
)
from live_features.precision import fastest_precision

HELD_OUT_SHARE = 0.1
CHECKPOINT_FILE = "training_checkpoint.pt"

_BLANK = 2.0
_SAME = 0.985
"""Correlation of two thumbnails from which on the pictures count as one."""
_COMPARED = 1024
_LABEL_SMOOTHING = 0.1
# The rarest class has a sixteenth of the commonest one's images; weights of n^-0.15 give its faces
# half as much say again without making it everybody's second guess.
_IMBALANCE_EXPONENT = 0.15
_AVERAGE_DECAY = 0.999

_TEACHER_SHARE = 0.6
"""How much of what is learned is the teacher's opinion; the rest is the label."""
_FIRST = (72, 0.1, 0.2)
_SECOND = (40, 0.04, 0.05)
"""Epochs, highest learning rate, and the share of steps that it takes to rise to it."""


@dataclass(frozen=True, slots=True)
class Faces:
    """``images`` uint8 grey (n, 48, 48); ``labels`` int64 (n,) in MELD order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figures:
    """How well faces were classified: accuracy and per-class recall as fractions of ``faces``."""

    faces: int
    accuracy: float
    recall: dict[str, float]
    mean_recall: float


def read_faces(path: Path) -> Faces:
    """Read ``images``, ``labels`` and ``classes`` of an npz file.

    Raises :class:`UserFacingError` where the file is missing or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels, classes = file["images"], file["labels"], file["classes"]
    except (OSError, KeyError, ValueError) as error:
        raise UserFacingError(
            f"{path} cannot be read as a FER2013 file with images, labels and classes ({error}); "
            "name the folder that holds train.npz and public_test.npz."
        ) from error
    if tuple(classes) != EMOTIONS or images.shape != (len(labels), FACE_SIZE, FACE_SIZE):
        raise UserFacingError(
            f"{path} must hold images of {FACE_SIZE}x{FACE_SIZE} and the classes "
            f"{', '.join(EMOTIONS)} in this order; convert it again."
        )
    return Faces(images.astype(np.uint8), labels.astype(np.int64))


def held_out(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Indices into ``train.npz``, ascending, of the faces the network never learns from.

    10 % of every class, drawn with ``seed``. Exact copies of these faces are kept from the
    network too, see :func:`learnable`.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for label in range(len(EMOTIONS)):
        members = generator.permutation(np.flatnonzero(labels == label))
        drawn.append(members[: round(HELD_OUT_SHARE * len(members))])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def learnable(faces: Faces, test: Faces, seed: int) -> NDArray[np.int64]:
    """Indices of the faces to learn from, ascending.

    All that are neither held out, nor blank, nor a copy of a held-out or a test face, be it of
    another size, light or sharpness, or mirrored.
    """
    apart = held_out(faces.labels, seed)
    rest = np.setdiff1d(np.arange(len(faces.labels)), apart)
    rest = rest[faces.images[rest].std(axis=(1, 2)) >= _BLANK]
    unseen = np.concatenate((faces.images[apart], test.images))
    return rest[~copies(faces.images[rest], unseen)].astype(np.int64)


def copies(images: NDArray[np.uint8], of: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``images`` (n, 48, 48) show the same picture as one of ``of`` (m, 48, 48)."""
    thumbnails, others = _thumbnails(images), _thumbnails(of)
    mirrored = _thumbnails(of[:, :, ::-1])
    found = np.zeros(len(images), bool)
    for start in range(0, len(images), _COMPARED):
        part = thumbnails[start : start + _COMPARED]
        for whole in (others, mirrored):
            if len(whole):
                found[start : start + _COMPARED] |= (part @ whole.T).max(axis=1) >= _SAME
    return found


def _thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures as vectors (n, 256) whose products are their correlations at a third of the size."""
    side = FACE_SIZE // 3
    small = images.reshape(-1, side, 3, side, 3).mean(axis=(2, 4), dtype=np.float32)
    vectors = small.reshape(len(images), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def train_expression(
    data_dir: Path,
    out_dir: Path,
    *,
    seed: int = 1,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float | None = None,
    wind_down: tuple[int, int] | None = None,
    teacher: Path | None = None,
) -> dict[str, Any]:
    """Train, pick the epoch by held-out accuracy, write weights and card; returns the card.

    ``teacher`` is the folder of a network trained with the same ``seed``, and so on the same faces,
    to start and to learn from. Without ``epochs`` and ``learning_rate`` they are 72 and 0.1, with a
    teacher 40 and 0.04.
    ``wind_down`` ends sooner than ``epochs``: from the first of two epochs on, the learning rate
    falls evenly to nothing at the end of the second. Interrupted, training goes on from the last
    finished epoch when called again with the same settings; of an epoch not yet reached the
    wind-down may be added or changed.
    Nothing is learned or chosen from ``public_test.npz``, which gives the card's final figure.

    Raises :class:`UserFacingError` where the data or the teacher do not fit.
    """
    usual_epochs, usual_rate, _ = _FIRST if teacher is None else _SECOND
    settings: dict[str, Any] = {
        "seed": seed,
        "epochs": epochs or usual_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate or usual_rate,
        "wind_down": None if wind_down is None else list(wind_down),
    }
    learned = None if teacher is None else _Teacher.load(teacher, seed)
    if learned is not None:
        settings["teacher"] = learned.card["sha256"]
    last = settings["epochs"] if wind_down is None else wind_down[1]
    train, test = read_faces(data_dir / "train.npz"), read_faces(data_dir / "public_test.npz")
    chosen = learnable(train, test, seed)
    apart = held_out(train.labels, seed)
    learn = Faces(train.images[chosen], train.labels[chosen])
    held = Faces(train.images[apart], train.labels[apart])

    out_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = out_dir / CHECKPOINT_FILE
    run = _Run(learn, held, settings, learned)
    run.resume(checkpoint)
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("epochs", total=last, completed=run.epoch)
        while run.epoch < last:
            console.print(run.train_epoch(progress))
            run.save(checkpoint)
            progress.advance(task)

    network = ExpressionNetwork()
    network.load_state_dict(run.best)
    left_out = len(train.labels) - len(chosen) - len(apart)
    card = _write(out_dir, network, settings, run, learned, learn, held, test, left_out)
    checkpoint.unlink()
    return card


@dataclass(frozen=True, slots=True)
class _Teacher:
    """A trained network's weights and card."""

    weights: dict[str, Tensor]
    card: dict[str, Any]

    @classmethod
    def load(cls, folder: Path, seed: int) -> _Teacher:
        ExpressionEncoder.load(folder)  # says what is wrong with its files
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        if config_from_json(card["network"]) != NetworkConfig():
            raise UserFacingError(
                f"The network in {folder} has other widths than the one to be trained: "
                "train a teacher with this version."
            )
        if card.get("settings", {}).get("seed") != seed:
            raise UserFacingError(
                f"The network in {folder} was not trained with seed {seed} and so has learned from "
                "faces that are to be held out: name a teacher of the same seed."
            )
        weights = load((folder / WEIGHTS_FILE).read_bytes())
        return cls({name: tensor.float() for name, tensor in weights.items()}, card)


class _Run:
    """The state of one training: network, moving average of its weights, optimiser, best epoch."""

    def __init__(
        self, learn: Faces, held: Faces, settings: dict[str, Any], teacher: _Teacher | None
    ) -> None:
        self.learn = learn
        self.held = held
        self.settings = settings
        self.epoch = 0
        self.best_epoch = 0
        self.best_accuracy = -1.0
        self.best: dict[str, Tensor] = {}
        self.wound_from = settings["learning_rate"]

        torch.manual_seed(settings["seed"])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = ExpressionNetwork()
        if teacher is not None:
            network.load_state_dict(teacher.weights)
        self.teacher = teacher
        self.targets: Tensor | None = None
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(_AVERAGE_DECAY), use_buffers=True
        )
        self.optimiser = torch.optim.SGD(
            self.network.parameters(),
            lr=settings["learning_rate"],
            momentum=0.9,
            weight_decay=5e-4,
            nesterov=True,
        )
        self.batches = len(learn.labels) // settings["batch_size"]
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            max_lr=settings["learning_rate"],
            total_steps=self.batches * settings["epochs"],
            pct_start=(_FIRST if teacher is None else _SECOND)[2],
        )
        counts = np.bincount(learn.labels, minlength=len(EMOTIONS)).clip(min=1)
        weights = (counts / counts.max()) ** -_IMBALANCE_EXPONENT
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=self.device)

    def train_epoch(self, progress: Progress) -> str:
        """One pass over the faces; returns a line to show."""
        started = time.perf_counter()
        if self.targets is None:
            self.targets = self._targets()
        targets = self.targets
        # Seeded by epoch, so that a resumed run sees the draws an uninterrupted one would have.
        torch.manual_seed(self.settings["seed"] * 10_000 + self.epoch)
        self.network.train()
        order = torch.randperm(len(self.learn.labels))
        images, labels = torch.from_numpy(self.learn.images), torch.from_numpy(self.learn.labels)
        size = self.settings["batch_size"]
        total = 0.0
        task = progress.add_task(f"epoch {self.epoch + 1}", total=self.batches)
        for batch in range(self.batches):
            rows = order[batch * size : (batch + 1) * size]
            faces = augment(images[rows]).to(self.device, memory_format=torch.channels_last)
            with fastest_precision(self.device):
                logits = self.network(faces)
            loss = functional.cross_entropy(
                logits.float(), targets[rows], weight=self.class_weights, reduction="sum"
            )
            loss = loss / self.class_weights[labels[rows]].sum()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            self._wind_down()
            self.average.update_parameters(self.network)
            total += loss.item()
            progress.advance(task)
        progress.remove_task(task)
        self.epoch += 1

        figures = evaluate(self.average.module, self.held)
        if figures.accuracy > self.best_accuracy:
            self.best_accuracy, self.best_epoch = figures.accuracy, self.epoch
            self.best = {k: v.clone() for k, v in self.average.module.state_dict().items()}
        return (
            f"epoch {self.epoch}: loss {total / self.batches:.4f}, held-out accuracy "
            f"{figures.accuracy:.4f}, mean recall {figures.mean_recall:.4f} (best "
            f"{self.best_accuracy:.4f} at {self.best_epoch}), "
            f"{time.perf_counter() - started:.0f} s"
        )

    def _targets(self) -> Tensor:
        """The probabilities (n, 7) to learn; to be asked for before the first step."""
        labels = torch.from_numpy(self.learn.labels)
        targets = functional.one_hot(labels, len(EMOTIONS)).float().to(self.device)
        if self.teacher is None:
            return targets * (1 - _LABEL_SMOOTHING) + _LABEL_SMOOTHING / len(EMOTIONS)
        # So far the network is its teacher.
        opinions = _opinions(self.network, self.learn.images)
        return targets * (1 - _TEACHER_SHARE) + opinions * _TEACHER_SHARE

    def _wind_down(self) -> None:
        """Replace the schedule's learning rate, where training is to end sooner."""
        if self.settings["wind_down"] is None:
            return
        first, last = (epoch * self.batches for epoch in self.settings["wind_down"])
        step = self.schedule.last_epoch
        if step == first:
            self.wound_from = float(self.schedule.get_last_lr()[0])
        if step > first:
            left = max(last - step, 0) / (last - first)
            self.optimiser.param_groups[0]["lr"] = self.wound_from * left

    def save(self, path: Path) -> None:
        state = {
            "settings": self.settings,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy,
            "best": self.best,
            "wound_from": self.wound_from,
            "targets": self.targets,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": {
                k: v
                for k, v in self.schedule.state_dict().items()
                if isinstance(v, int | float | list)
            },
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        settings = dict(state["settings"])
        wind_down = self.settings["wind_down"]
        if wind_down is not None and wind_down[0] >= state["epoch"]:
            settings["wind_down"] = wind_down
        if settings != self.settings:
            raise UserFacingError(
                f"{path} belongs to a training with other settings ({state['settings']}); "
                "finish that one or delete the file."
            )
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best_accuracy, self.best = state["best_accuracy"], state["best"]
        self.wound_from = state["wound_from"]
        self.targets = state["targets"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def augment(images: Tensor) -> Tensor:
    """uint8 faces (n, 48, 48) to normalised (n, 1, 48, 48), each changed as webcams change faces.

    Mirrored, turned, scaled and shifted as detection boxes are, lit and exposed differently, some
    of low resolution, noisy or partly covered. Draws from torch's global generator.
    """
    count = len(images)
    faces = _move(images.float().unsqueeze(1) / 255)
    faces = _lower_resolution(faces)

    gamma = torch.empty(count, 1, 1, 1).uniform_(-0.4, 0.4).exp()
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.7, 1.4)
    brightness = torch.empty(count, 1, 1, 1).uniform_(-0.15, 0.15)
    middle = faces.mean(dim=(2, 3), keepdim=True)
    faces = (faces.clamp_min(1e-4) ** gamma - middle) * contrast + middle + brightness
    faces = faces + torch.randn_like(faces) * torch.empty(count, 1, 1, 1).uniform_(0, 0.02)
    return _cover(normalise(faces.clamp(0, 1).squeeze(1) * 255))


def _move(faces: Tensor) -> Tensor:
    count = len(faces)
    angle = torch.empty(count).uniform_(-0.22, 0.22)
    scale = torch.empty(count).uniform_(-0.17, 0.17).exp()
    mirror = torch.randint(0, 2, (count,)) * 2 - 1
    shift = torch.empty(count, 2).uniform_(-0.16, 0.16)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack((cos * mirror, -sin, shift[:, 0]), dim=1),
        torch.stack((sin * mirror, cos, shift[:, 1]), dim=1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(faces.shape), align_corners=False)
    return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def _lower_resolution(faces: Tensor) -> Tensor:
    side = int(torch.randint(14, 40, (1,)))
    some = torch.rand(len(faces)) < 0.3
    small = functional.interpolate(faces[some], size=(side, side), mode="area")
    faces[some] = functional.interpolate(small, size=faces.shape[2:], mode="bilinear")
    return faces


def _cover(faces: Tensor) -> Tensor:
    count, _, height, width = faces.shape
    size = torch.empty(count, 2).uniform_(6, 20)
    corner = torch.rand(count, 2) * (torch.tensor([height, width]) - size)
    y, x = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    top, left = corner[:, 0].view(-1, 1, 1), corner[:, 1].view(-1, 1, 1)
    inside = (y >= top) & (y < top + size[:, 0].view(-1, 1, 1))
    inside = inside & (x >= left) & (x < left + size[:, 1].view(-1, 1, 1))
    inside = inside & (torch.rand(count, 1, 1) < 0.3)
    return faces.masked_fill(inside.unsqueeze(1), 0.0)


def _opinions(network: torch.nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Probabilities (n, 7), on the network's device, of faces seen as they are and mirrored."""
    network.eval()
    device = next(network.parameters()).device
    faces = torch.from_numpy(images)
    parts = []
    with torch.inference_mode(), fastest_precision(device):
        for start in range(0, len(faces), 256):
            seen = normalise(faces[start : start + 256].float())
            seen = seen.to(device, memory_format=torch.channels_last)
            logits = torch.stack((network(seen), network(seen.flip(3)))).float()
            parts.append(logits.softmax(dim=2).mean(dim=0))
    return torch.cat(parts).clone()


def evaluate(network: torch.nn.Module, faces: Faces) -> Figures:
    """Classify ``faces`` once, unchanged."""
    network.eval()
    device = next(network.parameters()).device
    images = torch.from_numpy(faces.images)
    guesses = []
    with torch.inference_mode():
        for start in range(0, len(images), 256):
            batch = normalise(images[start : start + 256].float()).to(device)
            guesses.append(network(batch).argmax(dim=1).cpu())
    return _figures(torch.cat(guesses).numpy(), faces.labels)


def _figures(guesses: NDArray[np.int64], labels: NDArray[np.int64]) -> Figures:
    right = guesses == labels
    recall = {
        name: round(float(right[labels == label].mean()), 4)
        for label, name in enumerate(EMOTIONS)
        if (labels == label).any()
    }
    return Figures(
        faces=len(labels),
        accuracy=round(float(right.mean()), 4),
        recall=recall,
        mean_recall=round(statistics.mean(recall.values()), 4),
    )


def _write(
    out_dir: Path,
    network: ExpressionNetwork,
    settings: dict[str, Any],
    run: _Run,
    teacher: _Teacher | None,
    learn: Faces,
    held: Faces,
    test: Faces,
    left_out: int,
) -> dict[str, Any]:
    half = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    weights = save(half)
    # The figures are those of the network as it will be read back, rounded to 16 bits.
    network.load_state_dict({name: value.float() for name, value in half.items()})
    options = " ".join(
        f"--{name.replace('_', '-')} {' '.join(map(str, np.atleast_1d(value)))}"
        for name, value in settings.items()
        if value is not None and name != "teacher"
    )
    if teacher is not None:
        options = f"--teacher FIRST {options}"
    encoder = ExpressionEncoder(network)
    card = {
        "name": "Face expression network of sdt-live",
        "task": "7 expressions and a 342-entry embedding from a 48x48 grey face",
        "classes": EMOTIONS,
        "network": config_to_json(NetworkConfig()),
        "parameters": sum(p.numel() for p in network.parameters()),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "data": {
            "name": "FER2013 (Goodfellow et al. 2013, Kaggle challenge)",
            "licence": "images gathered from the web for research; not redistributed here",
            "learned_from": len(learn.labels),
            "held_out": len(held.labels),
            "held_out_rule": (
                f"live_features.expression_training.held_out(labels of train.npz, "
                f"seed={settings['seed']})"
            ),
            "left_out": left_out,
            "left_out_rule": "blank, or a copy of a held-out or public-test picture",
            "public_test": "nothing was learned or chosen from it; read for the figure below",
        },
        "command": (
            "python -m live_features.expression_training --data FER2013_FOLDER "
            f"--out assets/expression {options}"
        ),
        "settings": settings,
        "best_epoch": run.best_epoch,
        **({} if teacher is None else {"teacher": _summary(teacher.card)}),
        "held_out": asdict(_figures(encoder(held.images)[1].argmax(axis=1), held.labels)),
        "public_test": asdict(_figures(encoder(test.images)[1].argmax(axis=1), test.labels)),
        "speed": {
            "ms_per_face": _milliseconds(encoder),
            "how": "median of 200 calls of ExpressionEncoder with one face, one CPU thread",
        },
        "intended_use": (
            "the visual modality of sdt-live: a hint at what a face shows, read together with "
            "words and voice"
        ),
        "limits": (
            "FER2013's labels are noisy (people agree on about 65 % of its faces) and its faces "
            "unevenly distributed over age, skin colour and pose; an expression is not a feeling; "
            "not for judging employees or pupils, nor for any decision about a person"
        ),
    }
    _replace(out_dir / WEIGHTS_FILE, weights)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    _replace(out_dir / CARD_FILE, text.encode())
    return card


def _summary(card: dict[str, Any]) -> dict[str, Any]:
    return {name: card[name] for name in ("command", "sha256", "held_out") if name in card}


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _milliseconds(encoder: ExpressionEncoder) -> float:
    face = np.random.default_rng(0).integers(0, 256, (1, FACE_SIZE, FACE_SIZE), np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(200):
            started = time.perf_counter()
            encoder(face)
            times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return round(statistics.median(times) * 1000, 2)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m live_features.expression_training",
        description="Train the face expression network on FER2013.",
    )
    parser.add_argument("--data", type=Path, required=True, help="train.npz and public_test.npz")
    parser.add_argument("--out", type=Path, required=True, help="where weights and card go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="default: 72, with a teacher 40")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, help="default: 0.1, with a teacher 0.04")
    parser.add_argument(
        "--teacher", type=Path, help="folder of a trained network, to go on and to learn from"
    )
    parser.add_argument(
        "--wind-down",
        type=int,
        nargs=2,
        metavar=("FROM", "TO"),
        help="end sooner: from one epoch on let the learning rate fall to nothing at another",
    )
    chosen = parser.parse_args(arguments)
    try:
        card = train_expression(
            chosen.data,
            chosen.out,
            seed=chosen.seed,
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            learning_rate=chosen.learning_rate,
            wind_down=chosen.wind_down and tuple(chosen.wind_down),
            teacher=chosen.teacher,
        )
    except UserFacingError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(card, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
