"""Live input that can be paused: of what devices deliver meanwhile nothing is handed on.

    devices:  ----a----|  thrown away  |----b----
    session:  ----a----|silence|----b----

Session time stands still in a pause, but for a second of silence in its place: with that an open
utterance ends, live and whenever a recording of the session is read again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

import numpy as np

from live_features.media import (
    SAMPLE_RATE,
    AudioBlock,
    CapturePaused,
    CaptureResumed,
    DeviceNotice,
    MediaInfo,
    VideoFrame,
)

SILENCE = 1.0
"""Seconds that stand for a pause; more than ends any utterance."""


class LiveInput(Protocol):
    """What :class:`~live_features.sources.live.LiveSource` offers."""

    @property
    def info(self) -> MediaInfo: ...

    @property
    def now(self) -> float:
        """Its time this instant, in seconds; from any thread."""

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame | DeviceNotice]: ...

    def rest(self) -> None:
        """Let go of what it can do without until :meth:`wake`; at once, from any thread."""

    def wake(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Pause:
    """Seconds on the clock of the devices; ``end`` is infinite while nobody has resumed."""

    begin: float
    end: float = inf


class PausableSource:
    """``source``, which :meth:`pause` and :meth:`resume` silence from any thread, at once.

    Sound and pictures from between the two calls are never handed on, however late they arrive.
    Notices about devices are. Meanwhile ``source`` rests.
    """

    def __init__(self, source: LiveInput) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._pauses: deque[_Pause] = deque()
        self._paused = False
        # What follows belongs to whoever iterates.
        self._heard = 0
        self._inside = False
        self._behind = 0.0
        self._seen_from = 0.0

    @property
    def info(self) -> MediaInfo:
        return self._source.info

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self) -> None:
        """Hand on nothing from now on."""
        with self._lock:
            if not self._paused:
                self._pauses.append(_Pause(self._source.now))
                self._paused = True
                self._source.rest()

    def resume(self) -> None:
        """Hand on what comes from now on."""
        with self._lock:
            if self._paused:
                self._pauses[-1].end = self._source.now
                self._paused = False
                self._source.wake()

    def close(self) -> None:
        self._source.close()

    def __iter__(
        self,
    ) -> Iterator[AudioBlock | VideoFrame | DeviceNotice | CapturePaused | CaptureResumed]:
        for item in self._source:
            match item:
                case AudioBlock():
                    yield from self._hear(item)
                case VideoFrame(time=time):
                    if not self._inside and self._seen_from <= time < self._next.begin:
                        # Not asked for its picture, which may not have been made yet.
                        yield item.at(time - self._behind) if self._behind else item
                case DeviceNotice(time=time):
                    now = self._now if self._inside else time - self._behind
                    yield replace(item, time=now)

    @property
    def _now(self) -> float:
        return self._heard / SAMPLE_RATE

    @property
    def _next(self) -> _Pause:
        with self._lock:
            return self._pauses[0] if self._pauses else _Pause(inf)

    def _hear(self, block: AudioBlock) -> Iterator[AudioBlock | CapturePaused | CaptureResumed]:
        while len(block.samples):
            pause = self._next
            until = _samples_until(pause.end if self._inside else pause.begin, block)
            before, block = _cut(block, until)
            if not self._inside:
                if len(before.samples):
                    yield self._placed(before)
                if len(block.samples):
                    self._inside = True
                    yield CapturePaused(self._now)
                    quiet = np.zeros((round(SILENCE * SAMPLE_RATE), block.samples.shape[1]))
                    yield self._placed(AudioBlock(quiet.astype(np.float32), block.start))
            elif len(block.samples):
                with self._lock:
                    self._pauses.popleft()
                self._inside = False
                self._behind, self._seen_from = block.start - self._now, block.start
                yield CaptureResumed(self._now)

    def _placed(self, block: AudioBlock) -> AudioBlock:
        placed = replace(block, start=self._now)
        self._heard += len(block.samples)
        return placed


def _samples_until(time: float, block: AudioBlock) -> int:
    if time >= block.end:
        return len(block.samples)
    return max(round((time - block.start) * SAMPLE_RATE), 0)


def _cut(block: AudioBlock, samples: int) -> tuple[AudioBlock, AudioBlock]:
    rest = block.start + samples / SAMPLE_RATE
    return (
        replace(block, samples=block.samples[:samples]),
        replace(block, samples=block.samples[samples:], start=rest),
    )
