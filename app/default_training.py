"""Trains all that ships, from the corpora's folders to ``assets``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.assets import VOICE_NETWORK
from app.default_corpus import (
    Bank,
    Drawer,
    DrawRates,
    Line,
    embed_lines,
    face_banks,
    linear_score,
    read_meld,
    right_rate,
    voice_banks,
)
from app.models import resolve_device
from app.spoken_lines import heard_lines
from app.text_teacher import teacher_weights
from app.text_training import (
    READINGS,
    adapter_file,
    recognised_lines,
    train_text,
)
from live_features import weights
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.expression import (
    CARD_FILE,
    EMBEDDING_SIZE,
    WEIGHTS_FILE,
    ExpressionEncoder,
)
from live_features.expression_training import train_expression
from live_features.text import TextEncoder
from live_features.voice_activity import VoiceActivityDetector
from live_features.voices import ACOUSTIC_SIZE, VoiceEncoder
from sdt_model.calibration import abstaining, choose_abstention, fit_temperatures, temper
from sdt_model.checkpoints import load_checkpoint, save_checkpoint
from sdt_model.config import SDTConfig
from sdt_model.dialogues import Dialogue, FeatureStatistics, save_dialogues
from sdt_model.domain_shift import ShiftReference
from sdt_model.evaluation import Intervals, Predictions, Scores, predict
from sdt_model.model import SDT
from sdt_model.training import EpochReport, TrainingOptions, fit

TEXT_SEEDS = (1, 2, 3)
_READ_ALOUD = 4
"""Of so many training dialogues one is read aloud and heard by Whisper."""

AUDIO_TARGET = 0.40
VISUAL_TARGET = 0.35
"""Weighted F1 that published work reports on MELD for voice (0.35-0.42) and face (0.32-0.36)."""

TEXT_BLEND = 0.5
PRECISION = 0.7
"""How often an answer that is not called unsure should be right."""

_FIRST_WIND_DOWN = (44, 58)
_WIND_DOWN = (12, 24)
"""Epochs between which the expression network's two generations are brought to rest."""

_VOICE_SEED = 1
_COPIES = 4
"""Training dialogues are drawn this many times, each time with other voices and faces, and every
other time with their words as a recogniser would write them."""

_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class _Split:
    """One split's lines, their text embeddings, and the banks to draw the rest from.

    ``recognised`` embeds the words as a speech recogniser would write them.
    """

    lines: list[list[Line]]
    text: list[NDArray[np.float32]]
    recognised: list[NDArray[np.float32]]
    voices: Bank
    faces: Bank

    def draw(
        self,
        name: str,
        priors: NDArray[np.float64],
        rates: DrawRates,
        seed: int,
        *,
        recognised: bool = False,
        blend: bool = False,
    ) -> list[Dialogue]:
        words = self.recognised if recognised else self.text
        strangers = np.concatenate(words) if blend else None
        drawer = Drawer(self.voices, self.faces, priors, rates, seed, strangers)
        return [
            drawer(f"{name}-{i}", lines, text)
            for i, (lines, text) in enumerate(zip(self.lines, words, strict=True))
        ]


CONFIG = SDTConfig(
    text_dim=384,
    audio_dim=ACOUSTIC_SIZE,
    visual_dim=EMBEDDING_SIZE,
    hidden=128,
    heads=8,
    classes=EMOTIONS,
    dropout=0.4,
)
OPTIONS = TrainingOptions(
    epochs=24,
    batch_size=16,
    learning_rate=3e-4,
    l2=1e-5,
    patience=8,
    modality_dropout=0.3,
    permute_speakers=True,
    prefix_probability=0.3,
    text_alone=0.12,
    average_decay=0.998,
)
"""How the weights that ship are trained; without the last two, how ``sdt-train store`` trains."""


