"""Endpoints on a scripted detector: what is cut where, and why."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from live_features.endpointing import (
    Endpointer,
    EndpointEvent,
    SpeechDropped,
    SpeechPaused,
    SpeechResumed,
    SpeechSegment,
    SpeechStart,
)
from live_features.media import SAMPLE_RATE
from live_features.voice_activity import FRAME

FRAME_SECONDS = FRAME / SAMPLE_RATE


def script(*parts: tuple[float, float]) -> list[float]:
    """(seconds, probability) parts as one probability a frame."""
    return [p for seconds, p in parts for _ in range(round(seconds / FRAME_SECONDS))]


def run(
    probabilities: Sequence[float],
    block: int = 1600,
    tail: int = 0,
    reads_finished: Callable[[SpeechSegment], bool] | None = None,
) -> tuple[list[EndpointEvent], NDArray[np.float32]]:
    """Feed a signal that counts its own samples, ``block`` at a time."""
    waiting = iter([*probabilities, 1.0])
    signal = np.arange(len(probabilities) * FRAME + tail, dtype=np.float32)
    endpointer = Endpointer(lambda frame: next(waiting), reads_finished=reads_finished)
    events: list[EndpointEvent] = []
    for start in range(0, len(signal), block):
        events += endpointer.push(signal[start : start + block])
    return [*events, *endpointer.flush()], signal


def segments(events: Sequence[EndpointEvent]) -> list[SpeechSegment]:
    return [event for event in events if isinstance(event, SpeechSegment)]


def test_a_pause_ends_an_utterance_and_its_edges_are_kept() -> None:
    events, signal = run(script((1.0, 0.1), (2.0, 0.9), (1.0, 0.1)))
    start, paused, segment = events
    assert isinstance(paused, SpeechPaused)
    assert start == SpeechStart(pytest.approx(1.0, abs=FRAME_SECONDS))
    assert isinstance(segment, SpeechSegment)
    assert segment.reason == "pause"
    assert segment.start == start.time
    assert segment.end == pytest.approx(3.0, abs=FRAME_SECONDS)
    assert segment.start - segment.offset == pytest.approx(0.3, abs=FRAME_SECONDS)
    after = segment.offset + len(segment.samples) / SAMPLE_RATE - segment.end
    assert after == pytest.approx(0.2, abs=FRAME_SECONDS)
    first = round(segment.offset * SAMPLE_RATE)
    np.testing.assert_array_equal(segment.samples, signal[first : first + len(segment.samples)])
    assert segment.speech[0] == round(segment.start * SAMPLE_RATE)
    assert len(segment.speech) == round((segment.end - segment.start) * SAMPLE_RATE)


def test_hysteresis_a_weak_middle_neither_ends_nor_starts_speech() -> None:
    (segment,) = segments(run(script((1.0, 0.9), (1.0, 0.4), (1.0, 0.9), (1.0, 0.1)))[0])
    assert segment.end - segment.start == pytest.approx(3.0, abs=2 * FRAME_SECONDS)
    assert run(script((3.0, 0.35)))[0] == []


def test_a_short_pause_stays_inside_the_utterance() -> None:
    probabilities = script((1.0, 0.9), (0.4, 0.1), (1.0, 0.9), (1.0, 0.1))
    assert len(segments(run(probabilities)[0])) == 1


def test_a_click_is_dropped_with_its_reason() -> None:
    events, _ = run(script((1.0, 0.1), (0.1, 0.9), (1.0, 0.1)))
    assert isinstance(events[-1], SpeechDropped)
    assert events[-1].reason == "too_short"


def test_the_end_of_the_stream_hands_out_the_open_utterance() -> None:
    events, signal = run(script((0.5, 0.1), (1.0, 0.9)), tail=100)
    (segment,) = segments(events)
    assert segment.reason == "end_of_input"
    assert segment.end == len(signal) / SAMPLE_RATE
    assert segment.samples[-1] == signal[-1]


def test_over_long_speech_is_cut_at_its_weakest_moment_and_nothing_is_lost() -> None:
    events, _ = run(script((10.0, 0.9), (0.2, 0.4), (9.8, 0.9), (1.0, 0.1)))
    first, second = segments(events)
    assert first.reason == "max_length"
    assert second.reason == "pause"
    assert 10.0 <= first.end <= 10.3
    assert second.start == first.end
    assert [event.time for event in events if isinstance(event, SpeechStart)] == [
        first.start,
        second.start,
    ]


def test_neighbouring_utterances_share_no_speech() -> None:
    events, _ = run(script((1.0, 0.9), (0.65, 0.1), (1.0, 0.9), (1.0, 0.1)))
    first, second = segments(events)
    assert second.offset >= first.end


@pytest.mark.parametrize("block", [1, 511, 512, 513, 40_000])
def test_the_size_of_blocks_does_not_matter(block: int) -> None:
    probabilities = script((0.3, 0.1), (0.7, 0.9), (0.7, 0.1), (0.5, 0.8))[:64]
    expected = [(s.start, s.end, s.reason) for s in segments(run(probabilities)[0])]
    assert expected
    got = segments(run(probabilities, block)[0])
    assert [(s.start, s.end, s.reason) for s in got] == expected


def test_a_candidate_is_what_is_handed_out_when_nothing_follows() -> None:
    events, _ = run(script((0.5, 0.1), (1.0, 0.9), (1.0, 0.1)))
    (candidate,) = [event.candidate for event in events if isinstance(event, SpeechPaused)]
    (segment,) = segments(events)
    assert (candidate.start, candidate.end, candidate.offset) == (
        segment.start,
        segment.end,
        segment.offset,
    )
    np.testing.assert_array_equal(candidate.samples, segment.samples)


def test_a_finished_sentence_ends_after_a_shorter_pause() -> None:
    probabilities = script((0.5, 0.1), (1.0, 0.9), (0.45, 0.1), (1.0, 0.9), (1.0, 0.1))
    asked: list[SpeechSegment] = []

    def yes(segment: SpeechSegment) -> bool:
        asked.append(segment)
        return True

    first, second = segments(run(probabilities, reads_finished=yes)[0])
    assert (first.reason, second.reason) == ("finished", "finished")
    assert [segment.end for segment in asked] == [first.end, second.end]
    (whole,) = segments(run(probabilities, reads_finished=lambda segment: False)[0])
    assert whole.reason == "pause"
    assert (whole.start, whole.end) == (first.start, second.end)


def test_going_on_after_a_pause_is_told_once() -> None:
    events, _ = run(script((1.0, 0.9), (0.3, 0.1), (1.0, 0.9), (1.0, 0.1)))
    kinds = [type(event) for event in events]
    assert kinds == [SpeechStart, SpeechPaused, SpeechResumed, SpeechPaused, SpeechSegment]


def test_what_is_being_spoken_can_be_heard_before_it_ends() -> None:
    waiting = iter(script((0.5, 0.1), (2.0, 0.9)))
    endpointer = Endpointer(lambda frame: next(waiting))
    signal = np.arange(round(2.4 * SAMPLE_RATE), dtype=np.float32)
    endpointer.push(signal[: round(0.4 * SAMPLE_RATE)])
    assert endpointer.open_utterance() is None
    endpointer.push(signal[round(0.4 * SAMPLE_RATE) :])
    heard = endpointer.open_utterance()
    assert heard is not None
    assert heard.reason == "open"
    assert heard.start == pytest.approx(0.5, abs=FRAME_SECONDS)
    assert heard.end == pytest.approx(2.4, abs=FRAME_SECONDS)


def split_at(
    at: float, *parts: tuple[float, float], heard: float
) -> tuple[list[EndpointEvent], list[EndpointEvent]]:
    """Play ``heard`` seconds, ask for a split at ``at``, play the rest; both outcomes apart."""
    line = script(*parts)
    waiting = iter([*line, 1.0])
    endpointer = Endpointer(lambda frame: next(waiting))
    signal = np.arange(len(line) * FRAME, dtype=np.float32)
    so_far = round(heard * SAMPLE_RATE)
    endpointer.push(signal[:so_far])
    split = endpointer.split(at)
    return split, [*endpointer.push(signal[so_far:]), *endpointer.flush()]


def test_an_utterance_ends_at_the_weakest_moment_near_a_change_of_speaker() -> None:
    parts = (0.5, 0.1), (1.5, 0.9), (0.1, 0.5), (1.5, 0.9), (1.0, 0.1)
    split, later = split_at(1.85, *parts, heard=3.0)
    first, start = split
    assert isinstance(first, SpeechSegment)
    assert first.reason == "speaker_change"
    assert first.end == pytest.approx(2.05, abs=0.1)
    assert start == SpeechStart(pytest.approx(first.end, abs=2 * FRAME_SECONDS))
    (second,) = segments(later)
    assert second.reason == "pause"
    assert second.start == pytest.approx(first.end, abs=2 * FRAME_SECONDS)
    assert second.end == pytest.approx(3.6, abs=2 * FRAME_SECONDS)
    assert second.offset >= first.end - FRAME_SECONDS


def test_no_utterance_is_cut_down_to_nothing() -> None:
    parts = (0.5, 0.1), (1.5, 0.9), (1.0, 0.1)
    split, later = split_at(0.55, *parts, heard=1.9)
    assert all(segment.end - segment.start >= 0.25 for segment in segments(split))
    assert split_at(0.2, *parts, heard=0.3)[0] == []
    assert segments(later)[-1].end == pytest.approx(2.0, abs=2 * FRAME_SECONDS)


@pytest.mark.parametrize("last_word", [0.1, 0.2, 0.3, 0.5])
def test_a_change_of_speaker_loses_no_short_last_word(last_word: float) -> None:
    weak = 2.0, 2.1
    parts = (weak[0], 0.9), (weak[1] - weak[0], 0.25), (last_word, 0.9), (1.0, 0.1)
    end = weak[1] + last_word
    split, later = split_at(end - 0.32, *parts, heard=end)
    told = [*split, *later]
    assert not any(isinstance(event, SpeechDropped) for event in told)
    assert segments(told)[-1].end == pytest.approx(end, abs=3 * FRAME_SECONDS)


def test_a_change_of_speaker_is_cut_though_it_was_just_now() -> None:
    (first, _), _ = split_at(2.1, (2.5, 0.9), (0.5, 0.1), heard=2.45)
    assert isinstance(first, SpeechSegment)
    assert first.end == pytest.approx(2.1, abs=0.35)


def test_a_change_found_in_a_pause_leaves_the_rest_as_a_candidate() -> None:
    parts = (0.5, 0.1), (1.5, 0.9), (0.1, 0.5), (1.5, 0.9), (1.0, 0.1)
    split, later = split_at(2.05, *parts, heard=3.9)
    assert [type(event) for event in split] == [SpeechSegment, SpeechStart, SpeechPaused]
    (second,) = segments(later)
    assert isinstance(split[2], SpeechPaused)
    np.testing.assert_array_equal(split[2].candidate.samples, second.samples)


def test_a_cut_is_made_where_it_was_expected() -> None:
    # A weaker moment beside the expected one is heard only afterwards.
    waiting = iter(script((2.0, 0.9), (0.1, 0.6), (0.1, 0.9), (0.1, 0.5), (2.0, 0.9)))
    signal = np.arange(round(4.0 / FRAME_SECONDS) * FRAME, dtype=np.float32)
    endpointer = Endpointer(lambda frame: next(waiting))
    so_far = round(2.5 * SAMPLE_RATE)
    endpointer.push(signal[:so_far])
    expected = endpointer.until(1.85)
    assert expected is not None
    endpointer.push(signal[so_far:])
    found = endpointer.split(2.15)[0]
    assert isinstance(found, SpeechSegment)
    assert (found.start, found.end) == (expected.start, expected.end)
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_a_lull_within_an_utterance_is_noticed_when_speech_goes_on() -> None:
    def lull(seconds: float) -> float | None:
        waiting = iter(script((1.0, 0.9), (seconds, 0.05), (0.5, 0.9)))
        endpointer = Endpointer(lambda frame: next(waiting))
        frames = round(1.0 / FRAME_SECONDS) + round(seconds / FRAME_SECONDS) + 3
        endpointer.push(np.ones(frames * FRAME, np.float32))
        return endpointer.lull_ended

    assert lull(0.03) is None
    assert lull(0.13) == pytest.approx(1.12, abs=FRAME_SECONDS)
