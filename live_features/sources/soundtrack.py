"""What one microphone after another has heard, end to end: blocks without a gap, and notices."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import soxr
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE, AudioBlock, DeviceNotice
from live_features.sources.capture import Capture
from live_features.sources.portaudio import sentence
from live_features.sources.ring import Gap

ZERO_SECONDS = 3.0
"""A microphone that delivers nothing but zeros for so long from the start is told of."""
LATER_ZERO_SECONDS = 30.0
"""The same once it has delivered sound: noise gates make zeros, too."""
RATE_INTERVAL = 1.0
"""The rate at which samples come is measured so often (seconds) and judged by the last six."""

_MOST = 10 * SAMPLE_RATE  # samples delivered at once
_PIECE = 1.0  # seconds of the longest block
_NOTICE_INTERVAL = 1.0
_INTERVALS = 6
_RATE_ERROR = 0.02
_STANDARD_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000)


class Soundtrack:
    """Puts captures end to end at :data:`~live_features.media.SAMPLE_RATE`; for one thread.

    Sound of one or two channels comes out as ``channels``: their mean, or each of them. Where
    sound is missing, within a capture or between two, silence of its length stands in its place.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._items: list[AudioBlock | DeviceNotice] = []
        self._delivered = 0
        self._limit = _MOST
        self._present: _Present | None = None
        self._gone: Capture | None = None

    def take(self, capture: Capture) -> bool:
        """Deliver what ``capture`` has heard so far; whether that was all of it."""
        if not capture.begun:
            return True
        if self._present is None:
            if not self._fill_up_to(capture.begins):
                return False
            self._greet(capture)
            self._present = _Present(capture, self._channels)
        present = self._present
        while self._delivered < self._limit:
            heard = capture.ring.read(round(_PIECE * capture.rate))
            if heard is None:
                self._correct_rate(present)
                self._tell_overflow(present)
                return True
            if isinstance(heard, Gap):
                present.note_overflow(heard.frames / capture.rate)
            else:
                self._note_zeros(present, heard)
            self._deliver(present.resampled(heard), overflowed=isinstance(heard, Gap))
        return False

    def end(self, capture: Capture, reason: str) -> None:
        """Nothing more comes from ``capture``, all of which has been taken."""
        if self._present is not None:
            self._deliver(self._present.rest())
            self._tell_overflow(self._present, at_once=True)
            self._present = None
        # A microphone that comes back without a sound has been told of already.
        if self._gone is None:
            if reason in ("lost", "stalled"):
                self.tell(reason, sentence(reason, name=capture.microphone.name))
            self._gone = capture

    def keep_place(self, until: float) -> None:
        """While no microphone is there, silence up to session time ``until`` (seconds)."""
        if self._gone is not None:
            self._fill_up_to(until)

    def tell(self, code: str, message: str, lost: float = 0.0) -> None:
        """Add a notice about this moment."""
        now = self._delivered / SAMPLE_RATE
        self._items.append(DeviceNotice(now, "microphone", code, message, lost))

    def collected(self) -> list[AudioBlock | DeviceNotice]:
        """What has come out since the last call, at most ten seconds of sound."""
        items, self._items = self._items, []
        self._limit = self._delivered + _MOST
        return items

    def _greet(self, capture: Capture) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            other = capture.microphone.lasting_name != gone.microphone.lasting_name
            code = "default_changed" if other else "returned"
            lost = capture.begins - gone.end
            self.tell(code, sentence(code, name=capture.microphone.name), lost)

    def _deliver(self, samples: NDArray[np.float32], *, overflowed: bool = False) -> None:
        """``samples`` has the shape (n, channels)."""
        if len(samples):
            start = self._delivered / SAMPLE_RATE
            self._items.append(AudioBlock(np.clip(samples, -1, 1), start, overflowed))
            self._delivered += len(samples)

    def _fill_up_to(self, until: float) -> bool:
        """Deliver silence up to session time ``until``; whether that was possible."""
        end = round(until * SAMPLE_RATE)
        while (count := min(end, self._limit) - self._delivered) > 0:
            count = min(count, round(_PIECE * SAMPLE_RATE))
            self._deliver(np.zeros((count, self._channels), np.float32))
        return self._delivered >= end

    def _tell_overflow(self, present: _Present, *, at_once: bool = False) -> None:
        lost = present.overflow_to_tell(at_once=at_once)
        if lost is not None:
            self.tell("overflow", sentence("overflow", name=present.name), lost)

    def _note_zeros(self, present: _Present, heard: NDArray[np.float32]) -> None:
        was_silent = present.silent
        present.note_zeros(heard)
        if present.silent != was_silent:
            code = "silent" if present.silent else "returned"
            self.tell(code, sentence(code, name=present.name))

    def _correct_rate(self, present: _Present) -> None:
        promised, rate = present.capture.rate, present.measured_rate()
        if rate is not None:
            self._deliver(present.rest())
            self._fill_up_to(present.correct_rate(rate))
            message = sentence("wrong_rate", name=present.name, rate=rate, promised=promised)
            self.tell("wrong_rate", message)


