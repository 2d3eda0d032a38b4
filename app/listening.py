"""Sound to stretches of speech, and what can be done about one before it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.events import Event, SpeechEnded, SpeechStarted, UtteranceDropped
from live_features.endpointing import (
    Endpointer,
    EndpointEvent,
    SpeechDropped,
    SpeechPaused,
    SpeechResumed,
    SpeechSegment,
    SpeechStart,
)
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.turns import TurnFinder
from live_features.voice_activity import VoiceActivityDetector

_LOOK, _LOOK_SOON = 10_240, 1024
"""Samples after which it is looked whether somebody else has taken over: two thirds of a second,
and a sixteenth of one where there was a hint."""
_SETTLED = 1.0
"""Seconds of an utterance before hints count: whoever was interrupted trails off meanwhile."""
_AFTER_LULL = 0.2
"""Seconds after a lull within an utterance at which it is looked whose words go on."""
_FIRST_PARTIAL = 0.9
_PARTIAL_INTERVAL = 1.0

Sink = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of speech and the line it came over, None for a shared one."""

    segment: SpeechSegment
    channel: int | None

    @property
    def seconds(self) -> float:
        return self.segment.end - self.segment.start


@dataclass(frozen=True, slots=True)
class Partial:
    """The beginning of an utterance that is still being spoken."""

    heard: Heard


@dataclass(slots=True)
class Speculation:
    """An utterance that has paused: if it does not go on, the work on it is done already.

    Shared between the listener, which sets ``stale`` when speech goes on, and the recogniser, which
    settles whether the words read like a finished sentence.
    """

    heard: Heard
    stale: bool = False
    finished: bool = False
    _settled: threading.Event = field(default_factory=threading.Event)

    def settle(self, finished: bool) -> None:
        self.finished = finished
        self._settled.set()

    def wait(self, seconds: float) -> bool:
        """Whether the words read finished, as far as is known after so long."""
        return self._settled.wait(seconds) and self.finished


class Listener:
    """Sound to stretches of speech; with two channels each is one person's line."""

    def __init__(
        self,
        new_voice_activity: Callable[[], VoiceActivityDetector],
        channels: int,
        tell: Sink,
        *,
        hand_on: Callable[[Heard], None],
        speculate: Callable[[Speculation], None],
        reads_finished: Callable[[Speculation], bool],
        offer_partial: Callable[[Partial], None] | None,
        find_turns: TurnFinder | None = None,
    ) -> None:
        """``hand_on`` gets every utterance, ``speculate`` every one that pauses.

        ``reads_finished`` is asked a little later whether such a one is over. ``offer_partial``,
        if there is one, gets what has been heard of an open utterance, about once a second.
        ``find_turns`` ends an utterance where another person goes on without a pause; with a line
        for each person it is not asked.
        """
        self._lines = {
            channel: _Line(
                new_voice_activity(),
                channel,
                tell,
                hand_on=hand_on,
                speculate=speculate,
                reads_finished=reads_finished,
                offer_partial=offer_partial,
                find_turns=None if channel is not None else find_turns,
            )
            for channel in (range(channels) if channels > 1 else (None,))
        }

    def __call__(self, block: AudioBlock) -> None:
        for line in self._lines.values():
            line(block)

    def flush(self) -> None:
        """No more sound will come."""
        for line in self._lines.values():
            line.flush()


