"""Microphones as PortAudio sees them, and a sentence for everything that can be wrong with one."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from live_features.errors import UserFacingError

SENTENCES = {
    # During a session, as notices; the session goes on.
    "lost": 'The microphone "{name}" is gone; plug it in again, and it is used as soon as it is '
    "back.",
    "stalled": 'The microphone "{name}" has stopped delivering sound; it is being opened again.',
    "returned": 'The microphone "{name}" is back.',
    "default_changed": 'The system\'s microphone is now "{name}"; it is used from here on.',
    "overflow": 'This machine was too busy to take all sound from the microphone "{name}"; '
    "close other programs.",
    "wrong_rate": 'The microphone "{name}" delivers {rate} samples a second where it promised '
    "{promised}; that is put right here, but set it to {rate} Hz in the sound settings.",
    "silent": 'The microphone "{name}" delivers only zeros; unmute it, or allow its use in '
    "{privacy}.",
    # At the start, as errors; "busy", "denied", "rate" and "channels" also as notices while a
    # microphone that was lost is being opened again.
    "none": "There is no microphone; plug one in, or allow its use in {privacy}.",
    "not_found": 'There is no microphone "{name}" but {known}; choose one of these with '
    "--microphone.",
    "busy": 'The microphone "{name}" is used by another program; close that program, or choose '
    "another microphone with --microphone.",
    "denied": 'This program may not use the microphone "{name}"; allow it in {privacy}.',
    "rate": 'The microphone "{name}" refuses every usual sample rate; set it to 48000 Hz in the '
    "sound settings.",
    "channels": 'The microphone "{name}" does not have two channels; leave out --channels 2, or '
    "choose another with --microphone.",
    "host": 'The microphone "{name}" cannot be opened ({detail}); check that it is plugged in and '
    "that its use is allowed in {privacy}, or choose another with --microphone.",
    "hung": 'The microphone "{name}" did not open within {seconds:.0f} s; unplug it and plug it in '
    "again, or restart the computer.",
    "portaudio": "The PortAudio library, which reads microphones, is missing; {install}.",
}
"""Code to sentence: every word that is said about a microphone.

``privacy`` is where this system keeps its microphone permission, ``detail`` the words of the
system itself.
"""

_PRIVACY = {
    "darwin": "System Settings > Privacy & Security > Microphone",
    "win32": "Settings > Privacy & security > Microphone",
}
_INSTALL = {
    "darwin": "install sounddevice again",
    "win32": "install sounddevice again",
}

_BUSY = -9985  # paDeviceUnavailable
_RATE = -9997  # paInvalidSampleRate
_CHANNELS = -9998  # paInvalidChannelCount
_DENIED = frozenset({-2147024891, -66748})  # E_ACCESSDENIED, kAudioComponentErr_NotPermitted
_USUAL_RATES = (48_000, 44_100, 16_000)
_SHORTENED = 31
"""Characters that one of Windows' interfaces (MME) leaves of a name."""

# What changes in a name when the device is plugged in again, on Linux and on Windows.
_MOVING = re.compile(r" \(hw:\d+,\d+\)|(?<=\()\d+- ")


class PortAudio(Protocol):
    """What is used of the ``sounddevice`` module."""

    PortAudioError: type[Exception]
    InputStream: Callable[..., Any]

    @property
    def default(self) -> Any: ...

    def query_devices(self) -> Sequence[Any]: ...

    def query_hostapis(self) -> Sequence[Any]: ...

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...


