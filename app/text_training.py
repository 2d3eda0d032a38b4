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
their label does: how much each of them, and of others made out of them, sounds like every emotion
(Hinton et al. 2015).
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from app.rewording import as_recognised, varied, without_punctuation
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
_OTHER_DRAWS = 50
"""What is added to the seed for the order of the lines that nobody said."""
_TEACHES = ("epochs", "batch_size", "learning_rate", "dropout", "agreement", "plain")
"""What of its options makes a teacher, which is not cut to a rank and has heard nothing."""


@dataclass(frozen=True, slots=True)
class TextTrainingOptions:
    """How the encoder's matrices are trained, and to what ``rank`` their change is cut.

    Of the lines as they were written the share ``plain`` is learned without punctuation and
    capitals; of those that have been read aloud the share ``heard`` as they were heard. With
    ``agreement`` every line is read twice at a time, with different parts left out (``dropout``),
    and that is how much it counts that both say the same (R-Drop, Liang et al. 2021).

    ``taught`` is the share of what is learned that a teacher says of a line, its answers softened
    by ``temperature``; the rest is the label. Beside every line ``varied`` others are read that are
    made out of such lines and have no label; what the teacher says of them counts ``variation``.
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
    varied: int = 0
    variation: float = 0.8


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What a teacher says, as logits (n, C): of the lines to learn, and of those ``varied``."""

    of_lines: Tensor
    varied: Sequence[str]
    of_varied: Tensor


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
        "written": TextTrainingOptions(
            epochs=5, learning_rate=1e-4, agreement=0.0, rank=32, taught=0.6, varied=2
        ),
        "heard": TextTrainingOptions(),
    }
)
"""How the adapters that ship are trained."""
TEACHER = TextTrainingOptions(epochs=3, learning_rate=3e-5)
"""How the larger encoder learns what it is to teach; it is not cut to a rank."""
VARIATIONS = (100, 101)
"""Seeds with which the lines that nobody said are drawn: two for each line and seed."""


def adapter_file(reading: str) -> str:
    """The name of the adapter for one of :data:`READINGS`."""
    return f"{reading}.safetensors"


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
        UserFacingError: an encoder cannot be loaded, or ``cache`` holds another corpus.
    """
    cache.mkdir(parents=True, exist_ok=True)
    lines = {name: [u for dialogue in split for u in dialogue] for name, split in splits.items()}
    listened = [
        text
        for i, dialogue in enumerate(splits["train"])
        for text in heard.get(i, [None] * len(dialogue))
    ]
    lesson, taught = _ask_teacher(lines, teacher, cache, teacher_options, report)
    encoder = _Encoder(weights)
    adapters: dict[str, bytes] = {}
    found: dict[str, Any] = {}
    for reading in READINGS:
        rank = options[reading].rank
        learned: list[dict[str, Tensor]] = []
        for seed in seeds:
            recipe = _recipe(options[reading], teacher_options)
            path = cache / f"text-{reading}-{seed}-{recipe}.safetensors"
            if not path.is_file():
                run = _Run(
                    encoder,
                    lines["train"],
                    listened,
                    lesson,
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


def _ask_teacher(
    lines: Mapping[str, Sequence[Line]],
    teacher: Callable[[], Weights],
    cache: Path,
    options: TextTrainingOptions,
    report: Callable[[str], None],
) -> tuple[_Lesson, dict[str, Any]]:
    """What the teacher has to say of train's lines, and what the card says of the teacher."""
    path = cache / f"text-teacher-{_recipe(options)}.safetensors"
    card = path.with_suffix(".json")
    said = [line.text for line in lines["train"]]
    others = [text for seed in VARIATIONS for text in varied(said, seed)]
    if not (path.is_file() and card.is_file()):
        report("Training the text encoder's teacher")
        weights = teacher()
        encoder = _Encoder(weights)
        unheard = [None] * len(said)
        _Run(encoder, lines["train"], unheard, None, _WRITTEN, options, 1, report).train()
        dev, test = (encoder.score(lines[name]) for name in ("dev", "test"))
        figures = {
            "encoder": weights.origin,
            "training": {name: getattr(options, name) for name in _TEACHES},
            "dev": dev,
            "test": test,
        }
        report(f"Text, the teacher: {figures}")
        write_atomically(card, json.dumps(figures).encode())
        answers = {"lines": encoder.read(said), "varied": encoder.read(others)}
        write_atomically(path, save(answers))
    answers = load(path.read_bytes())
    lesson = _Lesson(answers["lines"], others, answers["varied"])
    if len(lesson.of_lines) != len(said) or len(lesson.of_varied) != len(others):
        raise UserFacingError(f"{path} holds another corpus: delete it and start again.")
    told: dict[str, Any] = json.loads(card.read_text("utf-8"))
    return lesson, told


