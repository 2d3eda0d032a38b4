"""The player over real small files; nothing is asserted about how long anything takes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.preview import LatestFrame
from app.session.player import Player
from live_features.clocks import VirtualClock
from live_features.media import VideoFrame
from live_features.playback import SoundOutput
from live_features.sources.recording import RecordingSource
from live_features.tempo import Tempo
from tests.fake_output import FakeOutput
from tests.media_files import Pictures, Sound, plain_pictures, tone, write_media

pytestmark = pytest.mark.usefixtures("nothing_left_running")
RATE = 48_000


@pytest.fixture
def nothing_left_running() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


class Shown(LatestFrame):
    """Every picture that was shown, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def put(self, frame: VideoFrame) -> None:
        super().put(frame)
        self.times.append(frame.time)


class Playing:
    """A player over a file, and what comes out of it."""

    def __init__(self, path: Path | None, *, channels: int = 2, limit: float = np.inf) -> None:
        self.limit = limit
        self.shown = Shown()
        self.device = FakeOutput(channels=channels)
        media = None if path is None else RecordingSource(path, VirtualClock())
        self.player = Player(
            media,
            self.shown,
            limit=lambda: self.limit,
            end=lambda: 0.6,
            new_output=lambda channels: SoundOutput(channels, self.device),
        )
        self.player.start()

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *_: object) -> None:
        self.player.close()
        assert self.player.join(5.0)
        assert self.device.open_streams == 0


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def film(path: Path, *, seconds: float = 2.0, sound: bool = True, pictures: bool = True) -> Path:
    return write_media(
        path,
        Sound(tone(seconds, [(0.0, seconds)], RATE)[:, None], RATE, "pcm_s16le") if sound else None,
        Pictures(plain_pictures(round(25 * seconds))) if pictures else None,
    )


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_it_plays_to_the_end_with_and_without_an_output(tmp_path: Path, channels: int) -> None:
    with Playing(film(tmp_path / "a.mkv"), channels=channels) as it:
        until(lambda: it.shown.times == [0.0])
        it.player.play()
        until(lambda: it.player.ended)
        assert it.player.position == pytest.approx(2.0, abs=0.1)
        assert not it.player.playing
        assert it.shown.times == sorted(it.shown.times)
        assert it.shown.times[-1] == pytest.approx(1.96, abs=1e-3)
        assert bool(it.player.silence) == (channels == 0)
        if channels:
            sound = it.device.sound[:, 0]
            assert np.isfinite(sound).all()
            assert np.count_nonzero(np.abs(sound) > 1e-3) == pytest.approx(2.0 * RATE, rel=0.06)


@pytest.mark.parametrize(("sound", "pictures"), [(True, False), (False, True)])
def test_sound_or_pictures_alone(tmp_path: Path, sound: bool, pictures: bool) -> None:
    with Playing(film(tmp_path / "a.mkv", seconds=0.6, sound=sound, pictures=pictures)) as it:
        it.player.play()
        until(lambda: it.player.ended)
        assert it.player.position == pytest.approx(0.6, abs=0.1)
        assert bool(it.shown.times) == pictures


def test_events_alone_have_a_clock_too() -> None:
    with Playing(None) as it:
        it.player.play()
        until(lambda: it.player.ended)
        assert it.player.position >= 0.6


