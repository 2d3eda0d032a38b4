"""Words from shortened windows: how many are wrong, how long it takes.

    uv run python -m tests.benchmarks.transcription [--data DATA] [--whisper NAME]

Whisper's window of 30 s is held against shorter ones, the usual search against narrower and wider
ones, and one thread against two. Every clip is read with each setting in turn, so whatever else
the machine does weighs on all alike. The share of wrong words is counted after Whisper's own
normalisation of English; for clips whose words nobody wrote down it is the share that differs from
what the full window gives. ``read again`` is how often a short window looked wrong and the full one
decided. Last, the phone call is read by the whole engine, which has to find the utterances itself,
and held against the marked ones read one by one. Without ``--data`` only the shipped demo is read.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import jiwer
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from app.assets import DEMO_MEDIA
from app.engine import LiveEngine
from app.events import Event, UtteranceLabelled
from app.models import load_models
from app.options import ModelOptions
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.endpointing import EndpointRules
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.transcription import FULL_CONTEXT, SHORTENED, EncoderContext, Transcriber

Samples = NDArray[np.float32]

LONGEST_RUN = 16.0
"""Seconds of talk that are read in one go, beside single utterances."""
RAVDESS_STEP = 12
QUIET = 0.7
"""Seconds before anybody speaks in RAVDESS."""

STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
MELD = "But then who? The waitress I went out with last month?"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRID: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {},
    dict(zip("z123456789", DIGITS, strict=True)),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""What each letter of a clip's name stands for; in the fourth place for itself."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of sound; ``words`` is None where nobody wrote them down."""

    group: str
    samples: Samples
    words: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """How Whisper is called."""

    name: str
    context: EncoderContext
    beam_size: int = 3
    threads: int = 1


USUAL = Setting("15 s, +10 s", SHORTENED)
SETTINGS = (
    Setting("30 s", FULL_CONTEXT),
    *(Setting(f"{s:.0f} s, +2 s", EncoderContext(s, 2.0)) for s in (6.0, 8.0, 10.0, 12.0, 15.0)),
    Setting("10 s, +10 s", EncoderContext(10.0, 10.0)),
    USUAL,
    Setting("20 s, +10 s", EncoderContext(20.0, 10.0)),
    *(Setting(f"{USUAL.name}, beam {n}", SHORTENED, beam_size=n) for n in (1, 2, 5)),
    Setting(f"{USUAL.name}, 2 threads", SHORTENED, threads=2),
)


@dataclass(frozen=True, slots=True)
class Read:
    """What a setting made of a clip."""

    clip: int
    text: str
    rejected: str | None
    read_again: bool
    seconds: float


def sound_of(path: Path) -> Samples:
    """Mono, float32 at 16 kHz."""
    source = RecordingSource(path, VirtualClock())
    blocks = [item.samples for item in source if isinstance(item, AudioBlock)]
    return np.concatenate(blocks).mean(axis=1, dtype=np.float32)


def cut(sound: Samples, start: float, end: float) -> Samples:
    """With as much before and after as the endpointer leaves."""
    rules = EndpointRules()
    first = max(round((start - rules.pre_roll) * SAMPLE_RATE), 0)
    return sound[first : round((end + rules.post_roll) * SAMPLE_RATE)]


def runs(
    group: str, sound: Samples, utterances: Sequence[tuple[float, float, str]]
) -> Iterator[Clip]:
    """Neighbouring utterances read as one."""
    first = 0
    for n, (_, end, _) in enumerate(utterances):
        following = utterances[n + 1][1] if n + 1 < len(utterances) else np.inf
        if following - utterances[first][0] > LONGEST_RUN:
            words = " ".join(words for *_, words in utterances[first : n + 1])
            yield Clip(group, cut(sound, utterances[first][0], end), words)
            first = n + 1


