"""Sound to the system's default output, whose pace is then the clock of what is played."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE
from live_features.sources.portaudio import MicrophoneError, load_portaudio

_DEAF_AFTER = 3.0
"""Seconds without asking for sound after which an output is taken to be gone."""


class OutputDevices(Protocol):
    """What is used of the ``sounddevice`` module."""

    PortAudioError: type[Exception]
    OutputStream: Callable[..., Any]

    def query_devices(self, device: object = None, kind: str | None = None) -> Any: ...


class PlaybackError(UserFacingError):
    """There is no output; what is played is played without sound."""


class SoundOutput:
    """The default output, open; stopped until :meth:`play`.

    One thread puts sound and asks what has been heard of it. When less was put than was needed
    silence is heard, and time stands still.
    """

    def __init__(self, channels: int, devices: OutputDevices | None = None) -> None:
        """``channels``, one or two, is what :meth:`put` will be given.

        Raises:
            PlaybackError: there is no output, or it cannot be opened.
        """
        try:
            found = devices or cast(OutputDevices, load_portaudio())
        except MicrophoneError:
            raise PlaybackError(
                "The PortAudio library, which plays sound, is missing: played without sound."
            ) from None
        self._lock = threading.Lock()
        self._waiting: deque[NDArray[np.float32]] = deque()
        self._handed = self._put = 0
        self._asked = time.monotonic()
        self._playing = False
        self._error = found.PortAudioError
        try:
            device = found.query_devices(kind="output")
            self._rate = round(float(device["default_samplerate"]))
            self._channels = min(2, int(device["max_output_channels"]))
            self._stream = found.OutputStream(
                samplerate=self._rate,
                channels=self._channels,
                dtype="float32",
                callback=self._fill,
            )
            self._latency = float(self._stream.latency)
        except (found.PortAudioError, ValueError, OSError):
            raise PlaybackError(
                "There is no sound output that can be opened: played without sound."
            ) from None
        self._resampler = self._new_resampler()

    @property
    def alive(self) -> bool:
        """Whether the output still asks for sound while it plays."""
        return not self._playing or time.monotonic() - self._asked < _DEAF_AFTER

    @property
    def waiting(self) -> float:
        """Seconds of sound that have been put and not been asked for yet."""
        return (self._put - self._handed) / self._rate

    @property
    def heard(self) -> float:
        """Seconds of sound that have been heard since the last :meth:`clear`."""
        with self._lock:
            handed = self._handed / self._rate
            since = time.monotonic() - self._asked if self._playing else 0.0
        return min(max(handed - self._latency + since, 0.0), handed)

    def put(self, samples: NDArray[np.float32]) -> None:
        """Add sound, float32 of shape (n, channels) at :data:`SAMPLE_RATE`."""
        if samples.shape[1] != self._channels:
            mean = samples.mean(axis=1, keepdims=True)
            samples = np.repeat(mean, self._channels, axis=1)
        sound = self._resampler.resample_chunk(np.ascontiguousarray(samples, np.float32))
        if len(sound):
            with self._lock:
                self._waiting.append(sound)
                self._put += len(sound)

    def clear(self) -> None:
        """Forget what has not been heard yet, and count what is heard from here on."""
        with self._lock:
            self._waiting.clear()
            self._handed = self._put = 0
        self._resampler = self._new_resampler()

    def play(self) -> None:
        """Let sound out; without an effect on an output that is gone."""
        if not self._playing:
            self._asked = time.monotonic()
            self._playing = True
            with suppress(self._error):
                self._stream.start()

    def pause(self) -> None:
        """Be silent at once."""
        if self._playing:
            self._playing = False
            with suppress(self._error):
                self._stream.abort()

    def close(self) -> None:
        """Let go of the device."""
        self._playing = False
        with suppress(self._error):
            self._stream.close()

    def _new_resampler(self) -> Any:
        return soxr.ResampleStream(SAMPLE_RATE, self._rate, self._channels, dtype="float32")

    def _fill(self, wanted: NDArray[np.float32], frames: int, *_: object) -> None:
        filled = 0
        with self._lock:
            while self._waiting and filled < frames:
                first = self._waiting[0]
                taken = first[: frames - filled]
                wanted[filled : filled + len(taken)] = taken
                filled += len(taken)
                if len(taken) == len(first):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = first[len(taken) :]
            self._handed += filled
            self._asked = time.monotonic()
        wanted[filled:] = 0
