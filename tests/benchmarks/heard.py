"""What Whisper's mistakes cost the labels.

    uv run --group demo python -m tests.benchmarks.heard [--data ../shared/data]

Dialogues of MELD's test split are read aloud by the demo's male voice, line by line, and written
down by Whisper. The checkpoint that ships then reads both texts, with voice and face missing. One
clear voice in a quiet room is kinder than what Whisper meets in talk.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.assets import ASSETS, HEARD_ADAPTER, WRITTEN_ADAPTER
from app.default_corpus import Line, read_meld
from app.rewording import as_recognised, without_punctuation
from app.spoken_lines import Reader, heard
from live_features import weights
from live_features.text import TextEncoder
from live_features.transcription import Transcriber
from sdt_model.checkpoints import Checkpoint, load_checkpoint
from sdt_model.dialogues import Dialogue
from sdt_model.evaluation import predict


def words_alone(
    scenes: Sequence[Sequence[Line]], encode: TextEncoder, checkpoint: Checkpoint
) -> list[Dialogue]:
    """The scenes as standardised dialogues without voice and face."""
    _, audio_size, visual_size = checkpoint.statistics.feature_sizes
    dialogues = []
    for i, scene in enumerate(scenes):
        people = {speaker: n for n, speaker in enumerate(dict.fromkeys(u.speaker for u in scene))}
        dialogue = Dialogue(
            id=f"{i}",
            text=encode([line.text for line in scene]),
            audio=np.zeros((len(scene), audio_size), np.float32),
            visual=np.zeros((len(scene), visual_size), np.float32),
            present=np.tile([True, False, False], (len(scene), 1)),
            speakers=np.array([people[line.speaker] for line in scene]),
            labels=np.array([line.label for line in scene]),
        )
        dialogues.append(checkpoint.statistics.standardise_dialogue(dialogue))
    return dialogues


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.heard")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--lines", type=int, default=300, help="at least, in whole dialogues")
    options = parser.parse_args(arguments)
    scenes = read_meld(options.data / "meld" / "test_sent_emo.csv")
    written: list[list[Line]] = []
    for i in np.random.default_rng(0).permutation(len(scenes)):
        if sum(map(len, written)) < options.lines:
            written.append(scenes[i])
    read_aloud = Reader(seed=0)
    transcribe = Transcriber(weights.whisper(weights.DEFAULT_WHISPER, offline=True), threads=1)
    spoken = [
        [replace(line, text=heard(line.text, read_aloud, transcribe)) for line in scene]
        for scene in track(written, "Reading aloud")
    ]
    plain = [
        [without_punctuation(line.text) for scene in texts for line in scene]
        for texts in (written, spoken)
    ]
    checkpoint = load_checkpoint(ASSETS / "sdt")
    found = weights.text_encoder(offline=True)
    read_written, read_heard = (
        TextEncoder(found, adapter=adapter) for adapter in (WRITTEN_ADAPTER, HEARD_ADAPTER)
    )
    table = Table("words alone, weighted F1 (95 %)", "whole dialogue", "only the past")
    recognised = [
        [replace(line, text=as_recognised(line.text)) for line in scene] for scene in written
    ]
    readings = {
        "as written": (written, read_written),
        "without what recognisers do not write": (recognised, read_heard),
        "as heard": (spoken, read_heard),
    }
    for name, (texts, encode) in readings.items():
        dialogues = words_alone(texts, encode, checkpoint)
        cells = []
        for context in ("full", "prefix"):
            predictions = predict(checkpoint.model, dialogues, context)
            score, interval = predictions.evaluation().fused, predictions.intervals()[0]
            assert interval is not None
            low, high = interval.weighted_f1.low, interval.weighted_f1.high
            cells.append(f"{score.weighted_f1:.3f} ({low:.3f}-{high:.3f})")
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    console.print(
        f"{len(plain[0])} lines in {len(written)} dialogues, word error rate "
        f"{jiwer.wer(*plain):.1%} without regard to case and punctuation."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
