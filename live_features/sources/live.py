"""Microphone and webcam as one source: what they deliver, in the order of its time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from live_features.media import AudioBlock, DeviceNotice, MediaInfo, VideoFrame
from live_features.sources.webcam import RATE, SIZE, Webcam

_READ = 0.1  # seconds
# Sound takes a while from the air to here; a picture that is as new waits for it, but not longer.
_WAIT_FOR_SOUND = 0.25  # seconds


class Microphone(Protocol):
    """What :class:`~live_features.sources.microphone.Microphone` offers a source."""

    @property
    def channels(self) -> int: ...

    @property
    def now(self) -> float:
        """The time of the session this instant, in seconds; from any thread."""

    def start(self) -> None:
        """Begin the session at second 0."""

    def read(self, timeout: float) -> Sequence[AudioBlock | DeviceNotice]:
        """What was heard since the last call, waiting up to ``timeout`` seconds for it."""

    def stop(self) -> None:
        """Hear no more; what was heard can still be read."""


class LiveSource:
    """What a microphone hears and a webcam sees, until :meth:`close`; nothing heard is lost.

    The devices start with the first item asked for. A block counts from its end, a picture from its
    time; a picture that is newer than all sound waits for it, up to 0.25 s. The order holds to a
    few milliseconds, which is how well the time of sound is known, but for pictures from a camera
    with an offset, which are late anyway, and sound that a device holds back for longer.

    Iterating raises :class:`~live_features.errors.UserFacingError` if there is no microphone to
    start with. A camera is not needed: without one, or while it is away, sound goes on.
    """

    def __init__(self, microphone: Microphone, camera: Webcam | None) -> None:
        self._microphone = microphone
        self._camera = camera
        self._seen: deque[VideoFrame | DeviceNotice] = deque()
        self._closed = threading.Event()

    @property
    def info(self) -> MediaInfo:
        """Size and rate of the picture are what was asked for until the camera has opened."""
        channels, camera = self._microphone.channels, self._camera
        if camera is None:
            return MediaInfo(name="live", duration=None, channels=channels)
        width, height = camera.size or SIZE
        return MediaInfo(
            name="live",
            duration=None,
            channels=channels,
            width=width,
            height=height,
            frame_rate=camera.frame_rate or RATE,
        )

    @property
    def now(self) -> float:
        """The time of the session this instant, in seconds; from any thread."""
        return self._microphone.now

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame | DeviceNotice]:
        microphone = self._microphone
        if self._closed.is_set():
            return
        microphone.start()
        try:
            if self._camera is not None:
                self._camera.start(lambda: microphone.now)
            while not self._closed.is_set():
                waited_enough = microphone.now - _WAIT_FOR_SOUND
                yield from self._in_order(microphone.read(_READ))
                yield from self._seen_until(waited_enough)
        finally:
            microphone.stop()
            self._look()
            if self._camera is not None:
                self._camera.stop()
        while heard := microphone.read(0.0):
            yield from self._in_order(heard)
        yield from self._seen

    def rest(self) -> None:
        """Let go of the camera until :meth:`wake`; the microphone stays open, and keeps the time.

        At once, from any thread, as :meth:`wake`.
        """
        if self._camera is not None:
            self._camera.rest()

    def wake(self) -> None:
        """Take up the camera again."""
        if self._camera is not None:
            self._camera.wake()

    def close(self) -> None:
        """End the iteration, after what was heard until then; from any thread, at any time."""
        self._closed.set()

    def _in_order(
        self, heard: Sequence[AudioBlock | DeviceNotice]
    ) -> Iterator[AudioBlock | VideoFrame | DeviceNotice]:
        self._look()
        for item in heard:
            yield from self._seen_until(item.end if isinstance(item, AudioBlock) else item.time)
            yield item

    def _look(self) -> None:
        if self._camera is not None:
            self._seen.extend(self._camera.read())

    def _seen_until(self, time: float) -> Iterator[VideoFrame | DeviceNotice]:
        while self._seen and self._seen[0].time <= time:
            yield self._seen.popleft()
