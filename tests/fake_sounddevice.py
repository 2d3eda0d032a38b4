"""A stand-in for the ``sounddevice`` module that plays sound through the real callback.

    fake = FakeSoundDevice([FakeDevice("Desk mic", samples, rate=48_000)])
    microphone = Microphone(portaudio=fake, system_default=fake.system_default)

Each open stream has a thread that calls its callback as PortAudio does, a block of 10 ms at a time
on a clock that never drifts: block n comes ``(n + 1) * 0.01 / pace`` seconds after the stream was
started. As with PortAudio, the list of devices and the default are what they were when the module
was initialised, and devices may only be looked for again while no stream is open.

A device goes on with its next sample when it is opened again, and plays zeros after its last.
``FakeDevice.handed`` holds everything that a callback got, and ``exhausted`` is set once all
samples have been played.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_SECONDS = 0.01

UNANTICIPATED_HOST_ERROR = -9999
INVALID_CHANNEL_COUNT = -9998
INVALID_SAMPLE_RATE = -9997
INVALID_DEVICE = -9996
DEVICE_UNAVAILABLE = -9985
_WORDS = {
    UNANTICIPATED_HOST_ERROR: "Unanticipated host error",
    INVALID_CHANNEL_COUNT: "Invalid number of channels",
    INVALID_SAMPLE_RATE: "Invalid sample rate",
    INVALID_DEVICE: "Invalid device",
    DEVICE_UNAVAILABLE: "Device unavailable",
}


class PortAudioError(Exception):
    """With the arguments that sounddevice gives it: words, number, (interface, number, words)."""


class CallbackFlags:
    def __init__(self, *, input_overflow: bool = False) -> None:
        self.input_overflow = input_overflow


@dataclass
class FakeDevice:
    """A device that records ``samples`` (float32, (n,) or (n, channels)) at ``rate`` Hz.

    ``really`` is the rate in Hz at which it delivers where that is not the one it promises.
    ``counts`` are the numbers of channels it can be opened with, None for any it has. Without
    ``keeps`` nothing is added to ``handed``, as hours of it would be seen in a measure of memory.
    """

    name: str
    samples: NDArray[np.float32]
    rate: int = 48_000
    really: float | None = None
    host_api: str = "Fake"
    counts: tuple[int, ...] | None = None
    keeps: bool = True

    handed: list[NDArray[np.float32]] = field(default_factory=list, init=False)
    exhausted: threading.Event = field(default_factory=threading.Event, init=False)
    began: float | None = field(default=None, init=False)
    """On the monotonic clock, when its first sample began to sound."""

    def __post_init__(self) -> None:
        if self.samples.ndim == 1:
            self.samples = self.samples[:, None]
        self.plugged = self.listed = True
        self.muted = self.never_sounds = False
        self.refused: tuple[Any, ...] | None = None
        self.may_open = threading.Event()
        self.may_open.set()
        self.stream: InputStream | None = None
        self._position = 0

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    @property
    def played(self) -> float:
        """Seconds of its samples that have sounded."""
        return min(self._position, len(self.samples)) / self.rate

    @property
    def heard(self) -> NDArray[np.float32]:
        """All that the callbacks got, end to end."""
        return np.concatenate(self.handed)

    def record(self, frames: int, *, lost: bool = False) -> NDArray[np.float32]:
        """The next ``frames``."""
        block = self.samples[self._position : self._position + frames]
        self._position += frames
        if self._position >= len(self.samples):
            self.exhausted.set()
            missing = np.zeros((frames - len(block), self.channels), np.float32)
            block = np.concatenate([block, missing])
        if self.muted:
            block = np.zeros_like(block)
        if self.keeps and not lost:
            self.handed.append(block)
        return block


class FakeSoundDevice:
    """What :class:`~live_features.sources.portaudio.PortAudio` names, and faults on demand.

    Faults name the device that they happen to.
    """

    PortAudioError = PortAudioError

    def __init__(
        self,
        devices: Sequence[FakeDevice],
        *,
        default: str | None = None,
        pace: float = 1.0,
        buffer: float = math.inf,
    ) -> None:
        """``default`` is the name of the system's default, the first where it is not given.

        Time runs ``pace`` times as fast in the devices as on the wall. When a callback comes more
        than ``buffer`` seconds late, because the machine is busy, sound overflows as in a driver.
        """
        self._devices = list(devices)
        self._default = default or (devices[0].name if devices else None)
        self._pace = pace
        self._buffer = buffer
        self._initialized = False
        self._initialize()

    def system_default(self) -> str | None:
        """What the system's default is this moment, whatever PortAudio knows of it."""
        return self._default

    # --- Faults ------------------------------------------------------------------------------

    def pull_out(self, name: str, *, listed: bool = False) -> None:
        """Take a device away; some systems go on to name it (``listed``) but cannot open it."""
        device = self._device(name)
        device.plugged, device.listed = False, listed
        if device.stream is not None:
            device.stream.break_off()

    def plug_in(self, name: str) -> None:
        device = self._device(name)
        device.plugged = device.listed = True

    def add(self, device: FakeDevice) -> None:
        """Plug in a device that was not there before."""
        self._devices.append(device)

    def never_sound(self, name: str, never: bool = True) -> None:
        """Let streams that are opened from now on deliver nothing, though they are active."""
        self._device(name).never_sounds = never

    def stall(self, name: str) -> None:
        """Let the open stream deliver nothing more, though it is active."""
        self._stream(name).stalled = True

    def overflow(self, name: str, seconds: float) -> None:
        """Lose the next ``seconds`` before the callback gets them; the next block is flagged."""
        self._stream(name).to_lose = seconds

    def break_callback(self, name: str) -> None:
        """Hand the callback something that makes it raise."""
        self._stream(name).broken = True

    def mute(self, name: str, muted: bool = True) -> None:
        """Deliver zeros."""
        self._device(name).muted = muted

    def refuse(self, name: str, number: int, host: tuple[int, str] | None = None) -> None:
        """Let opening fail with PortAudio's ``number``, until :meth:`allow`.

        ``host`` is the number and the words of the system itself.
        """
        self._device(name).refused = _error_arguments(number, host)

    def allow(self, name: str) -> None:
        self._device(name).refused = None

    def hang(self, name: str) -> None:
        """Let opening wait, until :meth:`let_go`."""
        self._device(name).may_open.clear()

    def let_go(self, name: str) -> None:
        self._device(name).may_open.set()

    def make_default(self, name: str) -> None:
        """The person chooses another microphone in the system's settings."""
        self._default = name

    # --- The module --------------------------------------------------------------------------

    def InputStream(self, **settings: Any) -> InputStream:  # noqa: N802
        return InputStream(self._opened(settings["device"]), self._pace, self._buffer, **settings)

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {
                "name": device.name,
                "hostapi": self._host_apis.index(device.host_api),
                "max_input_channels": device.channels,
                "default_samplerate": float(device.rate),
            }
            for device in self._known
        ]

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self._host_apis]

    def _initialize(self) -> None:
        if self._initialized:
            raise AssertionError("initialised twice")
        self._initialized = True
        self._known = [device for device in self._devices if device.listed]
        self._host_apis = list(dict.fromkeys(device.host_api for device in self._known))
        names = [device.name for device in self._known]
        number = names.index(self._default) if self._default in names else -1
        self.default = SimpleNamespace(device=(number, -1))

    def _terminate(self) -> None:
        if any(device.stream is not None for device in self._devices):
            raise AssertionError("PortAudio was ended under an open stream")
        self._initialized = False

    def _opened(self, number: int) -> FakeDevice:
        device = self._known[number]
        device.may_open.wait()
        if device.refused is not None:
            raise PortAudioError(*device.refused)
        if not device.plugged:
            raise PortAudioError(
                *_error_arguments(UNANTICIPATED_HOST_ERROR, (-5, "Input/output error"))
            )
        if device.stream is not None:
            raise PortAudioError(*_error_arguments(DEVICE_UNAVAILABLE))
        return device

    def _device(self, name: str) -> FakeDevice:
        return next(device for device in self._devices if device.name == name)

    def _stream(self, name: str) -> InputStream:
        stream = self._device(name).stream
        assert stream is not None
        return stream


