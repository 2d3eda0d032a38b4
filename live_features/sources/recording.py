"""A recorded file as a source: whatever PyAV decodes, on one time line that starts at 0.

Second 0 is the first decoded sound or picture, whichever is earlier. Sound is resampled to
:data:`~live_features.media.SAMPLE_RATE` and made contiguous: silence stands where the file has none
(before a late start, and in gaps longer than 20 ms), what overlaps is cut. Its sample counter is
therefore the clock; pictures keep the times the file gives them.
"""

from __future__ import annotations

import functools
import heapq
import math
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Discard, Disposition
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, Clock, MediaInfo, VideoFrame

_BLOCK = 512  # samples, 32 ms
_LONGEST_SIDE = 1280  # pixels
_GAP = 0.020  # seconds by which stamps may wander before samples are added or cut
_LONGEST_GAP = 10.0  # seconds, in formats that may set their clock anew
_LONGEST_OVERLAP = 1.0  # seconds, likewise
_MOST_PIXELS = 8192 * 4608
_STILL_PICTURES = frozenset({"avif", "heic", "heix", "mif1"})  # brands of ISO media files
_BAD_READS = 64  # in a row, before the rest of a file is given up
_FALLBACK_RATE = 25.0  # Hz, for pictures that come without times and without a rate

