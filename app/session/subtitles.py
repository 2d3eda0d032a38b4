"""SubRip and WebVTT: every utterance as a cue, with its speaker and emotion."""

from __future__ import annotations

from html import escape

from app.session.summary import speaker_name
from app.state import LabelledUtterance, Snapshot


def srt(snapshot: Snapshot) -> str:
    """SubRip with the speaker and the emotion before the words."""
    return "".join(
        f"{number}\n{_time(u.start, ',')} --> {_time(u.end, ',')}\n"
        f"{_line(_spoken(u, speaker_name(snapshot, u.speaker)))}\n\n"
        for number, u in enumerate(snapshot.utterances, 1)
    )


def vtt(snapshot: Snapshot) -> str:
    """WebVTT with the speaker as the cue's voice, and the emotion before the words."""
    return "WEBVTT\n\n" + "".join(
        f"{number}\n{_time(u.start, '.')} --> {_time(u.end, '.')}\n"
        f"<v {_escaped(speaker_name(snapshot, u.speaker))}>"
        f"{_escaped(f'[{_label(u)}] {u.text}')}\n\n"
        for number, u in enumerate(snapshot.utterances, 1)
    )


def _spoken(u: LabelledUtterance, name: str) -> str:
    who = f"{name} [{_label(u)}]"
    return f"{who}: {u.text}" if u.text else who


def _label(u: LabelledUtterance) -> str:
    said = f"{u.emotion} {u.confidence:.0%}"
    return f"unsure ({said})" if u.unsure else said


def _line(text: str) -> str:
    """``text`` on one line: an empty line would end the cue."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return escape(_line(text), quote=False)


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, milliseconds = divmod(milliseconds, 3_600_000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{milliseconds:03d}"