class _Present:
    """The capture that is being taken, and what is known of it."""

    def __init__(self, capture: Capture, channels: int) -> None:
        self.capture = capture
        self.name = capture.microphone.name
        self.silent = False
        self._channels = channels
        self._sounded = False
        self._zeros = 0.0
        self._overflow: float | None = None
        self._overflow_told = -np.inf
        self._start()

    def _start(self) -> None:
        rate = self.capture.rate
        self._pace = _Pace(rate)
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, self._channels, dtype="float32")

    def resampled(self, heard: NDArray[np.float32] | Gap) -> NDArray[np.float32]:
        """Of shape (n, channels); as much as can be told already."""
        if isinstance(heard, Gap):
            samples = np.zeros((heard.frames, self._channels), np.float32)
        elif heard.shape[1] == self._channels:
            samples = np.nan_to_num(heard, nan=0, posinf=0, neginf=0)
        else:
            samples = np.nan_to_num(heard, nan=0, posinf=0, neginf=0).mean(axis=1, keepdims=True)
        return self._resample(samples)

    def rest(self) -> NDArray[np.float32]:
        """What the resampler has kept back for want of what comes next."""
        return self._resample(np.zeros((0, self._channels), np.float32), last=True)

    def _resample(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._resampler.resample_chunk(samples, last=last)
        return result

    def note_overflow(self, seconds: float) -> None:
        self._overflow = (self._overflow or 0.0) + seconds

    def overflow_to_tell(self, *, at_once: bool) -> float | None:
        """Seconds lost since this was last told, at most once a second unless ``at_once``."""
        now = time.monotonic()
        if not at_once and now - self._overflow_told < _NOTICE_INTERVAL:
            return None
        lost, self._overflow = self._overflow, None
        if lost is not None:
            self._overflow_told = now
        return lost

    def note_zeros(self, heard: NDArray[np.float32]) -> None:
        if heard.any():
            self._sounded, self._zeros, self.silent = True, 0.0, False
        else:
            self._zeros += len(heard) / self.capture.rate
            self.silent = self._zeros > (LATER_ZERO_SECONDS if self._sounded else ZERO_SECONDS)

    def measured_rate(self) -> int | None:
        """The rate in Hz where it is not what the device promised."""
        arrivals = self.capture.arrivals
        while arrivals:
            self._pace.add(*arrivals.popleft())
        return self._pace.wrong_rate()

    def correct_rate(self, rate: int) -> float:
        """Session time (seconds) from which on samples come at ``rate`` Hz."""
        begins = self.capture.correct(rate)
        self._start()
        return begins


class _Pace:
    """How many samples a second really come, by the monotonic clock."""

    def __init__(self, promised: int) -> None:
        self._promised = promised
        # The sample that waited least in each interval: those that came late tell nothing.
        self._prompt: deque[tuple[int, float]] = deque(maxlen=_INTERVALS + 1)
        self._since = -np.inf

    def add(self, frames: int, wall: float) -> None:
        """``frames`` had come, in all, at ``wall`` seconds."""
        if wall - self._since >= RATE_INTERVAL:
            self._since = wall
            self._prompt.append((frames, wall))
        elif self._lag(frames, wall) < self._lag(*self._prompt[-1]):
            self._prompt[-1] = (frames, wall)

    def _lag(self, frames: int, wall: float) -> float:
        return wall - frames / self._promised

    def wrong_rate(self) -> int | None:
        """Samples a second where that is more than 2 % from what was promised, and steady."""
        if len(self._prompt) <= _INTERVALS:
            return None
        first, middle, last = self._prompt[0], self._prompt[_INTERVALS // 2], self._prompt[-1]
        rate = _rate(first, last)
        halves = (_rate(first, middle), _rate(middle, last))
        steady = all(abs(half / rate - 1) < _RATE_ERROR / 2 for half in halves)
        wrong = abs(rate / self._promised - 1) > _RATE_ERROR
        if not (steady and wrong and 1 / 4 < rate / self._promised < 4):
            return None
        nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
        return nearest if abs(nearest / rate - 1) < _RATE_ERROR / 2 else round(rate)


def _rate(first: tuple[int, float], last: tuple[int, float]) -> float:
    return (last[0] - first[0]) / (last[1] - first[1])
