"""The dialogues that the default checkpoint is trained on.

No multimodal conversation corpus may be shipped from, so the dialogues are MELD's own words,
speakers and labels, and the voice and face of each utterance are *drawn*: a RAVDESS clip and a
handful of FER2013 pictures of the utterance's emotion. Such draws would tell far more than voices
and faces do in real talk, so some draws are of another emotion, and some are missing. How many is
settled by what a linear classifier then scores on each modality alone.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from sklearn.metrics import f1_score

from app.voice_augmentation import AUGMENTATIONS
from live_features.clocks import VirtualClock
from live_features.emotions import EMOTIONS
from live_features.endpointing import Endpointer, speech_span
from live_features.errors import UserFacingError
from live_features.expression import ExpressionEncoder
from live_features.expression_training import Faces, copies, held_out, read_faces
from live_features.media import AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.text import TextEncoder
from live_features.voice_activity import VoiceActivityDetector
from live_features.voices import ACOUSTIC_SIZE, VoiceEncoder
from sdt_model.dialogues import Dialogue

_RAVDESS_EMOTIONS = {
    "01": "neutral",
    "02": "neutral",  # calm: RAVDESS's second baseline
    "03": "joy",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_ACTORS = {"train": range(1, 19), "dev": range(19, 21), "test": range(21, 23)}
_READ_AT_ONCE = 64
_FACES = (3, 12)
"""Fewest and most pictures averaged into one utterance's face."""


@dataclass(frozen=True, slots=True)
class Line:
    """An utterance of MELD; ``label`` indexes :data:`EMOTIONS`."""

    text: str
    speaker: str
    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Feature vectors (n, D) to draw from, with their labels (n,) and who shows them (n,)."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    persons: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DrawRates:
    """How often a draw is of the right emotion, and how often there is nothing to draw.

    The encoder tells the emotion of lines it has learned from far better than that of others, and
    a model that learned from these would trust words more than they deserve. So, in training, up to
    ``text_blend`` of an utterance's words is another utterance's.
    """

    audio_right: float
    visual_right: float
    text_blend: float = 0.0
    audio_missing: float = 0.05
    visual_missing: float = 0.15


def read_meld(path: Path) -> list[list[Line]]:
    """The dialogues of one of MELD's CSV files.

    Raises:
        UserFacingError: the file is missing or is no MELD file.
    """
    dialogues: dict[str, list[Line]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                label = EMOTIONS.index(row["Emotion"])
                text = row["Utterance"].translate(
                    str.maketrans("\u2019\u2018\u201c\u201d", "''\"\"")
                )
                dialogues[row["Dialogue_ID"]].append(Line(text, row["Speaker"], label))
    except (OSError, KeyError, ValueError) as error:
        raise UserFacingError(
            f"{path} cannot be read as a MELD table ({error!r}): point --data at the folder that "
            f"holds meld/, ravdess/ and fer2013/."
        ) from error
    return list(dialogues.values())


def ravdess_clips(folder: Path) -> tuple[list[Path], NDArray[np.int64], NDArray[np.int64]]:
    """Every clip of RAVDESS, its emotion's place in ``EMOTIONS`` (N,) and its actor (N,).

    Raises:
        UserFacingError: there are none.
    """
    clips = sorted(folder.glob("Actor_*/*.flac"))
    if not clips:
        raise UserFacingError(f"There are no RAVDESS clips (Actor_NN/*.flac) in {folder}.")
    parts = [clip.stem.split("-") for clip in clips]
    labels = np.array([EMOTIONS.index(_RAVDESS_EMOTIONS[part[2]]) for part in parts])
    return clips, labels, np.array([int(part[6]) for part in parts])


def voice_banks(
    folder: Path,
    encoder: VoiceEncoder,
    new_voice_activity: Callable[[], VoiceActivityDetector],
    cache: Path,
    seed: int,
) -> dict[str, Bank]:
    """RAVDESS through the live endpointer and voice encoder; every actor is in one split only.

    Training clips are there several times, once as they are and once with each of
    :data:`AUGMENTATIONS`, drawn with ``seed``. Features are kept in ``cache`` (npz), since
    extraction takes minutes.
    """
    clips, labels, actors = ravdess_clips(folder)
    # Which clip, and which change of it; -1 is none.
    rows = [(i, -1) for i in range(len(clips))] + [
        (i, change)
        for i in np.flatnonzero(np.isin(actors, list(_ACTORS["train"])))
        for change in range(len(AUGMENTATIONS))
    ]
    if cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            vectors = stored["vectors"]
        _check_cache(cache, len(vectors), len(rows))
    else:
        rng = np.random.default_rng(seed)
        speech = {}
        found = []
        for i, change in track(rows, "Voices"):
            if i not in speech:
                speech[i] = spoken(clips[i], Endpointer(new_voice_activity()))
            samples = speech[i] if change < 0 else AUGMENTATIONS[change](speech[i], rng)
            values = encoder.listen(samples).acoustic
            found.append(np.full(ACOUSTIC_SIZE, np.nan) if values is None else values)
        vectors = np.stack(found)
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, vectors=vectors.astype(np.float32))
    of = np.array([i for i, _ in rows])
    usable = ~np.isnan(vectors).any(axis=1)
    return {
        split: Bank(vectors[chosen], labels[of[chosen]], actors[of[chosen]])
        for split, members in _ACTORS.items()
        for chosen in [usable & np.isin(actors[of], list(members))]
    }