# Formats that consist of the names of other files or of addresses, or of commands.
_POINTING_ELSEWHERE = frozenset(
    {"concat", "concatf", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp"}
    | {"avisynth", "vapoursynth", "webm_dash_manifest"}
)

_PROBED = 30.0  # seconds listened to for deciding between one and two channels
_LOUD = 0.1  # of a channel's loudest 1 %: -20 dB
_FAINT = 10 ** (-50 / 20)  # full scale is 1
_WINDOWS_PER_SECOND = 20


class RecordingSource:
    """Any file with sound, pictures or both, let through at the pace of ``clock``.

    Blocks of 512 samples (the last may be shorter) and frames come in the order in which they
    would be complete in a room: a block counts from its end, a frame from its time, and the clock
    is waited for up to that moment. Pictures are upright, have square pixels, all have the size in
    :attr:`info`, and are at most 1280 pixels on their longer side. Cover art is no picture.

    Sound is mixed down to one channel, except that a two-channel file with a person on each side
    stays as it is. That is decided once, from the first 30 s: the channels' waveforms correlate by
    less than 0.3; in windows of 50 ms each channel is loud (within 20 dB of its own loudest 1 %,
    and above -50 dBFS) for at least 0.5 s; and for at least half of that time the other is not.

    ``channels`` says how many there are where that is known, and ``name`` what :attr:`info` calls
    the file.

    Damaged stretches are skipped. A file that would make FFmpeg open others (a playlist, say) or
    whose pictures are enormous is refused. Each stream has the file open for itself, so nothing is
    read ahead however far apart a file keeps its sound and its pictures.

    Raises :class:`UserFacingError`, here or while iterating, if the file cannot be read or nothing
    in it can be decoded.
    """

    def __init__(
        self, path: Path, clock: Clock, *, channels: int | None = None, name: str | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._closed = threading.Event()
        # A name that is no UTF-8 could not be printed everywhere.
        shown = path.name.encode("utf-8", "replace").decode()
        self._contents = _examine(path, channels, name or shown)

    @property
    def info(self) -> MediaInfo:
        return self._contents.info

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame]:
        with closing(self.starting_at(0.0)) as items:
            for item in items:
                self._clock.wait_until(_complete_at(item))
                if self._closed.is_set():
                    return
                yield item

    def starting_at(
        self, start: float, given_up: Callable[[], bool] = lambda: False
    ) -> Generator[AudioBlock | VideoFrame, None, None]:
        """Blocks and frames from session time ``start`` on, in order, without waiting.

        The first block begins at ``start``; the first frame is the one that is seen then. Times of
        formats that may set their clock anew are only right if this file does not.

        Where a file does not let one jump, all before ``start`` is decoded; that ends, as does all
        else, soon after ``given_up`` says so.
        """
        contents = self._contents
        with ExitStack() as open_streams:
            streams: list[Iterator[AudioBlock | VideoFrame]] = []
            if contents.sound is not None:
                blocks = _blocks(self._path, contents, contents.sound, start, given_up)
                streams.append(open_streams.enter_context(closing(blocks)))
            if contents.pictures is not None:
                frames = _frames(self._path, contents, contents.pictures, start, given_up)
                streams.append(open_streams.enter_context(closing(frames)))
            yield from heapq.merge(*streams, key=_complete_at)

    def close(self) -> None:
        """End the iteration, which holds the file, at its next item; may be called at any time."""
        self._closed.set()


@dataclass(frozen=True, slots=True)
class _Contents:
    """What was found on opening; ``sound`` and ``pictures`` are stream indices.

    ``origin`` is the file's own time, in seconds, of the session's second 0. ``broadcast`` formats
    may set their clock anew within a file. ``orientation`` holds the numbers a, b, c, d of the
    display matrix: x' = ax + cy, y' = bx + dy.
    """

    info: MediaInfo
    origin: float
    broadcast: bool
    sound: int | None
    pictures: int | None
    orientation: tuple[int, int, int, int]


def _complete_at(item: AudioBlock | VideoFrame) -> float:
    return item.end if isinstance(item, AudioBlock) else item.time


# --- Opening -------------------------------------------------------------------------------------


def _examine(path: Path, channels: int | None, name: str) -> _Contents:
    _check_readable(path)
    with _opened(path) as container:
        kind = container.format.name
        # Photographs of today's phones are films of one picture to FFmpeg.
        brand = container.metadata.get("major_brand", "").strip()
        if kind in ("tty", "image2") or kind.endswith("_pipe") or brand in _STILL_PICTURES:
            raise UserFacingError(
                f"{path.name} is a text or a still picture, not a recording; "
                "choose an audio or a video file."
            )
        videos = [
            s for s in container.streams.video if not s.disposition & Disposition.attached_pic
        ]
        best = container.streams.best("audio")
        # The best of the tracks may be one that this FFmpeg cannot decode, beside others it can.
        sounds = sorted(container.streams.audio, key=lambda stream: stream != best)
        if not (videos or sounds):
            raise UserFacingError(
                f"{path.name} has neither sound nor pictures; choose an audio or a video file."
            )
        streams = [
            stream
            for tracks in (sounds, videos)
            if (stream := next((s for s in tracks if s.codec_context is not None), None))
        ]
        if not streams or (sounds and streams[0].type != "audio"):
            raise UserFacingError(
                f"The {'sound' if sounds else 'picture'} of {path.name} is in a format that cannot "
                "be decoded here; convert it, for example to mp4."
            )
        beginnings = [
            _Beginning(stream, frame)
            for stream in streams
            if (frame := _first_frame(path, stream.index)) is not None
        ]
        if not beginnings:
            raise UserFacingError(
                f"Nothing in {path.name} can be played: it is empty or damaged; "
                "record it or copy it again."
            )
        origin = min(_stamp(b.frame) or 0.0 for b in beginnings)
        sound = next((b for b in beginnings if b.stream.type == "audio"), None)
        pictures = next((b for b in beginnings if b.stream.type == "video"), None)
        orientation = (1, 0, 0, 1) if pictures is None else _orientation(pictures.frame)
        width, height = (0, 0) if pictures is None else _delivered_size(pictures, orientation)
        return _Contents(
            info=MediaInfo(
                name=name,
                duration=_duration(container, beginnings, origin),
                channels=0 if sound is None else channels or _channels(path, sound),
                width=width,
                height=height,
                frame_rate=0.0 if pictures is None else _frame_rate(pictures.stream),
            ),
            origin=origin,
            broadcast=bool(container.format.flags & av.format.Flags.ts_discont.value),
            sound=None if sound is None else sound.stream.index,
            pictures=None if pictures is None else pictures.stream.index,
            orientation=orientation,
        )


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise UserFacingError(f"{path} is a folder; choose an audio or a video file in it.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise UserFacingError(f"There is no file {path}; check the name and the folder.") from None
    except PermissionError:
        raise UserFacingError(
            f"{path} may not be read; change its permissions or those of its folder."
        ) from None
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror}); check the disk or copy the file again."
        ) from None
    if empty:
        raise UserFacingError(f"{path.name} is empty (0 bytes); record it or copy it again.")


