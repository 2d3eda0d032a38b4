"""Reading files of many kinds onto one time line."""

import os
import sys
import threading
import wave
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from live_features.clocks import RealClock, VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from tests.media_files import (
    MILLISECOND,
    Pictures,
    Sound,
    babble,
    plain_pictures,
    tone,
    write_media,
)

SECONDS = 2.0
BURST = (0.5, 0.8)
SHADE = 3.0
"""How far, of 255, the codecs used here take a flat grey from what was drawn, at most."""


def source_of(path):
    return RecordingSource(path, VirtualClock())


def read(source):
    """All samples (n, channels) and all frames of ``source``."""
    items = list(source)
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    frames = [item for item in items if isinstance(item, VideoFrame)]
    samples = np.concatenate([block.samples for block in blocks]) if blocks else np.zeros((0, 1))
    return samples, frames


def bursts_in(samples, level=0.1):
    """Start and end (seconds) of each stretch whose amplitude exceeds ``level``."""
    loud = np.flatnonzero(np.abs(samples) > level)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > SAMPLE_RATE // 50)
    starts = loud[np.r_[0, breaks + 1]]
    ends = loud[np.r_[breaks, len(loud) - 1]]
    return [
        (start / SAMPLE_RATE, (end + 1) / SAMPLE_RATE)
        for start, end in zip(starts, ends, strict=True)
    ]


def a_tone(rate=48_000, codec="aac", **more):
    return Sound(tone(SECONDS, [BURST], rate)[:, None], rate, codec, **more)


def some_pictures(**more):
    return Pictures(plain_pictures(50), **more)


FILES = {
    "h264-aac.mp4": (a_tone(), some_pictures()),
    "h264-aac.mkv": (a_tone(), some_pictures()),
    "mpeg4-pcm.avi": (a_tone(codec="pcm_s16le"), some_pictures(codec="mpeg4")),
    "mpeg1-mp2.mpg": (a_tone(codec="mp2"), some_pictures(codec="mpeg1video")),
    "44100.wav": (a_tone(44_100, "pcm_s16le"), None),
    "8000.wav": (a_tone(8_000, "pcm_s16le"), None),
    "plain.flac": (a_tone(codec="flac"), None),
    "plain.mp3": (a_tone(44_100, "libmp3lame"), None),
    "silent.mp4": (None, some_pictures()),
}


@pytest.mark.parametrize("name", FILES)
def test_a_tone_and_the_pictures_arrive_when_they_were_written(tmp_path, name):
    sound, pictures = FILES[name]
    source = source_of(write_media(tmp_path / name, sound, pictures))
    samples, frames = read(source)

    info = source.info
    assert info.name == name
    assert info.duration == pytest.approx(SECONDS, abs=0.025)
    assert (info.has_audio, info.has_video) == (sound is not None, pictures is not None)
    # An MPEG stream begins with what its audio encoder put before the first sample.
    shift = frames[0].time if name.endswith(".mpg") else 0.0
    assert 0 <= shift <= 0.015
    if sound is not None:
        assert len(samples) / SAMPLE_RATE == pytest.approx(info.duration, abs=0.025)
        assert bursts_in(samples[:, 0]) == [
            (pytest.approx(BURST[0] + shift, abs=0.004), pytest.approx(BURST[1] + shift, abs=0.004))
        ]
    if pictures is not None:
        assert (info.width, info.height, info.frame_rate) == (64, 48, 25.0)
        written = plain_pictures(50)
        assert [f.time for f in frames] == pytest.approx([t + shift for t, _ in written], abs=1e-4)
        for frame, (_, image) in zip(frames, written, strict=True):
            assert frame.image.shape == (48, 64, 3)
            assert frame.image.dtype == np.uint8
            assert frame.image.mean() == pytest.approx(image.mean(), abs=SHADE)
    else:
        assert (info.width, info.height, info.frame_rate) == (0, 0, 0.0)