def _recipe(*options: TextTrainingOptions) -> str:
    """Tells what was trained with these ``options`` from what was trained with others."""
    described = json.dumps([*map(asdict, options), VARIATIONS], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:8]


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
            name: [self.score(read) for read in (split, recognised_lines(split))]
            for name, split in lines.items()
            if name != "train"
        }
        return SeedFigures(seed, *scores["dev"], *scores["test"])

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Tensor:
        """The logits (n, C) of ``texts``, on the processor."""
        self.model.eval()
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        logits = torch.zeros(len(texts), len(EMOTIONS))
        for start in range(0, len(order), _READ_AT_ONCE):
            some = order[start : start + _READ_AT_ONCE]
            logits[some] = self.logits([texts[i] for i in some]).float().cpu()
        return logits

    def score(self, lines: Sequence[Line]) -> float:
        """Weighted F1 on ``lines``."""
        guesses = self.read([line.text for line in lines]).argmax(dim=1)
        labels = [line.label for line in lines]
        return round(float(f1_score(labels, guesses, average="weighted")), 4)

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


def _taught(logits: Tensor, opinions: Tensor, temperature: float) -> Tensor:
    """How far (n, C) is from what a teacher says, both softened (Hinton et al. 2015, section 2.1).

    The square of the temperature keeps the gradients as large as those of the labels.
    """
    said = (logits.float() / temperature).log_softmax(dim=1)
    meant = (opinions.to(logits.device) / temperature).log_softmax(dim=1)
    return F.kl_div(said, meant, reduction="batchmean", log_target=True) * temperature**2


def _alike(texts: Sequence[str], size: int, rng: np.random.Generator) -> list[list[int]]:
    """Batches of ``texts`` in a new order, those of like length together, as their places."""
    order = rng.permutation(len(texts))
    batches: list[list[int]] = []
    for start in range(0, len(order), size * _BUCKET):
        bucket = sorted(order[start : start + size * _BUCKET], key=lambda i: len(texts[i]))
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    return [batches[which] for which in rng.permutation(len(batches))]


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
        lesson: _Lesson | None,
        reading: str,
        options: TextTrainingOptions,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        """``heard`` are the ``lines`` as they were heard, None for one not read aloud."""
        self._encoder = encoder
        self._lines = lines
        self._heard = heard
        self._lesson = lesson if options.taught else None
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
        others = self._others()
        for epoch in range(1, options.epochs + 1):
            began = time.perf_counter()
            encoder.model.train()
            losses = []
            for rows, texts, labels in self._batches():
                loss = self._loss(rows, texts, labels)
                if self._lesson is not None and options.varied:
                    loss = loss + options.variation * self._varied_loss(self._lesson, next(others))
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

    def _loss(self, rows: Sequence[int], texts: Sequence[str], labels: Tensor) -> Tensor:
        """That of some lines, the training's ``rows``."""
        options = self._options
        # Twice, so that dropout leaves out something else each time.
        readings = 2 if options.agreement else 1
        logits = self._encoder.logits([*texts] * readings, options.dropout)
        loss = F.cross_entropy(logits, labels.repeat(readings).to(logits.device))
        if self._lesson is not None:
            opinions = self._lesson.of_lines[rows].repeat(readings, 1)
            taught = _taught(logits, opinions, options.temperature)
            loss = (1 - options.taught) * loss + options.taught * taught
        if options.agreement:
            loss = loss + options.agreement * _disagreement(*logits.chunk(2))
        return loss

    def _varied_loss(self, lesson: _Lesson, rows: Sequence[int]) -> Tensor:
        """That of some of the lines that nobody said."""
        options = self._options
        logits = self._encoder.logits([lesson.varied[i] for i in rows], options.dropout)
        return _taught(logits, lesson.of_varied[rows], options.temperature)

    def _others(self) -> Iterator[list[int]]:
        """Batches of the lines that nobody said, again and again."""
        if self._lesson is None:
            return
        rng = np.random.default_rng(self._seed + _OTHER_DRAWS)
        while True:
            texts = self._lesson.varied
            yield from _alike(texts, self._options.batch_size * self._options.varied, rng)

    def _batches(self) -> Iterator[tuple[list[int], list[str], Tensor]]:
        """The training lines in a new order: their places, words and labels."""
        lines = [
            replace(line, text=self._read(line.text, heard))
            for line, heard in zip(self._lines, self._heard, strict=True)
        ]
        texts = [line.text for line in lines]
        for rows in _alike(texts, self._options.batch_size, self._rng):
            labels = torch.tensor([lines[i].label for i in rows])
            yield rows, [texts[i] for i in rows], labels

    def _read(self, text: str, heard: str | None) -> str:
        """A line as it is learned this time."""
        chance = self._rng.random()
        if self._reading == _WRITTEN:
            return without_punctuation(text) if chance < self._options.plain else text
        if heard is not None and chance < self._options.heard:
            return heard
        return as_recognised(text)
