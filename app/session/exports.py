"""Results to take away: a table and subtitles."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from app.state import LabelledUtterance, Snapshot
from live_features.emotions import EMOTIONS, MODALITIES

COLUMNS = (
    "index",
    "start",
    "end",
    "speaker",
    "text",
    "emotion",
    "confidence",
    *(f"p_{emotion}" for emotion in EMOTIONS),
    *(f"gate_{modality}" for modality in MODALITIES),
    *(f"student_{modality}" for modality in MODALITIES),
)


def export(snapshot: Snapshot, folder: Path) -> None:
    """Write ``emotions.csv`` and ``transcript.srt`` of a session into an existing folder."""
    write_emotions(snapshot, folder / "emotions.csv")
    write_subtitles(snapshot, folder / "transcript.srt")


def write_emotions(snapshot: Snapshot, path: Path) -> None:
    """One row an utterance; probabilities in MELD order, a missing student's label is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_row(u, snapshot.speakers) for u in snapshot.utterances)


def write_subtitles(snapshot: Snapshot, path: Path) -> None:
    """SubRip with the speaker and the emotion before the words."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number, u in enumerate(snapshot.utterances, 1):
            name = snapshot.speakers[u.speaker]
            file.write(
                f"{number}\n{_srt_time(u.start)} --> {_srt_time(u.end)}\n"
                f"{name} [{u.emotion} {u.confidence:.0%}]: {u.text}\n\n"
            )


def _row(u: LabelledUtterance, speakers: Sequence[str]) -> list[str]:
    reading = u.reading
    students = (reading.text, reading.audio, reading.visual)
    return [
        str(u.index),
        f"{u.start:.3f}",
        f"{u.end:.3f}",
        speakers[u.speaker],
        u.text,
        u.emotion,
        f"{u.confidence:.4f}",
        *(f"{p:.4f}" for p in reading.fused),
        *(f"{gate:.4f}" for gate in reading.gates),
        *("" if student is None else _winner(student) for student in students),
    ]


def _winner(probabilities: Sequence[float]) -> str:
    return EMOTIONS[max(range(len(probabilities)), key=probabilities.__getitem__)]


def _srt_time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    hours, milliseconds = divmod(milliseconds, 3_600_000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d},{milliseconds:03d}"