@functools.cache
def _only_this_file() -> dict[str, str]:
    """What keeps FFmpeg from opening anything else, wherever a file may point."""
    formats = sorted(av.formats_available - _POINTING_ELSEWHERE)
    return {"protocol_whitelist": "file", "format_whitelist": ",".join(formats)}


def _opened(path: Path) -> Any:
    try:
        # Absolute, because FFmpeg would take what stands before a colon for a protocol. Tags in
        # an unknown encoding are no reason to refuse a file.
        return av.open(
            str(path.absolute()), metadata_errors="replace", container_options=_only_this_file()
        )
    except av.FFmpegError:
        _check_readable(path)
        raise UserFacingError(
            f"{path.name} is not an audio or video file, or it is damaged or incomplete; "
            "copy or convert it again."
        ) from None


@dataclass(frozen=True, slots=True)
class _Beginning:
    """A stream that can be decoded, and the first frame that came out."""

    stream: Any
    frame: Any


def _first_frame(path: Path, index: int) -> Any:
    with closing(_decoded(path, index)) as frames:
        return next(frames, None)


def _channels(path: Path, sound: _Beginning) -> int:
    """How many channels to deliver."""
    if sound.frame.layout.nb_channels != 2:
        return 1
    rate = sound.frame.sample_rate
    parts: list[NDArray[np.float32]] = []
    wanted = round(_PROBED * rate)
    with closing(_decoded(path, sound.stream.index)) as frames:
        for frame in frames:
            if wanted <= 0 or frame.layout.nb_channels != 2 or frame.sample_rate != rate:
                break
            parts.append(_samples(frame)[:wanted])
            wanted -= len(parts[-1])
    return 2 if _has_a_person_on_each_side(np.concatenate(parts), rate) else 1