def test_a_seek_shows_the_picture_there_while_it_stands_still(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv")) as it:
        for where in (1.5, 0.3, 1.1):
            it.player.seek(where)
            assert it.player.position == where
            until(lambda w=where: it.shown.times[-1:] == [pytest.approx(w, abs=0.0401)])
        assert it.player.position == 1.1
        assert not it.player.playing


def test_of_many_seeks_the_latest_counts(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv")) as it:
        it.player.play()
        for step in range(200):
            it.player.seek((step % 20) / 10)
        it.player.pause()
        it.player.seek(1.0)
        until(lambda: it.shown.times[-1:] == [pytest.approx(1.0)])
        assert len(it.shown.times) < 200
        assert it.player.position == 1.0


def test_pausing_stands_still_and_goes_on_from_there(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv")) as it:
        it.player.play()
        until(lambda: it.player.position > 0.4)
        it.player.pause()
        until(lambda: len({it.player.position for _ in range(5) if not time.sleep(0.02)}) == 1)
        here = it.player.position
        it.player.play()
        until(lambda: it.player.position > here + 0.2)
        until(lambda: it.player.ended)


@pytest.mark.parametrize("speed", [0.5, 2.0, 4.0, 8.0])
def test_at_every_speed_all_of_it_is_played(tmp_path: Path, speed: float) -> None:
    with Playing(film(tmp_path / "a.mkv", seconds=1.0)) as it:
        it.player.set_speed(speed)
        it.player.play()
        until(lambda: it.player.ended)
        assert it.player.position == pytest.approx(1.0, abs=0.1)
        heard = np.count_nonzero(np.abs(it.device.sound[:, 0]) > 1e-3) / RATE
        assert heard == pytest.approx(0.0 if speed > 4 else 1.0 / speed, rel=0.25)


def test_a_loop_is_played_over_and_over(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv")) as it:
        it.player.set_loop((0.8, 1.1))
        it.player.play()
        until(lambda: sum(b < a for a, b in itertools.pairwise(it.shown.times)) >= 3)
        assert all(0.75 <= t <= 1.2 for t in it.shown.times[1:])
        it.player.set_loop(None)
        until(lambda: it.player.ended)


def test_it_waits_for_what_has_not_been_read_yet(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv", seconds=3.0), limit=0.5) as it:
        it.player.play()
        until(lambda: it.player.waiting)
        assert it.player.position <= 0.6
        it.limit = np.inf
        until(lambda: it.player.ended)


def test_playing_again_after_the_end_begins_anew(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv", seconds=0.4)) as it:
        it.player.play()
        until(lambda: it.player.ended)
        it.player.play()
        assert not it.player.ended
        assert it.player.position <= 0.4
        until(lambda: it.player.ended)


def test_an_output_that_goes_away_leaves_the_picture_going(tmp_path: Path) -> None:
    with Playing(film(tmp_path / "a.mkv", seconds=4.0)) as it:
        it.player.play()
        until(lambda: it.player.position > 0.3)
        it.device.unplug()
        until(lambda: it.player.ended)
        assert "gone" in it.player.silence
        assert it.shown.times[-1] == pytest.approx(3.96, abs=1e-3)


def test_media_that_vanish_end_with_a_sentence(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    with Playing(path) as it:
        until(lambda: it.shown.times == [0.0])
        path.unlink()
        it.player.seek(1.0)
        it.player.play()
        until(lambda: it.player.ended)
        assert "a.mkv" in it.player.problem


def test_a_picture_that_cannot_be_made_breaks_off_playing_until_one_goes_elsewhere(
    tmp_path: Path,
) -> None:
    class Spoilt(RecordingSource):
        def starting_at(self, start: float, given_up=lambda: False):
            for item in super().starting_at(start, given_up):
                if isinstance(item, VideoFrame) and 0.4 < item.time < 0.6:
                    yield VideoFrame(spoil, item.time)
                else:
                    yield item

    def spoil() -> np.ndarray:
        raise ValueError("no such format")

    source = Spoilt(film(tmp_path / "a.mkv", seconds=1.0), VirtualClock())
    player = Player(source, Shown(), limit=lambda: np.inf, end=lambda: 1.0, new_output=silent)
    player.start()
    player.play()
    until(lambda: player.ended)
    assert "cannot be played" in player.problem
    player.seek(0.7)
    player.play()
    until(lambda: player.ended)
    assert player.problem == ""
    player.close()
    assert player.join(5.0)


def silent(channels: int) -> SoundOutput:
    return SoundOutput(channels, FakeOutput(channels=0))


def test_a_player_may_be_closed_before_it_began() -> None:
    player = Player(None, LatestFrame(), limit=lambda: 0.0, end=lambda: 0.0)
    player.close()
    player.start()
    assert player.join(1.0)


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5, 2.0, 4.0])
def test_speech_that_is_faster_keeps_its_pitch(speed: float) -> None:
    tempo = Tempo(speed, 2)
    sound = np.repeat(tone(4.0, [(0.0, 4.0)], 16_000, 440.0)[:, None], 2, axis=1)
    parts = [tempo(sound[start : start + 512]) for start in range(0, len(sound), 512)]
    heard = np.concatenate(parts)
    assert heard.shape[1] == 2
    assert len(heard) == pytest.approx(len(sound) / speed, rel=0.05)
    middle = heard[len(heard) // 4 :, 0][:8192]
    loudest = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))))
    assert loudest * 16_000 / len(middle) == pytest.approx(440.0, abs=4.0)


def test_no_tempo_beyond_what_can_be_understood() -> None:
    for speed in (0.1, 8.0):
        with pytest.raises(ValueError, match="not between"):
            Tempo(speed, 1)
