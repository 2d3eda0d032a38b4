"""Sound and pictures into one Matroska file that plays as far as it was written.

Sound is kept as the 32-bit floats that the engine hears: rounded to 16 bit, the same voice can
come out with another label. Both streams carry the session's own time in milliseconds, so they
cannot drift apart however long a session is.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from app.session.files import RawFile, write_all
from live_features.media import SAMPLE_RATE, AudioBlock, MediaInfo, VideoFrame

SOUND_BYTES = 4  # a sample

_MILLISECONDS = Fraction(1, 1000)
_SAMPLES = Fraction(1, SAMPLE_RATE)
_KEY_EVERY = 50  # pictures

_CONTAINER = {
    # A cluster is in the file only once it is complete.
    "cluster_time_limit": "200",  # milliseconds
    "flush_packets": "1",
    # Neither stream waits for the other: a camera may take long to open, or go away.
    "max_interleave_delta": "100000",  # microseconds
}
_H264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "21"}


class MediaWriter:
    """Writes blocks and frames in the order of their time; not thread-safe.

    Pictures are H.264. One of another size than the last begins anew within the stream, which
    players and :class:`~live_features.sources.recording.RecordingSource` follow.
    """

    def __init__(self, file: RawFile, info: MediaInfo) -> None:
        """Nothing is written before the first item.

        Raises:
            av.FFmpegError: this build of FFmpeg lacks an encoder.
        """
        self._file = _Output(file)
        self._container: Any = av.open(
            self._file, "w", format="matroska", container_options=_CONTAINER
        )
        self._sound: Any = None
        self._pictures: Any = None
        if info.has_audio:
            self._sound = self._container.add_stream("pcm_f32le", rate=SAMPLE_RATE)
            self._sound.codec_context.layout = _layout(info.channels)
            self._sound.codec_context.time_base = _SAMPLES
        if info.has_video:
            self._pictures = self._container.add_stream("libx264", rate=25)
            _set_up(self._pictures.codec_context, *_even(info.width, info.height))
            self._pictures.codec_context.options = dict(_H264)
            self._encoder: Any = self._pictures.codec_context
        self._last_picture = -1

    def write(self, item: AudioBlock | VideoFrame) -> None:
        """Add an item.

        Raises:
            OSError, av.FFmpegError: the file takes no more; what it has already stays playable.
        """
        if isinstance(item, AudioBlock):
            self._write_sound(item)
        else:
            self._write_picture(item)

    def close(self) -> None:
        """Write what is still held back, and the index.

        Raises:
            OSError, av.FFmpegError: likewise.
        """
        if self._pictures is not None and self._last_picture >= 0:
            self._mux_pictures(None)
        self._container.close()

    def abandon(self) -> None:
        """Leave the file as it is; nothing more is written to it."""
        self._file.abandoned = True
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()

    def _write_sound(self, block: AudioBlock) -> None:
        if self._sound is None or not len(block.samples):
            return
        samples = np.ascontiguousarray(block.samples, np.float32)
        frame = av.AudioFrame.from_ndarray(
            samples.reshape(1, -1), format="flt", layout=_layout(samples.shape[1])
        )
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = _SAMPLES
        frame.pts = round(block.start * SAMPLE_RATE)
        self._container.mux(self._sound.encode(frame))

    def _write_picture(self, frame: VideoFrame) -> None:
        time = round(frame.time * 1000)
        if self._pictures is None or time <= self._last_picture:
            return
        self._last_picture = time
        self._mux_pictures(self._prepared(frame.image, time))

    def _prepared(self, image: NDArray[np.uint8], time: int) -> Any:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        width, height = _even(picture.width, picture.height)
        if (width, height) != (self._encoder.width, self._encoder.height):
            self._encoder = _encoder(width, height)
        picture = picture.reformat(width=width, height=height, format="yuv420p")
        picture.pts = time
        picture.time_base = _MILLISECONDS
        return picture

    def _mux_pictures(self, picture: Any) -> None:
        for packet in self._encoder.encode(picture):
            packet.stream = self._pictures
            self._container.mux(packet)


class _Output:
    """The file as FFmpeg sees it: all of a write or an error, and nothing once abandoned."""

    def __init__(self, file: RawFile) -> None:
        self.abandoned = False
        self._file = file

    def write(self, data: bytes) -> int:
        if not self.abandoned:
            write_all(self._file, data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _encoder(width: int, height: int) -> Any:
    """One whose pictures tell their size themselves, as the file's head tells of another."""
    context: Any = av.CodecContext.create("libx264", "w")
    _set_up(context, width, height)
    context.options = dict(_H264)
    return context


def _set_up(context: Any, width: int, height: int) -> None:
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.time_base = _MILLISECONDS
    context.gop_size = _KEY_EVERY
    # The other cores are for recognition.
    context.thread_count = 1


def _even(width: int, height: int) -> tuple[int, int]:
    """What the colour planes of half the size need."""
    return max(width // 2, 1) * 2, max(height // 2, 1) * 2


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
