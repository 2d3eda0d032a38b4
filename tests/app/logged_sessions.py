"""Export folders with the made-up conversation, as a session would have logged it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from app.events import Event, SessionStarted, SpeakerFound, UtteranceLabelled
from app.session.log import EventLog
from tests.app.synthetic_session import reading


def write_log(folder: Path, events: Iterable[Event]) -> Path:
    with EventLog.for_export(folder) as log:
        for event in events:
            log(event)
    return folder


def one_utterance(text: str, *, name: str = "Ada", source: str = "talk.mp4") -> list[Event]:
    """Somebody says one thing on a recording of 9 s that is read as fast as possible."""
    return [
        SessionStarted(
            media_time=0.0,
            source=source,
            duration=9.0,
            has_audio=True,
            has_video=True,
            device="cpu",
            weights={"emotion": "shipped"},
        ),
        SpeakerFound(media_time=2.5, speaker=0, name=name),
        UtteranceLabelled(
            media_time=2.5,
            emitted_at=9.0,
            index=0,
            start=1.0,
            end=2.5,
            speaker=0,
            text=text,
            reading=reading("joy", 0.7, 1),
        ),
    ]
