"""Who spoke when, against references.

    uv run python -m tests.benchmarks.speakers [--data ../shared/data]

Reads a two-speaker phone call and nine meetings with the engine as it ships, on the virtual clock:
every utterance keeps the speaker that it was given when it ended. The baseline is what simple
tools do: Silero's segments cut at 2 s, GE2E embeddings, one cosine threshold. Diarization error
rate with a collar of 0.25 s, overlapping speech counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from rich.console import Console
from rich.table import Table

from app.engine import LiveEngine
from app.events import Event, UtteranceLabelled
from app.models import Models, load_models
from app.options import ModelOptions
from live_features.clocks import VirtualClock
from live_features.endpointing import Endpointer, EndpointRules, SpeechSegment
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.speakers import SpeakerTracker
from live_features.weights import packaged
from tests.benchmarks.ge2e import GE2E, WEIGHTS

COLLAR = 0.25
BASELINE_PIECE = 2.0
BASELINE_SAME_VOICE = 0.70

Turn = tuple[float, float, str]
"""Start and end in seconds, and who."""


def references(data: Path) -> dict[Path, list[Turn]]:
    """The recordings and who speaks when in them."""
    turns: dict[Path, list[Turn]] = {}
    for listing in ("phone/sample.rttm", "ami30/train.rttm"):
        path = data / "conversation" / listing
        for line in path.read_text(encoding="utf-8").splitlines():
            _, name, _, start, length, _, _, who, *_ = line.split()
            begin = float(start)
            turn = (begin, begin + float(length), who)
            recording = path.parent / f"{name}.wav"
            # The references are of more recordings than there are.
            if recording.exists():
                turns.setdefault(recording, []).append(turn)
    return turns


def ours(path: Path, models: Models, speakers: int | None = None) -> list[Turn]:
    """What the engine says."""
    events: list[Event] = []
    clock = VirtualClock()
    source = RecordingSource(path, clock)
    LiveEngine(source, clock, models, [events.append], speakers=speakers).run()
    return [
        (event.start, event.end, str(event.speaker))
        for event in events
        if isinstance(event, UtteranceLabelled)
    ]


def baseline(sound: NDArray[np.float32], models: Models, encoder: GE2E) -> list[Turn]:
    """What simple tools say."""
    rules = EndpointRules(on=0.5, off=0.35, finished_silence=0.5, endpoint_silence=0.5)
    endpointer = Endpointer(models.new_voice_activity(), rules)
    identify = SpeakerTracker(same_voice=BASELINE_SAME_VOICE, founding_seconds=0.0)
    turns = []
    for event in [*endpointer.push(sound), *endpointer.flush()]:
        if not isinstance(event, SpeechSegment):
            continue
        pieces = max(1, round((event.end - event.start) / BASELINE_PIECE))
        edges = np.linspace(event.start, event.end, pieces + 1)
        for start, end in pairwise(edges):
            piece = sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
            who = identify(encoder.embed(piece), float(end - start))
            turns.append((float(start), float(end), str(who)))
    return turns


def error_rate(reference: Iterable[Turn], found: Iterable[Turn], seconds: float) -> float:
    """Missed, falsely found and confused speech as a share of the speech there is."""
    metric = DiarizationErrorRate(collar=COLLAR, skip_overlap=False)
    whole = Timeline([Segment(0, seconds)])
    return float(metric(_annotation(reference), _annotation(found), uem=whole))


def _annotation(turns: Iterable[Turn]) -> Annotation:
    annotation = Annotation()
    for start, end, who in turns:
        segment = Segment(start, end)
        annotation[segment, annotation.new_track(segment)] = who
    return annotation


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.speakers", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args(arguments).data
    if not (data / "conversation").is_dir():
        print(f"There is no folder {data / 'conversation'}: give --data.", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", module="pyannote")
    models = load_models(ModelOptions(offline=True))
    encoder = GE2E(packaged(WEIGHTS))
    table = Table("recording", "people", "ours", "number known", "baseline")
    rates: dict[str, dict[str, float]] = {"der": {}, "der_known_number": {}, "baseline_der": {}}
    spent = heard = 0.0
    for path, turns in references(data).items():
        blocks = [i for i in RecordingSource(path, VirtualClock()) if isinstance(i, AudioBlock)]
        sound = np.concatenate([block.samples[:, 0] for block in blocks])
        seconds = len(sound) / SAMPLE_RATE
        people = len({who for *_, who in turns})
        began = time.perf_counter()
        found = ours(path, models)
        spent += time.perf_counter() - began
        heard += seconds
        known = ours(path, models, people)
        for name, answer in zip(
            rates, (found, known, baseline(sound, models, encoder)), strict=True
        ):
            rates[name][path.stem] = round(error_rate(turns, answer, seconds), 4)
        row = [f"{rates[name][path.stem]:.1%}" for name in rates]
        table.add_row(path.stem, str(people), *row)
    meetings = {
        name: float(np.mean([rate for file, rate in by_file.items() if file != "sample"]))
        for name, by_file in rates.items()
    }
    table.add_section()
    table.add_row("mean of the meetings", "", *(f"{meetings[name]:.1%}" for name in rates))
    Console(width=100).print(table)
    result = {
        **rates,
        "meetings_mean": {name: round(rate, 4) for name, rate in meetings.items()},
        "engine_x_real_time": round(heard / spent, 1),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
