"""Adapts the text encoder to emotion, on the words and labels of MELD.

Live, the words come from a speech recogniser, which writes next to no exclamation marks and
mishears some words; a corpus has them as its author wrote them. An encoder that learned from the
one reads the other worse, and one that learned from both reads each worse than its own. So there
are two adapters, trained from the same first weights: one on lines as they were *written*, and one
on lines as a recogniser would write them, or as Whisper *heard* them when a synthetic voice read
them aloud.

Each is trained with several seeds, and the mean of what they arrive at is kept where it does better
on dev than the best of them (Wortsman et al. 2022, *Model soups*).

Written lines are learned from a larger encoder too, which has read them before and tells more than
their label does: how much each of them sounds like every emotion (Hinton et al. 2015).
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load, save
from sklearn.metrics import f1_score
from torch import Tensor, nn

from app.default_corpus import Line
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.precision import fastest_precision
from live_features.text import embed, load_encoder
from live_features.text_adapter import adapted_matrices, apply, low_rank
from live_features.weights import Weights
from sdt_model.files import write_atomically

CARD_FILE = "card.json"

_WRITTEN = "written"
READINGS = (_WRITTEN, "heard")
"""How words can have come to be text, each with an adapter of its own."""

_BUCKET = 16
"""Batches that are sorted by length together."""
_READ_AT_ONCE = 64
_HEAD = "head"
_OPINIONS = "text-teacher.safetensors"
_TEACHER_CARD = "text-teacher.json"
_TEACHES = ("epochs", "batch_size", "learning_rate", "dropout", "agreement", "plain")
"""What of its options makes a teacher, which is not cut to a rank and has heard nothing."""
_CRY = 2
"""Words up to which what ends in an exclamation mark is heard as the beginning of what follows."""


@dataclass(frozen=True, slots=True)
class TextTrainingOptions:
    """How the encoder's matrices are trained, and to what ``rank`` their change is cut.

    Of the lines as they were written the share ``plain`` is learned without punctuation and
    capitals; of those that have been read aloud the share ``heard`` as they were heard. Every line
    is read twice at a time, with different parts left out (``dropout``), and ``agreement`` is how
    much it counts that both say the same (R-Drop, Liang et al. 2021). ``taught`` is the share of
    what is learned that a teacher says of a line, its answers softened by ``temperature``; the rest
    is the label.
    """

    epochs: int = 4
    batch_size: int = 32
    learning_rate: float = 7e-5
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    dropout: float = 0.1
    agreement: float = 1.0
    plain: float = 0.1
    heard: float = 0.5
    rank: int = 16
    taught: float = 0.0
    temperature: float = 2.0


@dataclass(frozen=True, slots=True)
class SeedFigures:
    """Weighted F1 of an adapter with its linear head.

    ``seed`` is None for the mean of several seeds. Lines are read as they were written, and as a
    recogniser would write them (:func:`as_recognised`).
    """

    seed: int | None
    dev: float
    dev_recognised: float
    test: float
    test_recognised: float


OPTIONS: Mapping[str, TextTrainingOptions] = MappingProxyType(
    {
        "written": TextTrainingOptions(epochs=5, taught=0.6),
        "heard": TextTrainingOptions(),
    }
)
"""How the adapters that ship are trained."""
TEACHER = TextTrainingOptions(epochs=3, learning_rate=3e-5)
"""How the larger encoder learns what it is to teach. All of its matrices' change is kept."""


def adapter_file(reading: str) -> str:
    """The name of the adapter for one of :data:`READINGS`."""
    return f"{reading}.safetensors"


def without_punctuation(text: str) -> str:
    """``text`` in lower case and without punctuation, unless nothing would be left of it."""
    return re.sub(r"[^\w\s']", "", text.lower()).strip() or text


def as_recognised(text: str) -> str:
    """``text`` without what an author writes and a speech recogniser does not.

    No exclamation marks, quotes, dashes, trailing dots and stutters, and a full stop at the end;
    what would be nothing stays.
    """
    written = text
    text = re.sub("[\u2019\u2018\x92]", "'", text)
    text = re.sub('["\u201c\u201d]', "", text)
    text = re.sub(r"\s*(?:\.{2,}|\u2026|--+|[\u2013\u2014])\s*", " ", text)
    text = re.sub(r"\b(\w+)(?:-\1\b)+", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"\bok\b", "okay", text, flags=re.IGNORECASE)
    text = re.sub(r"\by'know\b", "you know", text, flags=re.IGNORECASE)
    text = re.sub(r"!*\?[!?]*", "?", text)
    sentences = re.split(r"!+", text)
    text = sentences[0]
    for before, after in pairwise(sentences):
        words = re.split(r"[.?,]", before)[-1].split()
        text += ("," if len(words) <= _CRY and after.strip() else ".") + after
    text = re.sub(r"\s+([.?,])", r"\1", " ".join(text.split()))
    text = re.sub(r"[.,]*([.?])[.,]+", r"\1", text).strip(" ,")
    if not re.search(r"\w", text):
        return written
    return text if text.endswith((".", "?")) else f"{text}."


