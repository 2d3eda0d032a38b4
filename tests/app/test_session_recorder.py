"""What a recorder leaves on the disk, whatever happens to the disk or to the process."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import app.reading
from app.cli import main
from app.events import UtteranceLabelled, from_json
from app.session.card import CARD, MEDIA, SessionCard
from app.session.files import OpenFile, RawFile, open_raw
from app.session.log import EVENTS
from app.session.media_writer import MediaWriter
from app.session.reader import RecordedSession
from app.session.recorder import Recorder
from app.session.space import Space, space_for
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, DeviceNotice, MediaInfo, VideoFrame
from live_features.sources.recording import RecordingSource
from tests.app.synthetic_session import events as synthetic_events
from tests.media_files import Pictures, plain_pictures, write_media
from tests.recording_process import RecordingProcess, what_is_left

Item = AudioBlock | VideoFrame | DeviceNotice
INFO = MediaInfo("talk", None, channels=1, width=64, height=48, frame_rate=25.0)
CARD_OF_TALK = SessionCard(
    created="2026-01-01T12:00:00+00:00",
    source="talk",
    channels=1,
    has_video=True,
    speakers=None,
    enrol=(),
    models={"whisper": "tiny.en"},
    checkpoint_sha256="",
)


PATIENCE = 300.0
"""Seconds that a process gets for loading its models beside others that are busy."""
STORY = list(synthetic_events())
STORY_AS_READ = [from_json(event.to_json()) for event in STORY]


class Talk:
    """A source of noise in blocks of 30 ms and of pictures whose grey tells their number."""

    info = INFO

    def __init__(self, seconds: float, *, rate: float = 25.0, begin: float = 0.0) -> None:
        count = round(seconds * SAMPLE_RATE)
        self.sound = np.random.default_rng(1).uniform(-1, 1, (count, 1)).astype(np.float32)
        self._rate = rate
        self._begin = begin

    def __iter__(self) -> Iterator[Item]:
        picture = 0
        for first in range(0, len(self.sound), 480):
            block = AudioBlock(self.sound[first : first + 480], self._begin + first / SAMPLE_RATE)
            while self._begin + picture / self._rate <= block.end:
                yield VideoFrame(grey(picture), self._begin + picture / self._rate)
                picture += 1
            yield block

    def close(self) -> None:
        """Nothing is open."""


class LongSilence(Talk):
    """400 s in blocks of a second."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __iter__(self) -> Iterator[Item]:
        second = np.zeros((SAMPLE_RATE, 1), np.float32)
        return (AudioBlock(second, float(start)) for start in range(400))


def grey(number: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), 16 + 8 * (number % 28), np.uint8)


def recorded(
    folder: Path, source: Talk, *, open_file: OpenFile = open_raw, events: bool = True
) -> tuple[list[Item], list[str]]:
    """Record ``source`` and a conversation's events; what came through, and what was told."""
    told: list[str] = []
    recorder = Recorder(folder, CARD_OF_TALK, INFO, patient=True, open_file=open_file)
    tee = recorder.tee(source)
    recorder.begin(told.append)
    story = iter(STORY if events else [])
    passed = []
    for item in tee:
        passed.append(item)
        if (event := next(story, None)) is not None:
            recorder.keep(event)
    for event in story:
        recorder.keep(event)
    recorder.finish()
    assert not [thread for thread in threading.enumerate() if thread.name == "recorder"]
    return passed, told


def played(path: Path) -> tuple[NDArray[np.float32], list[VideoFrame]]:
    blocks, frames = [np.zeros((0, 1), np.float32)], []
    for item in RecordingSource(path, VirtualClock()):
        if isinstance(item, AudioBlock):
            blocks.append(item.samples)
        else:
            frames.append(item)
    return np.concatenate(blocks), frames


def test_sound_is_kept_to_the_bit_and_pictures_at_their_time(tmp_path: Path) -> None:
    talk = Talk(4.0)
    passed, told = recorded(tmp_path / "a.sdt", talk)
    assert told == []
    assert [i for i in passed if isinstance(i, AudioBlock)]
    sound, frames = played(tmp_path / "a.sdt" / MEDIA)
    np.testing.assert_array_equal(sound, talk.sound)
    expected = [i for i in passed if isinstance(i, VideoFrame)]
    assert [f.time for f in frames] == pytest.approx([f.time for f in expected], abs=0.001)
    for frame, original in zip(frames, expected, strict=True):
        assert abs(float(frame.image.mean()) - float(original.image.mean())) < 4
    assert list(RecordedSession(tmp_path / "a.sdt").events()) == STORY_AS_READ


