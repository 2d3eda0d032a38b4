"""How long each stage takes on this machine, measured on the conversation that ships."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from app.checks import Finding
from app.models import Models, load_models
from app.options import ModelOptions
from app.pressure import FULL
from live_features.clocks import VirtualClock
from live_features.endpointing import Endpointer, SpeechSegment
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.incremental import IncrementalSDT

UTTERANCES = 50
"""How many have been said when the time to add another to the dialogue is taken."""

SLOW = 0.5
"""Share of real time beyond which a stage leaves too little for livelier talk than the demo's."""
BUSY = 0.8
"""Share of real time that a thread may take, and share of all cores that all may take."""

_SECONDS = 25.0  # of the conversation, for its sound
_PICTURES = 20
_ADDED = 5

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for a piece of work: on the wall, and summed over all cores."""

    seconds: float
    busy: float


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """What a piece of a stage's work costs; talk brings ``rate`` pieces a second.

    ``thread`` is the engine's: its stages wait for each other.
    """

    name: str
    thread: str
    piece: str
    rate: float
    cost: Cost

    @property
    def share(self) -> float:
        """Of real time: from 1 on the stage falls behind."""
        return self.cost.seconds * self.rate

    @property
    def cores(self) -> float:
        """How many cores it keeps busy."""
        return self.cost.busy * self.rate


def speed(options: ModelOptions) -> list[Finding]:
    """Load the models, time every stage, and say whether this machine keeps up with live talk.

    Raises:
        UserFacingError: the models, or the shipped conversation, cannot be read.
    """
    begun = time.perf_counter()
    models = load_models(replace(options, offline=True))
    loading = time.perf_counter() - begun
    stages = measure(models)
    return [
        Finding("loading", "works", f"all models in {loading:.1f} s"),
        *(_finding(stage, options) for stage in stages),
        _together(stages),
    ]


def _finding(stage: StageSpeed, options: ModelOptions) -> Finding:
    detail = f"{1000 * stage.cost.seconds:.1f} ms {stage.piece}: {stage.share:.1%} of real time"
    if stage.share <= SLOW:
        return Finding(stage.name, "works", detail)
    advice = "Close other programs."
    if stage.name == "words" and options.whisper != DEFAULT_WHISPER:
        advice = f"Choose a smaller model: `--whisper {DEFAULT_WHISPER}`."
    elif stage.name == "text" and options.text_encoder != DEFAULT_TEXT_ENCODER:
        advice = "Choose a smaller model: leave out `--text-encoder`."
    elif stage.name == "faces":
        advice = "Go on without pictures: `--camera none`."
    return Finding(stage.name, "slow", detail, advice)


def _together(stages: Sequence[StageSpeed]) -> Finding:
    threads = dict.fromkeys((stage.thread for stage in stages), 0.0)
    for stage in stages:
        threads[stage.thread] += stage.share
    busiest, share = max(threads.items(), key=lambda thread: thread[1])
    cores, there = sum(stage.cores for stage in stages), os.cpu_count() or 1
    detail = (
        f"Talk like the demo's takes {cores:.2f} of one core, and there are {there}; "
        f"the busiest thread, the {busiest}, is at work for {share:.0%} of the time."
    )
    if share > BUSY or cores > BUSY * there or any(stage.share > SLOW for stage in stages):
        return Finding("live talk", "slow", f"It falls behind. {detail}", "Close other programs.")
    return Finding("live talk", "works", f"It keeps up. {detail}")


def measure(models: Models) -> list[StageSpeed]:
    """The speed of every stage, in the order of the engine's threads.

    What talk brings a second is what the shipped conversation does.

    Raises:
        UserFacingError: that conversation cannot be read.
    """
    sound, pictures = _demo()
    seconds = len(sound) / SAMPLE_RATE
    parts = np.split(sound[: int(seconds) * SAMPLE_RATE], int(seconds))
    listen = Endpointer(models.new_voice_activity()).push
    events, voice_activity = _timed(listen, parts, patience=math.inf)
    segments = [e for part in events for e in part if isinstance(e, SpeechSegment)]
    transcripts, words = _timed(lambda s: models.transcribe(s.samples), segments)
    texts, text = _timed(lambda t: models.encode_text([t.text])[0], transcripts)
    voices, voice = _timed(lambda s: models.encode_voice.listen(s.speech), segments)
    models.analyse_faces.reset()
    seen, faces = _timed(models.analyse_faces, pictures)
    models.analyse_faces.reset()
    visual = next((face.embedding for frame in seen for face in frame.faces), None)
    standardise = models.checkpoint.statistics.standardise
    # A slow stage has not done all of them.
    dialogue = [
        standardise(UtteranceFeatures(text, voice.acoustic, visual))
        for text, voice in zip(texts, voices, strict=False)
    ]
    emotion = _emotion(models, dialogue)

    rate = len(segments) / seconds
    recogniser = {"words": words, "text": text, "voice": voice}
    after = f"an utterance after {UTTERANCES}"
    return [
        StageSpeed("voice activity", "listener", "a second of sound", 1.0, voice_activity),
        *(
            StageSpeed(name, "recogniser", "an utterance", rate, cost)
            for name, cost in recogniser.items()
        ),
        StageSpeed("emotion", "recogniser", after, rate, emotion),
        StageSpeed("faces", "watcher", "a picture", FULL.analysis_rate, faces),
    ]


def _timed(
    work: Callable[[T], R], pieces: Sequence[T], *, skip: int = 1, patience: float = 4.0
) -> tuple[list[R], Cost]:
    """Do the work in order, for about ``patience`` seconds at most.

    The first ``skip`` pieces warm up, and do not count.
    """
    results = [work(piece) for piece in pieces[:skip]]
    begun, busy_before = time.perf_counter(), time.process_time()
    for piece in pieces[skip:]:
        results.append(work(piece))
        if time.perf_counter() - begun > patience:
            break
    count = len(results) - skip
    return results, Cost(
        (time.perf_counter() - begun) / count, (time.process_time() - busy_before) / count
    )


def _emotion(models: Models, utterances: Sequence[UtteranceFeatures]) -> Cost:
    dialogue = IncrementalSDT(models.checkpoint.model)

    def add(features: UtteranceFeatures) -> None:
        dialogue.append(features, len(dialogue) % dialogue.config.speakers)
        dialogue.refresh()

    _, cost = _timed(add, list(islice(cycle(utterances), UTTERANCES + _ADDED)), skip=UTTERANCES)
    return cost


def _demo() -> tuple[NDArray[np.float32], list[VideoFrame]]:
    """Its first sound, mono, and its first pictures as far apart as they are looked at."""
    blocks: list[NDArray[np.float32]] = []
    pictures: list[VideoFrame] = []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock):
            blocks.append(item.samples[:, 0])
            if item.end >= _SECONDS:
                break
        elif len(pictures) < _PICTURES and item.time >= len(pictures) / FULL.analysis_rate:
            pictures.append(item)
    return np.concatenate(blocks), pictures