class InputStream:
    """One opened device."""

    def __init__(
        self,
        opened: FakeDevice,
        pace: float,
        buffer: float,
        *,
        device: int,
        channels: int,
        samplerate: float,
        dtype: str,
        latency: float,
        callback: Callable[[Any, int, Any, CallbackFlags], None],
        finished_callback: Callable[[], None],
    ) -> None:
        assert dtype == "float32"
        assert latency > 0
        if channels > opened.channels or channels not in (opened.counts or (channels,)):
            raise PortAudioError(*_error_arguments(INVALID_CHANNEL_COUNT))
        if samplerate != opened.rate:
            raise PortAudioError(*_error_arguments(INVALID_SAMPLE_RATE))
        opened.stream = self
        self.active = False
        self.stalled = opened.never_sounds
        self.broken = False
        self.to_lose = 0.0
        self._device = opened
        self._pace = pace
        self._buffer = buffer
        self._channels = channels
        self._callback = callback
        self._finished_callback = finished_callback
        self._frames = round(samplerate * BLOCK_SECONDS)
        self._seconds = self._frames / (opened.really or samplerate)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name=opened.name, daemon=True)

    def start(self) -> None:
        self.active = True
        self._thread.start()

    def stop(self) -> None:
        self.break_off()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        self.stop()
        self._device.stream = None

    def break_off(self) -> None:
        self._over.set()

    def _play(self) -> None:
        started = time.monotonic()
        if self._device.began is None:
            self._device.began = started
        blocks, lost = 0, False
        while True:
            late = (time.monotonic() - started) * self._pace - (blocks + 1) * self._seconds
            if self._over.wait(max(0.0, -late / self._pace)):
                break
            blocks += 1
            if self.stalled:
                continue
            if self.to_lose > 0 or late > self._buffer:
                self.to_lose -= self._seconds
                self._device.record(self._frames, lost=True)
                lost = True
                continue
            if not self._call(blocks, CallbackFlags(input_overflow=lost)):
                break
            lost = False
        self.active = False
        self._finished_callback()

    def _call(self, blocks: int, flags: CallbackFlags) -> bool:
        """Whether the stream goes on: it ends where a callback raises, as sounddevice does it."""
        samples = None
        if not self.broken:
            samples = self._device.record(self._frames)[:, : self._channels]
        times = SimpleNamespace(inputBufferAdcTime=1000.0 + (blocks - 1) * self._seconds)
        try:
            self._callback(samples, self._frames, times, flags)
        except TypeError:
            return False
        return True


def _error_arguments(number: int, host: tuple[int, str] | None = None) -> tuple[Any, ...]:
    words = f"Error opening InputStream: {_WORDS[number]}"
    return (words, number) if host is None else (words, number, (0, *host))
