"""How many seconds of a recording are read in a second, as fast as possible.

    uv run python -m tests.benchmarks.throughput [--data ../shared/data]

Models are loaded before the clock starts. The shipped demo (960x540, a face at a time) is always
read; ``--data`` adds a phone call, which has sound alone, and a talking head.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from app.assets import DEMO_MEDIA
from app.engine import LiveEngine
from app.events import Event, UtteranceLabelled
from app.models import Models, load_models
from app.options import ModelOptions
from live_features.clocks import VirtualClock
from live_features.sources.recording import RecordingSource

REPEATS = 3
RECORDINGS = ("conversation/phone/sample.wav", "clips/hdtf_a.mp4")


def read(path: Path, models: Models) -> tuple[float, float, int]:
    """Seconds of media, median seconds it took, and the number of utterances."""
    times, duration, utterances = [], 0.0, 0
    for _ in range(REPEATS):
        events: list[Event] = []
        clock = VirtualClock()
        source = RecordingSource(path, clock)
        began = time.perf_counter()
        LiveEngine(source, clock, models, [events.append]).run()
        times.append(time.perf_counter() - began)
        duration = source.info.duration or events[-1].media_time
        utterances = sum(isinstance(event, UtteranceLabelled) for event in events)
    return duration, float(np.median(times)), utterances


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder with conversation/ and clips/")
    data = parser.parse_args(arguments).data
    paths = [DEMO_MEDIA, *([] if data is None else [data / name for name in RECORDINGS])]

    models = load_models(ModelOptions(offline=True))
    table = Table("recording", "seconds", "utterances", "read in", "times real time")
    factors = {}
    for path in paths:
        duration, seconds, utterances = read(path, models)
        factors[path.name] = round(duration / seconds, 1)
        table.add_row(
            path.name,
            f"{duration:.0f}",
            str(utterances),
            f"{seconds:.1f} s",
            f"{factors[path.name]:.1f}x",
        )
    Console(width=100).print(table)
    print(json.dumps({"x_real_time": factors}))


if __name__ == "__main__":
    main()