def test_16_khz_mono_arrives_sample_for_sample_in_contiguous_blocks(tmp_path):
    written = tone(1.01, [(0, 1.01)], SAMPLE_RATE)
    path = write_media(tmp_path / "a.wav", Sound(written[:, None], SAMPLE_RATE, "pcm_s16le"))
    blocks = list(source_of(path))
    assert all(block.samples.dtype == np.float32 for block in blocks)
    assert all(512 <= len(block.samples) <= 1600 for block in blocks[:-1])
    ends = [0.0, *(block.end for block in blocks)]
    assert [block.start for block in blocks] == pytest.approx(ends[:-1])
    samples = np.concatenate([block.samples for block in blocks])[:, 0]
    assert len(samples) == len(written)
    np.testing.assert_allclose(samples, written, atol=1 / 32768)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_variable_frame_rate_keeps_every_time(tmp_path, name):
    times = [0.0, 0.04, 0.05, 0.9, 1.3, 1.301, 2.0]
    images = [image for _, image in plain_pictures(len(times))]
    pictures = Pictures(list(zip(times, images, strict=True)), time_base=MILLISECOND)
    _, frames = read(source_of(write_media(tmp_path / name, None, pictures)))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-4)


def test_pictures_without_times_are_counted_at_their_rate(tmp_path):
    path = write_media(tmp_path / "a.h264", None, some_pictures(), container_format="h264")
    source = source_of(path)
    _, frames = read(source)
    assert source.info.duration is None
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(50)])


def _corner_of(image):
    """Where the red corner is: (bottom?, right?)."""
    height, width, _ = image.shape
    red = image[..., 0].astype(int) - image[..., 1]
    y, x = np.argwhere(red > 100).mean(axis=0)
    return bool(y > height / 2), bool(x > width / 2)


@pytest.mark.parametrize(
    ("rotation", "mirrored", "corner"),
    [
        (0, False, (False, False)),
        (90, False, (True, False)),
        (-90, False, (False, True)),
        (180, False, (True, True)),
        (0, True, (False, True)),
        (90, True, (True, True)),
    ],
)
def test_rotated_pictures_are_delivered_upright(tmp_path, rotation, mirrored, corner):
    image = np.full((48, 64, 3), 40, np.uint8)
    image[:12, :12] = (250, 0, 0)
    pictures = Pictures([(i / 25, image) for i in range(3)], rotation=rotation, mirrored=mirrored)
    source = source_of(write_media(tmp_path / "phone.mp4", None, pictures))
    _, frames = read(source)
    size = (64, 48) if rotation % 180 == 0 else (48, 64)
    assert (source.info.width, source.info.height) == size
    for frame in frames:
        assert frame.image.shape == (size[1], size[0], 3)
        assert _corner_of(frame.image) == corner


def test_large_pictures_are_scaled_down(tmp_path):
    frames = plain_pictures(2, width=2400, height=1200)
    source = source_of(write_media(tmp_path / "large.mp4", None, Pictures(frames)))
    assert (source.info.width, source.info.height) == (1280, 640)
    assert all(frame.image.shape == (640, 1280, 3) for frame in read(source)[1])


def test_pixels_are_made_square(tmp_path):
    pictures = some_pictures(pixel_shape=Fraction(3, 2))
    source = source_of(write_media(tmp_path / "wide.mp4", None, pictures))
    assert (source.info.width, source.info.height) == (96, 48)


@pytest.mark.parametrize(
    ("name", "codec", "container"), [("a.mp3", "libmp3lame", None), ("a.m4a", "aac", "mp4")]
)
def test_cover_art_is_no_picture(tmp_path, name, codec, container):
    path = write_media(tmp_path / name, a_tone(codec=codec), cover=True, container_format=container)
    source = source_of(path)
    samples, frames = read(source)
    assert not source.info.has_video
    assert not frames
    assert len(bursts_in(samples[:, 0])) == 1


