"""What a session comes to: who spoke how long and how it read, and where that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.state import LabelledUtterance, Snapshot
from live_features.emotions import EMOTIONS


@dataclass(frozen=True, slots=True)
class SpeakerSummary:
    """One person's part: ``seconds`` of speech, and the share of them per emotion, MELD order."""

    speaker: int
    name: str
    utterances: int
    words: int
    seconds: float
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Seconds from the end of speech to the label over ``utterances``."""

    utterances: int
    p50: float
    p95: float
    longest: float


def speaker_name(snapshot: Snapshot, speaker: int) -> str:
    names = snapshot.speakers
    return names[speaker] if speaker < len(names) else f"Speaker {speaker + 1}"


def speaker_summaries(snapshot: Snapshot) -> tuple[SpeakerSummary, ...]:
    """Everybody who said something, in the order of their numbers."""
    heard = sorted({u.speaker for u in snapshot.utterances})
    return tuple(_summary(snapshot, speaker) for speaker in heard)


def _summary(snapshot: Snapshot, speaker: int) -> SpeakerSummary:
    said = [u for u in snapshot.utterances if u.speaker == speaker]
    seconds = dict.fromkeys(EMOTIONS, 0.0)
    for u in said:
        seconds[u.emotion] += u.end - u.start
    total = sum(seconds.values())
    return SpeakerSummary(
        speaker=speaker,
        name=speaker_name(snapshot, speaker),
        utterances=len(said),
        words=sum(len(u.text.split()) for u in said),
        seconds=total,
        shares=tuple(seconds[emotion] / total if total else 0.0 for emotion in EMOTIONS),
    )


def shifts(utterances: Sequence[LabelledUtterance]) -> dict[int, str]:
    """The utterances, by index, that read unlike their speaker's one before, and what that read."""
    felt: dict[int, str] = {}
    found = {}
    for u in utterances:
        before = felt.get(u.speaker, u.emotion)
        if before != u.emotion:
            found[u.index] = before
        felt[u.speaker] = u.emotion
    return found


def latency(delays: Sequence[float]) -> LatencySummary | None:
    """None where nothing was timed."""
    if not delays:
        return None
    p50, p95 = np.quantile(delays, (0.5, 0.95))
    return LatencySummary(len(delays), float(p50), float(p95), max(delays))