def face_banks(folder: Path, encoder: ExpressionEncoder, seed: int) -> dict[str, Bank]:
    """FER2013 embeddings of pictures the expression network was not trained on."""
    return {
        split: Bank(_embed(encoder, faces.images), faces.labels, np.arange(len(faces.labels)))
        for split, faces in unseen_faces(folder, seed).items()
    }


def unseen_faces(folder: Path, seed: int) -> dict[str, Faces]:
    """Pictures that an expression network of this ``seed`` was not trained on.

    Train and dev share the held-out part of its training file, test is the public test file. Copies
    of a picture of dev or test are not in train, and none of test in dev.
    """
    known, test = read_faces(folder / "train.npz"), read_faces(folder / "public_test.npz")
    kept = held_out(known.labels, seed)
    for_dev = np.random.default_rng(seed).random(len(kept)) < 0.2
    parts = {}
    others = test.images
    for split, members in (("dev", kept[for_dev]), ("train", kept[~for_dev])):
        chosen = members[~copies(known.images[members], others)]
        parts[split] = Faces(known.images[chosen], known.labels[chosen])
        others = np.concatenate((others, parts[split].images))
    return parts | {"test": test}


class Drawer:
    """Draws a voice and a face for every utterance of a split."""

    def __init__(
        self,
        voices: Bank,
        faces: Bank,
        priors: NDArray[np.float64],
        rates: DrawRates,
        seed: int,
        strangers: NDArray[np.float32] | None = None,
    ) -> None:
        """``priors`` (C,) is how often each emotion occurs; wrong draws follow it.

        ``strangers`` (n, D) are the text embeddings to blend others with, None for no blending.
        """
        self._strangers = strangers
        self._voices = voices
        self._faces = faces
        self._priors = priors
        self._rates = rates
        self._rng = np.random.default_rng(seed)

    def __call__(self, name: str, lines: Sequence[Line], text: NDArray[np.float32]) -> Dialogue:
        """The dialogue ``lines`` with their text embeddings (N, D) and drawn features."""
        rng = self._rng
        people = {speaker: i for i, speaker in enumerate(dict.fromkeys(u.speaker for u in lines))}
        # One actor a person, so that within a dialogue a voice stays the same voice.
        actors = dict(
            zip(people, rng.choice(np.unique(self._voices.persons), len(people)), strict=True)
        )
        audio = [self._voice(u.label, actors[u.speaker]) for u in lines]
        visual = [self._face(u.label) for u in lines]
        present = np.array(
            [[True, a is not None, v is not None] for a, v in zip(audio, visual, strict=True)]
        )
        return Dialogue(
            id=name,
            text=self._words(text),
            audio=_stack(audio, self._voices.vectors.shape[1]),
            visual=_stack(visual, self._faces.vectors.shape[1]),
            present=present,
            speakers=np.array([people[u.speaker] for u in lines], dtype=np.int64),
            labels=np.array([u.label for u in lines], dtype=np.int64),
        )

    def _words(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._strangers is None:
            return text.astype(np.float32)
        shares = self._rng.uniform(0, self._rates.text_blend, (len(text), 1))
        strange = self._strangers[self._rng.integers(len(self._strangers), size=len(text))]
        blended = (1 - shares) * text + shares * strange
        lengths = np.linalg.norm(blended, axis=1, keepdims=True)
        return (blended / np.maximum(lengths, 1e-6)).astype(np.float32)

    def _voice(self, label: int, actor: int) -> NDArray[np.float32] | None:
        if self._rng.random() < self._rates.audio_missing:
            return None
        shown = self._shown(label, self._rates.audio_right)
        fits = self._voices.labels == shown
        own = np.flatnonzero(fits & (self._voices.persons == actor))
        candidates = own if len(own) else np.flatnonzero(fits)
        return self._voices.vectors[self._rng.choice(candidates)]

    def _face(self, label: int) -> NDArray[np.float32] | None:
        if self._rng.random() < self._rates.visual_missing:
            return None
        shown = self._shown(label, self._rates.visual_right)
        candidates = np.flatnonzero(self._faces.labels == shown)
        chosen = self._rng.choice(candidates, self._rng.integers(*_FACES, endpoint=True))
        return self._faces.vectors[chosen].mean(0)

    def _shown(self, label: int, right: float) -> int:
        if self._rng.random() < right:
            return label
        return int(self._rng.choice(len(self._priors), p=self._priors))


def embed_lines(
    dialogues: Sequence[Sequence[Line]], encode: TextEncoder, cache: Path
) -> list[NDArray[np.float32]]:
    """Text embeddings (N, D) of every dialogue, through the live encoder; kept in ``cache``."""
    lengths = [len(lines) for lines in dialogues]
    if cache.is_file():
        vectors = np.load(cache, allow_pickle=False)
        _check_cache(cache, len(vectors), sum(lengths))
    else:
        texts = [u.text for lines in dialogues for u in lines]
        # Lines of like length together: what makes up for shorter ones costs as much as words.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        starts = range(0, len(order), _READ_AT_ONCE)
        parts = [
            encode([texts[i] for i in order[start : start + _READ_AT_ONCE]])
            for start in track(starts, "Words")
        ]
        vectors = np.concatenate(parts)[np.argsort(order)]
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, vectors)
    return np.split(vectors, np.cumsum(lengths)[:-1])