@pytest.mark.parametrize(("name", "codec"), [("six.mp4", "aac"), ("six.wav", "pcm_s16le")])
def test_six_channels_are_mixed_with_the_centre(tmp_path, name, codec):
    samples = np.zeros((96_000, 6), np.float32)
    samples[:, 2] = tone(SECONDS, [BURST])
    samples[:, 3] = tone(SECONDS, [(1.2, 1.5)], frequency=60)
    path = write_media(tmp_path / name, Sound(samples, codec=codec, layout="5.1"))
    source = source_of(path)
    mixed, _ = read(source)
    assert source.info.channels == 1
    assert bursts_in(mixed[:, 0], 0.06) == [pytest.approx(BURST, abs=0.004)]
    assert np.abs(mixed[10_000:12_000]).max() == pytest.approx(0.5 * np.sqrt(0.5), rel=0.05)


# --- Sound and pictures on one time line ---------------------------------------------------------


def test_items_come_in_the_order_in_which_they_are_complete(tmp_path):
    path = write_media(tmp_path / "a.mkv", a_tone(), some_pictures())
    items = list(source_of(path))
    moments = [i.end if isinstance(i, AudioBlock) else i.time for i in items]
    assert moments == sorted(moments)
    assert len({type(item) for item in items[:4]}) == 2


@pytest.mark.parametrize(
    ("name", "sound", "pictures"),
    [
        ("far.mp4", a_tone(), some_pictures()),
        ("far.avi", a_tone(codec="pcm_s16le"), some_pictures(codec="mpeg4")),
    ],
)
def test_sound_stored_far_from_the_pictures_is_still_in_order(tmp_path, name, sound, pictures):
    near = list(source_of(write_media(tmp_path / ("near" + name), sound, pictures)))
    far = list(source_of(write_media(tmp_path / name, sound, pictures, interleaved=False)))
    assert [type(item) for item in far] == [type(item) for item in near]
    assert [i.time for i in far if isinstance(i, VideoFrame)] == pytest.approx(
        [i.time for i in near if isinstance(i, VideoFrame)]
    )


def test_two_readings_are_identical(tmp_path):
    path = write_media(tmp_path / "a.mp4", a_tone(44_100), some_pictures())
    one, other = list(source_of(path)), list(source_of(path))
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        if isinstance(a, AudioBlock):
            assert a.start == b.start
            assert np.array_equal(a.samples, b.samples)
        else:
            assert a.time == b.time
            assert np.array_equal(a.image, b.image)


@pytest.mark.parametrize(
    ("name", "late"),
    [("late.mkv", 0.75), ("late.mp4", 0.75), ("late.mkv", 12.0), ("late.ts", 12.0)],
)
def test_sound_that_starts_late_is_preceded_by_silence(tmp_path, name, late):
    sound = a_tone(retimed=lambda time: time + late)
    samples, frames = read(source_of(write_media(tmp_path / name, sound, some_pictures())))
    assert frames[0].time == 0
    assert bursts_in(samples[:, 0]) == [pytest.approx((late + 0.5, late + 0.8), abs=0.004)]
    assert not samples[: int((late - 0.1) * SAMPLE_RATE)].any()


def test_pictures_that_start_late_keep_their_distance(tmp_path):
    pictures = Pictures([(time + 0.4, image) for time, image in plain_pictures(10)])
    path = write_media(tmp_path / "late.mkv", a_tone(codec="flac"), pictures)
    samples, frames = read(source_of(path))
    assert frames[0].time == pytest.approx(0.4, abs=0.001)
    assert bursts_in(samples[:, 0]) == [pytest.approx(BURST, abs=0.004)]


@pytest.mark.parametrize("name", ["start.mkv", "start.mpg"])
def test_a_file_that_starts_at_five_seconds_starts_at_zero(tmp_path, name):
    codecs = ("mp2", "mpeg1video") if name.endswith("mpg") else ("flac", "libx264")
    sound = a_tone(codec=codecs[0], retimed=lambda time: time + 5)
    pictures = Pictures([(time + 5, image) for time, image in plain_pictures(50)], codecs[1])
    source = source_of(write_media(tmp_path / name, sound, pictures))
    samples, frames = read(source)
    assert source.info.duration == pytest.approx(SECONDS, abs=0.03)
    first = frames[0].time
    assert 0 <= first < 0.015
    assert bursts_in(samples[:, 0])[0][0] == pytest.approx(BURST[0] + first, abs=0.004)


