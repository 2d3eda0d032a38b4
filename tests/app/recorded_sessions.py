"""Recorded sessions made without an engine: the made-up conversation, with a film of its length."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from app.events import Event
from app.session.card import CARD, MEDIA, SessionCard
from app.session.log import EVENTS
from app.session.media_writer import MediaWriter
from live_features.media import SAMPLE_RATE, AudioBlock, MediaInfo, VideoFrame
from tests.app.synthetic_session import DURATION
from tests.app.synthetic_session import events as synthetic_events

CARD_OF_TALK = SessionCard(
    created="2026-01-01T12:00:00+00:00",
    source="talk",
    channels=1,
    has_video=True,
    speakers=2,
    enrol=(),
    models={"whisper": "tiny.en"},
    checkpoint_sha256="ab" * 32,
)


def write_session(
    folder: Path, events: Iterable[Event] | None = None, *, film: bool = True, killed: bool = False
) -> Path:
    """A session folder; a ``killed`` one lacks the end of the log and the index of the film."""
    folder.mkdir(parents=True)
    (folder / CARD).write_text(CARD_OF_TALK.to_json(), encoding="utf-8")
    told = synthetic_events() if events is None else events
    lines = [event.to_json() + "\n" for event in told]
    text = "".join(lines[:-1]) + lines[-1][:30] if killed else "".join(lines)
    (folder / EVENTS).write_text(text, encoding="utf-8")
    if film:
        write_film(folder / MEDIA, DURATION, killed=killed)
    return folder


def write_film(path: Path, seconds: float, *, killed: bool = False) -> None:
    """Grey pictures that get lighter, five a second, and a hum, as a recorder writes them."""
    info = MediaInfo("film", None, 1, 64, 48, 5.0)
    hum = (0.05 * np.sin(np.arange(SAMPLE_RATE // 5) * 0.05)).astype(np.float32)[:, None]
    with path.open("wb", buffering=0) as file:
        writer = MediaWriter(file, info)
        for step in range(round(5 * seconds)):
            shade = np.uint8(20 + step % 200)
            writer.write(VideoFrame(np.full((48, 64, 3), shade, np.uint8), step / 5))
            writer.write(AudioBlock(hum, step / 5))
        if killed:
            writer.abandon()
        else:
            writer.close()
