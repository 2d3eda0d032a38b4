"""What the listener hands on, and what it lets others do before an utterance is over."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import ASSETS, DEMO_MEDIA, SPEAKER_NETWORKS
from app.events import Event, SpeechEnded, SpeechStarted
from app.listening import Heard, Listener, Partial, Speculation
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.turns import SpeakerSegmentation, TurnFinder
from live_features.voice_activity import FRAME, VoiceActivityDetector

BLOCK = 800


def script(*parts: tuple[float, float]) -> list[float]:
    """(seconds, probability) parts as one probability a frame."""
    return [p for seconds, p in parts for _ in range(round(seconds * SAMPLE_RATE / FRAME))]


@dataclass
class Record:
    """Everything a listener said, in order."""

    events: list[Event] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    speculations: list[Speculation] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)


def detector(probabilities: Iterator[float]) -> Callable[[NDArray[np.float32]], float]:
    return lambda frame: next(probabilities)


def listen(*lines: Sequence[float], finished: bool = False, with_partials: bool = True) -> Record:
    """Play one script a channel to a listener."""
    record = Record()
    scripts = iter([iter(line) for line in lines])
    listener = Listener(
        lambda: detector(next(scripts)),
        len(lines),
        record.events.append,
        hand_on=record.heard.append,
        speculate=record.speculations.append,
        reads_finished=lambda speculation: finished,
        offer_partial=record.partials.append if with_partials else None,
    )
    length = min(len(line) for line in lines) * FRAME
    samples = np.zeros((length, len(lines)), np.float32)
    for start in range(0, length, BLOCK):
        listener(AudioBlock(samples[start : start + BLOCK], start / SAMPLE_RATE))
    listener.flush()
    return record


def test_an_utterance_that_paused_was_worked_on_before_it_was_over() -> None:
    record = listen(script((0.5, 0.1), (2.0, 0.9), (1.0, 0.1)))
    (speculation,), (heard,) = record.speculations, record.heard
    assert not speculation.stale
    mine, final = speculation.heard.segment, heard.segment
    assert (mine.start, mine.end, len(mine.samples)) == (
        final.start,
        final.end,
        len(final.samples),
    )
    assert [type(event) for event in record.events] == [SpeechStarted, SpeechEnded]


def test_work_on_an_utterance_that_goes_on_is_called_off() -> None:
    record = listen(script((1.0, 0.9), (0.3, 0.1), (1.0, 0.9), (1.0, 0.1)))
    assert [speculation.stale for speculation in record.speculations] == [True, False]
    assert len(record.heard) == 1


def test_a_sentence_that_reads_finished_ends_after_a_shorter_pause() -> None:
    line = script((1.0, 0.9), (0.45, 0.1), (1.0, 0.9), (1.0, 0.1))
    assert [heard.segment.reason for heard in listen(line).heard] == ["pause"]
    assert [h.segment.reason for h in listen(line, finished=True).heard] == ["finished"] * 2


def test_long_speech_is_offered_about_once_a_second_while_it_lasts() -> None:
    record = listen(script((0.5, 0.1), (4.0, 0.9), (1.0, 0.1)))
    until = [partial.heard.segment.end for partial in record.partials]
    assert until[0] - record.heard[0].segment.start < 1.1
    assert all(0.9 < after - before < 1.1 for before, after in itertools.pairwise(until))
    assert len(until) == 4
    assert listen(script((4.0, 0.9)), with_partials=False).partials == []


def test_two_channels_are_two_lines_that_may_talk_at_once() -> None:
    record = listen(
        script((0.5, 0.1), (2.0, 0.9), (1.5, 0.1)), script((1.0, 0.1), (2.0, 0.9), (1.0, 0.1))
    )
    assert [heard.channel for heard in record.heard] == [0, 1]
    first, second = (heard.segment for heard in record.heard)
    assert first.start < second.start < first.end < second.end


def test_words_that_are_not_read_in_time_count_as_unfinished() -> None:
    heard = listen(script((1.0, 0.9), (1.0, 0.1))).heard[0]
    speculation = Speculation(heard)
    assert not speculation.wait(0.0)
    speculation.settle(finished=True)
    assert speculation.wait(0.0)


@pytest.mark.parametrize("first", [1, 4, 12])
def test_who_takes_over_without_a_pause_is_noticed_before_they_have_said_much(first: int) -> None:
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    sound = np.concatenate([i.samples[:, 0] for i in source if isinstance(i, AudioBlock)])
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    before, after = (
        sound[round(u["start"] * SAMPLE_RATE) : round(u["end"] * SAMPLE_RATE)]
        for u in told["utterances"][first : first + 2]
    )
    change = len(before) / SAMPLE_RATE
    position = 0.0
    noticed: list[float] = []

    def tell(event: Event) -> None:
        if isinstance(event, SpeechEnded) and event.reason == "speaker_change":
            noticed.append(position)

    listener = Listener(
        lambda: VoiceActivityDetector(weights.packaged(weights.SILERO)),
        1,
        tell,
        hand_on=lambda heard: None,
        speculate=lambda speculation: None,
        reads_finished=lambda speculation: False,
        offer_partial=None,
        find_turns=TurnFinder(SpeakerSegmentation(SPEAKER_NETWORKS / "segmentation.safetensors")),
    )
    samples = np.concatenate([before, after])[:, None]
    for start in range(0, len(samples), BLOCK):
        block = AudioBlock(samples[start : start + BLOCK], start / SAMPLE_RATE)
        position = block.end
        listener(block)
    assert len(noticed) == 1
    assert change < noticed[0] < change + 0.75
