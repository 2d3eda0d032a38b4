"""MELD.Raw and the IEMOCAP release as dialogues: who said what when, in which recording.

Only the tables and transcripts are read here, as text. Speakers are numbered within a dialogue.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError

_MELD_CLIPS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_MELD_MISREAD = str.maketrans("\u2019\u2018\u201c\u201d\x92\x91\x93\x94", "''\"\"''\"\"")
"""Typographic quotes to typed ones, also those that MELD's tables hold as Windows-1252 codes."""

_IEMOCAP_CLASSES = {
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "ang": "angry",
    "exc": "excited",
    "fru": "frustrated",
}
_IEMOCAP_SESSIONS = range(1, 6)
_IEMOCAP_TEST = 5
_IEMOCAP_PEOPLE = {"M": 0, "F": 1}
_LABELLED = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t(\w+_([MF])\w*)\t(\w+)\t")
_TRANSCRIBED = re.compile(r"(\w+) \[[\d.]+-[\d.]+\]: (.*)")
_NOISE = re.compile(r"\[[A-Z ]+\]")
"""Laughter and the like stand in brackets in IEMOCAP's transcripts: nobody said these words."""


@dataclass(frozen=True, slots=True)
class CorpusUtterance:
    """``label`` indexes the corpus's classes; ``start`` and ``end`` are seconds of its recording.

    ``text`` is the corpus's transcript, empty where there are no words.
    """

    name: str
    text: str
    speaker: int
    label: int
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True, slots=True)
class CorpusRecording:
    """Where to hear and see some utterances.

    With ``side_by_side`` two people share the picture, one in its left and one in its right half,
    and have a channel of the sound each.
    """

    name: str
    sound: Path
    pictures: Path
    utterances: tuple[CorpusUtterance, ...]
    side_by_side: bool = False


@dataclass(frozen=True, slots=True)
class CorpusDialogue:
    """The recordings of a conversation in the order of its utterances."""

    name: str
    recordings: tuple[CorpusRecording, ...]

    @property
    def utterances(self) -> tuple[CorpusUtterance, ...]:
        return tuple(u for recording in self.recordings for u in recording.utterances)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Dialogues by split, ``train`` and ``test`` at least, and what their labels number."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[CorpusDialogue, ...]]

    @property
    def recordings(self) -> tuple[CorpusRecording, ...]:
        """All of them, each once."""
        return tuple(
            recording
            for dialogues in self.splits.values()
            for dialogue in dialogues
            for recording in dialogue.recordings
        )


def read_meld(folder: Path) -> Corpus:
    """MELD.Raw, with its archives unpacked side by side or into folders named after the splits.

    Raises:
        UserFacingError: a table or a folder of clips is missing, or a table is none of MELD's.
    """
    return Corpus("MELD", EMOTIONS, {split: _meld_split(folder, split) for split in _MELD_CLIPS})


def _meld_split(folder: Path, split: str) -> tuple[CorpusDialogue, ...]:
    clips = _below(folder, split, _MELD_CLIPS[split])
    table = _below(folder, split, f"{split}_sent_emo.csv")
    rows: dict[int, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    try:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                rows[int(row["Dialogue_ID"])].append((int(row["Utterance_ID"]), row))
        return tuple(
            _meld_dialogue(clips, split, number, [row for _, row in sorted(said, key=_first)])
            for number, said in sorted(rows.items())
        )
    except OSError as error:
        raise UserFacingError(
            f"{table} cannot be read ({error.strerror}); check its permissions or copy it again."
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error):
        raise UserFacingError(
            f"{table} is not the table that comes with MELD.Raw; copy it again."
        ) from None


def _meld_dialogue(
    clips: Path, split: str, number: int, rows: list[dict[str, str]]
) -> CorpusDialogue:
    people: dict[str, int] = {}
    recordings = []
    for row in rows:
        name = f"dia{number}_utt{int(row['Utterance_ID'])}"
        clip = clips / f"{name}.mp4"
        utterance = CorpusUtterance(
            name=name,
            text=row["Utterance"].translate(_MELD_MISREAD).strip(),
            speaker=people.setdefault(row["Speaker"], len(people)),
            label=EMOTIONS.index(row["Emotion"]),
        )
        # The numbers begin anew in every split.
        recordings.append(CorpusRecording(f"{split}-{name}", clip, clip, (utterance,)))
    return CorpusDialogue(f"{split}-dia{number}", tuple(recordings))


def _first(pair: tuple[int, dict[str, str]]) -> int:
    return pair[0]


def _below(folder: Path, split: str, name: str) -> Path:
    for path in (folder / name, folder / split / name):
        if path.exists():
            return path
    raise UserFacingError(
        f"There is no {name} in {folder}: give the folder of MELD.Raw, with its archives unpacked "
        f"({', '.join(_MELD_CLIPS.values())}, and a table such as train_sent_emo.csv for each)."
    )


def read_iemocap(folder: Path) -> Corpus:
    """The IEMOCAP release: sessions 1 to 4 as ``train``, session 5 as ``test``.

    As in the literature, an utterance is kept where the annotators agreed on one of six classes.

    Raises:
        UserFacingError: a session's folders are missing, or no labelled utterance is in them.
    """
    splits: dict[str, list[CorpusDialogue]] = {"train": [], "test": []}
    for number in _IEMOCAP_SESSIONS:
        session = folder / f"Session{number}" / "dialog"
        for part in ("EmoEvaluation", "transcriptions", "wav", "avi/DivX"):
            if not (session / part).is_dir():
                raise UserFacingError(
                    f"There is no folder {session / part}: give the folder IEMOCAP_full_release, "
                    "which holds Session1 to Session5."
                )
        dialogues = _iemocap_session(session)
        if not dialogues:
            raise UserFacingError(
                f"{session / 'EmoEvaluation'} holds no labelled utterance; copy the release again."
            )
        splits["test" if number == _IEMOCAP_TEST else "train"] += dialogues
    return Corpus(
        "IEMOCAP",
        tuple(_IEMOCAP_CLASSES.values()),
        {split: tuple(dialogues) for split, dialogues in splits.items()},
    )


def _iemocap_session(session: Path) -> list[CorpusDialogue]:
    dialogues = []
    for labels in sorted((session / "EmoEvaluation").glob("Ses*.txt")):
        name = labels.stem
        utterances = _iemocap_utterances(labels, session / "transcriptions" / f"{name}.txt")
        if utterances:
            recording = CorpusRecording(
                name=name,
                sound=session / "wav" / f"{name}.wav",
                pictures=session / "avi" / "DivX" / f"{name}.avi",
                utterances=utterances,
                side_by_side=True,
            )
            dialogues.append(CorpusDialogue(name, (recording,)))
    return dialogues


def _iemocap_utterances(labels: Path, transcript: Path) -> tuple[CorpusUtterance, ...]:
    words = dict(_TRANSCRIBED.findall(_text(transcript)))
    classes = list(_IEMOCAP_CLASSES)
    utterances = [
        CorpusUtterance(
            name=name,
            text=" ".join(_NOISE.sub(" ", words.get(name, "")).split()),
            speaker=_IEMOCAP_PEOPLE[person],
            label=classes.index(emotion),
            start=float(start),
            end=float(end),
        )
        for start, end, name, person, emotion in _LABELLED.findall(_text(labels))
        if emotion in _IEMOCAP_CLASSES
    ]
    return tuple(sorted(utterances, key=lambda u: (u.start, u.name)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror}); copy the release again."
        ) from None
