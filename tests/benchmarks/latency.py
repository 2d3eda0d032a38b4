"""How long after the last word the label comes, live.

    uv run python -m tests.benchmarks.latency [--data ../shared/data]

Plays conversations at 1x through a stand-in microphone (and camera, where there are pictures) into
the real sources and engine. Each is played twice in a row: as it ships, and without working ahead
and with Whisper's full-length window, which is what the ratio is against. The shipped demo is
always played; ``--data`` adds a phone call and two meetings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from app.assets import DEMO_MEDIA
from app.models import Models, load_models
from app.options import ModelOptions
from live_features import weights
from live_features.transcription import FULL_CONTEXT, Transcriber
from tests.benchmarks.live_session import Conversation, Played, p50_p95, play
from tests.benchmarks.memory import resident_megabytes

RECORDINGS = ("phone/sample.wav", "ami30/trn02.wav", "ami30/trn07.wav")
SOON = 1.5
"""Seconds after the start of speech within which a provisional label should be there."""


def conversations(data: Path | None) -> list[Conversation]:
    """What is played: the demo with its pictures, and recordings of sound alone."""
    found = [Conversation.read(DEMO_MEDIA)]
    if data is not None:
        found += [Conversation.read(data / "conversation" / name) for name in RECORDINGS]
    return found


def unhurried(models: Models) -> Models:
    """The same models, with a Whisper that always reads a window of 30 s."""
    whisper = weights.whisper(offline=True)
    transcribe = Transcriber(whisper, device=models.transcribe.device, context=FULL_CONTEXT)
    return replace(models, transcribe=transcribe)


def pooled(sessions: Sequence[Played], what: str) -> list[float]:
    """One measure of all sessions."""
    return [value for session in sessions for value in getattr(session, what)()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.latency", description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder with conversation/")
    data = parser.parse_args(arguments).data

    console = Console(width=100)
    models = load_models(ModelOptions(offline=True))
    slow_models = unhurried(models)
    ours: list[Played] = []
    baseline: list[Played] = []
    table = Table(
        "conversation", "seconds", "utterances", "label p50 / p95", "without working ahead"
    )
    for conversation in conversations(data):
        mine = play(conversation, models)
        theirs = play(conversation, slow_models, ahead=False)
        ours.append(mine)
        baseline.append(theirs)
        table.add_row(
            conversation.name,
            f"{conversation.seconds:.0f}",
            str(len(mine.latencies())),
            *(_pair(session.latencies()) for session in (mine, theirs)),
        )
    console.print(table)

    stages: dict[str, list[float]] = {}
    for session in ours:
        for stage, seconds in session.stages().items():
            stages.setdefault(stage, []).extend(seconds)
    by_stage = Table("stage", "done after the end of speech, p50 / p95")
    for stage, seconds in stages.items():
        by_stage.add_row(stage, _pair(seconds))
    console.print(by_stage)

    latencies, before = pooled(ours, "latencies"), pooled(baseline, "latencies")
    firsts = pooled(ours, "first_labels")
    paused = [t for session in ours for t in session.latencies_after("pause", "finished")]
    taken_over = [t for session in ours for t in session.latencies_after("speaker_change")]
    median, high = p50_p95(latencies)
    seconds = sum(session.seconds for session in ours)
    cpu = sum(session.cpu for session in ours)
    result = {
        "p50_s": median,
        "p95_s": high,
        "p50_p95_after_a_pause_s": p50_p95(paused),
        "p50_p95_after_a_speaker_change_s": p50_p95(taken_over),
        "ratio_to_no_speculation": round(float(np.median(latencies) / np.median(before)), 3),
        "p50_p95_no_speculation_s": p50_p95(before),
        "provisional_within_1_5s": round(float(np.mean([f <= SOON for f in firsts])), 3),
        "provisional_of": len(firsts),
        "audio_lost_s": round(sum(session.lost for session in ours), 3),
        "stages": {stage: p50_p95(values) for stage, values in stages.items()},
        "rtf": round(cpu / seconds, 3),
        "rss_mb": resident_megabytes(),
        "utterances": len(latencies),
    }
    print(json.dumps(result))


def _pair(seconds: Sequence[float]) -> str:
    return " / ".join(f"{value:.2f} s" for value in p50_p95(seconds)) or "none"


if __name__ == "__main__":
    main()
