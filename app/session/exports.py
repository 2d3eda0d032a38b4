"""Results to take away, in the formats that other programs read."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from app.session.logged import LoggedSession
from app.session.report import report
from app.session.subtitles import srt, vtt
from app.session.summary import speaker_name
from app.state import LabelledUtterance, Snapshot
from live_features.emotions import EMOTIONS, MODALITIES
from live_features.errors import UserFacingError

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
    "unsure",
)


def export(snapshot: Snapshot, folder: Path) -> None:
    """Write ``emotions.csv`` and ``transcript.srt`` of a session into an existing folder.

    Raises:
        UserFacingError: the folder cannot be written.
    """
    _write(folder / "emotions.csv", table(snapshot))
    _write(folder / "transcript.srt", srt(snapshot))


def export_formats(
    session: LoggedSession, formats: Collection[str], folder: Path
) -> tuple[str, ...]:
    """Write each of ``formats``, keys of :data:`FORMATS`, into ``folder``; returns the file names.

    All are made before the first is written, and each file is put in its place whole.

    Raises:
        UserFacingError: the folder cannot be written.
    """
    made = [(FORMATS[name][0], FORMATS[name][1](session)) for name in formats]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    for name, text in made:
        _write(folder / name, text)
    return tuple(name for name, _ in made)


def export_file(session: LoggedSession, format_: str, path: Path) -> None:
    """Write one of :data:`FORMATS` to ``path``, whole or not at all.

    Raises:
        UserFacingError: it cannot be written there.
    """
    _write(path, FORMATS[format_][1](session))


def table(snapshot: Snapshot) -> str:
    """CSV, a row an utterance; probabilities in MELD order, a missing student's label is empty.

    ``emotion`` is the likeliest one also where the answer is called unsure.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(_row(u, snapshot) for u in snapshot.utterances)
    return file.getvalue()


def json_lines(snapshot: Snapshot) -> str:
    """An object an utterance with all that is known of it; a missing student is null."""
    return "".join(
        json.dumps(_fields(u, snapshot), ensure_ascii=False) + "\n" for u in snapshot.utterances
    )


def markers(snapshot: Snapshot) -> str:
    """CSV, a row a marker: the second of the session, and the note."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(("time", "note"))
    writer.writerows((f"{mark.time:.3f}", mark.note) for mark in snapshot.marks)
    return file.getvalue()


def rttm(snapshot: Snapshot) -> str:
    """Who spoke when, in NIST's Rich Transcription Time Marked format.

    Its fields are divided by blanks, so names and the file's are written with underscores.
    """
    recording = _token(Path(snapshot.source).stem) or "session"
    return "".join(
        f"SPEAKER {recording} 1 {u.start:.3f} {u.end - u.start:.3f} <NA> <NA> "
        f"{_token(speaker_name(snapshot, u.speaker)) or f'Speaker_{u.speaker + 1}'} <NA> <NA>\n"
        for u in snapshot.utterances
    )


FORMATS: dict[str, tuple[str, Callable[[LoggedSession], str]]] = {
    "csv": ("emotions.csv", lambda session: table(session.snapshot)),
    "jsonl": ("utterances.jsonl", lambda session: json_lines(session.snapshot)),
    "srt": ("transcript.srt", lambda session: srt(session.snapshot)),
    "vtt": ("transcript.vtt", lambda session: vtt(session.snapshot)),
    "markers": ("markers.csv", lambda session: markers(session.snapshot)),
    "rttm": ("speakers.rttm", lambda session: rttm(session.snapshot)),
    "html": ("report.html", report),
}
"""The file and its maker for each format."""


def _row(u: LabelledUtterance, snapshot: Snapshot) -> list[str]:
    reading = u.reading
    students = (reading.text, reading.audio, reading.visual)
    return [
        str(u.index),
        f"{u.start:.3f}",
        f"{u.end:.3f}",
        speaker_name(snapshot, u.speaker),
        u.text,
        u.emotion,
        f"{u.confidence:.4f}",
        *(f"{p:.4f}" for p in reading.fused),
        *(f"{gate:.4f}" for gate in reading.gates),
        *("" if student is None else _winner(student) for student in students),
        "true" if u.unsure else "false",
    ]


def _fields(u: LabelledUtterance, snapshot: Snapshot) -> dict[str, object]:
    reading = u.reading
    students = zip(MODALITIES, (reading.text, reading.audio, reading.visual), strict=True)
    return {
        "index": u.index,
        "start": u.start,
        "end": u.end,
        "speaker": speaker_name(snapshot, u.speaker),
        "text": u.text,
        "emotion": u.emotion,
        "confidence": u.confidence,
        "was": u.was,
        "unsure": u.unsure,
        "fused": dict(zip(EMOTIONS, reading.fused, strict=True)),
        "students": {
            modality: None if student is None else dict(zip(EMOTIONS, student, strict=True))
            for modality, student in students
        },
        "gates": dict(zip(MODALITIES, reading.gates, strict=True)),
        "contributions": dict(zip(MODALITIES, reading.contributions, strict=True)),
    }


def _winner(probabilities: Sequence[float]) -> str:
    return EMOTIONS[max(range(len(probabilities)), key=probabilities.__getitem__)]


def _token(text: str) -> str:
    return "_".join(text.split())


def _write(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step, so that nobody ever meets half a file."""
    # Not made of the name, which may already be as long as a name can be.
    draft = path.with_name(f".{secrets.token_hex(8)}")
    try:
        # A log may hold half of a surrogate pair, which UTF-8 has no bytes for.
        draft.write_bytes(text.encode("utf-8", "replace"))
        draft.replace(path)
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> UserFacingError:
    return UserFacingError(
        f"The export folder {folder} cannot be written ({error.strerror}): choose another."
    )