def demo_clips() -> Iterator[Clip]:
    sound = sound_of(DEMO_MEDIA)
    reference = json.loads((DEMO_MEDIA.parent / "reference.json").read_text("utf-8"))
    utterances = [(u["start"], u["end"], u["text"]) for u in reference["utterances"]]
    for start, end, words in utterances:
        yield Clip("demo", cut(sound, start, end), words)
    yield from runs("demo, runs", sound, utterances)


def phone_clips(folder: Path) -> Iterator[Clip]:
    sound = sound_of(folder / "sample.wav")
    lines = (folder / "sample.stm").read_text("utf-8").splitlines()
    fields = [line.split(maxsplit=5) for line in lines]
    utterances = [(float(start), float(end), words) for *_, start, end, words in fields]
    for start, end, words in utterances:
        # Exactly as marked, because one person takes over from the other within a breath.
        samples = sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        yield Clip("phone", samples, words)
    yield from runs("phone, runs", sound, utterances)


def acted_clips(data: Path) -> Iterator[Clip]:
    for path in sorted((data / "ravdess").glob("*/*.flac"))[::RAVDESS_STEP]:
        yield Clip("RAVDESS", sound_of(path), STATEMENTS[path.stem.split("-")[4]])
    for path in sorted((data / "clips").glob("grid_*.mpg")):
        code = path.stem.removeprefix("grid_")
        words = " ".join(names.get(c, c) for names, c in zip(GRID, code, strict=True))
        yield Clip("GRID", sound_of(path), words)
    yield Clip("MELD", sound_of(data / "clips" / "meld_train_dia1_utt0.mp4"), MELD)


def unwritten_clips(data: Path) -> Iterator[Clip]:
    for name in ("hdtf_a", "hdtf_b", "mead_sad_speech"):
        yield Clip("HDTF, MEAD", sound_of(data / "clips" / f"{name}.mp4"), None)
    folder = data / "conversation" / "ami30"
    turns: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in (folder / "train.rttm").read_text("utf-8").splitlines():
        _, name, _, start, seconds, *_ = line.split()
        turns[name].append((float(start), float(start) + float(seconds)))
    for path in sorted(folder.glob("*.wav")):
        sound = sound_of(path)
        for start, end in turns[path.stem]:
            yield Clip("AMI", cut(sound, start, end), None)


def quiet_clips(data: Path) -> Iterator[Samples]:
    """Rooms in which somebody is about to speak."""
    for path in sorted((data / "ravdess").glob("*/*.flac"))[:: 3 * RAVDESS_STEP]:
        yield sound_of(path)[: round(QUIET * SAMPLE_RATE)]


def through_the_engine(path: Path, whisper: str) -> str:
    """All the words that come of a recording when nobody says where its utterances are."""
    events: list[Event] = []
    clock = VirtualClock()
    models = load_models(ModelOptions(whisper=whisper, offline=True))
    LiveEngine(RecordingSource(path, clock), clock, models, [events.append]).run()
    return " ".join(event.text for event in events if isinstance(event, UtteranceLabelled))


def word_errors(words: str, said: str) -> float:
    """In percent, after Whisper's own normalisation of English."""
    normalise = EnglishTextNormalizer({})
    return round(100 * jiwer.wer(normalise(words), normalise(said)), 2)


def read_all(clips: Sequence[Clip], name: str) -> dict[str, list[Read]]:
    """Every clip with every setting."""
    found = weights.whisper(name, offline=True)
    transcribers = {
        setting.name: Transcriber(
            found,
            threads=setting.threads,
            beam_size=setting.beam_size,
            context=setting.context,
        )
        for setting in SETTINGS
    }
    reads: dict[str, list[Read]] = {setting.name: [] for setting in SETTINGS}
    for n, clip in enumerate(clips):
        for setting, transcribe in transcribers.items():
            began = perf_counter()
            heard = transcribe(clip.samples)
            seconds = perf_counter() - began
            reads[setting].append(Read(n, heard.text, heard.rejected, heard.read_again, seconds))
    return reads