def train_default(
    data: Path,
    assets: Path,
    cache: Path,
    *,
    seed: int,
    command: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Train what is missing of ``assets/expression`` and ``assets/text``, then ``assets/sdt``.

    Returns the card of the last.

    ``data`` holds ``meld``, ``ravdess`` and ``fer2013``. Work that takes long is kept in ``cache``
    and not done twice, and an interrupted training goes on where it stopped. The drawn dialogues
    are kept in ``cache/dialogues``, for ``sdt-train store`` and ``sdt-evaluate``. ``command`` is
    noted on the card, ``report`` hears what is being done.

    Raises:
        UserFacingError, SDTError: a corpus is missing or broken.
    """
    expression, first = assets / "expression", cache / "expression"
    if not (expression / WEIGHTS_FILE).is_file():
        if not (first / WEIGHTS_FILE).is_file():
            report("Training the expression network on FER2013")
            train_expression(data / "fer2013", first, wind_down=_FIRST_WIND_DOWN)
        report("Training the expression network's second generation")
        train_expression(data / "fer2013", expression, teacher=first, wind_down=_WIND_DOWN)
    lines = {name: read_meld(data / "meld" / f"{name}_sent_emo.csv") for name in _SPLITS}
    if not all((assets / "text" / adapter_file(reading)).is_file() for reading in READINGS):
        report("Adapting the text encoder to MELD")
        train_text(
            lines,
            heard_lines(lines["train"], _READ_ALOUD, cache / "meld-train-heard.json", seed=0),
            weights.text_encoder(),
            lambda: teacher_weights(cache / "teacher"),
            assets / "text",
            cache,
            seeds=TEXT_SEEDS,
            command=command,
            report=report,
        )
    splits = _load(data, assets, lines, cache, report)
    priors = _priors(splits["train"].lines)
    rates = _match(splits, priors, seed, report)

    drawn = {name: splits[name].draw(name, priors, rates, seed) for name in ("dev", "test")}
    drawn["heard"] = splits["test"].draw("test", priors, rates, seed, recognised=True)
    drawn["train"] = [
        dialogue
        for copy in range(_COPIES)
        for dialogue in splits["train"].draw(
            f"train{copy}", priors, rates, seed + copy, recognised=copy % 2 == 1, blend=True
        )
    ]
    statistics = FeatureStatistics.fit(drawn["train"])
    train, dev, test, heard = (
        [statistics.standardise_dialogue(dialogue) for dialogue in drawn[name]]
        for name in (*_SPLITS, "heard")
    )
    for name in _SPLITS:
        save_dialogues(cache / "dialogues" / f"{name}.safetensors", drawn[name])
    config = replace(
        CONFIG, text_dim=train[0].text.shape[1], audio_dim=ACOUSTIC_SIZE, visual_dim=EMBEDDING_SIZE
    )
    options = replace(OPTIONS, seed=seed)

    def on_epoch(epoch: EpochReport, _: SDT) -> None:
        report(
            f"Epoch {epoch.epoch}: loss {epoch.loss:.3f}, "
            f"dev weighted F1 {epoch.dev_weighted_f1:.4f}"
        )

    torch.manual_seed(seed)
    model = SDT(config)
    result = fit(
        model,
        train,
        dev,
        options,
        device=resolve_device("auto"),
        resume=cache / "sdt-training.pt",
        on_epoch=on_epoch,
    )
    model.cpu()
    temperatures = fit_temperatures(predict(model, dev, "prefix"))
    temper(model, temperatures)
    chosen = choose_abstention(predict(model, dev, "prefix"), PRECISION)
    card = {
        "name": "sdt-live default checkpoint",
        "command": command,
        "seed": seed,
        "data": {
            "text, speakers, labels": "MELD train/dev/test (GPL-3.0), embeddings of MiniLM-L6 "
            "with the adapters in assets/text; in train, which these have learned from, each "
            "is blended with another, and every other drawing has the words as a speech recogniser "
            "would write them, through the adapter for heard words",
            "audio": "what CAM++ hears in RAVDESS clips drawn by label (CC BY-NC-SA 4.0): actors "
            "1-18 for train, also at another pace, over a telephone and in a room, 19-20 for dev, "
            "21-22 for test",
            "visual": "expression embeddings of FER2013 pictures drawn by label (research use): "
            "held-out training pictures for train and dev, public test for test",
            "caution": "voice and face are drawn to fit the label, so every figure that uses them "
            "tells how well the model fuses, not how well it reads real people",
        },
        "draws": asdict(rates) | {"copies": _COPIES},
        "linear_dev_weighted_f1_aimed_at": {"audio": AUDIO_TARGET, "visual": VISUAL_TARGET},
        "training": asdict(options),
        "best_epoch": asdict(result.best),
        "temperatures": asdict(temperatures),
        "unsure": {"precision_aimed_at": PRECISION, "dev, prefix": asdict(chosen)},
        **_measured(model, chosen.below, dev, test, heard, _clips(splits, statistics), priors),
        "not_for": "decisions about people; emotion inference of employees or pupils is "
        "prohibited in the EU (AI Act Art. 5(1)(f)); an expression is not a feeling",
    }
    save_checkpoint(
        assets / "sdt",
        model,
        statistics,
        card,
        unsure_below=chosen.below,
        shift=ShiftReference.fit(train),
    )
    return card


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the card that is not what the data say today."""

    figure: str
    card: float
    today: float


def compare_card(
    data: Path, assets: Path, cache: Path, report: Callable[[str], None]
) -> tuple[int, list[Difference]]:
    """Measure the default checkpoint again as :func:`train_default` did.

    Returns how many figures were compared, and those that are off by more than 0.002.

    Raises:
        UserFacingError, SDTError: a corpus or the checkpoint is missing or broken.
    """
    checkpoint = load_checkpoint(assets / "sdt")
    card = checkpoint.card
    lines = {name: read_meld(data / "meld" / f"{name}_sent_emo.csv") for name in _SPLITS}
    splits = _load(data, assets, lines, cache, report)
    priors = _priors(lines["train"])
    try:
        rates = DrawRates(**{f.name: card["draws"][f.name] for f in fields(DrawRates)})
        seed = int(card["seed"])
        told = _numbers({name: card[name] for name in _MEASURED})
    except (KeyError, TypeError, ValueError) as error:
        raise UserFacingError(
            f"The card in {assets / 'sdt'} lacks {error}: it is not one of sdt-train default."
        ) from error
    report("Measuring the checkpoint")
    dev, test, heard = (
        [
            checkpoint.statistics.standardise_dialogue(dialogue)
            for dialogue in splits[name].draw(name, priors, rates, seed, recognised=recognised)
        ]
        for name, recognised in (("dev", False), ("test", False), ("test", True))
    )
    clips = _clips(splits, checkpoint.statistics)
    found = _numbers(
        _measured(checkpoint.model, checkpoint.unsure_below, dev, test, heard, clips, priors)
    )
    different = [
        Difference(name, told.get(name, math.nan), found.get(name, math.nan))
        for name in sorted(told.keys() | found.keys())
        if not abs(told.get(name, math.nan) - found.get(name, math.nan)) <= _TOLERANCE
    ]
    return len(found), different


_VOICES = "RAVDESS, actors 19-22, one clip at a time, audio student"
_MEASURED = ("figures", "unsure, test, prefix", _VOICES)
_TOLERANCE = 0.002


def _measured(
    model: SDT,
    below: float,
    dev: Sequence[Dialogue],
    test: Sequence[Dialogue],
    heard: Sequence[Dialogue],
    clips: Sequence[Dialogue],
    priors: NDArray[np.float64],
) -> dict[str, Any]:
    """The fields of the card that can be measured again.

    ``heard`` is ``test`` with its words as a speech recogniser would write them.
    """
    live = predict(model, test, "prefix")
    alone = [_text_only(dialogue) for dialogue in test]
    return {
        "unsure, test, prefix": asdict(abstaining(live, below)),
        "figures": {
            "dev, full context": _figures(predict(model, dev)),
            "test, full context": _figures(predict(model, test)),
            "test, prefix (as live)": _figures(live),
            "test, voice and face missing": _figures(predict(model, alone)),
            "test, voice and face missing, prefix": _figures(predict(model, alone, "prefix")),
            "test, as recognised, prefix": _figures(predict(model, heard, "prefix")),
            "test, as recognised, voice and face missing, prefix": _figures(
                predict(model, [_text_only(dialogue) for dialogue in heard], "prefix")
            ),
            "test, late fusion of the students, prefix": {"fused": _late_fusion(live)},
            "test, majority class": {"fused": _majority(test)},
        },
        _VOICES: _recall(predict(model, clips), priors),
    }


def _clips(splits: dict[str, _Split], statistics: FeatureStatistics) -> list[Dialogue]:
    """Every clip of the actors of dev and test as a dialogue of one utterance without words."""
    text_size, _, visual_size = statistics.feature_sizes
    return [
        statistics.standardise_dialogue(
            Dialogue(
                id=f"{name}-{i}",
                text=np.zeros((1, text_size), np.float32),
                audio=vector[None],
                visual=np.zeros((1, visual_size), np.float32),
                present=np.array([[False, True, False]]),
                speakers=np.zeros(1, np.int64),
                labels=label[None],
            )
        )
        for name in ("dev", "test")
        for i, (vector, label) in enumerate(
            zip(splits[name].voices.vectors, splits[name].voices.labels, strict=True)
        )
    ]


def _recall(predictions: Predictions, priors: NDArray[np.float64]) -> dict[str, Any]:
    """Unweighted average recall of the audio student, told that all emotions are as likely.

    It has learned that half of MELD is neutral, RAVDESS is not: so its probabilities are divided by
    ``priors`` (C,), the shares in MELD.
    """
    guessed = (predictions.probabilities[:, 2] / priors).argmax(axis=1)
    recall = {
        emotion: float((guessed[predictions.labels == label] == label).mean())
        for label, emotion in enumerate(EMOTIONS)
    }
    return {
        "utterances": len(guessed),
        "unweighted_recall": round(float(np.mean(list(recall.values()))), 4),
        "recall": {emotion: round(share, 4) for emotion, share in recall.items()},
    }


def _numbers(values: Any, name: str = "") -> dict[str, float]:
    """Every number of nested JSON by where it stands."""
    if isinstance(values, int | float):
        return {name: float(values)}
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return {
        place: number
        for key, value in items
        for place, number in _numbers(value, f"{name} / {key}" if name else str(key)).items()
    }


def _load(
    data: Path,
    assets: Path,
    lines: dict[str, list[list[Line]]],
    cache: Path,
    report: Callable[[str], None],
) -> dict[str, _Split]:
    silero = weights.packaged(weights.SILERO)
    report("Extracting voices from RAVDESS")
    voices = voice_banks(
        data / "ravdess",
        VoiceEncoder(VOICE_NETWORK),
        lambda: VoiceActivityDetector(silero),
        cache / "ravdess-voices.npz",
        seed=_VOICE_SEED,
    )
    report("Embedding faces of FER2013")
    encoder = ExpressionEncoder.load(assets / "expression")
    # The pictures the network was not trained on follow from the seed of *its* training.
    card = json.loads((assets / "expression" / CARD_FILE).read_text(encoding="utf-8"))
    faces = face_banks(data / "fer2013", encoder, card["settings"]["seed"])
    report("Embedding the words of MELD")
    recognised = {
        name: [recognised_lines(dialogue) for dialogue in dialogues]
        for name, dialogues in lines.items()
    }
    text, heard = (
        _embed(words, assets / "text" / adapter_file(reading), cache)
        for reading, words in zip(READINGS, (lines, recognised), strict=True)
    )
    return {
        name: _Split(lines[name], text[name], heard[name], voices[name], faces[name])
        for name in _SPLITS
    }


def _embed(
    lines: dict[str, list[list[Line]]], adapter: Path, cache: Path
) -> dict[str, list[NDArray[np.float32]]]:
    """The text embeddings of every split's dialogues through the encoder with this adapter."""
    encode = TextEncoder(weights.text_encoder(), adapter=adapter)
    # What another adapter made of the words may lie in the same cache.
    which = f"{adapter.stem}-{hashlib.sha256(adapter.read_bytes()).hexdigest()[:12]}"
    return {
        name: embed_lines(dialogues, encode, cache / f"meld-{name}-{which}.npy")
        for name, dialogues in lines.items()
    }


def _match(
    splits: dict[str, _Split], priors: NDArray[np.float64], seed: int, report: Callable[[str], None]
) -> DrawRates:
    """Rates of right draws at which voice and face alone score what they do on real MELD."""
    report("Matching how telling voices and faces are")

    def score(rates: DrawRates, modality: int) -> float:
        parts = []
        for name in ("train", "dev"):
            drawn = splits[name].draw(name, priors, rates, seed)
            there = np.concatenate([d.present[:, modality] for d in drawn])
            vectors = np.concatenate([d.features[modality] for d in drawn])[there]
            labels = np.concatenate([d.labels for d in drawn if d.labels is not None])[there]
            parts.append((vectors, labels))
        return linear_score(parts[0], parts[1], seed=seed)

    base = DrawRates(0.0, 0.0)
    audio = right_rate(lambda r: score(replace(base, audio_right=r), 1), AUDIO_TARGET)
    visual = right_rate(lambda r: score(replace(base, visual_right=r), 2), VISUAL_TARGET)
    report(f"Right draws: voice {audio:.2f}, face {visual:.2f}")
    return replace(base, audio_right=audio, visual_right=visual, text_blend=TEXT_BLEND)


def _priors(dialogues: Sequence[Sequence[Line]]) -> NDArray[np.float64]:
    counts = np.bincount([u.label for d in dialogues for u in d], minlength=len(EMOTIONS))
    return counts / counts.sum()


def _text_only(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, present=dialogue.present & np.array([True, False, False]))


def _figures(predictions: Predictions) -> dict[str, Any]:
    evaluation = predictions.evaluation()
    scores = (evaluation.fused, evaluation.text, evaluation.audio, evaluation.visual)
    names = ("fused", "text student", "audio student", "visual student")
    return {
        name: _figure(score, intervals)
        for name, score, intervals in zip(names, scores, predictions.intervals(), strict=True)
        if score is not None and intervals is not None
    }


def _figure(score: Scores, intervals: Intervals) -> dict[str, Any]:
    return {
        "utterances": score.utterances,
        "weighted_f1": round(score.weighted_f1, 4),
        "weighted_f1_95": [round(value, 4) for value in astuple(intervals.weighted_f1)],
        "accuracy": round(score.accuracy, 4),
        "accuracy_95": [round(value, 4) for value in astuple(intervals.accuracy)],
        "f1": {e: round(f, 4) for e, f in zip(EMOTIONS, score.f1, strict=True)},
        "calibration_error": round(score.calibration_error, 4),
    }


def _late_fusion(predictions: Predictions) -> dict[str, Any]:
    """What the mean of the students that are there says."""
    weights = predictions.present[:, :, None].astype(np.float32)  # (M, 3, 1)
    fused = (predictions.probabilities[:, 1:] * weights).sum(1) / weights.sum(1)
    late = replace(predictions, probabilities=np.repeat(fused[:, None], 4, axis=1))
    intervals = late.intervals()[0]
    assert intervals is not None
    return _figure(late.evaluation().fused, intervals)


def _majority(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    labels = np.concatenate([d.labels for d in dialogues if d.labels is not None])
    share = float((labels == 0).mean())
    # Only the majority class, neutral, has a precision (share) and a recall (1).
    return {"weighted_f1": round(share * 2 * share / (1 + share), 4), "accuracy": round(share, 4)}
