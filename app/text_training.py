"""Adapts the text encoder to emotion, on the words and labels of MELD."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save
from sklearn.metrics import f1_score
from torch import Tensor, nn

from app.default_corpus import Line
from live_features.emotions import EMOTIONS
from live_features.text import embed, load_encoder
from live_features.text_adapter import adapted_matrices, apply, low_rank
from live_features.weights import Weights
from sdt_model.files import write_atomically

ADAPTER_FILE = "adapter.safetensors"
CARD_FILE = "card.json"

_BUCKET = 16
"""Batches that are sorted by length together."""
_READ_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class TextTrainingOptions:
    """How the encoder's matrices are trained, and to what ``rank`` their change is cut.

    ``plain`` is the share of lines read without punctuation and capitals, as speech recognisers
    may write them.
    """

    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 7e-5
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    dropout: float = 0.1
    plain: float = 0.1
    rank: int = 32


@dataclass(frozen=True, slots=True)
class SeedFigures:
    """Weighted F1 of one seed's adapter with its linear head, at the epoch best on dev.

    ``test_plain`` is test without punctuation and capitals.
    """

    seed: int
    epoch: int
    dev: float
    test: float
    test_plain: float


def without_punctuation(text: str) -> str:
    """``text`` in lower case and without punctuation, unless nothing would be left of it."""
    return re.sub(r"[^\w\s']", "", text.lower()).strip() or text


def train_text(
    splits: dict[str, list[list[Line]]],
    weights: Weights,
    out: Path,
    cache: Path,
    options: TextTrainingOptions,
    *,
    seeds: Sequence[int],
    command: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Train one adapter a seed, write the one best on dev and its card to ``out``; return the card.

    ``splits`` holds the dialogues of train, dev and test. Seeds that are done are kept in ``cache``
    and not trained again.

    Raises:
        UserFacingError: the encoder cannot be loaded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    lines = {name: [u for dialogue in split for u in dialogue] for name, split in splits.items()}
    done: list[tuple[SeedFigures, Path]] = []
    for seed in seeds:
        path = cache / f"text-seed-{seed}.safetensors"
        log = path.with_suffix(".json")
        if not (path.is_file() and log.is_file()):
            figures, adapter = _Run(lines, weights, options, seed, report).train()
            write_atomically(path, adapter)
            write_atomically(log, json.dumps(asdict(figures)).encode())
        done.append((SeedFigures(**json.loads(log.read_bytes())), path))
        report(f"Text, seed {seed}: {done[-1][0]}")
    best, path = max(done, key=lambda entry: entry[0].dev)
    adapter = path.read_bytes()
    tests = [figures.test for figures, _ in done]
    card = {
        "name": "Text adapter of sdt-live",
        "task": "MiniLM-L6 sentence embeddings that tell emotion",
        "sha256": hashlib.sha256(adapter).hexdigest(),
        "command": command,
        "data": {
            "MELD (GPL-3.0)": "train to learn from, dev to choose epoch and seed, test once",
            "lines": {name: len(split) for name, split in lines.items()},
        },
        "training": asdict(options),
        "weighted_f1_of_the_linear_head": [asdict(figures) for figures, _ in done],
        "test_weighted_f1": {
            "mean": round(statistics.mean(tests), 4),
            "sd": round(statistics.stdev(tests), 4) if len(tests) > 1 else None,
        },
        "saved_seed": best.seed,
        "limits": "the English of a scripted American comedy; sarcasm is mostly missed",
    }
    write_atomically(out / ADAPTER_FILE, adapter)
    write_atomically(out / CARD_FILE, (json.dumps(card, indent=2) + "\n").encode())
    return card


class _Run:
    """One seed's training."""

    def __init__(
        self,
        lines: dict[str, list[Line]],
        weights: Weights,
        options: TextTrainingOptions,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        self._options = options
        self._seed = seed
        self._report = report
        self._rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self._tokenizer, self._model = load_encoder(weights)
        # The change of anything but matrices would not be kept.
        self._model.requires_grad_(False)
        for linear in adapted_matrices(self._model).values():
            linear.weight.requires_grad_(True)
        self._before = self._matrices()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.to(device)
        self._head = nn.Linear(int(self._model.config.hidden_size), len(EMOTIONS)).to(device)
        self._lines = lines

    def train(self) -> tuple[SeedFigures, bytes]:
        """The figures and the adapter of the epoch that is best on dev."""
        options = self._options
        matrices = [p for p in self._model.parameters() if p.requires_grad]
        rates = [options.learning_rate, options.head_learning_rate]
        optimiser = torch.optim.AdamW(
            [
                {"params": params, "lr": rate}
                for params, rate in zip((matrices, self._head.parameters()), rates, strict=True)
            ],
            weight_decay=options.weight_decay,
        )
        steps = -(-len(self._lines["train"]) // options.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            rates,
            total_steps=steps * options.epochs,
            pct_start=options.warm_up,
            anneal_strategy="linear",
        )
        best, adapter = SeedFigures(self._seed, 0, -1.0, 0.0, 0.0), b""
        for epoch in range(1, options.epochs + 1):
            began = time.perf_counter()
            self._model.train()
            losses = []
            for texts, labels in self._batches():
                loss = F.cross_entropy(self._logits(texts), labels.to(self._model.device))
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(matrices, 1.0)
                optimiser.step()
                schedule.step()
                losses.append(loss.item())
            factors = low_rank(self._before, self._matrices(), options.rank)
            figures = self._test(epoch, factors)
            if figures.dev > best.dev:
                best, adapter = figures, save(factors)
            self._report(
                f"Text, seed {self._seed}, epoch {epoch}: loss {statistics.mean(losses):.3f}, dev "
                f"weighted F1 {figures.dev:.4f}, {time.perf_counter() - began:.0f} s"
            )
        return best, adapter

    def _matrices(self) -> dict[str, Tensor]:
        linears = adapted_matrices(self._model)
        return {name: linear.weight.detach().clone() for name, linear in linears.items()}

    def _load(self, matrices: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, linear in adapted_matrices(self._model).items():
                linear.weight.copy_(matrices[name])

    def _batches(self) -> list[tuple[list[str], Tensor]]:
        """The training lines in a new order, lines of like length together."""
        options = self._options
        lines = [
            replace(line, text=without_punctuation(line.text))
            if self._rng.random() < options.plain
            else line
            for line in self._lines["train"]
        ]
        order = self._rng.permutation(len(lines))
        size = options.batch_size
        batches = []
        for start in range(0, len(order), size * _BUCKET):
            bucket = sorted(order[start : start + size * _BUCKET], key=lambda i: len(lines[i].text))
            batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        return [
            (
                [lines[i].text for i in batches[which]],
                torch.tensor([lines[i].label for i in batches[which]]),
            )
            for which in self._rng.permutation(len(batches))
        ]

    def _logits(self, texts: Sequence[str]) -> Tensor:
        # bfloat16 halves the time of a step on processors that have it, at the same score.
        with torch.autocast(self._model.device.type, torch.bfloat16):
            vectors = embed(self._tokenizer, self._model, texts)
        vectors = F.dropout(vectors, self._options.dropout, self._model.training)
        # Entries of a unit vector are small; at this length they have unit variance.
        logits: Tensor = self._head(vectors * vectors.shape[-1] ** 0.5)
        return logits

    def _test(self, epoch: int, factors: dict[str, Tensor]) -> SeedFigures:
        """The figures of the encoder as its adapter makes it; training then goes on as it was."""
        trained = self._matrices()
        self._load(self._before)
        apply(self._model, factors)
        plain = [replace(u, text=without_punctuation(u.text)) for u in self._lines["test"]]
        figures = SeedFigures(
            seed=self._seed,
            epoch=epoch,
            dev=self._score(self._lines["dev"]),
            test=self._score(self._lines["test"]),
            test_plain=self._score(plain),
        )
        self._load(trained)
        return figures

    @torch.inference_mode()
    def _score(self, lines: Sequence[Line]) -> float:
        self._model.eval()
        ordered = sorted(lines, key=lambda line: len(line.text))
        guesses: list[int] = []
        for start in range(0, len(ordered), _READ_AT_ONCE):
            texts = [line.text for line in ordered[start : start + _READ_AT_ONCE]]
            guesses += self._logits(texts).argmax(-1).tolist()
        labels = [line.label for line in ordered]
        return round(float(f1_score(labels, guesses, average="weighted")), 4)