class MicrophoneError(UserFacingError):
    """A microphone that cannot be opened, and why: ``code`` is a key of :data:`SENTENCES`."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(sentence(code, **facts))
        self.code = code


@dataclass(frozen=True, slots=True)
class MicrophoneDescription:
    """A device that records: up to ``channels`` channels, by default at ``rate`` Hz.

    The same microphone may be there several times, under another ``number`` for each ``host_api``.
    """

    number: int
    name: str
    host_api: str
    channels: int
    rate: int
    is_default: bool

    @property
    def lasting_name(self) -> str:
        """Its name without what changes when it is plugged in again."""
        return _MOVING.sub("", self.name)


def sentence(code: str, **facts: object) -> str:
    """The words for ``code`` in :data:`SENTENCES`."""
    return SENTENCES[code].format(
        privacy=_PRIVACY.get(sys.platform, "the sound settings"),
        install=_INSTALL.get(sys.platform, "on Debian and Ubuntu: sudo apt install libportaudio2"),
        **facts,
    )


def load_portaudio() -> PortAudio:
    """The ``sounddevice`` module, imported when it is first needed.

    Raises:
        MicrophoneError: PortAudio itself is missing.
    """
    try:
        return cast(PortAudio, importlib.import_module("sounddevice"))
    except OSError:
        raise MicrophoneError("portaudio") from None


def look_again(portaudio: PortAudio) -> None:
    """Have PortAudio see what was plugged in or out; no stream may be open.

    It looks at the devices only while it is initialised.
    """
    # It is not initialised where that failed the last time.
    with suppress(portaudio.PortAudioError):
        portaudio._terminate()
    portaudio._initialize()


def microphones(portaudio: PortAudio | None = None) -> list[MicrophoneDescription]:
    """Every device that records.

    Raises:
        UserFacingError: PortAudio itself is missing.
    """
    portaudio = portaudio or load_portaudio()
    host_apis = [api["name"] for api in portaudio.query_hostapis()]
    default = portaudio.default.device[0]
    return [
        MicrophoneDescription(
            number=number,
            name=device["name"],
            host_api=host_apis[device["hostapi"]],
            channels=device["max_input_channels"],
            rate=round(device["default_samplerate"]),
            is_default=number == default,
        )
        for number, device in enumerate(portaudio.query_devices())
        if device["max_input_channels"] > 0
    ]


def choose(known: Sequence[MicrophoneDescription], name: str | None) -> list[MicrophoneDescription]:
    """The microphone that ``name`` means, as every interface to it that may be tried, best first.

    ``name`` is part of its name in any case, its number, or None for the system's default.

    Raises:
        MicrophoneError: there is none such.
    """
    if not known:
        raise MicrophoneError("none")
    if name is None:
        first = next((one for one in known if one.is_default), known[0])
    else:
        matches = _named(known, name)
        if not matches:
            names = sorted({f'"{one.name}"' for one in known})
            raise MicrophoneError("not_found", name=name, known=" and ".join(names))
        first = matches[0]
    others = [
        one
        for one in known
        if one.host_api != first.host_api and one.name[:_SHORTENED] == first.name[:_SHORTENED]
    ]
    return [first, *others]


def _named(known: Sequence[MicrophoneDescription], name: str) -> list[MicrophoneDescription]:
    """Those whose number is ``name``, or otherwise whose name is or has it, best first."""
    if name.isdecimal():
        return [one for one in known if one.number == int(name)]
    wanted = name.casefold()
    names = [(one, (one.name.casefold(), one.lasting_name.casefold())) for one in known]
    return [
        *(one for one, forms in names if wanted in forms),
        *(one for one, forms in names if any(wanted in form for form in forms)),
    ]


def formats(microphone: MicrophoneDescription, channels: int) -> list[tuple[int, int]]:
    """(channels, rate in Hz) to open ``microphone`` with when ``channels`` are wanted, best first.

    Some devices record only with all the channels they have.

    Raises:
        MicrophoneError: it has fewer.
    """
    if microphone.channels < channels:
        raise MicrophoneError("channels", name=microphone.name)
    counts = dict.fromkeys(
        count
        for count in (channels, 2, microphone.channels)
        if channels <= count <= microphone.channels
    )
    rates = dict.fromkeys((microphone.rate, *_USUAL_RATES))
    return [(count, rate) for rate in rates if rate > 0 for count in counts]


def is_about_the_format(error: Exception) -> bool:
    """Whether PortAudio refused the rate or the channels, and others may do."""
    return _number(error) in (_RATE, _CHANNELS)


def refusal(error: Exception, name: str) -> MicrophoneError:
    """What a ``PortAudioError`` met when opening the microphone ``name`` means to a person."""
    number = _number(error)
    words, host_number = str(error.args[0]).rpartition(": ")[2], None
    if len(error.args) > 2:
        _, host_number, words = error.args[2]
    plain = words.casefold()
    if number == _BUSY or "busy" in plain or "in use" in plain:
        return MicrophoneError("busy", name=name)
    if host_number in _DENIED or "denied" in plain or "permi" in plain:
        return MicrophoneError("denied", name=name)
    if number == _RATE:
        return MicrophoneError("rate", name=name)
    return MicrophoneError("host", name=name, detail=words.strip(" ."))


def _number(error: Exception) -> int | None:
    """PortAudio's own code."""
    return error.args[1] if len(error.args) > 1 else None