def test_sound_and_pictures_are_together_after_an_hour(tmp_path: Path) -> None:
    # The hour before is not written, but its times are: what could drift is counted in them.
    path = tmp_path / MEDIA
    file = open_raw(path)
    writer = MediaWriter(file, INFO)
    late = Talk(0.9, begin=3600.0)
    for item in (*Talk(0.3), *late):
        assert not isinstance(item, DeviceNotice)
        writer.write(item)
    writer.close()
    file.close()
    heard = [np.zeros((0, 1), np.float32)]
    seen = []
    for item in RecordingSource(path, VirtualClock()):
        if isinstance(item, AudioBlock) and item.end > 3600:
            heard.append(item.samples[max(0, round((3600 - item.start) * SAMPLE_RATE)) :])
        elif isinstance(item, VideoFrame) and item.time > 1:
            seen.append(item.time)
    np.testing.assert_array_equal(np.concatenate(heard), late.sound)
    assert seen == pytest.approx([3600 + number / 25 for number in range(len(seen))], abs=0.002)
    assert len(seen) == 23


def test_a_camera_of_another_size_than_was_promised(tmp_path: Path) -> None:
    path = tmp_path / MEDIA
    file = open_raw(path)
    writer = MediaWriter(file, INFO)
    for number in range(20):
        # Odd numbers of pixels, and another camera half way through.
        size = (101, 75) if number < 10 else (160, 120)
        writer.write(VideoFrame(cv2.resize(grey(number), size), number / 25))
    writer.close()
    file.close()
    _, frames = played(path)
    assert len(frames) == 20
    assert {frame.image.shape for frame in frames} == {(74, 100, 3)}
    for number, frame in enumerate(frames):
        assert abs(float(frame.image.mean()) - float(grey(number).mean())) < 4


def test_what_was_written_plays_before_anything_is_closed(tmp_path: Path) -> None:
    path = tmp_path / MEDIA
    talk = Talk(3.0)
    file = open_raw(path)
    writer = MediaWriter(file, INFO)
    now = 0.0
    for item in talk:
        assert not isinstance(item, DeviceNotice)
        writer.write(item)
        now = item.end if isinstance(item, AudioBlock) else item.time
        if now > 1.0 and round(now * 100) % 25 == 0:
            sound, frames = played(path)
            assert len(sound) / SAMPLE_RATE > now - 0.35
            np.testing.assert_array_equal(sound, talk.sound[: len(sound)])
            assert frames[-1].time > now - 0.35
    writer.abandon()
    file.close()
    assert now > 2.9


def test_wherever_the_file_is_cut_off_the_rest_plays(tmp_path: Path) -> None:
    talk = Talk(3.0)
    recorded(tmp_path / "a.sdt", talk, events=False)
    whole = (tmp_path / "a.sdt" / MEDIA).read_bytes()
    for number, length in enumerate(np.random.default_rng(2).integers(20_000, len(whole), 20)):
        cut = tmp_path / f"{number}.mkv"
        cut.write_bytes(whole[:length])
        sound, _ = played(cut)
        np.testing.assert_array_equal(sound, talk.sound[: len(sound)])
        # Most of the bytes are sound.
        assert len(sound) > 0.7 * len(talk.sound) * length / len(whole) - 0.3 * SAMPLE_RATE


class Disk:
    """Opens files on a disk that has room for ``room`` bytes, and then none."""

    def __init__(self, room: int, code: int = errno.ENOSPC) -> None:
        self.room = room
        self.code = code

    def __call__(self, path: Path) -> RawFile:
        return _FileOnDisk(open_raw(path), self)


class _FileOnDisk:
    def __init__(self, file: RawFile, disk: Disk) -> None:
        self._file = file
        self._disk = disk
        self.seek, self.tell, self.fileno, self.close = (
            file.seek,
            file.tell,
            file.fileno,
            file.close,
        )

    def write(self, data: bytes, /) -> int:
        taken = data[: self._disk.room]
        if data and not taken:
            raise OSError(self._disk.code, os.strerror(self._disk.code))
        self._disk.room -= len(taken)
        return self._file.write(taken) or 0


@pytest.mark.parametrize("room", [0, 10, 400, 1_000, 10_000, 60_000, 120_000, 200_000])
def test_a_full_disk_is_told_once_and_keeps_what_it_has(tmp_path: Path, room: int) -> None:
    folder, talk = tmp_path / "a.sdt", Talk(3.0)
    passed, told = recorded(folder, talk, open_file=Disk(room))
    assert sum(isinstance(item, AudioBlock) for item in passed) == 100
    assert len(told) == 1
    assert "disk is full" in told[0]
    assert str(folder) in told[0]
    if not (folder / CARD).exists():
        assert room < 500
        return
    session = RecordedSession(folder)
    events = list(session.events())
    assert events == STORY_AS_READ[: len(events)]
    if (folder / MEDIA).exists() and (folder / MEDIA).stat().st_size > 50_000:
        sound, _ = played(folder / MEDIA)
        np.testing.assert_array_equal(sound, talk.sound[: len(sound)])
        assert len(sound) > SAMPLE_RATE / 4