def right_rate(score: Callable[[float], float], target: float, *, steps: int = 6) -> float:
    """The rate of right draws at which ``score`` (rising) meets ``target``, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) < target else (low, middle)
    return (low + high) / 2


def linear_score(
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    dev: tuple[NDArray[np.float32], NDArray[np.int64]],
    *,
    seed: int,
) -> float:
    """Weighted F1 on dev of a linear softmax classifier on standardised features."""
    mean, deviation = train[0].mean(0), train[0].std(0) + 1e-6
    x, z = (
        torch.from_numpy(np.clip((part[0] - mean) / deviation, -5, 5)).float()
        for part in (train, dev)
    )
    y = torch.from_numpy(train[1])
    torch.manual_seed(seed)
    linear = torch.nn.Linear(x.shape[1], len(EMOTIONS))
    optimiser = torch.optim.Adam(linear.parameters(), lr=3e-3, weight_decay=1e-3)
    for _ in range(120):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(linear(x), y).backward()
        optimiser.step()
    guessed = linear(z).argmax(-1).numpy()
    return float(f1_score(dev[1], guessed, average="weighted"))


def _check_cache(path: Path, found: int, wanted: int) -> None:
    if found != wanted:
        raise UserFacingError(
            f"{path} holds features of {found} items where the corpus has {wanted}: delete it."
        )


def spoken(clip: Path, endpointer: Endpointer) -> NDArray[np.float32]:
    """A clip's speech from its first to its last word; all of it where none is found."""
    source = RecordingSource(clip, VirtualClock())
    samples = np.concatenate(
        [block.samples[:, 0] for block in source if isinstance(block, AudioBlock)]
    )
    start, end = speech_span(samples, endpointer)
    return samples[round(start * 16_000) : round(end * 16_000)]


def _embed(encoder: ExpressionEncoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = np.array_split(images, max(len(images) // 256, 1))
    return np.concatenate([encoder(part)[0] for part in track(parts, "Faces")])


def _stack(rows: Iterable[NDArray[np.float32] | None], size: int) -> NDArray[np.float32]:
    return np.stack([np.zeros(size, np.float32) if row is None else row for row in rows])
