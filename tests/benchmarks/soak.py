"""Whether a long session stays as it began.

    uv run python -m tests.benchmarks.soak --minutes 20 [--slower 3]

Plays the sound of the shipped demo over and over at 1x through a stand-in microphone, and looks at
memory every few seconds. With ``--slower`` every reading of words takes that many times as long.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.allocator import share_one_heap
from app.assets import DEMO_MEDIA
from app.events import BacklogChanged, DeviceChanged, EffortChanged, Event, UtteranceLabelled
from app.models import load_models
from app.options import ModelOptions
from live_features.transcription import Transcriber, Transcript
from tests.benchmarks.live_session import Conversation, p50_p95, play
from tests.benchmarks.memory import resident_megabytes

LOOK = 5.0
"""Seconds between two looks at memory."""
SETTLED = 0.25
"""The share of the session after which memory should no longer grow."""


class SlowTranscriber:
    """Takes its time: ``times`` as long as the one it asks."""

    def __init__(self, transcribe: Transcriber, times: float) -> None:
        self._transcribe = transcribe
        self._times = times

    def __call__(self, samples: NDArray[np.float32], **settings: Any) -> Transcript:
        began = time.perf_counter()
        transcript = self._transcribe(samples, **settings)
        time.sleep((self._times - 1) * (time.perf_counter() - began))
        return transcript


class MemoryWatch(threading.Thread):
    """Looks at memory until told to stop."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self.looks: list[tuple[float, int]] = []
        self.over = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.over.wait(LOOK):
            self.looks.append((time.monotonic() - began, resident_megabytes()))

    def per_minute(self) -> float:
        """Megabytes a minute, by a line through the looks after the beginning."""
        late = self.looks[int(SETTLED * len(self.looks)) :]
        minutes = np.array([seconds / 60 for seconds, _ in late])
        return float(np.polyfit(minutes, [megabytes for _, megabytes in late], 1)[0])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--slower", type=float, default=1.0)
    options = parser.parse_args(arguments)

    share_one_heap()
    models = load_models(ModelOptions(offline=True))
    if options.slower != 1.0:
        slow: Any = SlowTranscriber(models.transcribe, options.slower)
        models = replace(models, transcribe=slow)
    seconds = 60 * options.minutes
    conversation = Conversation.read(DEMO_MEDIA, with_pictures=False).repeated(seconds)
    watch = MemoryWatch()
    watch.start()
    played = play(conversation, models)
    watch.over.set()

    part = min(300.0, seconds / 3)
    first = _latencies(played.events, 0.0, part)
    last = _latencies(played.events, seconds - part, seconds)
    backlog = [event.seconds for event in played.events if isinstance(event, BacklogChanged)]
    degraded = [event.without for event in played.events if isinstance(event, EffortChanged)]
    overflows = [
        event
        for event in played.events
        if isinstance(event, DeviceChanged) and event.code == "overflow"
    ]
    result = {
        "minutes": options.minutes,
        "slower": options.slower,
        "utterances": sum(isinstance(e, UtteranceLabelled) for e in played.events),
        "rss_mb_per_min": round(watch.per_minute(), 3),
        "rss_mb": watch.looks[-1][1],
        "p95_first": p50_p95(first)[-1],
        "p95_last": p50_p95(last)[-1],
        "overflows": len(overflows),
        "max_backlog_s": round(max(backlog), 2),
        "left_out": sorted({what for without in degraded for what in without}),
        "rtf": round(played.cpu / played.seconds, 3),
    }
    table = Table("measure", "value")
    for name, value in result.items():
        table.add_row(name, str(value))
    Console(width=100).print(table)
    print(json.dumps(result))


def _latencies(events: Sequence[Event], start: float, end: float) -> list[float]:
    return [
        event.emitted_at - event.media_time
        for event in events
        if isinstance(event, UtteranceLabelled) and start <= event.media_time < end
    ]


if __name__ == "__main__":
    main()
