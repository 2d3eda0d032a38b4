"""A webcam on the session clock, and what is said when it fails."""

import os
import sys
import threading
import time

import av
import cv2
import numpy as np
import pytest

from live_features.media import DeviceNotice, VideoFrame
from live_features.sources.webcam import (
    SENTENCES,
    Patience,
    Webcam,
    cameras,
    linux_cameras,
    open_with_opencv,
)
from tests.fake_camera import FakeCamera
from tests.media_files import Pictures, plain_pictures, write_media

DEADLINE = 20.0

RED_OVER_BLUE = np.zeros((48, 64, 3), np.uint8)
RED_OVER_BLUE[:24, :, 0] = 200
RED_OVER_BLUE[24:, :, 2] = 200


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert [each.name for each in threading.enumerate() if each not in before] == []


@pytest.fixture
def camera():
    return FakeCamera([RED_OVER_BLUE], rate=100.0)


@pytest.fixture
def started():
    """Starts a webcam on a fake camera, quick to try again; stops it after the test.

    ``patience`` names what else is to be noticed at once.
    """
    running = []

    def start(open_camera, *, now=lambda: 1.0, patience=(), **options):
        quick = dict.fromkeys(patience, 0.3)
        webcam = Webcam(open_camera=open_camera, patience=Patience(retry=0.02, **quick), **options)
        running.append(webcam)
        webcam.start(now)
        return webcam

    yield start
    for webcam in running:
        webcam.stop()


def read_until(webcam, enough):
    """What ``webcam`` delivers until ``enough`` says so of (frames, notices)."""
    frames, notices = [], []
    deadline = time.monotonic() + DEADLINE
    while not enough(frames, notices):
        assert time.monotonic() < deadline, f"only {len(frames)} frames and {notices}"
        for item in webcam.read():
            (frames if isinstance(item, VideoFrame) else notices).append(item)
        time.sleep(0.005)
    return frames, notices


def codes(notices):
    return [notice.code for notice in notices]


def three_frames(frames, notices):
    return len(frames) >= 3


def told(*expected):
    return lambda frames, notices: codes(notices) == list(expected)


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- When all is well ----------------------------------------------------------------------------


def test_pictures_are_upright_rgb_on_the_session_clock(camera, started):
    webcam = started(camera, now=lambda: 7.0, offset=0.25)
    frames, notices = read_until(webcam, three_frames)
    assert notices == []
    for frame in frames:
        np.testing.assert_array_equal(frame.image, RED_OVER_BLUE)
        assert frame.time == 6.75
    assert webcam.size == (64, 48)
    assert webcam.frame_rate == 100.0


def test_nothing_is_known_of_a_camera_before_it_opens(camera, started):
    camera.fault = "slow"
    webcam = started(camera)
    assert (webcam.size, webcam.frame_rate, webcam.description) == (None, None, "camera 0")
    camera.fault = None
    read_until(webcam, three_frames)
    assert webcam.size is not None


def test_pictures_of_before_the_session_are_left_out(camera, started):
    now = 0.1
    webcam = started(camera, now=lambda: now, offset=0.2)
    wait_for(lambda: camera.delivered >= 3)
    assert webcam.read() == []
    now = 1.2
    frames, _ = read_until(webcam, three_frames)
    assert frames[-1].time == pytest.approx(1.0)


def test_time_never_goes_back(camera, started):
    times = iter([3.0, 2.0, 5.0])
    webcam = started(camera, now=lambda: next(times, 4.0))
    frames, _ = read_until(webcam, lambda frames, _: len(frames) >= 5)
    assert [frame.time for frame in frames[:5]] == [3.0, 3.0, 5.0, 5.0, 5.0]


def test_a_camera_that_is_slower_than_it_says_is_stamped_by_the_clock():
    camera = FakeCamera([RED_OVER_BLUE], rate=20.0, claimed_rate=30.0)
    webcam = Webcam(open_camera=camera)
    webcam.start(camera.position)
    frames, notices = read_until(webcam, lambda frames, _: len(frames) >= 6)
    webcam.stop()
    assert notices == []
    assert webcam.frame_rate == 30.0
    # By its own word the camera would be done with six pictures after 5 / 30 s.
    assert frames[5].time - frames[0].time > 4.5 / 20


def test_of_pictures_nobody_reads_the_newest_are_kept_and_the_rest_counted(started):
    pictures = [np.full((48, 64, 3), 20 + shade, np.uint8) for shade in range(200)]
    camera = FakeCamera(pictures, rate=100.0, fail_after=12)
    webcam = started(camera)
    wait_for(lambda: camera.fault == "unplugged" and camera.open_handles == 0)
    frames = [item for item in webcam.read() if isinstance(item, VideoFrame)]
    shades = [int(frame.image[0, 0, 0]) for frame in frames]
    assert len(frames) == 8
    assert webcam.dropped == 4
    assert shades == sorted(shades)
    assert shades[0] >= 20 + 4


