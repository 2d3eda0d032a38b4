"""Pausing live input: what comes meanwhile is not handed on, and time stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from live_features.media import (
    SAMPLE_RATE,
    AudioBlock,
    CapturePaused,
    CaptureResumed,
    DeviceNotice,
    MediaInfo,
    VideoFrame,
)
from live_features.sources.pausing import SILENCE, PausableSource

BLOCK = SAMPLE_RATE // 10


class Devices:
    """A block every tenth of a second, whose samples say which they are, and a picture in each.

    ``at`` maps a moment, in tenths of a second, to what somebody does then.
    """

    def __init__(self, blocks: int, at: dict[float, Callable[[], object]]) -> None:
        self.info = MediaInfo(name="live", duration=None, channels=1)
        self.now = 0.0
        self.resting = False
        self._blocks = blocks
        self._at = at

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame | DeviceNotice]:
        for number in range(self._blocks):
            for moment in sorted(m for m in self._at if number <= m < number + 1):
                self.now = moment / 10
                self._at[moment]()
            start = number * BLOCK
            samples = np.arange(start, start + BLOCK, dtype=np.float32)[:, None] + 1
            yield VideoFrame(np.full((2, 2, 3), number, np.uint8), (number + 0.5) / 10)
            yield DeviceNotice((number + 0.5) / 10, "camera", "black", "Dark.")
            yield AudioBlock(samples, start / SAMPLE_RATE)

    def rest(self) -> None:
        self.resting = True

    def wake(self) -> None:
        self.resting = False

    def close(self) -> None:
        """Nothing is open."""


def played(blocks: int, *, pause: tuple[float, ...], resume: tuple[float, ...]) -> list[object]:
    devices = Devices(blocks, {})
    source = PausableSource(devices)
    devices._at = {m: source.pause for m in pause} | {m: source.resume for m in resume}
    return list(source)


def sound(items: list[object]) -> np.ndarray:
    """All samples, which have to follow each other without a gap."""
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    at = 0
    for block in blocks:
        assert round(block.start * SAMPLE_RATE) == at
        at += len(block.samples)
    return np.concatenate([block.samples[:, 0] for block in blocks])


def test_a_pause_is_a_second_of_silence_and_nothing_of_what_was_said() -> None:
    items = played(20, pause=(4.25,), resume=(12.5,))
    first, last = round(0.425 * SAMPLE_RATE), round(1.25 * SAMPLE_RATE)
    expected = np.arange(20 * BLOCK, dtype=np.float32) + 1
    silence = np.zeros(round(SILENCE * SAMPLE_RATE), np.float32)
    np.testing.assert_array_equal(
        sound(items), np.concatenate([expected[:first], silence, expected[last:]])
    )
    told = [i for i in items if isinstance(i, CapturePaused | CaptureResumed)]
    assert told == [CapturePaused(0.425), CaptureResumed(0.425 + SILENCE)]


def test_pictures_of_a_pause_are_left_out_and_the_others_keep_step_with_the_sound() -> None:
    items = played(20, pause=(4.0,), resume=(12.0,))
    frames = [item for item in items if isinstance(item, VideoFrame)]
    # That in the middle of the first block is there before it is known that sound goes on.
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2, 3, *range(13, 20)]
    samples = sound(items)
    for frame in frames:
        # The sample that sounded when the picture was taken.
        number = int(frame.image[0, 0, 0])
        assert samples[round(frame.time * SAMPLE_RATE)] == round((number + 0.5) * BLOCK) + 1


def test_devices_rest_while_it_is_paused() -> None:
    devices = Devices(20, {})
    source = PausableSource(devices)
    seen: list[bool] = []
    look = [(m, lambda: seen.append(devices.resting)) for m in (3.0, 8.0, 13.0)]
    devices._at = dict([*look, (4.0, source.pause), (12.0, source.resume)])
    list(source)
    assert seen == [False, True, False]


def test_notices_about_devices_come_through() -> None:
    items = played(10, pause=(2.0,), resume=(8.0,))
    times = [item.time for item in items if isinstance(item, DeviceNotice)]
    assert len(times) == 10
    assert times == sorted(times)


def test_it_may_be_paused_again_and_ended_meanwhile() -> None:
    items = played(20, pause=(2.0, 2.2, 6.0), resume=(2.1, 2.3))
    told = [type(i) for i in items if isinstance(i, CapturePaused | CaptureResumed)]
    assert told == [CapturePaused, CaptureResumed, CapturePaused, CaptureResumed, CapturePaused]
    heard = sound(items)
    assert heard.max() == 6 * BLOCK
    assert len(heard) == 6 * BLOCK - 2 * (BLOCK // 10) + 3 * SAMPLE_RATE
