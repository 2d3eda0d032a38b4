"""Cuts a stream of sound into utterances, and says why each cut was made.

A state machine on a sample counter. Speech starts when the detector's probability reaches ``on``
and pauses when it falls below ``off`` (hysteresis). A pause of ``endpoint_silence`` ends the
utterance; where its words already read like a finished sentence, ``finished_silence`` does. Sound
just before and after is kept, so the first and the last word are whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE
from live_features.voice_activity import FRAME

_FRAME_SECONDS = FRAME / SAMPLE_RATE
_LULL = 0.1  # seconds without speech that are one
_SAME = 0.2  # seconds by which two cuts may differ that stand for the same change
_NEAR = 0.3  # seconds around a change of speaker in which the cut may be made


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """When speech begins, pauses and ends; all times in seconds, thresholds are probabilities.

    An utterance that has paused for ``post_roll`` is a candidate: it has all the sound that it
    would be handed out with, should it not go on.
    """

    on: float = 0.4
    off: float = 0.2
    pre_roll: float = 0.3
    post_roll: float = 0.2
    min_speech: float = 0.25
    finished_silence: float = 0.35
    endpoint_silence: float = 0.6
    max_speech: float = 15.0


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Speech began at ``time``."""

    time: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One utterance's sound.

    ``start`` and ``end`` bound the speech; ``samples`` (float32 mono, 16 kHz) begin at ``offset``
    and reach a little beyond on both sides. ``reason`` says what ended it: ``finished`` (a short
    pause after a finished sentence), ``pause``, ``speaker_change``, ``max_length`` or
    ``end_of_input``; ``open`` while it has not ended.
    """

    start: float
    end: float
    offset: float
    samples: NDArray[np.float32]
    reason: str

    @property
    def speech(self) -> NDArray[np.float32]:
        """The samples between ``start`` and ``end``."""
        first = round((self.start - self.offset) * SAMPLE_RATE)
        return self.samples[first : first + round((self.end - self.start) * SAMPLE_RATE)]


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The open utterance may be over: ``candidate`` is what it would be."""

    candidate: SpeechSegment


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The utterance that had paused goes on at ``time``."""

    time: float


@dataclass(frozen=True, slots=True)
class SpeechDropped:
    """Sound that began like speech and was none; ``reason`` is ``too_short``."""

    start: float
    end: float
    reason: str


EndpointEvent = SpeechStart | SpeechPaused | SpeechResumed | SpeechSegment | SpeechDropped


class Endpointer:
    """Follows one mono stream; :meth:`push` takes blocks of any length."""

    def __init__(
        self,
        voice_activity: Callable[[NDArray[np.float32]], float],
        rules: EndpointRules | None = None,
        *,
        reads_finished: Callable[[SpeechSegment], bool] | None = None,
    ) -> None:
        """``voice_activity`` maps the next 512 samples to a probability of speech.

        ``reads_finished`` is asked of a candidate after ``finished_silence``; without it every
        utterance waits for ``endpoint_silence``.
        """
        self._voice_activity = voice_activity
        self._rules = rules or EndpointRules()
        self._reads_finished = reads_finished
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the next sample is at time 0."""
        self._waiting = np.zeros(0, dtype=np.float32)
        self._heard = 0
        self._frames: list[NDArray[np.float32]] = []
        self._probabilities: list[float] = []
        self._first_frame = 0
        self._speech_from: int | None = None
        self._speech_to = 0
        self._cut_at = 0
        self._expected_cut: int | None = None
        self._lull_ended: float | None = None
        self._candidate: SpeechSegment | None = None

    def push(self, samples: NDArray[np.float32]) -> list[EndpointEvent]:
        """Take the next mono samples; return what they decided, in order."""
        self._waiting = np.concatenate([self._waiting, samples])
        self._heard += len(samples)
        events: list[EndpointEvent] = []
        whole = len(self._waiting) // FRAME
        for n in range(whole):
            events += self._step(self._waiting[n * FRAME : (n + 1) * FRAME])
        self._waiting = self._waiting[whole * FRAME :].copy()
        return events

    def flush(self) -> list[EndpointEvent]:
        """The stream is over: hand out the open utterance, if there is one."""
        events: list[EndpointEvent] = []
        if len(self._waiting):
            events += self._step(np.pad(self._waiting, (0, FRAME - len(self._waiting))))
            self._waiting = self._waiting[:0]
        if self._speech_from is not None:
            events.append(self._close(self._speech_to, "end_of_input"))
        return events

    def split(self, at: float) -> list[EndpointEvent]:
        """End the open utterance near ``at`` (seconds), where somebody else takes over.

        The cut is at the weakest moment within 0.3 s, so that it goes through no word, and its
        reason ``speaker_change``. Nothing happens where a side would be too short to be kept.
        """
        cut = self._cut_near(at)
        if cut is None:
            return []
        self._candidate = None
        events = self._split(cut, "speaker_change")
        if self._speech_from is not None and self._now - self._speech_to >= _frames(
            self._rules.post_roll
        ):
            self._candidate = self._segment(self._speech_to, "finished")
            events.append(SpeechPaused(self._candidate))
        return events

    def until(self, at: float) -> SpeechSegment | None:
        """What :meth:`split` would hand out now; None where it would do nothing.

        Later cuts within 0.2 s are made in the same place, so that what has been done on the
        utterance need not be done again.
        """
        cut = self._expected_cut = self._cut_near(at)
        return None if cut is None else self._segment(min(cut, self._speech_to), "speaker_change")

    def open_utterance(self) -> SpeechSegment | None:
        """What has been heard of the utterance that is being spoken, if one is."""
        if self._speech_from is None:
            return None
        return self._segment(self._speech_to, "open")

    @property
    def lull_ended(self) -> float | None:
        """The second at which speech last went on after a short lull: often it is another's."""
        return self._lull_ended

    @property
    def _now(self) -> int:
        """Number of frames seen so far."""
        return self._first_frame + len(self._frames)

    def _step(self, frame: NDArray[np.float32]) -> list[EndpointEvent]:
        rules = self._rules
        probability = self._voice_activity(frame)
        index = self._now
        self._frames.append(frame)
        self._probabilities.append(probability)
        if self._speech_from is None:
            if probability < rules.on:
                self._forget_before(index - _frames(rules.pre_roll) + 1)
                return []
            self._speech_from = index
            self._speech_to = index + 1
            return [SpeechStart(index * _FRAME_SECONDS)]
        events: list[EndpointEvent] = []
        if probability >= rules.off:
            if index - self._speech_to >= _frames(_LULL):
                self._lull_ended = index * _FRAME_SECONDS
            self._speech_to = index + 1
            if self._candidate is not None:
                self._candidate = None
                events.append(SpeechResumed(index * _FRAME_SECONDS))
        elif (ended := self._pause(self._now - self._speech_to)) is not None:
            return [ended]
        if self._now - self._speech_from >= _frames(rules.max_speech):
            return [*events, *self._split(self._weakest(), "max_length")]
        return events

    def _pause(self, frames: int) -> SpeechPaused | SpeechSegment | SpeechDropped | None:
        """What a pause that is now ``frames`` long means."""
        rules = self._rules
        if frames == _frames(rules.post_roll):
            segment = self._segment(self._speech_to, "finished")
            if segment.end - segment.start >= rules.min_speech:
                self._candidate = segment
                return SpeechPaused(segment)
        if frames == _frames(rules.finished_silence) and self._is_finished():
            return self._close(self._speech_to, "finished")
        if frames >= _frames(rules.endpoint_silence):
            return self._close(self._speech_to, "pause")
        return None

    def _is_finished(self) -> bool:
        candidate, ask = self._candidate, self._reads_finished
        return candidate is not None and ask is not None and ask(candidate)

    def _segment(self, speech_to: int, reason: str) -> SpeechSegment:
        """The open utterance, with speech up to frame ``speech_to``."""
        assert self._speech_from is not None
        rules = self._rules
        # The last frame of a stream is padded; an utterance never ends after its sound does.
        end = min(speech_to * FRAME, self._heard) / SAMPLE_RATE
        first = max(self._speech_from - _frames(rules.pre_roll), self._first_frame, self._cut_at)
        # What follows a change of speaker is another person's first word.
        roll = 0.0 if reason == "speaker_change" else rules.post_roll
        last = min(speech_to + _frames(roll), self._now)
        samples = np.concatenate(
            self._frames[first - self._first_frame : last - self._first_frame]
        )[: self._heard - first * FRAME]
        start = self._speech_from * _FRAME_SECONDS
        return SpeechSegment(start, end, first * _FRAME_SECONDS, samples, reason)

    def _close(self, speech_to: int, reason: str) -> SpeechSegment | SpeechDropped:
        segment = self._segment(speech_to, reason)
        self._speech_from = None
        self._candidate = None
        self._expected_cut = None
        self._cut_at = speech_to
        self._forget_before(max(self._now - _frames(self._rules.pre_roll), speech_to))
        if segment.end - segment.start < self._rules.min_speech:
            return SpeechDropped(segment.start, segment.end, "too_short")
        return segment

    def _cut_near(self, at: float) -> int | None:
        """The frame before which the open utterance can end, at the weakest moment near ``at``."""
        if self._speech_from is None:
            return None
        middle, reach = round(at / _FRAME_SECONDS), _frames(_NEAR)
        shortest = _frames(self._rules.min_speech)
        # Less than that on a side would be dropped, and a word lost with it.
        first = max(middle - reach, self._speech_from + shortest - 1)
        last = min(middle + reach + 1, self._speech_to - shortest)
        if first >= last:
            return None
        cut, expected = self._weakest_in(first, last), self._expected_cut
        if expected is not None and abs(cut - expected) <= _frames(_SAME):
            return expected
        return cut

    def _weakest(self) -> int:
        """The frame of the open utterance's second half that is most like a pause."""
        assert self._speech_from is not None
        return self._weakest_in(self._speech_from + (self._now - self._speech_from) // 2, self._now)

    def _weakest_in(self, first: int, last: int) -> int:
        """The end of the frame from ``first`` to before ``last`` that is most like a pause."""
        # Three frames together, because a single weak frame may lie inside a word.
        smooth = np.convolve(np.pad(self._probabilities, 1, "edge"), np.ones(3) / 3, mode="valid")
        weak = smooth[first - self._first_frame : last - self._first_frame]
        return min(first + int(np.argmin(weak)) + 1, self._now)

    def _split(self, cut: int, reason: str) -> list[EndpointEvent]:
        """End the open utterance at frame ``cut`` and go on with the rest of it."""
        carried = self._now - cut
        frames, probabilities = self._frames[-carried:], self._probabilities[-carried:]
        reached = self._speech_to
        events: list[EndpointEvent] = [self._close(min(cut, reached), reason)]
        if carried == 0 or reached <= cut:
            return events
        self._frames, self._probabilities, self._first_frame = frames, probabilities, cut
        self._speech_from, self._speech_to = cut, reached
        return [*events, SpeechStart(cut * _FRAME_SECONDS)]

    def _forget_before(self, index: int) -> None:
        gone = max(index - self._first_frame, 0)
        del self._frames[:gone]
        del self._probabilities[:gone]
        self._first_frame += gone


def _frames(seconds: float) -> int:
    return round(seconds / _FRAME_SECONDS)


def speech_span(samples: NDArray[np.float32], endpointer: Endpointer) -> tuple[float, float]:
    """Seconds at which the first word of a clip begins and the last one ends.

    ``samples`` (n,) is the clip as the endpointer's whole stream; where no speech is found in it,
    all of it counts.
    """
    events = [*endpointer.push(samples), *endpointer.flush()]
    segments = [event for event in events if isinstance(event, SpeechSegment)]
    if not segments:
        return 0.0, len(samples) / SAMPLE_RATE
    return segments[0].start, segments[-1].end
