"""Small media files made with PyAV, for tests that read them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

MILLISECOND = Fraction(1, 1000)
_CODECS_OF_16_BIT = ("pcm_s16le", "flac", "mp2")


@dataclass(frozen=True)
class Sound:
    """``samples`` is float32 of shape (n, channels) at ``rate`` Hz.

    ``retimed`` maps the time at which a packet starts (seconds) to the time it gets in the file,
    or to None for a packet that is lost. ``chunk`` is the length of the packets of PCM in samples.
    """

    samples: NDArray[np.float32]
    rate: int = 48_000
    codec: str = "aac"
    layout: str = "mono"
    retimed: Callable[[float], float | None] | None = None
    chunk: int = 1024


@dataclass(frozen=True)
class Pictures:
    """``frames`` holds (time in seconds, RGB image); times are written in ``time_base``.

    ``rotation`` is in degrees counter-clockwise, as a player has to turn the picture.
    """

    frames: Sequence[tuple[float, NDArray[np.uint8]]]
    codec: str = "libx264"
    time_base: Fraction = Fraction(1, 25)
    rotation: int | None = None
    mirrored: bool = False
    pixel_shape: Fraction | None = None


def tone(
    seconds: float,
    bursts: Sequence[tuple[float, float]],
    rate: int = 48_000,
    frequency: float = 1000.0,
    amplitude: float = 0.5,
) -> NDArray[np.float32]:
    """A sine, shape (n,), that sounds within ``bursts`` (start, end in seconds) only."""
    times = np.arange(round(seconds * rate)) / rate
    sounding = np.zeros(len(times), bool)
    for start, end in bursts:
        sounding |= (times >= start) & (times < end)
    wave = amplitude * np.sin(2 * np.pi * frequency * times) * sounding
    return wave.astype(np.float32)


def babble(
    seconds: float, bursts: Sequence[tuple[float, float]], rate: int, seed: int
) -> NDArray[np.float32]:
    """Noise that rises and falls four times a second, like syllables, within ``bursts``."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    syllables = np.sin(4 * np.pi * np.arange(len(noise)) / rate) ** 2
    gate = tone(seconds, bursts, rate, 0.0) * 0
    for start, end in bursts:
        gate[round(start * rate) : round(end * rate)] = 0.1
    return (noise * syllables * gate).astype(np.float32)


def plain_pictures(
    count: int, rate: float = 25.0, width: int = 64, height: int = 48
) -> list[tuple[float, NDArray[np.uint8]]]:
    """Grey pictures, each a little lighter than the one before."""
    return [
        (index / rate, np.full((height, width, 3), (index * 7) % 200 + 20, np.uint8))
        for index in range(count)
    ]


def write_media(
    path: Path,
    sound: Sound | None = None,
    pictures: Pictures | None = None,
    *,
    cover: bool = False,
    interleaved: bool = True,
    container_format: str | None = None,
) -> Path:
    """Write ``sound`` and ``pictures`` into ``path``; its ending names the format.

    ``interleaved=False`` puts all pictures before all sound.
    """
    options = {} if interleaved else {"max_interleave_delta": "1"}
    with av.open(str(path), "w", format=container_format, options=options) as container:
        video = None if pictures is None else _video_stream(container, pictures)
        audio = None if sound is None else _audio_stream(container, sound)
        if cover:
            _add_cover(container)
        if pictures is not None:
            for packet in _video_packets(video, pictures):
                container.mux(packet)
        if sound is not None:
            for packet in _audio_packets(audio, sound):
                container.mux(packet)
    return path


def _video_stream(container: Any, pictures: Pictures) -> Any:
    height, width, _ = pictures.frames[0][1].shape
    rate = 1 / pictures.time_base if pictures.time_base != MILLISECOND else 25
    stream = container.add_stream(pictures.codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = pictures.time_base
    if pictures.codec == "mpeg4":
        stream.bit_rate = 2_000_000
    if pictures.codec == "libx264":
        stream.options = {"preset": "ultrafast", "bf": "2"}
    if pictures.pixel_shape is not None:
        stream.codec_context.sample_aspect_ratio = pictures.pixel_shape
    if pictures.rotation is not None:
        stream.set_display_rotation(pictures.rotation, hflip=pictures.mirrored)
    return stream


def _video_packets(stream: Any, pictures: Pictures) -> list[Any]:
    packets = []
    for time, image in pictures.frames:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.time_base = pictures.time_base
        frame.pts = round(time / pictures.time_base)
        packets += stream.encode(frame)
    return packets + stream.encode()


def _audio_stream(container: Any, sound: Sound) -> Any:
    stream = container.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
    stream.codec_context.time_base = Fraction(1, sound.rate)
    return stream


def _audio_packets(stream: Any, sound: Sound) -> list[Any]:
    packets = []
    for start in range(0, len(sound.samples), sound.chunk):
        chunk = sound.samples[start : start + sound.chunk]
        if sound.codec in _CODECS_OF_16_BIT:
            data = np.round(chunk.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=sound.layout)
        else:
            data = np.ascontiguousarray(chunk.T)
            frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=sound.layout)
        frame.sample_rate = sound.rate
        frame.time_base = Fraction(1, sound.rate)
        frame.pts = start
        packets += stream.encode(frame)
    packets += stream.encode()
    return packets if sound.retimed is None else _retimed(packets, sound.retimed)


def _retimed(packets: list[Any], retimed: Callable[[float], float | None]) -> list[Any]:
    kept = []
    for packet in packets:
        time = retimed(float(packet.pts * packet.time_base))
        if time is not None:
            packet.pts = packet.dts = round(time / packet.time_base)
            kept.append(packet)
    return kept


def _add_cover(container: Any) -> None:
    stream = container.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
    stream.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")
    frame.pts = 0
    for packet in [*stream.encode(frame), *stream.encode()]:
        container.mux(packet)