def train_text(
    splits: dict[str, list[list[Line]]],
    heard: Mapping[int, Sequence[str]],
    weights: Weights,
    teacher: Callable[[], Weights],
    out: Path,
    cache: Path,
    options: Mapping[str, TextTrainingOptions] = OPTIONS,
    *,
    teacher_options: TextTrainingOptions = TEACHER,
    seeds: Sequence[int],
    command: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Train an adapter for each of :data:`READINGS`, and write them and their card to ``out``.

    Returns the card. ``splits`` holds the dialogues of train, dev and test, ``heard`` the lines of
    some of train's dialogues as a recogniser heard them, by the dialogue's place. ``options`` are
    those of each reading, and ``teacher`` gives the larger encoder, where one is still to be
    trained. Of the seeds the best, or their mean, is kept; what is done, by the teacher too, is in
    ``cache`` and not done again.

    Raises:
        UserFacingError: the encoder cannot be loaded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    lines = {name: [u for dialogue in split for u in dialogue] for name, split in splits.items()}
    listened = [
        text
        for i, dialogue in enumerate(splits["train"])
        for text in heard.get(i, [None] * len(dialogue))
    ]
    opinions, taught = _teacher_opinions(lines, teacher, cache, teacher_options, report)
    encoder = _Encoder(weights)
    adapters: dict[str, bytes] = {}
    found: dict[str, Any] = {}
    for reading in READINGS:
        rank = options[reading].rank
        learned: list[dict[str, Tensor]] = []
        for seed in seeds:
            path = cache / f"text-{reading}-{seed}.safetensors"
            if not path.is_file():
                run = _Run(
                    encoder,
                    lines["train"],
                    listened,
                    opinions,
                    reading,
                    options[reading],
                    seed,
                    report,
                )
                write_atomically(path, save({k: v.half() for k, v in run.train().items()}))
            learned.append({name: t.float() for name, t in load(path.read_bytes()).items()})
        # The mean of the seeds comes last.
        candidates = [*zip(learned, seeds, strict=True), (_mean(learned), None)]
        figures = [encoder.measure(each, rank, lines, seed) for each, seed in candidates]
        for one in figures:
            report(f"Text, as {reading}: {one}")
        scores = [_own(one, reading) for one in figures]
        best = max(range(len(scores)), key=lambda i: scores[i][0])
        adapters[reading] = save(low_rank(changes(candidates[best][0]), rank))
        tests = [test for _, test in scores[:-1]]
        found[reading] = {
            "seeds": [asdict(one) for one in figures[:-1]],
            "test_mean": round(statistics.mean(tests), 4),
            "test_sd": round(statistics.stdev(tests), 4) if len(tests) > 1 else None,
            "mean_of_the_seeds": asdict(figures[-1]),
            "saved": "the mean of the seeds" if best == len(seeds) else f"seed {seeds[best]}",
        }
    card = {
        "name": "Text adapters of sdt-live",
        "task": "MiniLM-L6 sentence embeddings that tell emotion, of written and of heard words",
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in adapters.items()},
        "command": command,
        "data": {
            "MELD (GPL-3.0)": "train to learn from, dev to choose the seed, test for the figures",
            "lines": {name: len(split) for name, split in lines.items()},
            "read aloud": sum(text is not None for text in listened),
        },
        "training": {reading: asdict(options[reading]) for reading in READINGS},
        "teacher of the written lines": taught,
        "weighted_f1_of_the_linear_head": found,
        "limits": "the English of a scripted American comedy; sarcasm is mostly missed",
    }
    for reading, content in adapters.items():
        write_atomically(out / adapter_file(reading), content)
    write_atomically(out / CARD_FILE, (json.dumps(card, indent=2) + "\n").encode())
    return card