def test_lost_sound_is_replaced_by_silence(tmp_path):
    whole = tone(SECONDS, [(0, SECONDS)])[:, None]
    sound = Sound(whole, codec="pcm_s16le", retimed=lambda t: None if 0.9 < t < 1.4 else t)
    samples, _ = read(source_of(write_media(tmp_path / "lost.mkv", sound)))
    assert len(samples) == SECONDS * SAMPLE_RATE
    before, after = bursts_in(samples[:, 0])
    assert before[1] == pytest.approx(0.917, abs=0.005)
    assert after[0] == pytest.approx(1.408, abs=0.005)


def test_overlapping_sound_is_trimmed(tmp_path):
    sound = a_tone(
        codec="pcm_s16le", chunk=9600, retimed=lambda time: time if time < 0.95 else time - 0.1
    )
    samples, _ = read(source_of(write_media(tmp_path / "over.mkv", sound)))
    assert len(samples) / SAMPLE_RATE == pytest.approx(SECONDS - 0.1, abs=0.001)


def test_small_wandering_of_stamps_changes_no_sample(tmp_path):
    steady = tone(SECONDS, [(0, SECONDS)], SAMPLE_RATE)[:, None]
    wandering = Sound(
        steady, SAMPLE_RATE, "pcm_s16le", retimed=lambda t: t + 0.01 * (round(t / 0.064) % 2)
    )
    samples, _ = read(source_of(write_media(tmp_path / "a.mkv", wandering)))
    np.testing.assert_allclose(samples, steady, atol=1 / 32768)


def test_time_goes_on_where_joined_files_start_anew(tmp_path):
    path = write_media(tmp_path / "a.mpg", a_tone(codec="mp2"), some_pictures(codec="mpeg1video"))
    path.write_bytes(path.read_bytes() * 2)
    samples, frames = read(source_of(path))
    assert [start for start, _ in bursts_in(samples[:, 0])] == pytest.approx([0.51, 2.53], abs=0.02)
    assert len(frames) == 100
    assert frames[50].time == pytest.approx(2.0, abs=0.03)


# --- One channel or two --------------------------------------------------------------------------

RATE = SAMPLE_RATE
FIRST = babble(8, [(0.2, 1.9), (4.0, 5.8)], RATE, seed=1)
SECOND = babble(8, [(2.1, 3.8), (5.7, 7.5)], RATE, seed=2)
NOISE = np.random.default_rng(3).standard_normal((len(FIRST), 2)).astype(np.float32)


def _channels(tmp_path, left, right):
    sound = Sound(np.stack([left, right], axis=1), RATE, "pcm_s16le", "stereo")
    source = source_of(write_media(tmp_path / "stereo.wav", sound))
    samples, _ = read(source)
    assert samples.shape[1] == source.info.channels
    return samples


def test_a_person_on_each_side_gives_two_channels(tmp_path):
    samples = _channels(tmp_path, FIRST + 0.0005 * NOISE[:, 0], SECOND + 0.0005 * NOISE[:, 1])
    assert samples.shape == (8 * SAMPLE_RATE, 2)
    apart = slice(SAMPLE_RATE // 2, SAMPLE_RATE)
    assert np.abs(samples[apart, 0]).max() > 20 * np.abs(samples[apart, 1]).max()


def test_a_louder_person_and_some_crosstalk_still_give_two_channels(tmp_path):
    assert _channels(tmp_path, FIRST + 0.01 * SECOND, 0.3 * SECOND + 0.01 * FIRST).shape[1] == 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param(FIRST + SECOND, FIRST + SECOND, id="dual mono"),
        pytest.param(FIRST + 0.4 * SECOND, 0.4 * FIRST + SECOND, id="two people panned apart"),
        pytest.param(
            FIRST + SECOND + 0.02 * NOISE[:, 0],
            0.8 * (FIRST + SECOND) + 0.02 * NOISE[:, 1],
            id="music",
        ),
        pytest.param(0.1 * NOISE[:, 0], 0.1 * NOISE[:, 1], id="wide ambience"),
        pytest.param(FIRST, 0 * FIRST, id="right channel silent"),
        pytest.param(0 * FIRST, FIRST, id="left channel silent"),
        pytest.param(FIRST, 0.01 * NOISE[:, 1], id="right channel only hums"),
        pytest.param(FIRST, 0.0005 * SECOND, id="right channel too faint"),
        pytest.param(0 * FIRST, 0 * FIRST, id="silence"),
    ],
)
def test_other_stereo_gives_the_mean_of_both_channels(tmp_path, left, right):
    samples = _channels(tmp_path, left, right)
    assert samples.shape == (8 * SAMPLE_RATE, 1)
    mean = (left + right) / 2
    np.testing.assert_allclose(samples[:, 0], mean, atol=1 / 16384)


