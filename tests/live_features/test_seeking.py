"""Reading a file from somewhere in its middle."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from tests.media_files import MILLISECOND, Pictures, Sound, babble, plain_pictures, write_media

SECONDS = 20.0
STARTS = (0.0, 0.013, 7.31, 13.0, 19.5)


def noise(rate=48_000, codec="aac"):
    return Sound(babble(SECONDS, [(0.3, SECONDS)], rate, 1)[:, None] * 3, rate, codec)


def pictures(**more):
    return Pictures(plain_pictures(round(25 * SECONDS)), **more)


FILES = {
    "a.mp4": (noise(), pictures()),
    "a.mkv": (noise(), pictures()),
    "a.avi": (noise(codec="pcm_s16le"), pictures(codec="mpeg4")),
    "a.mpg": (noise(codec="mp2"), pictures(codec="mpeg1video")),
    "a.ts": (noise(), pictures()),
    "a.wav": (noise(44_100, "pcm_s16le"), None),
    "a.flac": (noise(codec="flac"), None),
    "a.mp3": (noise(44_100, "libmp3lame"), None),
    "silent.mkv": (None, pictures(time_base=MILLISECOND)),
}


def source_of(path: Path) -> RecordingSource:
    return RecordingSource(path, VirtualClock())


def sound_of(items) -> np.ndarray:
    blocks = [item.samples[:, 0] for item in items if isinstance(item, AudioBlock)]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def lag(expected: np.ndarray, found: np.ndarray) -> float:
    """Seconds by which ``found`` comes later than ``expected``, up to 0.2 either way."""
    length = min(len(expected), len(found), SAMPLE_RATE)
    expected, found = expected[:length], found[:length]
    shifts = range(-3200, 3201)
    likeness = np.correlate(np.pad(expected, 3200), found, "valid")
    return -shifts[int(np.argmax(likeness))] / SAMPLE_RATE


@pytest.mark.parametrize("name", FILES)
def test_what_comes_after_a_seek_is_what_comes_there_anyway(tmp_path, name):
    source = source_of(write_media(tmp_path / name, *FILES[name]))
    whole = list(source)
    sound = sound_of(whole)
    times = [item.time for item in whole if isinstance(item, VideoFrame)]
    for start in STARTS:
        items = list(source.starting_at(start))
        moments = [i.end if isinstance(i, AudioBlock) else i.time for i in items]
        assert moments == sorted(moments)
        if len(sound):
            first = next(item for item in items if isinstance(item, AudioBlock))
            assert first.start == pytest.approx(start, abs=1e-3)
            found = sound_of(items)
            assert len(found) == pytest.approx(len(sound) - start * SAMPLE_RATE, abs=2000)
            expected = sound[round(start * SAMPLE_RATE) :]
            assert abs(lag(expected, found)) <= (0.06 if name.endswith("mp3") else 0.005)
        if times:
            seen = [item for item in items if isinstance(item, VideoFrame)]
            on_the_screen = max((t for t in times if t <= start), default=times[0])
            expected_times = [t for t in times if t >= on_the_screen]
            found_times = [frame.time for frame in seen]
            # The decoder of MPEG streams guesses times, and may be a picture out.
            loose = name == "a.mpg"
            shared = min(len(found_times), len(expected_times)) - int(loose)
            assert len(found_times) == pytest.approx(len(expected_times), abs=int(loose))
            assert found_times[:shared] == pytest.approx(expected_times[:shared], abs=1e-3)
            same = next(i for i in whole if isinstance(i, VideoFrame) and i.time == on_the_screen)
            shade = same.image.mean()
            assert seen[0].image.mean() == pytest.approx(shade, abs=11.0 if loose else 3.0)


def test_a_recording_that_was_killed_has_no_index_and_can_be_sought(tmp_path):
    whole = write_media(tmp_path / "whole.mkv", noise(), pictures())
    data = whole.read_bytes()
    killed = tmp_path / "killed.mkv"
    killed.write_bytes(data[: len(data) * 3 // 4])
    times = [i.time for i in source_of(whole) if isinstance(i, VideoFrame)]
    for start in (12.0, 3.0, 13.7):
        items = list(itertools.islice(source_of(killed).starting_at(start), 20))
        frame = next(item for item in items if isinstance(item, VideoFrame))
        assert frame.time == pytest.approx(max(t for t in times if t <= start), abs=1e-3)


def test_after_the_end_there_is_nothing_more(tmp_path):
    source = source_of(write_media(tmp_path / "a.mkv", noise(), pictures()))
    items = list(source.starting_at(60.0))
    assert sound_of(items).size == 0
    assert len(items) <= 1  # the last picture stays


def test_a_seek_that_nobody_waits_for_any_more_ends(tmp_path):
    source = source_of(write_media(tmp_path / "a.mkv", noise(), pictures()))
    asked = []

    def given_up():
        asked.append(True)
        return len(asked) > 30

    items = list(source.starting_at(0.1, given_up))
    assert 0 < len(items) < 100


def test_damage_is_passed_over_wherever_one_seeks(tmp_path):
    path = write_media(tmp_path / "a.mkv", noise(), pictures())
    data = bytearray(path.read_bytes())
    drawn = random.Random(1)
    for _ in range(60):
        data[drawn.randrange(2000, len(data))] = drawn.randrange(256)
    path.write_bytes(data)
    source = source_of(path)
    for start in STARTS:
        for item in source.starting_at(start):
            assert item.end > start - 1 if isinstance(item, AudioBlock) else item.time >= 0
