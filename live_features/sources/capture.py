"""One opened stream: what its callback has heard, and when."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from live_features.sources.portaudio import MicrophoneDescription
from live_features.sources.ring import SampleRing

RING_SECONDS = 10.0
"""How long sound waits to be read before some of it is lost."""

_JUMP = 0.25
"""Seconds by which the device's own clock may be ahead of its samples before they count as lost."""
_SETTLING = 0.03
"""Seconds a second by which the session may fall behind the clock on the wall."""


class Capture:
    """What one stream hears. :meth:`hear` is the callback; one other thread reads."""

    def __init__(
        self,
        microphone: MicrophoneDescription,
        channels: int,
        rate: int,
        *,
        before: Capture | None,
        heard: threading.Event,
    ) -> None:
        """The first ``channels`` at ``rate`` Hz; ``before`` is the stream that this one follows.

        ``heard`` is set whenever something has come.
        """
        self.microphone = microphone
        self.rate = rate
        self.ring = SampleRing(round(RING_SECONDS * rate), channels)
        self.arrivals: deque[tuple[int, float]] = deque(maxlen=4096)
        self.last = time.monotonic()
        self.begins = 0.0
        self.over: str | None = None
        self._channels = channels
        self._heard = heard
        self._expected = 0.0
        # What added to the monotonic clock is the time of the session, once that has begun.
        self._offset: float | None = None
        if before is not None:
            self._offset = -before.last if before._offset is None else before._offset
            self.begins = before.end
        # A frame, its session time, and the rate from there on: always replaced as a whole.
        self._scale: tuple[int, float, int] | None = None
        self._scale_kept: tuple[int, float, int] | None = None

    @property
    def begun(self) -> bool:
        """Whether anything has come; from then on ``begins`` is the session time of its start."""
        return self._scale is not None

    @property
    def end(self) -> float:
        """Session time after the last sample."""
        return self.begins if self._scale is None else self._time(self.ring.heard)

    def clock(self, wall: float) -> float:
        """Session time at ``wall`` on the monotonic clock."""
        return 0.0 if self._offset is None else wall + self._offset

    def correct(self, rate: int) -> float:
        """What has not been read yet came at ``rate`` Hz; for the reader.

        Gives the session time (seconds) of its beginning, which is later than the end of what has
        been read where that was taken for too short.
        """
        taken = self.ring.taken
        waiting = (self.ring.heard - taken) / rate
        at = max(self._time(taken), self.clock(self.last) - waiting)
        self._scale = (taken, at, rate)
        self.rate = rate
        return at

    def finish(self, reason: str) -> None:
        """Nothing more comes, for the reason with this code."""
        if self.over is None:
            self.ring.settle()
            self.over = reason

    def hear(self, samples: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Keep what has come; ``samples`` has the shape (frames, all channels of the stream)."""
        if self.over is not None:
            return
        now = time.monotonic()
        missing = self._missing(now, frames, times.inputBufferAdcTime, status.input_overflow)
        if missing is not None:
            self.ring.skip(missing)
        self.ring.write(samples[:, : self._channels])
        self._keep_time(now, frames)
        self.last = now
        self._heard.set()

    def _missing(self, now: float, frames: int, taken: float, overflowed: bool) -> int | None:
        """Frames that were lost before these: None for no loss, 0 where nobody knows how many.

        ``taken`` is when the first of them was recorded, in seconds on the device's own clock, or
        0 where it has none.
        """
        late = now - self.last - frames / self.rate
        if taken > 0:
            late = min(late, taken - self._expected) if self._expected > 0 else 0.0
            self._expected = taken + frames / self.rate
            overflowed = overflowed or late > _JUMP
        if not overflowed or not self.begun:
            return None
        return max(round(late * self.rate), 0)

    def _keep_time(self, now: float, frames: int) -> None:
        if self._scale is None:
            if self._offset is not None:
                self.begins = max(self.begins, self.clock(now) - frames / self.rate)
            self._scale = (0, self.begins, self.rate)
        heard = self.ring.heard
        ahead = self._time(heard) - now
        if self._scale is self._scale_kept and self._offset is not None:
            # The block that waited least tells the time best: those that come late, or several at
            # once, would make it jump.
            ahead = max(ahead, self._offset - _SETTLING * (now - self.last))
        self._scale_kept = self._scale
        self._offset = ahead
        self.arrivals.append((heard, now))

    def _time(self, frames: int) -> float:
        """Session time after ``frames`` samples."""
        assert self._scale is not None
        since, at, rate = self._scale
        return at + (frames - since) / rate
