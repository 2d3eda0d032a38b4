"""A conversation played at 1x through stand-in devices into the real sources and engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from app.engine import LiveEngine
from app.events import (
    DeviceChanged,
    Event,
    SpeechEnded,
    StageFinished,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceRevised,
)
from app.models import Models
from live_features.clocks import RealClock, VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.live import LiveSource
from live_features.sources.microphone import Microphone
from live_features.sources.recording import RecordingSource
from live_features.sources.webcam import Webcam
from tests.fake_camera import FakeCamera
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice

DEVICE_RATE = 48_000
LONG = 2.0
"""Seconds from which on an utterance should have a provisional label."""

_SILENCE_AFTER = 1.5  # seconds, so that the last utterance ends with a pause like the others


@dataclass(frozen=True, slots=True)
class Conversation:
    """A recording to play: ``sound`` is mono at 16 kHz, ``pictures`` a video file or None."""

    name: str
    sound: NDArray[np.float32]
    pictures: Path | None = None

    @classmethod
    def read(cls, path: Path, *, with_pictures: bool = True) -> Conversation:
        source = RecordingSource(path, VirtualClock())
        blocks = [i.samples.mean(axis=1) for i in source if isinstance(i, AudioBlock)]
        pictures = path if with_pictures and source.info.has_video else None
        return cls(path.name, np.concatenate(blocks), pictures)

    @property
    def seconds(self) -> float:
        return len(self.sound) / SAMPLE_RATE

    def repeated(self, seconds: float) -> Conversation:
        """Over and over for so long, without pictures, which cannot be played twice."""
        times = int(np.ceil(seconds / self.seconds))
        sound = np.tile(self.sound, times)[: round(seconds * SAMPLE_RATE)]
        return Conversation(self.name, sound)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a session: its events and what it cost.

    ``cpu`` is in seconds of one core, ``lost`` in seconds of sound.
    """

    events: Sequence[Event]
    seconds: float
    cpu: float
    lost: float

    def latencies(self) -> list[float]:
        """Seconds from the end of speech to the label, an utterance each."""
        return [
            e.emitted_at - e.media_time for e in self.events if isinstance(e, UtteranceLabelled)
        ]

    def latencies_after(self, *reasons: str) -> list[float]:
        """The same, of the utterances that were ended for one of ``reasons``."""
        ends = {
            event.end
            for event in self.events
            if isinstance(event, SpeechEnded) and event.reason in reasons
        }
        return [
            e.emitted_at - e.media_time
            for e in self.events
            if isinstance(e, UtteranceLabelled) and e.end in ends
        ]

    def stages(self) -> dict[str, list[float]]:
        """Seconds from the end of speech to the last end of each stage, an utterance each."""
        last: dict[tuple[str, int], float] = {}
        for event in self.events:
            match event:
                case SpeechEnded(end=end):
                    last[("endpoint", len(last))] = event.emitted_at - end
                case StageFinished(stage=stage, index=index):
                    last[(stage, index)] = event.emitted_at - event.media_time
        stages: dict[str, list[float]] = {}
        for (stage, _), seconds in last.items():
            stages.setdefault(stage, []).append(seconds)
        return stages

    def first_labels(self) -> list[float]:
        """Seconds from the start of speech to the first label of any kind, for long utterances."""
        firsts: dict[int, float] = {}
        starts: dict[int, float] = {}
        for event in self.events:
            if isinstance(event, UtteranceProvisional | UtteranceLabelled):
                firsts.setdefault(event.index, event.emitted_at)
            if isinstance(event, UtteranceLabelled) and event.end - event.start > LONG:
                starts[event.index] = event.start
        return [firsts[index] - start for index, start in starts.items()]


def play(
    conversation: Conversation,
    models: Models,
    *,
    ahead: bool = True,
) -> Played:
    """Let a microphone and a camera deliver ``conversation`` in its own time."""
    events: list[Event] = []
    silence = np.zeros(round(_SILENCE_AFTER * SAMPLE_RATE), np.float32)
    sound = np.concatenate([conversation.sound, silence])
    samples = soxr.resample(sound, SAMPLE_RATE, DEVICE_RATE).astype(np.float32)
    device = FakeDevice("stand-in microphone", samples, rate=DEVICE_RATE, keeps=False)
    # As much as drivers hold: a callback that comes later than that loses sound.
    fake = FakeSoundDevice([device], buffer=0.2)
    microphone = Microphone(portaudio=fake, system_default=fake.system_default)
    camera = None
    if conversation.pictures is not None:
        pictures = FakeCamera(conversation.pictures, rate=25.0, position=lambda: device.played)
        camera = Webcam(open_camera=pictures)
    source = LiveSource(microphone, camera)

    def keep(event: Event) -> None:
        # Revisions are many, and nothing here asks for them.
        if not isinstance(event, UtteranceRevised):
            events.append(event)

    engine = LiveEngine(source, RealClock(), models, [keep], ahead=ahead)

    def stop() -> None:
        device.exhausted.wait()
        time.sleep(0.2)
        engine.stop()

    threading.Thread(target=stop, name="stopper", daemon=True).start()
    began, cpu = time.monotonic(), time.process_time()
    engine.run()
    return Played(
        events=events,
        seconds=time.monotonic() - began,
        cpu=time.process_time() - cpu,
        lost=sum(event.lost for event in events if isinstance(event, DeviceChanged)),
    )


def p50_p95(values: Sequence[float]) -> list[float]:
    """Median and 95th percentile, rounded to a millisecond; empty for nothing."""
    if not values:
        return []
    return [round(float(q), 3) for q in np.quantile(values, [0.5, 0.95])]