def _teacher_opinions(
    lines: Mapping[str, Sequence[Line]],
    teacher: Callable[[], Weights],
    cache: Path,
    options: TextTrainingOptions,
    report: Callable[[str], None],
) -> tuple[Tensor, dict[str, Any]]:
    """What the teacher says of train's lines, as logits (n, C), and what the card says of it."""
    path, card = cache / _OPINIONS, cache / _TEACHER_CARD
    if not (path.is_file() and card.is_file()):
        weights = teacher()
        encoder = _Encoder(weights)
        unheard = [None] * len(lines["train"])
        _Run(encoder, lines["train"], unheard, None, _WRITTEN, options, 1, report).train()
        train, dev, test = (encoder.read(lines[name]) for name in ("train", "dev", "test"))
        figures = {
            "encoder": weights.origin,
            "training": {name: getattr(options, name) for name in _TEACHES},
            "dev": _weighted_f1(dev, lines["dev"]),
            "test": _weighted_f1(test, lines["test"]),
        }
        report(f"Text, the teacher: {figures}")
        write_atomically(card, json.dumps(figures).encode())
        write_atomically(path, save({_OPINIONS: train}))
    opinions = load(path.read_bytes())[_OPINIONS]
    if len(opinions) != len(lines["train"]):
        raise UserFacingError(f"{path} holds another corpus: delete it and start again.")
    told: dict[str, Any] = json.loads(card.read_text("utf-8"))
    return opinions, told


def _own(figures: SeedFigures, reading: str) -> tuple[float, float]:
    """What an adapter scores on dev and on test with the lines that it is for."""
    if reading == _WRITTEN:
        return figures.dev, figures.test
    return figures.dev_recognised, figures.test_recognised


