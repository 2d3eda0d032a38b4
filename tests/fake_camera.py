"""A camera that plays pictures in real time through the real reader, with faults on demand.

    camera = FakeCamera(pictures)                # RGB arrays, over and over; or a video file, once
    webcam = Webcam(open_camera=camera)
    camera.fault = "unplugged"                   # and None again: from any thread, at any time

Like a driver it hands out BGR, makes the reader wait for the next picture, and drops pictures that
nobody waited for. Pictures go on while nobody has the camera open.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Fault = Literal[
    "unplugged",  # no read succeeds, and there is no such camera to open
    "denied",  # it may not be opened
    "unopenable",  # it does not open, for no reason that could be told
    "slow",  # opening does not return while this lasts
    "busy",  # it opens, and no read succeeds
    "hangs",  # a read does not return while this lasts
    "raises",  # OpenCV raises an error in every read
    "black",  # the lens is covered
]

_FAILING = 0.005
"""Seconds that a read takes to fail."""


class FakeCamera:
    """The device with number ``index``; calling it opens it, as a ``Webcam`` does.

    ``rate`` is how many pictures a second it delivers and ``claimed_rate`` what it says about that.
    After ``fail_after`` pictures it unplugs itself. ``size`` (width, height) may be set at any time
    and is what pictures are scaled to, None for their own. ``position`` tells how many seconds of
    the pictures have been played, for a camera that goes with a fake microphone: by default it
    starts at 0 when the camera is first opened and goes with the clock on the wall.
    """

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]] | Path,
        rate: float = 30.0,
        *,
        claimed_rate: float | None = None,
        motion_jpeg_rate: float | None = None,
        fail_after: int | None = None,
        indices: Collection[int] = (0,),
        position: Callable[[], float] | None = None,
    ) -> None:
        self.rate = rate
        self.claimed_rate = claimed_rate
        self.motion_jpeg_rate = motion_jpeg_rate
        self.fail_after = fail_after
        self.size: tuple[int, int] | None = None
        self.open_handles = 0
        self.delivered = 0
        self._indices = indices
        self._position = position
        self._started: float | None = None
        self._fault: Fault | None = None
        self._changed = threading.Condition()
        self._show = _from_file(pictures) if isinstance(pictures, Path) else self._repeat(pictures)

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def __call__(self, index: int) -> "_OpenCamera":
        self._wait_while("slow")
        if index not in self._indices or self.fault == "unplugged":
            raise FileNotFoundError(f"no fake camera {index}")
        if self.fault == "denied":
            raise PermissionError("the fake camera may not be used")
        if self.fault == "unopenable":
            raise OSError("the fake camera does not open")
        if self._started is None:
            self._started = time.monotonic()
        return _OpenCamera(self)

    def position(self) -> float:
        if self._position is not None:
            return self._position()
        return 0.0 if self._started is None else time.monotonic() - self._started

    def next_picture(self) -> NDArray[np.uint8] | None:
        """BGR, when it is due; None if the read fails."""
        self._wait_while("hangs")
        if self.delivered == self.fail_after:
            self.fail_after, self.fault = None, "unplugged"
        if self.fault in ("unplugged", "busy"):
            time.sleep(_FAILING)
            return None
        if self.fault == "raises":
            time.sleep(_FAILING)
            raise cv2.error("the fake camera fails")
        time.sleep((1.0 - self.position() * self.rate % 1.0) / self.rate)
        with self._changed:  # a thread that hung may come back beside a newer one
            image = self._show(self.position())
        if self.fault == "black":
            image = np.zeros_like(image)
        if self.size is not None:
            image = cv2.resize(image, self.size)
        self.delivered += 1
        return np.ascontiguousarray(image[..., ::-1])

    def _repeat(
        self, pictures: Sequence[NDArray[np.uint8]]
    ) -> Callable[[float], NDArray[np.uint8]]:
        return lambda seconds: pictures[round(seconds * self.rate) % len(pictures)]

    def _wait_while(self, fault: Fault) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fault != fault)


class _OpenCamera:
    """What ``cv2.VideoCapture`` would be for this camera."""

    def __init__(self, device: FakeCamera) -> None:
        self._device = device
        self._settings: dict[int, float] = {
            cv2.CAP_PROP_FRAME_WIDTH: 1280.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 720.0,
        }
        device.open_handles += 1

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        image = self._device.next_picture()
        return image is not None, image

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_FPS:
            device = self._device
            if device.motion_jpeg_rate is not None and self._motion_jpeg:
                return device.motion_jpeg_rate
            return device.rate if device.claimed_rate is None else device.claimed_rate
        return self._settings.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        self._settings[prop] = value
        return True

    def getBackendName(self) -> str:  # noqa: N802
        return "FAKE"

    def release(self) -> None:
        self._device.open_handles -= 1

    @property
    def _motion_jpeg(self) -> bool:
        return self._settings.get(cv2.CAP_PROP_FOURCC) == cv2.VideoWriter.fourcc(*"MJPG")


def _from_file(path: Path) -> Callable[[float], NDArray[np.uint8]]:
    """The picture of a video that stands at a time, which must not go back; the last one stays."""
    frames = av.open(str(path)).decode(video=0)
    showing = next(frames)
    coming = next(frames, None)

    def show(seconds: float) -> NDArray[np.uint8]:
        nonlocal showing, coming
        while coming is not None and coming.time <= seconds:
            showing, coming = coming, next(frames, None)
        return showing.to_ndarray(format="rgb24")

    return show