def wrong_words(
    clips: Sequence[Clip], reads: Sequence[Read], full: Sequence[Read]
) -> dict[str, tuple[int, int]]:
    """Errors and words for each group; a clip that was rejected has no words."""
    normalise = EnglishTextNormalizer({})
    counted: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for clip, read, reference in zip(clips, reads, full, strict=True):
        words = normalise(words_of(reference) if clip.words is None else clip.words)
        said = normalise(words_of(read))
        if words:
            found = jiwer.process_words(words, said)
            errors = found.substitutions + found.deletions + found.insertions
        else:
            errors = len(said.split())
        before, total = counted[clip.group]
        counted[clip.group] = before + errors, total + len(words.split())
    return counted


def words_of(read: Read) -> str:
    return "" if read.rejected else read.text


def percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.transcription", description="Measure the words."
    )
    parser.add_argument("--data", type=Path, help="the folder with conversation/, ravdess/, clips/")
    parser.add_argument("--whisper", default=weights.DEFAULT_WHISPER, help="size or folder")
    options = parser.parse_args(arguments)

    console = Console(width=120)
    clips, quiet = list(demo_clips()), []
    if options.data is None:
        console.print("Without --data only the shipped demo is read.")
    else:
        clips += phone_clips(options.data / "conversation" / "phone")
        clips += acted_clips(options.data)
        clips += unwritten_clips(options.data)
        quiet = list(quiet_clips(options.data))

    reads = read_all(clips, options.whisper)
    full = reads[SETTINGS[0].name]
    groups = list(dict.fromkeys(clip.group for clip in clips))
    written = {clip.group for clip in clips if clip.words is not None}
    table = Table(title=f"Wrong words in %, {options.whisper}, {len(clips)} clips")
    table.add_column("window")
    for group in [*groups, "all written", "median s", "p95 s", "again"]:
        table.add_column(re.sub(r"[, ]+", "\n", group), justify="right")
    result: dict[str, dict[str, object]] = {"wer": {}, "seconds": {}, "read_again": {}}
    for setting in SETTINGS:
        mine = reads[setting.name]
        counted = wrong_words(clips, mine, full)
        errors = {group: percent(*counted[group]) for group in groups}
        errors["all written"] = percent(
            sum(counted[group][0] for group in written), sum(counted[group][1] for group in written)
        )
        times = [read.seconds for read in mine]
        p50, p95 = median(times), quantiles(times, n=20)[-1]
        again = percent(sum(read.read_again for read in mine), len(mine))
        table.add_row(
            setting.name,
            *(f"{error:.1f}" for error in errors.values()),
            f"{p50:.3f}",
            f"{p95:.3f}",
            f"{again:.0f} %",
        )
        result["wer"][setting.name] = errors
        result["seconds"][setting.name] = {"p50": round(p50, 4), "p95": round(p95, 4)}
        result["read_again"][setting.name] = again
    console.print(table)
    transcribe = Transcriber(weights.whisper(options.whisper, offline=True))
    heard = [transcribe(samples) for samples in quiet]
    words = [transcript.text for transcript in heard if transcript.rejected is None]
    if quiet:
        console.print(f"{len(words)} of {len(quiet)} quiet rooms became words: {words}")
    if options.data is not None:
        phone = [n for n, clip in enumerate(clips) if clip.group == "phone"]
        spoken = " ".join(clips[n].words or "" for n in phone)
        one_by_one = " ".join(words_of(reads[USUAL.name][n]) for n in phone)
        engine = through_the_engine(
            options.data / "conversation" / "phone" / "sample.wav", options.whisper
        )
        result["phone"] = {
            "one_by_one": word_errors(spoken, one_by_one),
            "engine": word_errors(spoken, engine),
        }
        console.print(f"Wrong words of the phone call in %: {result['phone']}")
    print(json.dumps({**result, "usual": USUAL.name, "quiet": len(quiet), "heard": len(words)}))


if __name__ == "__main__":
    main()