def test_both_channels_stay_as_they_are_where_that_is_asked_for(tmp_path):
    both = np.stack([FIRST, 0.5 * FIRST], axis=1)
    path = write_media(tmp_path / "stereo.wav", Sound(both, RATE, "pcm_s16le", "stereo"))
    samples, _ = read(RecordingSource(path, VirtualClock(), channels=2))
    np.testing.assert_allclose(samples, both, atol=1 / 16384)


# --- Pace and end --------------------------------------------------------------------------------


class _NotingClock(VirtualClock):
    def __init__(self):
        self.waited = []

    def wait_until(self, time):
        self.waited.append(time)


def test_the_clock_is_waited_for_before_each_item(tmp_path):
    path = write_media(tmp_path / "a.mp4", a_tone(), some_pictures())
    clock = _NotingClock()
    for item in RecordingSource(path, clock):
        assert clock.waited[-1] == (item.end if isinstance(item, AudioBlock) else item.time)
    assert clock.waited == sorted(clock.waited)


def test_close_from_another_thread_ends_the_iteration(tmp_path):
    sound = Sound(np.zeros((3600 * 1000, 1), np.float32), 1000, "pcm_s16le", chunk=100_000)
    clock = RealClock()
    source = RecordingSource(write_media(tmp_path / "hour.wav", sound), clock)
    begun = threading.Event()
    seen = []

    def follow():
        for item in source:
            seen.append(item)
            begun.set()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    assert begun.wait(30)
    source.close()
    clock.stop()
    follower.join(30)
    assert not follower.is_alive()
    assert seen[-1].end < 3600
    assert list(source) == []


def test_a_file_may_be_moved_once_its_reading_was_broken_off(tmp_path):
    path = write_media(tmp_path / "a.mp4", a_tone(), some_pictures())
    items = iter(source_of(path))
    next(items)
    items.close()
    path.rename(tmp_path / "b.mp4")


# --- What cannot be read -------------------------------------------------------------------------


def _an_empty_wav(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)


def _half_an_mp4(path):
    write_media(path, a_tone(), some_pictures())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SUBTITLES = "1\n00:00:00,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"
A_PICTURE = b"P6 2 2 255\n" + bytes(12)


def _a_film_in_other_codecs(path, *codecs):
    """A film whose tracks are marked as being of ``codecs``, which FFmpeg has no decoder for."""
    write_media(path, a_tone(), some_pictures())
    film = path.read_bytes()
    marks = {"sound": (b"mp4a", b"ac-4", b"esds", b"dac4"), "picture": (b"avc1", b"aprn")}
    for codec in codecs:
        old, new, *more = marks[codec]
        film = film.replace(old, new)
        if more:
            film = film.replace(*more)
    path.write_bytes(film)
    return path


