"""Whether there are a microphone and a camera, and whether they deliver."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.checks import Finding
from app.options import LiveOptions
from live_features.errors import UserFacingError
from live_features.media import AudioBlock, DeviceNotice

if TYPE_CHECKING:
    from live_features.sources.microphone import Microphone, MicrophoneDescription, PortAudio
    from live_features.sources.webcam import OpenCamera, Patience, Webcam

_LISTENING = 0.5  # seconds of sound
_FIRST_SOUND = 5.0  # seconds; a headset on Bluetooth needs some
_LOOKING = 1.0  # seconds of pictures
_BLACK = 0.7  # seconds
_POLLING = 0.02  # seconds
_HARMLESS = frozenset({"returned", "default_changed", "overflow"})


def found_microphones(portaudio: PortAudio | None = None) -> list[MicrophoneDescription]:
    """Every microphone; ``portaudio`` stands in for the ``sounddevice`` module.

    Raises:
        UserFacingError: PortAudio is missing, or cannot say.
    """
    from live_features.sources.portaudio import (  # noqa: PLC0415
        load_portaudio,
        microphones,
        refusal,
    )

    portaudio = portaudio or load_portaudio()
    try:
        return microphones(portaudio)
    except (portaudio.PortAudioError, ValueError) as error:
        # sounddevice raises the second for devices that it cannot make sense of.
        raise refusal(error, "default") from error


def microphone(live: LiveOptions, portaudio: PortAudio | None = None) -> list[Finding]:
    """The microphones that are there, and half a second of sound from the one that is used."""
    from live_features.sources.microphone import Microphone  # noqa: PLC0415

    found: list[Finding] = []
    try:
        there = [
            f"{each.number} {each.name} ({each.host_api}){', default' if each.is_default else ''}"
            for each in found_microphones(portaudio)
        ]
        found += _found(there)
        opened = Microphone(live.microphone, channels=live.channels, portaudio=portaudio)
        opened.start()
    except UserFacingError as error:
        return [*found, Finding.from_sentence("listening", str(error))]
    try:
        return [*found, _listen(opened)]
    finally:
        opened.stop()


def _listen(opened: Microphone) -> Finding:
    from live_features.sources.portaudio import sentence  # noqa: PLC0415

    name, blocks = opened.description, list[AudioBlock]()
    deadline = time.monotonic() + _FIRST_SOUND
    while time.monotonic() < deadline and (not blocks or blocks[-1].end < _LISTENING):
        for item in opened.read(_POLLING):
            if isinstance(item, AudioBlock):
                blocks.append(item)
            elif item.code not in _HARMLESS:
                return Finding.from_sentence("listening", item.message)
    if not blocks:
        nothing = sentence("host", name=name, detail="it delivers nothing")
        return Finding.from_sentence("listening", nothing)
    samples = np.concatenate([block.samples for block in blocks]).astype(np.float64)
    if not samples.any():
        return Finding.from_sentence("listening", sentence("silent", name=name))
    level, peak = 10 * np.log10(np.mean(samples**2)), 20 * np.log10(np.abs(samples).max())
    detail = f"{name}: {level:.0f} dBFS on average, {peak:.0f} dBFS at most"
    return Finding("listening", "works", detail)


def camera(
    live: LiveOptions,
    open_camera: OpenCamera | None = None,
    patience: Patience | None = None,
) -> list[Finding]:
    """The cameras that are there, and a second of pictures from the one that is used.

    ``open_camera`` stands in for opening one with OpenCV.
    """
    from live_features.sources.webcam import Patience, Webcam, cameras  # noqa: PLC0415

    there = [
        f"{each.index} {each.name or 'camera'}{'' if each.opens else ' (does not open)'}"
        for each in cameras(open_camera)
    ]
    found = _found(there)
    if live.camera is None:
        return found
    opened = Webcam(
        live.camera, open_camera=open_camera, patience=patience or Patience(black=_BLACK)
    )
    begun = time.monotonic()
    opened.start(lambda: time.monotonic() - begun)
    try:
        return [*found, _look(opened)]
    finally:
        opened.stop()


def _look(opened: Webcam) -> Finding:
    times: list[float] = []
    # Whatever keeps a camera from delivering becomes a notice, in the end.
    while not times or times[-1] - times[0] < _LOOKING:
        for item in opened.read():
            if not isinstance(item, DeviceNotice):
                times.append(item.time)
            elif item.code not in _HARMLESS:
                return Finding.from_sentence("looking", item.message)
        time.sleep(_POLLING)
    width, height = opened.size or (0, 0)
    rate = (len(times) - 1) / (times[-1] - times[0])
    return Finding(
        "looking", "works", f"{opened.description}: {width}x{height}, {rate:.0f} pictures a second"
    )


def _found(there: Sequence[str]) -> list[Finding]:
    return [Finding("found", "works", "\n".join(there))] if there else []
