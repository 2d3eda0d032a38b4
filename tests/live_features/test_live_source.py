"""Microphone and webcam as one source: whatever the camera does, no sound is lost."""

import threading
import time

import numpy as np
import pytest

from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, DeviceNotice, VideoFrame
from live_features.sources.live import LiveSource
from live_features.sources.microphone import Microphone
from live_features.sources.webcam import SENTENCES, Patience, Webcam
from tests.fake_camera import FakeCamera
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice

BLOCK = 512
DEADLINE = 20.0
PICTURE = np.full((48, 64, 3), 90, np.uint8)


class CountingMicrophone:
    """Hears its own sample counter, in real time, up to a block behind."""

    channels = 1

    def __init__(self):
        self.running = False
        self._started = 0.0
        self._stopped = None
        self._read = 0

    @property
    def now(self):
        return (self._stopped or time.monotonic()) - self._started

    @property
    def heard(self):
        """How many samples there are by now."""
        return round(self.now * SAMPLE_RATE) if self._started else 0

    def start(self):
        self.running = True
        self._started = time.monotonic()

    def stop(self):
        self.running = False
        self._stopped = self._stopped or time.monotonic()

    def read(self, timeout):
        deadline = time.monotonic() + timeout
        while self.running and self.heard < self._read + BLOCK and time.monotonic() < deadline:
            time.sleep(0.002)
        blocks = []
        while (count := min(self.heard - self._read, BLOCK)) == BLOCK or (
            count > 0 and not self.running
        ):
            samples = np.arange(self._read, self._read + count, dtype=np.float32)[:, None]
            blocks.append(AudioBlock(samples, self._read / SAMPLE_RATE))
            self._read += count
        return blocks


class NoMicrophone(CountingMicrophone):
    def start(self):
        raise UserFacingError("No microphone was found; plug one in.")


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert [each.name for each in threading.enumerate() if each not in before] == []


@pytest.fixture
def camera():
    return FakeCamera([PICTURE])


def webcam(camera, **patience):
    return Webcam(open_camera=camera, patience=Patience(retry=0.02, **patience))


def frames_of(items):
    return [item for item in items if isinstance(item, VideoFrame)]


def notices_of(items):
    return [item for item in items if isinstance(item, DeviceNotice)]


def assert_nothing_lost(items, microphone):
    """Every sample of ``microphone`` up to its stop is there, once, and stamped by its place."""
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    samples = np.concatenate([block.samples[:, 0] for block in blocks])
    np.testing.assert_array_equal(samples, np.arange(microphone.heard))
    for block in blocks:
        assert round(block.start * SAMPLE_RATE) == block.samples[0, 0]


def assert_in_order(items):
    """But for the few milliseconds by which a microphone's clock may trail its samples."""
    times = [item.end if isinstance(item, AudioBlock) else item.time for item in items]
    assert np.diff(times).min() > -0.01


def collect(source, *steps):
    """All of ``source``.

    Each step is (enough, then): as soon as ``enough`` says so of the items since the step before,
    ``then`` is done. After the last step the source is closed.
    """
    items, since, pending = [], 0, list(steps)
    deadline = time.monotonic() + DEADLINE
    for item in source:
        items.append(item)
        assert time.monotonic() < deadline, f"{pending[0][0]} never came in {notices_of(items)}"
        if pending and pending[0][0](items[since:]):
            pending.pop(0)[1]()
            since = len(items)
            if not pending:
                source.close()
    return items


def some_frames(items):
    return len(frames_of(items)) >= 3


def some_sound(items):
    return sum(isinstance(item, AudioBlock) for item in items) >= 3


def notice(code):
    return lambda items: code in [each.code for each in notices_of(items)]


def nothing():
    pass


def test_what_is_heard_and_seen_comes_in_the_order_of_its_time(camera):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera))
    items = collect(source, (lambda items: len(frames_of(items)) >= 10, nothing))
    assert_in_order(items)
    assert notices_of(items) == []
    assert_nothing_lost(items, microphone)
    assert camera.open_handles == 0


def test_info_is_what_was_asked_for_until_the_camera_has_opened(camera):
    source = LiveSource(CountingMicrophone(), webcam(camera))
    info = source.info
    assert (info.name, info.duration, info.channels) == ("live", None, 1)
    assert (info.width, info.height, info.frame_rate) == (640, 480, 30.0)
    seen = []
    collect(source, (some_frames, lambda: seen.append(source.info)))
    assert (seen[0].width, seen[0].height, seen[0].frame_rate) == (64, 48, 30.0)


def test_without_a_camera_there_is_sound(camera):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, None)
    assert not source.info.has_video
    items = collect(source, (some_sound, nothing))
    assert_nothing_lost(items, microphone)