def test_a_disk_with_room_again_is_not_written_to(tmp_path: Path) -> None:
    # A line that was written in part must stay the last one.
    folder, disk, told = tmp_path / "a.sdt", Disk(1_000), list[str]()
    recorder = Recorder(folder, CARD_OF_TALK, INFO, open_file=disk)
    recorder.begin(told.append)
    for event in STORY[:50]:
        recorder.keep(event)
    disk.room = 1_000_000
    for event in STORY[50:]:
        recorder.keep(event)
    recorder.finish()
    assert len(told) == 1
    session = RecordedSession(folder)
    events = list(session.events())
    assert events == STORY_AS_READ[: len(events)]
    assert len(session.notes) == 1


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written(tmp_path: Path, code: int) -> None:
    passed, told = recorded(tmp_path / "a.sdt", Talk(1.0), open_file=Disk(0, code))
    assert len(passed) > 30
    assert len(told) == 1
    assert "may not be written" in told[0]


def test_a_folder_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    passed, told = recorded(tmp_path / "file" / "a.sdt", Talk(1.0))
    assert len(passed) > 30
    assert len(told) == 1


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.sdt").mkdir()
    (tmp_path / "a.sdt" / "mine").touch()
    with pytest.raises(UserFacingError, match="already something"):
        Recorder(tmp_path / "a.sdt", CARD_OF_TALK, INFO)
    assert os.listdir(tmp_path / "a.sdt") == ["mine"]


class SlowDisk:
    """Takes nothing until it is told to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def __call__(self, path: Path) -> RawFile:
        if path.name == MEDIA:
            self.may_go_on.wait()
        return open_raw(path)


def test_a_disk_that_hangs_delays_nobody_and_loses_no_sound(tmp_path: Path) -> None:
    disk, told, talk = SlowDisk(), list[str](), Talk(5.0)
    recorder = Recorder(tmp_path / "a.sdt", CARD_OF_TALK, INFO, open_file=disk)
    recorder.begin(told.append)
    began = time.monotonic()
    pictures = [i for i in recorder.tee(talk) if isinstance(i, VideoFrame)]
    assert time.monotonic() - began < 2.0
    disk.may_go_on.set()
    recorder.finish()
    assert told == []
    sound, frames = played(tmp_path / "a.sdt" / MEDIA)
    np.testing.assert_array_equal(sound, talk.sound)
    # The oldest made room, but for what was being written already.
    assert 32 <= len(frames) <= 33
    assert frames[-1].time == pytest.approx(pictures[-1].time, abs=0.001)


def test_a_disk_that_hangs_for_minutes_counts_as_broken(tmp_path: Path) -> None:
    disk, told = SlowDisk(), list[str]()
    recorder = Recorder(tmp_path / "a.sdt", CARD_OF_TALK, INFO, open_file=disk)
    recorder.begin(told.append)
    assert len(list(recorder.tee(LongSilence()))) == 400
    assert len(told) == 1
    disk.may_go_on.set()
    recorder.finish()
    assert len(told) == 1
    assert "takes nothing any more" in told[0]


def test_how_much_room_it_takes(tmp_path: Path) -> None:
    sound_only = space_for(MediaInfo("a", None, channels=1), tmp_path / "not" / "there")
    assert sound_only.per_minute == pytest.approx(4e6, rel=0.05)
    assert sound_only.free
    assert space_for(INFO, tmp_path).per_minute > sound_only.per_minute
    assert str(Space(per_minute=10_000_000, free=None)) == "about 10 MB a minute"
    assert "90 minutes" in str(Space(per_minute=10_000_000, free=900_000_000))


def test_the_command_line_goes_on_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object, **settings: object) -> Recorder:
        return Recorder(*arguments, **settings, open_file=Disk(700))  # type: ignore[arg-type]

    monkeypatch.setattr(app.reading, "Recorder", full)
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(30)))
    arguments = ["--replay", str(tmp_path / "silent.mp4"), "--headless", "--offline"]
    assert main([*arguments, "--record", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "MB a minute" in printed
    assert printed.count("disk is full") == 1
    assert "No speech was found" in printed
    assert RecordedSession(tmp_path / "a.sdt").card.source == "silent.mp4"


@pytest.mark.parametrize("utterances", [0, 1, 2])
def test_a_killed_recording_lacks_nothing_that_was_told(tmp_path: Path, utterances: int) -> None:
    process = RecordingProcess(tmp_path / "a.sdt")
    try:
        assert process.listening.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while len(process.printed) < utterances and time.monotonic() < deadline:
            time.sleep(0.005)
        if not utterances:
            time.sleep(2.0)
    finally:
        process.kill()
    left = what_is_left(tmp_path / "a.sdt")
    assert len(process.printed) >= utterances
    assert set(process.printed) <= set(left.utterances)
    features = RecordedSession(tmp_path / "a.sdt").features(len(left.utterances))
    assert sorted(features) == list(range(len(left.utterances)))
    # How much there is beyond that depends on how busy the machine was.
    assert left.sound > left.last_end
    assert left.pictures > 0


def test_labels_are_there_as_soon_as_they_are_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.sdt", CARD_OF_TALK, INFO)
    recorder.begin(lambda sentence: None)
    for number, event in enumerate(STORY[:200], 1):
        recorder.keep(event)
        if isinstance(event, UtteranceLabelled):
            lines = (tmp_path / "a.sdt" / EVENTS).read_bytes().splitlines()
            assert len(lines) == number
    recorder.finish()