BAD_FILES = {
    "ac4.mp4": (lambda path: _a_film_in_other_codecs(path, "sound"), "cannot be decoded"),
    "both.mp4": (lambda path: _a_film_in_other_codecs(path, "sound", "picture"), "be decoded"),
    "missing.mp4": (lambda path: None, "no file"),
    "folder": (Path.mkdir, "folder"),
    "text.mp4": (lambda path: path.write_text("some words\n" * 100), "not an audio or video"),
    "notes.txt": (lambda path: path.write_text("some words\n" * 100), "not a recording"),
    "picture.ppm": (lambda path: path.write_bytes(A_PICTURE), "not a recording"),
    "photo.avif": (lambda path: cv2.imwrite(str(path), np.zeros((64, 64), np.uint8)), "picture"),
    "half.mp4": (_half_an_mp4, "incomplete"),
    "zero.wav": (Path.touch, "empty"),
    "no-samples.wav": (_an_empty_wav, "empty"),
    "words.srt": (lambda path: path.write_text(SUBTITLES), "neither sound nor pictures"),
    "noise.mp3": (
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(20_000)),
        "not an audio or video",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_one_sentence(tmp_path, capfd, name):
    make, expected = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(UserFacingError) as refusal:
        source_of(tmp_path / name)
    sentence = str(refusal.value)
    assert name in sentence
    assert expected in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_no_utf8_can_be_shown(tmp_path):
    write_media(tmp_path / "a.wav", a_tone(codec="pcm_s16le"))
    odd = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        (tmp_path / "a.wav").rename(odd)
    except OSError:
        pytest.skip("this file system has only names that are text")
    assert source_of(odd).info.name.encode().startswith(b"caf")


def test_pictures_that_cannot_be_decoded_do_not_cost_the_sound(tmp_path):
    source = source_of(_a_film_in_other_codecs(tmp_path / "a.mp4", "picture"))
    assert (source.info.channels, source.info.width) == (1, 0)
    samples, frames = read(source)
    assert len(samples) == pytest.approx(SECONDS * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert not frames


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are no mode bits there")
@pytest.mark.parametrize("locked", ["folder", "folder/a.wav"])
def test_what_may_not_be_read_is_refused(tmp_path, locked):
    (tmp_path / "folder").mkdir()
    path = write_media(tmp_path / "folder" / "a.wav", a_tone(codec="pcm_s16le"))
    (tmp_path / locked).chmod(0)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(UserFacingError, match=r"may not be read.*permissions"):
            source_of(path)
    finally:
        (tmp_path / locked).chmod(0o700)


def test_a_file_that_vanished_after_opening_is_named(tmp_path):
    path = write_media(tmp_path / "a.wav", a_tone(codec="pcm_s16le"))
    source = source_of(path)
    path.unlink()
    with pytest.raises(UserFacingError, match="no file"):
        list(source)


def _damage(path, first, last, seed=0):
    """Scramble 30 stretches of 20 bytes between the fractions ``first`` and ``last`` of a file."""
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for start in random.integers(int(first * len(content)), int(last * len(content)), 30):
        content[start : start + 20] = random.bytes(20)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["h264-aac.mp4", "h264-aac.mkv", "mpeg1-mp2.mpg", "plain.mp3"])
def test_damage_in_the_middle_is_passed_over(tmp_path, capfd, name):
    noise = babble(8, [(0, 8)], 48_000, seed=5)[:, None]
    drawn = np.random.default_rng(6).integers(0, 255, (200, 48, 64, 3), np.uint8)
    sound, pictures = FILES[name]
    path = write_media(
        tmp_path / name,
        Sound(noise, codec=sound.codec),
        pictures and Pictures([(i / 25, p) for i, p in enumerate(drawn)], pictures.codec),
    )
    _damage(path, 0.4, 0.6)
    samples, frames = read(source_of(path))
    assert len(samples) / SAMPLE_RATE == pytest.approx(8, abs=0.5)
    assert np.abs(samples[-2 * SAMPLE_RATE : -SAMPLE_RATE]).max() > 0.05
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))
    if pictures:
        assert times[-1] == pytest.approx(7.96, abs=0.1)
        assert len(times) > 150
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["h264-aac.mkv", "mpeg1-mp2.mpg", "mpeg4-pcm.avi", "plain.mp3"])
def test_a_truncated_file_plays_to_where_it_ends(tmp_path, name):
    path = write_media(tmp_path / name, *FILES[name])
    content = path.read_bytes()
    whole, _ = read(source_of(path))
    path.write_bytes(content[: int(len(content) * 0.7)])
    samples, frames = read(source_of(path))
    assert 0.3 < len(samples) / len(whole) < 0.9
    np.testing.assert_allclose(samples[:4000], whole[:4000])
    assert bool(frames) == (FILES[name][1] is not None)