@pytest.mark.parametrize(
    ("fault", "code", "patience"),
    [
        ("unplugged", "missing", None),
        ("denied", "denied", None),
        ("unopenable", "unopened", None),
        ("slow", "slow", "opening"),
        ("busy", "busy", "first_picture"),
        ("black", "black", "black"),
    ],
)
def test_a_camera_that_fails_at_the_start_leaves_the_sound_alone(camera, fault, code, patience):
    camera.fault = fault
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera, **({patience: 0.2} if patience else {})))

    def mend():
        camera.fault = None

    items = collect(source, (notice(code), mend), (notice("returned"), nothing))
    assert [each.message for each in notices_of(items)] == [
        SENTENCES[code].format(index=0, found="none"),
        SENTENCES["returned"].format(index=0),
    ]
    assert_nothing_lost(items, microphone)


@pytest.mark.parametrize(
    ("fault", "code", "patience"),
    [
        ("unplugged", "lost", None),
        ("busy", "lost", None),
        ("hangs", "lost", "next_picture"),
        ("raises", "lost", None),
        ("black", "black", "black"),
    ],
)
def test_a_camera_that_fails_on_the_way_leaves_the_sound_alone(camera, fault, code, patience):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera, **({patience: 0.4} if patience else {})))

    def fail():
        camera.fault = fault

    def mend():
        camera.fault = None

    items = collect(
        source,
        (some_frames, fail),
        (notice(code), nothing),
        (some_sound, mend),
        (notice("returned"), nothing),
        (some_frames, nothing),
    )
    assert [each.code for each in notices_of(items)] == [code, "returned"]
    assert_nothing_lost(items, microphone)


def test_closing_from_another_thread_ends_it_with_all_that_was_heard(camera):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera))
    items = []
    reading = threading.Thread(target=lambda: items.extend(source))
    reading.start()
    while not frames_of(items) and reading.is_alive():
        time.sleep(0.01)
    source.close()
    reading.join(DEADLINE)
    assert not reading.is_alive()
    assert not microphone.running
    assert_nothing_lost(items, microphone)


def test_closing_does_not_wait_for_a_camera_that_hangs(camera):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera))

    def hang():
        camera.fault = "hangs"

    items = collect(source, (some_frames, hang), (some_sound, nothing))
    assert camera.fault == "hangs"
    assert_nothing_lost(items, microphone)
    camera.fault = None
    while camera.open_handles:
        time.sleep(0.005)


def test_closed_before_it_began_it_starts_nothing(camera):
    microphone = CountingMicrophone()
    source = LiveSource(microphone, webcam(camera))
    source.close()
    assert list(source) == []
    assert microphone.heard == 0
    assert camera.delivered == 0


def test_a_reader_that_breaks_off_leaves_no_device_running(camera):
    microphone = CountingMicrophone()
    items = iter(LiveSource(microphone, webcam(camera)))
    while not isinstance(next(items), VideoFrame):
        pass
    items.close()
    assert not microphone.running
    assert camera.open_handles == 0


def test_without_a_microphone_no_camera_is_opened(camera):
    source = LiveSource(NoMicrophone(), webcam(camera))
    with pytest.raises(UserFacingError, match="No microphone"):
        next(iter(source))
    assert camera.open_handles == 0
    assert camera.delivered == 0


def test_the_real_microphone_beside_a_camera_that_hangs_and_comes_back(camera):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * SAMPLE_RATE).astype(np.float32)
    device = FakeDevice("Desk mic", noise, rate=SAMPLE_RATE)
    fake = FakeSoundDevice([device])
    microphone = Microphone(portaudio=fake, system_default=fake.system_default)
    source = LiveSource(microphone, webcam(camera, next_picture=0.4))

    def hang():
        camera.fault = "hangs"

    def mend():
        camera.fault = None

    items = collect(
        source,
        (some_frames, hang),
        (notice("lost"), mend),
        (notice("returned"), nothing),
        (some_frames, nothing),
    )
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    sound = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(sound, device.heard, atol=1e-6)
    assert_in_order(items)
    assert {each.device for each in notices_of(items)} == {"camera"}


def test_while_the_microphone_is_away_the_pictures_go_on(camera):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * SAMPLE_RATE).astype(np.float32)
    fake = FakeSoundDevice([FakeDevice("Desk mic", noise, rate=SAMPLE_RATE)])
    microphone = Microphone(portaudio=fake, system_default=fake.system_default)
    source = LiveSource(microphone, webcam(camera))
    items = collect(
        source,
        (some_frames, lambda: fake.pull_out("Desk mic")),
        (notice("lost"), nothing),
        (lambda items: len(frames_of(items)) >= 10, lambda: fake.plug_in("Desk mic")),
        (notice("returned"), nothing),
        (some_frames, nothing),
    )
    assert_in_order(items)
    assert [each.device for each in notices_of(items)] == ["microphone", "microphone"]
