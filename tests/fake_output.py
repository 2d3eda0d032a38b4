"""A stand-in for the ``sounddevice`` module whose output asks for sound as PortAudio does.

A stream that was started has a thread that asks for 10 ms every 10 ms; all it was given, silence
and all, is in ``played``. With ``unplug`` it asks for nothing any more.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

BLOCK = 0.01


class PortAudioError(Exception):
    pass


class FakeOutput:
    """The module; ``channels`` 0 is a machine without an output."""

    PortAudioError = PortAudioError

    def __init__(self, *, channels: int = 2, rate: int = 48_000) -> None:
        self.channels = channels
        self.rate = rate
        self.played: list[np.ndarray] = []
        self.open_streams = 0
        self.unplugged = False

    def unplug(self) -> None:
        self.unplugged = True

    def query_devices(self, device: object = None, kind: str | None = None) -> dict[str, Any]:
        if not self.channels:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": float(self.rate), "max_output_channels": self.channels}

    def OutputStream(self, **options: Any) -> _Stream:  # noqa: N802
        return _Stream(self, **options)

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate(self.played) if self.played else np.zeros((0, self.channels))


class _Stream:
    latency = 0.02

    def __init__(
        self, device: FakeOutput, *, samplerate: int, channels: int, dtype: str, callback: Any
    ) -> None:
        assert (samplerate, dtype) == (device.rate, "float32")
        self._device = device
        self._channels = channels
        self._callback = callback
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        device.open_streams += 1

    def start(self) -> None:
        if self._device.unplugged:
            raise PortAudioError("Device unavailable")
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def abort(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.abort()
        self._device.open_streams -= 1

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            if not self._device.unplugged:
                wanted = np.full(
                    (round(self._device.rate * BLOCK), self._channels), np.nan, np.float32
                )
                self._callback(wanted, len(wanted), None, None)
                self._device.played.append(wanted)
            due += BLOCK
            self._stop.wait(max(0.0, due - time.monotonic()))