def _has_a_person_on_each_side(sound: NDArray[np.float32], rate: int) -> bool:
    """The rule in :class:`RecordingSource`; ``sound`` has the shape (n, 2)."""
    left, right = sound.T.astype(np.float64)
    energy = math.sqrt((left @ left) * (right @ right))
    if energy == 0 or abs(left @ right) / energy >= 0.3:
        return False
    window = rate // _WINDOWS_PER_SECOND
    windows = sound[: len(sound) // window * window].reshape(-1, window, 2)
    if not len(windows):
        return False
    level = np.sqrt(np.mean(np.square(windows), axis=1))
    loud = level > np.maximum(_LOUD * np.quantile(level, 0.99, axis=0), _FAINT)
    alone = loud & ~loud[:, ::-1]
    total = loud.sum(axis=0)
    return bool((total >= _WINDOWS_PER_SECOND / 2).all() and (alone.sum(axis=0) >= total / 2).all())


def _duration(container: Any, beginnings: list[_Beginning], origin: float) -> float | None:
    ends = [
        float(((b.stream.start_time or 0) + b.stream.duration) * b.stream.time_base)
        for b in beginnings
        if b.stream.duration
    ]
    if ends:
        return max(ends) - origin
    if container.duration is None:
        return None
    # Formats that give no length per stream count this one from their own second 0.
    length = float(container.duration / av.time_base)
    return length - origin if length > origin else length


# --- Decoding ------------------------------------------------------------------------------------


def _decoded(
    path: Path,
    index: int,
    since: float | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> Generator[Any, None, None]:
    """The frames of one stream; packets that cannot be decoded are left out.

    With ``since``, on the file's own time line, those before it are passed over as far as the file
    lets one; where it leads to a place behind ``since``, none are.
    """
    if since is not None:
        frames = _decoded_from(path, index, since, given_up)
        first = next(frames, None)
        stamp = None if first is None else _stamp(first)
        if stamp is not None and stamp <= since:
            yield first
            yield from frames
            return
        frames.close()
    yield from _decoded_from(path, index, None, given_up)


def _decoded_from(
    path: Path, index: int, since: float | None, given_up: Callable[[], bool]
) -> Generator[Any, None, None]:
    with _opened(path) as container:
        stream = container.streams[index]
        stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
        for other in container.streams:
            if other.index != index:
                other.discard = Discard.all
        if since is not None:
            try:
                container.seek(math.floor(since / stream.time_base), stream=stream)
            except av.FFmpegError:
                return
        packets = container.demux(stream)
        bad_reads = 0
        while bad_reads < _BAD_READS and not given_up():
            try:
                packet = next(packets, None)
            except av.InvalidDataError:
                packets = container.demux(stream)
                bad_reads += 1
                continue
            except av.FFmpegError as error:
                raise UserFacingError(
                    f"{path.name} broke off ({error.strerror}); "
                    "check the disk or copy the file again."
                ) from None
            if packet is None:
                return
            bad_reads = 0
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            yield from frames


def _stamp(frame: Any) -> float | None:
    """Seconds on the file's own time line."""
    ticks = frame.pts if frame.pts is not None else frame.dts
    return None if ticks is None else float(ticks * frame.time_base)


class _Stamps:
    """From a file's own times to those of the session.

    Where a broadcast format sets its clock anew, time goes on from where it was. In other formats
    a time far behind the end of the file is taken for damage.
    """

    def __init__(self, contents: _Contents) -> None:
        self._origin = contents.origin
        self._may_restart = contents.broadcast
        self._begun = False
        duration = contents.info.duration
        self._limit = math.inf if duration is None else 2 * duration + _LONGEST_GAP

    def time(self, frame: Any, expected: float) -> float:
        """Session time of ``frame``, in seconds; ``expected`` where the file does not tell."""
        stamp = _stamp(frame)
        if stamp is None:
            return expected
        time = stamp - self._origin
        begun, self._begun = self._begun, True
        if not self._may_restart:
            return expected if time > self._limit else time
        if begun and not -_LONGEST_OVERLAP <= time - expected <= _LONGEST_GAP:
            self._origin = stamp - expected
            return expected
        return time


# --- Sound ---------------------------------------------------------------------------------------


def _blocks(
    path: Path, contents: _Contents, index: int, start: float, given_up: Callable[[], bool]
) -> Generator[AudioBlock, None, None]:
    channels = contents.info.channels
    waiting = np.zeros((0, channels), np.float32)
    delivered = round(start * SAMPLE_RATE)
    for samples in _sound(path, contents, index, start, given_up):
        waiting = np.concatenate([waiting, np.clip(samples, -1, 1)])
        while len(waiting) >= _BLOCK:
            yield AudioBlock(waiting[:_BLOCK].copy(), delivered / SAMPLE_RATE)
            waiting = waiting[_BLOCK:]
            delivered += _BLOCK
    if len(waiting):
        yield AudioBlock(waiting, delivered / SAMPLE_RATE)


def _sound(
    path: Path, contents: _Contents, index: int, start: float, given_up: Callable[[], bool]
) -> Iterator[NDArray[np.float32]]:
    """Contiguous samples from ``start`` on, of shape (n, channels) at ``SAMPLE_RATE``."""
    channels = contents.info.channels
    stamps = _Stamps(contents)
    line = _Line(channels, start)
    passed: float | None = None  # where what was before the start ended
    for frame in _decoded(path, index, _since(contents, start), given_up):
        if frame.sample_rate != line.rate:
            yield line.change_rate(frame.sample_rate)
        samples = _samples(frame)
        if channels == 1 or samples.shape[1] != channels:
            samples = np.repeat(_mixed(samples, frame.layout), channels, axis=1)
        expected = line.position if line.begun or passed is None else passed
        time = stamps.time(frame, expected)
        passed = time + len(samples) / line.rate
        late = time - line.position
        if abs(late) > (_GAP if line.begun else 0):
            missing = round(late * line.rate)
            yield from line.silence(missing)
            samples = samples[max(-missing, 0) :]
        yield line.add(samples)
    yield line.finish()


class _Line:
    """Puts samples end to end, resampled."""

    def __init__(self, channels: int, start: float) -> None:
        self.rate = 0
        self._channels = channels
        self._resampler: Any = None
        self._start = start
        self._base = start
        self._taken = 0
        self._given = 0

    @property
    def begun(self) -> bool:
        return self._taken > 0

    @property
    def position(self) -> float:
        """Session time, in seconds, at which the next sample will sound."""
        return self._base + (self._taken / self.rate if self.rate else 0)

    def change_rate(self, rate: int) -> NDArray[np.float32]:
        rest = self.finish()
        self.rate = rate
        self._base = self._start + self._given / SAMPLE_RATE
        self._taken = 0
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, self._channels, dtype="float32")
        return rest

    def silence(self, samples: int) -> Iterator[NDArray[np.float32]]:
        """``samples`` at the present rate, a second at a time."""
        for start in range(0, samples, self.rate):
            count = min(self.rate, samples - start)
            yield self.add(np.zeros((count, self._channels), np.float32))

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self._taken += len(samples)
        return self._resampled(samples, last=False)

    def finish(self) -> NDArray[np.float32]:
        nothing = np.zeros((0, self._channels), np.float32)
        return nothing if self._resampler is None else self._resampled(nothing, last=True)

    def _resampled(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._resampler.resample_chunk(
            np.ascontiguousarray(samples), last=last
        )
        self._given += len(result)
        return result


def _samples(frame: Any) -> NDArray[np.float32]:
    """Of shape (n, channels), full scale at 1."""
    data = frame.to_ndarray()
    data = data.T if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels)
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - 128) / 128
    if data.dtype.kind == "i":
        return data.astype(np.float32) / -float(np.iinfo(data.dtype).min)
    return np.nan_to_num(data.astype(np.float32), nan=0, posinf=0, neginf=0)