class _Encoder:
    """The text encoder, whose matrices are trained, under a linear head."""

    def __init__(self, weights: Weights) -> None:
        self.tokenizer, self.model = load_encoder(weights)
        # The change of anything but matrices would not be kept.
        self.model.requires_grad_(False)
        self.before = self._matrices()
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        # The same for every seed: only what begins alike can be averaged.
        self.head = nn.Linear(int(self.model.config.hidden_size), len(EMOTIONS))
        self.first_head = self._head_weights()
        self.head.to(self.model.device)

    def restart(self) -> None:
        """Forget all that has been learned."""
        self._load(self.before)
        self._load_head(self.first_head)

    def learned(self) -> dict[str, Tensor]:
        """The change of every matrix, and the head, by name."""
        changes = {k: v - self.before[k] for k, v in self._matrices().items()}
        return changes | {f"{_HEAD}.{k}": v for k, v in self._head_weights().items()}

    def logits(self, texts: Sequence[str], dropout: float = 0.0) -> Tensor:
        with fastest_precision(self.model.device):
            vectors = embed(self.tokenizer, self.model, texts)
        vectors = F.dropout(vectors, dropout, self.model.training)
        # Entries of a unit vector are small; at this length they have unit variance.
        logits: Tensor = self.head(vectors * vectors.shape[-1] ** 0.5)
        return logits

    def measure(
        self,
        learned: Mapping[str, Tensor],
        rank: int,
        lines: Mapping[str, Sequence[Line]],
        seed: int | None,
    ) -> SeedFigures:
        """The figures of what has been ``learned`` as an adapter keeps it."""
        self._load(self.before)
        apply(self.model, low_rank(changes(learned), rank))
        self._load_head(
            {k.removeprefix(f"{_HEAD}."): v for k, v in learned.items() if k.startswith(_HEAD)}
        )
        scores = {
            name: [_weighted_f1(self.read(read), read) for read in (split, recognised_lines(split))]
            for name, split in lines.items()
            if name != "train"
        }
        return SeedFigures(seed, *scores["dev"], *scores["test"])

    @torch.inference_mode()
    def read(self, lines: Sequence[Line]) -> Tensor:
        """The logits (n, C) of ``lines``, on the processor."""
        self.model.eval()
        order = sorted(range(len(lines)), key=lambda i: len(lines[i].text))
        logits = torch.zeros(len(lines), len(EMOTIONS))
        for start in range(0, len(order), _READ_AT_ONCE):
            some = order[start : start + _READ_AT_ONCE]
            logits[some] = self.logits([lines[i].text for i in some]).float().cpu()
        return logits

    def _matrices(self) -> dict[str, Tensor]:
        linears = adapted_matrices(self.model)
        return {name: linear.weight.detach().cpu().clone() for name, linear in linears.items()}

    def _head_weights(self) -> dict[str, Tensor]:
        return {k: v.detach().cpu().clone() for k, v in self.head.state_dict().items()}

    def _load(self, matrices: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, linear in adapted_matrices(self.model).items():
                linear.weight.copy_(matrices[name])

    def _load_head(self, weights: Mapping[str, Tensor]) -> None:
        self.head.load_state_dict(dict(weights))


def changes(learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of what has been learned the part that an adapter keeps."""
    return {name: change for name, change in learned.items() if not name.startswith(_HEAD)}


def _mean(learned: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([each[name] for each in learned]).mean(dim=0) for name in learned[0]}


def recognised_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines as a recogniser would write them."""
    return [replace(line, text=as_recognised(line.text)) for line in lines]


def _weighted_f1(logits: Tensor, lines: Sequence[Line]) -> float:
    labels = [line.label for line in lines]
    return round(float(f1_score(labels, logits.argmax(dim=1), average="weighted")), 4)


def _taught(logits: Tensor, opinions: Tensor, temperature: float) -> Tensor:
    """How far (n, C) is from what a teacher says, both softened (Hinton et al. 2015, section 2.1).

    The square of the temperature keeps the gradients as large as those of the labels.
    """
    said = (logits.float() / temperature).log_softmax(dim=1)
    meant = (opinions / temperature).log_softmax(dim=1)
    return F.kl_div(said, meant, reduction="batchmean", log_target=True) * temperature**2


def _disagreement(one: Tensor, other: Tensor) -> Tensor:
    """Mean of the divergences of two readings (n, C) from each other, in nats."""
    a, b = one.float().log_softmax(dim=1), other.float().log_softmax(dim=1)
    return ((a.exp() - b.exp()) * (a - b)).sum(dim=1).mean() / 2


class _Run:
    """One training, on lines as they were written or heard."""

    def __init__(
        self,
        encoder: _Encoder,
        lines: Sequence[Line],
        heard: Sequence[str | None],
        opinions: Tensor | None,
        reading: str,
        options: TextTrainingOptions,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        """``heard`` are the ``lines`` as they were heard, None for one not read aloud, and
        ``opinions`` (n, C) the teacher's logits."""
        self._encoder = encoder
        self._lines = lines
        self._heard = heard
        self._opinions = opinions if options.taught else None
        self._reading = reading
        self._options = options
        self._seed = seed
        self._report = report
        self._rng = np.random.default_rng(seed)

    def train(self) -> dict[str, Tensor]:
        """What has been learned at the end."""
        options, encoder = self._options, self._encoder
        encoder.restart()
        torch.manual_seed(self._seed)
        matrices = [linear.weight for linear in adapted_matrices(encoder.model).values()]
        for matrix in matrices:
            matrix.requires_grad_(True)
        rates = [options.learning_rate, options.head_learning_rate]
        optimiser = torch.optim.AdamW(
            [
                {"params": params, "lr": rate}
                for params, rate in zip((matrices, encoder.head.parameters()), rates, strict=True)
            ],
            weight_decay=options.weight_decay,
        )
        steps = -(-len(self._lines) // options.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            rates,
            total_steps=steps * options.epochs,
            pct_start=options.warm_up,
            anneal_strategy="linear",
        )
        for epoch in range(1, options.epochs + 1):
            began = time.perf_counter()
            encoder.model.train()
            losses = []
            for rows, texts, labels in self._batches():
                # Twice, so that dropout leaves out something else each time.
                logits = encoder.logits([*texts, *texts], options.dropout)
                loss = F.cross_entropy(logits, labels.repeat(2).to(logits.device))
                if self._opinions is not None:
                    opinions = self._opinions[rows].repeat(2, 1).to(logits.device)
                    taught = _taught(logits, opinions, options.temperature)
                    loss = (1 - options.taught) * loss + options.taught * taught
                loss = loss + options.agreement * _disagreement(*logits.chunk(2))
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(matrices, 1.0)
                optimiser.step()
                schedule.step()
                losses.append(loss.item())
            self._report(
                f"Text, seed {self._seed}, as {self._reading}, epoch {epoch}: loss "
                f"{statistics.mean(losses):.3f}, {time.perf_counter() - began:.0f} s"
            )
        return encoder.learned()

    def _batches(self) -> list[tuple[list[int], list[str], Tensor]]:
        """The training lines in a new order, lines of like length together: their places, words
        and labels."""
        size = self._options.batch_size
        lines = [
            replace(line, text=self._read(line.text, heard))
            for line, heard in zip(self._lines, self._heard, strict=True)
        ]
        order = self._rng.permutation(len(lines))
        batches = []
        for start in range(0, len(order), size * _BUCKET):
            bucket = sorted(order[start : start + size * _BUCKET], key=lambda i: len(lines[i].text))
            batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        return [
            (
                list(batches[which]),
                [lines[i].text for i in batches[which]],
                torch.tensor([lines[i].label for i in batches[which]]),
            )
            for which in self._rng.permutation(len(batches))
        ]

    def _read(self, text: str, heard: str | None) -> str:
        """A line as it is learned this time."""
        chance = self._rng.random()
        if self._reading == _WRITTEN:
            return without_punctuation(text) if chance < self._options.plain else text
        if heard is not None and chance < self._options.heard:
            return heard
        return as_recognised(text)