def test_a_size_that_changes_is_delivered(camera, started):
    webcam = started(camera)
    read_until(webcam, three_frames)
    camera.size = (32, 16)
    _, notices = read_until(
        webcam, lambda frames, _: bool(frames) and frames[-1].image.shape == (16, 32, 3)
    )
    assert notices == []
    assert webcam.size == (32, 16)


@pytest.mark.parametrize(
    ("claimed", "motion_jpeg", "agreed", "code"),
    [(30.0, None, 30.0, ""), (10.0, 30.0, 30.0, "MJPG"), (10.0, 10.0, 10.0, "")],
)
def test_motion_jpeg_only_where_it_raises_the_rate(started, claimed, motion_jpeg, agreed, code):
    camera = FakeCamera([RED_OVER_BLUE], claimed_rate=claimed, motion_jpeg_rate=motion_jpeg)
    opened = []
    webcam = started(lambda index: opened.append(camera(index)) or opened[-1])
    read_until(webcam, lambda frames, _: bool(frames))
    assert webcam.frame_rate == agreed
    fourcc = cv2.VideoWriter.fourcc(*code) if code else 0.0
    assert opened[0].get(cv2.CAP_PROP_FOURCC) == fourcc
    assert opened[0].get(cv2.CAP_PROP_FRAME_WIDTH) == 640
    assert opened[0].get(cv2.CAP_PROP_FRAME_HEIGHT) == 480


def test_a_video_plays_through_the_fake_camera(tmp_path, started):
    path = write_media(tmp_path / "plain.mp4", pictures=Pictures(plain_pictures(20)))
    webcam = started(FakeCamera(path, rate=100.0))
    frames, notices = read_until(webcam, lambda frames, _: len(frames) >= 20)
    shades = [float(frame.image.mean()) for frame in frames]
    assert notices == []
    assert shades == sorted(shades)
    assert shades[-1] > shades[0]


def test_opencv_itself_plays_through_the_reader(tmp_path, started):
    path = write_media(tmp_path / "plain.mp4", pictures=Pictures(plain_pictures(20)))
    webcam = started(lambda index: cv2.VideoCapture(str(path)))
    # A file ends, which for a camera means that it is gone; opened again it starts anew.
    frames, _ = read_until(webcam, told("lost", "returned"))
    assert frames
    assert all(frame.image.shape == (48, 64, 3) for frame in frames)


# --- When something is wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "patience"),
    [
        ("unplugged", "missing", ()),
        ("denied", "denied", ()),
        ("unopenable", "unopened", ()),
        ("slow", "slow", ("opening",)),
        ("busy", "busy", ("first_picture",)),
        ("hangs", "busy", ("first_picture",)),
        ("raises", "busy", ("first_picture",)),
        ("black", "black", ("black",)),
    ],
)
def test_a_fault_at_the_start_is_said_and_got_over(camera, started, fault, code, patience):
    camera.fault = fault
    webcam = started(camera, now=lambda: 3.0, patience=patience)
    _, notices = read_until(webcam, told(code))
    sentence = SENTENCES[code].format(index=0, found="none")
    assert notices == [DeviceNotice(time=3.0, device="camera", code=code, message=sentence)]
    camera.fault = None
    _, notices = read_until(webcam, told("returned"))
    assert notices[0].message == SENTENCES["returned"].format(index=0)
    read_until(webcam, three_frames)


@pytest.mark.parametrize(
    ("fault", "code", "patience"),
    [
        ("unplugged", "lost", ()),
        ("busy", "lost", ()),
        ("hangs", "lost", ("next_picture",)),
        ("raises", "lost", ()),
        ("black", "black", ("black",)),
    ],
)
def test_a_fault_on_the_way_is_said_and_got_over(camera, started, fault, code, patience):
    webcam = started(camera, patience=patience)
    read_until(webcam, three_frames)
    camera.fault = fault
    _, notices = read_until(webcam, told(code))
    assert notices[0].message == SENTENCES[code].format(index=0)
    camera.fault = None
    _, notices = read_until(webcam, told("returned"))
    read_until(webcam, three_frames)


def test_a_camera_that_unplugs_itself_and_is_away_for_long_is_reported_once(started):
    camera = FakeCamera([RED_OVER_BLUE], rate=100.0, fail_after=3)
    tries = []
    webcam = started(lambda index: tries.append(index) or camera(index))
    _, notices = read_until(webcam, lambda frames, _: len(tries) >= 6)
    assert codes(notices) == ["lost"]


def test_a_missing_camera_is_answered_with_those_that_are_there(started):
    webcam = started(FakeCamera([RED_OVER_BLUE], indices=(1, 3)))
    _, notices = read_until(webcam, told("missing"))
    assert notices[0].message == (
        "There is no camera 0 (found: 1, 3); plug it in, or choose another with --camera."
    )


def test_a_short_darkness_is_no_trouble(started, camera):
    webcam = started(camera)
    camera.fault = "black"
    read_until(webcam, lambda frames, _: bool(frames) and not frames[-1].image.any())
    camera.fault = None
    _, notices = read_until(webcam, lambda frames, _: bool(frames) and bool(frames[-1].image.any()))
    assert notices == []