class _Line:
    """One channel of sound."""

    def __init__(
        self,
        voice_activity: VoiceActivityDetector,
        channel: int | None,
        tell: Sink,
        *,
        hand_on: Callable[[Heard], None],
        speculate: Callable[[Speculation], None],
        reads_finished: Callable[[Speculation], bool],
        offer_partial: Callable[[Partial], None] | None,
        find_turns: TurnFinder | None,
    ) -> None:
        self._channel = channel
        self._tell = tell
        self._hand_on = hand_on
        self._speculate = speculate
        self._reads_finished = reads_finished
        self._offer_partial = offer_partial
        self._find_turns = find_turns
        self._heard = 0
        self._look_due = _LOOK
        self._taken_over = False
        self._went_on: float | None = None
        self._endpointer = Endpointer(voice_activity, reads_finished=self._ask)
        self._speculation: Speculation | None = None
        self._partial_due = 0.0

    def __call__(self, block: AudioBlock) -> None:
        samples = block.samples[:, self._channel or 0]
        while len(samples):
            # Always after the same samples, however they are cut into blocks.
            piece = samples[: _LOOK_SOON - self._heard % _LOOK_SOON]
            samples = samples[len(piece) :]
            self._heard += len(piece)
            self._hear(piece)
        if self._offer_partial is not None and block.end >= self._partial_due:
            self._hand_partial(block.end)

    def flush(self) -> None:
        self._look_for_turns()
        for event in self._endpointer.flush():
            self._handle(event)

    def _hear(self, samples: NDArray[np.float32]) -> None:
        if self._find_turns is not None:
            self._find_turns.push(samples)
        for event in self._endpointer.push(samples):
            self._handle(event)
        if (went_on := self._endpointer.lull_ended) != self._went_on:
            self._went_on = went_on
            if went_on is not None:
                self._look_due = min(self._look_due, round((went_on + _AFTER_LULL) * SAMPLE_RATE))
        if self._heard >= self._look_due:
            self._look_for_turns()

    def _look_for_turns(self) -> None:
        self._look_due = self._heard + _LOOK
        self._taken_over = False
        while self._find_turns is not None and (opened := self._endpointer.open_utterance()):
            look = self._find_turns.look(opened.start)
            self._taken_over = look.hint
            if look.hint:
                settled = round((opened.start + _SETTLED) * SAMPLE_RATE)
                self._look_due = min(self._look_due, max(self._heard + _LOOK_SOON, settled))
            if look.change is None or look.change >= opened.end:
                return
            if not look.sure:
                if (cut_off := self._endpointer.until(look.change)) is not None:
                    # By the time it is sure, what was said before has been read.
                    self._speculate(Speculation(Heard(cut_off, self._channel)))
                return
            split = self._endpointer.split(look.change)
            for event in split:
                self._handle(event)
            if not split:
                return
            # Whoever took over may have been cut off in turn.

    def _ask(self, candidate: SpeechSegment) -> bool:
        speculation = self._speculation
        return speculation is not None and self._reads_finished(speculation)

    def _hand_partial(self, now: float) -> None:
        assert self._offer_partial is not None
        # A paused utterance is read as a whole already, and so is one that is being cut off.
        if self._speculation is not None or self._taken_over:
            return
        if (opened := self._endpointer.open_utterance()) is not None:
            self._partial_due = now + _PARTIAL_INTERVAL
            self._offer_partial(Partial(Heard(opened, self._channel)))

    def _handle(self, event: EndpointEvent) -> None:
        match event:
            case SpeechStart(time=start):
                self._partial_due = start + _FIRST_PARTIAL
                self._tell(SpeechStarted(media_time=start, channel=self._channel))
            case SpeechPaused(candidate=candidate):
                self._speculation = Speculation(Heard(candidate, self._channel))
                self._speculate(self._speculation)
            case SpeechResumed():
                self._forget_speculation()
            case SpeechSegment(start=start, end=end, reason=reason):
                if reason == "speaker_change":
                    self._forget_speculation()
                self._speculation = None
                self._end(start, end, reason)
                self._hand_on(Heard(event, self._channel))
            case SpeechDropped(start=start, end=end, reason=reason):
                self._forget_speculation()
                self._end(start, end, reason)
                self._tell(UtteranceDropped(media_time=end, start=start, end=end, reason=reason))

    def _forget_speculation(self) -> None:
        if self._speculation is not None:
            self._speculation.stale = True
            self._speculation = None

    def _end(self, start: float, end: float, reason: str) -> None:
        self._tell(
            SpeechEnded(media_time=end, channel=self._channel, start=start, end=end, reason=reason)
        )
