"""What sources hand on, and the session clock that stamps it.

Time is seconds as ``float`` since the start of the session and is counted in audio samples; video
frames are stamped against the same clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz; every stage after the source works at this rate."""


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A stretch of sound.

    ``samples`` is float32 of shape (n, channels) in [-1, 1] at :data:`SAMPLE_RATE`. Two channels
    mean two people on a line each; a single channel may carry any number of people.
    """

    samples: NDArray[np.float32]
    start: float
    overflowed: bool = False

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / SAMPLE_RATE


class VideoFrame:
    """One upright picture, seen at ``time`` (seconds).

    Most pictures of a recording are looked at by nobody, so one may be made when it is first asked
    for.
    """

    __match_args__ = ("image", "time")
    __slots__ = ("_image", "_lock", "time")

    def __init__(
        self, image: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]], time: float
    ) -> None:
        """``image`` is the picture, or what makes it."""
        self._image = image
        self._lock = threading.Lock()
        self.time = time

    def at(self, time: float) -> VideoFrame:
        """The same picture, seen at another time."""
        return VideoFrame(lambda: self.image, time)

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 RGB of shape (height, width, 3); may be asked for by any thread."""
        with self._lock:
            if callable(self._image):
                self._image = self._image()
            return self._image


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a source will deliver.

    ``duration`` (seconds) is None where it cannot be known beforehand. ``channels`` is the number
    of channels in each :class:`AudioBlock`, 0 without sound; ``width``, ``height`` (pixels) and
    ``frame_rate`` (Hz) are 0 without a picture.
    """

    name: str
    duration: float | None
    channels: int
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0

    @property
    def has_audio(self) -> bool:
        return self.channels > 0

    @property
    def has_video(self) -> bool:
        return self.width > 0


@dataclass(frozen=True, slots=True)
class DeviceNotice:
    """Something a person should know about a device; the session goes on.

    ``device`` is ``microphone`` or ``camera``. ``code`` is a short reason code and ``message`` one
    sentence with what is wrong and what to do. ``lost`` is the seconds of sound that are missing.
    """

    time: float
    device: str
    code: str
    message: str
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class CapturePaused:
    """Somebody paused live input at ``time``, in seconds of the session."""

    time: float


@dataclass(frozen=True, slots=True)
class CaptureResumed:
    """Live input goes on at ``time``."""

    time: float


class MediaSource(Protocol):
    """Anything that delivers blocks, frames and notices in the order of their time, once.

    Iterating may raise :class:`~live_features.errors.UserFacingError` when the medium breaks off.
    """

    @property
    def info(self) -> MediaInfo: ...

    def __iter__(
        self,
    ) -> Iterator[AudioBlock | VideoFrame | DeviceNotice | CapturePaused | CaptureResumed]: ...

    def close(self) -> None:
        """Release the medium; iteration in another thread ends at the next item."""


class Clock(Protocol):
    """How fast a source is let through."""

    def wait_until(self, time: float) -> None:
        """Return when the session has reached ``time`` seconds, or when the clock is stopped."""

    def stop(self) -> None:
        """Let every present and future wait return at once."""

    @property
    def speed(self) -> float | None:
        """Seconds of media a second of wall time; None means as fast as the machine can."""