def test_a_camera_that_rests_is_let_go_and_taken_up_again_without_a_word(camera, started):
    webcam = started(camera)
    read_until(webcam, three_frames)
    webcam.rest()
    wait_for(lambda: camera.open_handles == 0)
    webcam.read()
    time.sleep(0.1)  # five times as long as until the next try
    assert (webcam.read(), camera.open_handles) == ([], 0)
    webcam.wake()
    _, notices = read_until(webcam, three_frames)
    assert notices == []


def test_a_camera_told_to_rest_before_the_session_begins_stays_dark(camera):
    webcam = Webcam(open_camera=camera, patience=Patience(retry=0.02))
    webcam.rest()
    webcam.start(lambda: 1.0)
    try:
        time.sleep(0.1)
        assert (webcam.read(), camera.delivered) == ([], 0)
        assert not any(each.name == "camera 0" for each in threading.enumerate())
        webcam.wake()
        read_until(webcam, three_frames)
    finally:
        webcam.stop()


@pytest.mark.parametrize("fault", ["hangs", "slow"])
def test_stopping_does_not_wait_for_a_driver_that_hangs(camera, started, fault):
    if fault == "slow":
        camera.fault = fault
    webcam = started(camera)
    if fault == "hangs":
        read_until(webcam, three_frames)
        camera.fault = fault
    webcam.stop()
    assert camera.fault == fault
    assert webcam.read() == []
    camera.fault = None
    # The thread that was left lets go of the camera as soon as the driver lets it.
    wait_for(lambda: not any(each.name == "camera 0" for each in threading.enumerate()))
    assert camera.open_handles == 0


def test_a_driver_that_never_returns_keeps_two_threads_at_most(camera, started):
    tries = []
    webcam = started(
        lambda index: tries.append(index) or camera(index),
        patience=("first_picture", "next_picture"),
    )
    read_until(webcam, three_frames)
    camera.fault = "hangs"
    read_until(webcam, lambda frames, notices: len(tries) >= 2)
    for _ in range(50):  # long enough for a third try and a fourth
        webcam.read()
        time.sleep(0.02)
    assert len(tries) == 2
    camera.fault = None
    read_until(webcam, three_frames)
    webcam.stop()
    wait_for(lambda: camera.open_handles == 0)


# --- What is there -------------------------------------------------------------------------------


def test_cameras_that_open_are_listed_with_what_they_agree_to():
    found = cameras(FakeCamera([RED_OVER_BLUE], claimed_rate=30.0, indices=(0, 2)))
    assert [each.index for each in found] == [0, 2]
    assert all(each.opens and each.name is None for each in found)
    assert (found[0].size, found[0].frame_rate, found[0].backend) == ((640, 480), 30.0, "FAKE")


def test_cameras_of_this_machine_are_listed_quietly(capfd):
    level = cv2.utils.logging.getLogLevel()
    for camera in cameras():
        assert (camera.size is None) == (not camera.opens)
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which cameras there are")
def test_linux_names_its_cameras(tmp_path):
    devices, classes = tmp_path / "dev", tmp_path / "class"
    devices.mkdir()
    for node, index, name in [
        ("video10", "0", "Loopback"),
        ("video0", "0", "Integrated Camera"),
        ("video1", "1", "Integrated Camera"),
    ]:
        (devices / node).touch()
        (classes / node).mkdir(parents=True)
        (classes / node / "index").write_text(f"{index}\n")
        (classes / node / "name").write_text(f"{name}\n")
    (devices / "video3").touch()
    assert linux_cameras(devices, classes) == {0: "Integrated Camera", 3: None, 10: "Loopback"}
    assert linux_cameras(tmp_path / "nowhere", classes) == {}


def test_opencv_says_nothing_of_a_camera_that_is_not_there(capfd):
    with pytest.raises(OSError, match="99"):
        open_with_opencv(99)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is a Linux module")
def test_a_real_camera_device(started):
    loopbacks = [
        index
        for index, name in linux_cameras().items()
        if name is not None and ("loopback" in name.lower() or "dummy" in name.lower())
    ]
    if not loopbacks:
        pytest.skip("there is no v4l2loopback device: sudo modprobe v4l2loopback exclusive_caps=0")
    device = f"/dev/video{loopbacks[0]}"
    if not os.access(device, os.R_OK | os.W_OK):
        pytest.skip(f"{device} may not be opened")
    fed = threading.Event()

    def feed():
        with av.open(device, "w", format="v4l2") as output:
            stream = output.add_stream("rawvideo", rate=30)
            stream.width, stream.height, stream.pix_fmt = 640, 480, "yuyv422"
            red = np.zeros((480, 640, 3), np.uint8)
            red[..., 0] = 255
            while not fed.wait(1 / 30):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        webcam = started(None, index=loopbacks[0])
        frames, _ = read_until(webcam, three_frames)
    finally:
        fed.set()
        feeding.join()
    assert frames[0].image.shape == (480, 640, 3)
    red, green, blue = frames[0].image.reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 60
