"""Cuts a stream of sound into utterances, and says why each cut was made.

A state machine on a sample counter. Speech starts when the detector's probability reaches ``on``
and pauses when it falls below ``off`` (hysteresis); a pause of ``endpoint_silence`` ends the
utterance. Sound just before and after is kept, so the first and the last word are whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE
from live_features.voice_activity import FRAME

_FRAME_SECONDS = FRAME / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """When speech begins, pauses and ends; all times in seconds, thresholds are probabilities."""

    on: float = 0.5
    off: float = 0.35
    pre_roll: float = 0.3
    post_roll: float = 0.2
    min_speech: float = 0.25
    endpoint_silence: float = 0.5
    max_speech: float = 15.0


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Speech began at ``time``."""

    time: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One utterance's sound.

    ``start`` and ``end`` bound the speech; ``samples`` (float32 mono, 16 kHz) begin at ``offset``
    and reach a little beyond on both sides. ``reason`` says what ended it: ``pause``,
    ``max_length`` or ``end_of_input``.
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
class SpeechDropped:
    """Sound that began like speech and was none; ``reason`` is ``too_short``."""

    start: float
    end: float
    reason: str


EndpointEvent = SpeechStart | SpeechSegment | SpeechDropped


class Endpointer:
    """Follows one mono stream; :meth:`push` takes blocks of any length."""

    def __init__(
        self,
        voice_activity: Callable[[NDArray[np.float32]], float],
        rules: EndpointRules | None = None,
    ) -> None:
        """``voice_activity`` maps the next 512 samples to a probability of speech."""
        self._voice_activity = voice_activity
        self._rules = rules or EndpointRules()
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
        if probability >= rules.off:
            self._speech_to = index + 1
        if self._now - self._speech_to >= _frames(rules.endpoint_silence):
            return [self._close(self._speech_to, "pause")]
        if self._now - self._speech_from >= _frames(rules.max_speech):
            return self._split()
        return []

    def _close(self, speech_to: int, reason: str) -> SpeechSegment | SpeechDropped:
        speech_from = self._speech_from
        assert speech_from is not None
        rules = self._rules
        start = speech_from * _FRAME_SECONDS
        # The last frame of a stream is padded; an utterance never ends after its sound does.
        end = min(speech_to * FRAME, self._heard) / SAMPLE_RATE
        first = max(speech_from - _frames(rules.pre_roll), self._first_frame, self._cut_at)
        last = min(speech_to + _frames(rules.post_roll), self._now)
        samples = np.concatenate(
            self._frames[first - self._first_frame : last - self._first_frame]
        )[: self._heard - first * FRAME]
        self._speech_from = None
        self._cut_at = speech_to
        self._forget_before(max(self._now - _frames(rules.pre_roll), speech_to))
        if end - start < rules.min_speech:
            return SpeechDropped(start, end, "too_short")
        return SpeechSegment(start, end, first * _FRAME_SECONDS, samples, reason)

    def _split(self) -> list[EndpointEvent]:
        """Cut an over-long utterance where its second half is most like a pause."""
        assert self._speech_from is not None
        middle = self._speech_from + (self._now - self._speech_from) // 2
        tail = self._probabilities[middle - self._first_frame :]
        # Three frames together, because a single weak frame may lie inside a word.
        smooth = np.convolve(tail, np.ones(3) / 3, mode="same")
        cut = min(middle + int(np.argmin(smooth)) + 1, self._now)
        carried = self._now - cut
        frames, probabilities = self._frames[-carried:], self._probabilities[-carried:]
        reached = self._speech_to
        events: list[EndpointEvent] = [self._close(min(cut, reached), "max_length")]
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