def _mixed(samples: NDArray[np.float32], layout: Any) -> NDArray[np.float32]:
    """One channel, of shape (n, 1).

    ITU-R BS.775 (centre 1, left and right 0.71, surround 0.5, no low-frequency effects), 3 dB
    down so that stereo becomes the mean of its channels; unnamed channels are averaged.
    """
    names = [channel.name for channel in layout.channels]
    if len(names) == 1:
        return samples
    if "NONE" in names or "FL" not in names:
        return samples.mean(axis=1, keepdims=True)
    gains = {"FC": math.sqrt(1 / 2), "FL": 1 / 2, "FR": 1 / 2, "LFE": 0.0}
    weights = np.array([gains.get(name, math.sqrt(1 / 8)) for name in names], np.float32)
    return (samples @ weights)[:, None]


# --- Pictures ------------------------------------------------------------------------------------


def _frames(
    path: Path, contents: _Contents, index: int, start: float, given_up: Callable[[], bool]
) -> Generator[VideoFrame, None, None]:
    info = contents.info
    stamps = _Stamps(contents)
    previous: float | None = None
    passed: VideoFrame | None = None
    for frame in _decoded(path, index, _since(contents, start), given_up):
        expected = 0.0 if previous is None else previous + 1 / info.frame_rate
        time = stamps.time(frame, expected)
        if previous is not None and time <= previous:
            continue
        previous = time
        picture = VideoFrame(partial(_picture, frame, info, contents.orientation), time)
        # The last one before the start is what is seen at the start.
        if time <= start:
            passed = picture
            continue
        if passed is not None:
            yield passed
            passed = None
        yield picture
    if passed is not None:
        yield passed


def _since(contents: _Contents, start: float) -> float | None:
    """``start`` on the file's own time line, None for all of the file."""
    return contents.origin + start if start > 0 else None


def _picture(
    frame: Any, info: MediaInfo, orientation: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """RGB of shape (info.height, info.width, 3), upright."""
    lying = _is_lying(orientation)
    width, height = (info.height, info.width) if lying else (info.width, info.height)
    image: NDArray[np.uint8] = frame.to_ndarray(
        format="rgb24", width=width, height=height, interpolation=Interpolation.AREA, threads=1
    )
    a, b, c, d = orientation
    down, right = (b, c) if lying else (d, a)
    if lying:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(image[:: 1 if down > 0 else -1, :: 1 if right > 0 else -1])


def _orientation(frame: Any) -> tuple[int, int, int, int]:
    side_data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if side_data is None:
        return (1, 0, 0, 1)
    a, b, _, c, d = (int(number) for number in np.frombuffer(side_data, np.int32)[:5])
    return (a, b, c, d)


def _is_lying(orientation: tuple[int, int, int, int]) -> bool:
    a, b, c, d = orientation
    return abs(b) + abs(c) > abs(a) + abs(d)


def _delivered_size(
    pictures: _Beginning, orientation: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Width and height, upright and with square pixels."""
    width = pictures.frame.width * float(pictures.stream.sample_aspect_ratio or 1)
    height = float(pictures.frame.height)
    if _is_lying(orientation):
        width, height = height, width
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _frame_rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or 0) or _FALLBACK_RATE
