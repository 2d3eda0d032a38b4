"""Which microphone the system has for its default, asked of the system itself.

PortAudio looks once, when it is initialised, and never sees a change.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Hashable

if sys.platform == "win32":
    from ctypes import wintypes

    _WAVE_MAPPER = ctypes.c_void_p(-1)
    _PREFERRED_GET = 0x2015  # DRVM_MAPPER_PREFERRED_GET

    class _WaveInCaps(ctypes.Structure):
        _fields_ = (
            ("manufacturer", wintypes.WORD),
            ("product", wintypes.WORD),
            ("driver_version", wintypes.UINT),
            ("name", wintypes.WCHAR * 32),
            ("formats", wintypes.DWORD),
            ("channels", wintypes.WORD),
            ("reserved", wintypes.WORD),
        )

    def _windows_default() -> Hashable | None:
        winmm = ctypes.WinDLL("winmm")
        winmm.waveInMessage.argtypes = (
            ctypes.c_void_p,
            wintypes.UINT,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        winmm.waveInGetDevCapsW.argtypes = (ctypes.c_size_t, ctypes.c_void_p, wintypes.UINT)
        device, flags = wintypes.DWORD(), wintypes.DWORD()
        if winmm.waveInMessage(
            _WAVE_MAPPER, _PREFERRED_GET, ctypes.byref(device), ctypes.byref(flags)
        ):
            return None
        # By name, because numbers move when another device comes or goes.
        caps = _WaveInCaps()
        if winmm.waveInGetDevCapsW(device.value, ctypes.byref(caps), ctypes.sizeof(caps)):
            return None
        name: str = caps.name
        return name


if sys.platform == "darwin":

    class _Address(ctypes.Structure):
        _fields_ = (
            ("selector", ctypes.c_uint32),
            ("scope", ctypes.c_uint32),
            ("element", ctypes.c_uint32),
        )

    _SYSTEM_OBJECT = 1
    _DEFAULT_INPUT = _Address(int.from_bytes(b"dIn ", "big"), int.from_bytes(b"glob", "big"), 0)

    def _macos_default() -> Hashable | None:
        core_audio = ctypes.CDLL("/System/Library/Frameworks/CoreAudio.framework/CoreAudio")
        ask = core_audio.AudioObjectGetPropertyData
        ask.argtypes = (
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        ask.restype = ctypes.c_int32
        device = ctypes.c_uint32()
        size = ctypes.c_uint32(ctypes.sizeof(device))
        failed = ask(
            _SYSTEM_OBJECT,
            ctypes.byref(_DEFAULT_INPUT),
            0,
            None,
            ctypes.byref(size),
            ctypes.byref(device),
        )
        return None if failed or not device.value else device.value


def default_input() -> Hashable | None:
    """Something that differs when the default differs; None where it cannot be told.

    That is the name on Windows and the number of the device on macOS. On Linux it is None:
    PulseAudio and PipeWire move a stream that follows the default by themselves, and it goes on
    without a break; plain ALSA has no default that changes.
    """
    try:
        if sys.platform == "win32":
            return _windows_default()
        if sys.platform == "darwin":
            return _macos_default()
    except (OSError, AttributeError):
        # The library, or the function in it, is not there.
        return None
    return None
