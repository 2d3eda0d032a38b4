"""A webcam as upright RGB pictures on the session clock; it may go away and come back.

Opening and reading happen on a thread of the camera's own, because a driver may take minutes over
either. Nothing here raises because of a camera: what is wrong becomes a notice, and a camera that
is missing, busy or unplugged is tried again about once a second for as long as the session runs.
"""

from __future__ import annotations

import os
import sys
import threading
import time as wall
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from live_features.media import DeviceNotice, VideoFrame

SIZE = (640, 480)
"""Width and height (pixels) that a camera is asked for."""
RATE = 30.0
"""Pictures a second that a camera is asked for."""

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "missing": "There is no camera {index} (found: {found}); "
        "plug it in, or choose another with --camera.",
        "denied": "Camera {index} may not be used by this program; allow it under Privacy & "
        "Security > Camera in the system settings, on Linux add yourself to the group video.",
        "unopened": "Camera {index} does not open (found: {found}); plug it in, close other "
        "programs that use it, and allow it under Privacy & Security > Camera in the system "
        "settings.",
        "slow": "Camera {index} takes long to open and is still waited for; "
        "close other programs that use it.",
        "busy": "Camera {index} opens but delivers no picture; close other programs that use it, "
        "or unplug it and plug it in again.",
        "lost": "Camera {index} has stopped, the session goes on without its picture; "
        "check its cable, it is tried again every second.",
        "black": "Camera {index} delivers only black; open its cover, or allow it under Privacy & "
        "Security > Camera in the system settings.",
        "returned": "Camera {index} delivers pictures.",
    }
)
"""What is said of a camera, by the code of the notice; ``returned`` ends any of the others."""

_NAMED_INDICES = range(5)  # where the system does not tell which there are
_QUEUE = 8  # pictures
# With a single buffer many drivers deliver only every other picture.
_BUFFERS = 2
_FAILED_READS = 5  # in a row, from a camera that has delivered pictures
_READ_AGAIN = 0.05  # seconds
_BLACK = 8  # of 255, on average
_ABOUT = 1.0  # Hz; a rate that is nearer to the one asked for will do
_ABSURD = 1000.0  # Hz; drivers that do not know their rate say anything
_MOST_STUCK = 2  # threads that a driver does not let go of
_STOPPING = 0.5  # seconds
_LISTING = 3.0  # seconds for each camera

_BACKENDS = {
    # Media Foundation may take minutes to open a camera that DirectShow opens at once.
    "win32": (cv2.CAP_DSHOW, cv2.CAP_MSMF),
    "darwin": (cv2.CAP_AVFOUNDATION,),
    "linux": (cv2.CAP_V4L2,),
}


class Camera(Protocol):
    """An open camera: the part of ``cv2.VideoCapture`` that is used here."""

    def read(self) -> tuple[bool, Any]:
        """Wait for the next picture, uint8 BGR (height, width, 3)."""

    def get(self, prop: int, /) -> float: ...

    def set(self, prop: int, value: float, /) -> bool: ...

    def getBackendName(self) -> str: ...  # noqa: N802

    def release(self) -> None: ...


OpenCamera = Callable[[int], Camera]
"""Opens a camera by its index.

Raises ``FileNotFoundError`` where there is none, ``PermissionError`` where it may not be used, and
any other ``OSError`` where it does not open.
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds (wall) after which something is said or done.

    ``opening`` counts from when the camera is asked to open, ``first_picture`` from when it has,
    ``next_picture`` from the last picture and ``black`` from the first black one; ``retry`` lies
    between the end of a try and the next.
    """

    opening: float = 8.0
    first_picture: float = 4.0
    next_picture: float = 2.0
    black: float = 3.0
    retry: float = 1.0


@dataclass(frozen=True, slots=True)
class CameraDescription:
    """A camera that is there. What only an open one tells is None while it does not open."""

    index: int
    name: str | None
    size: tuple[int, int] | None
    frame_rate: float | None
    backend: str | None

    @property
    def opens(self) -> bool:
        return self.backend is not None


class Webcam:
    """The camera with number ``index``; :meth:`read` has to be called often, and looks after it.

    Pictures are stamped when they arrive, with the time of the session less ``offset``: the seconds
    by which they come later than their sound. Times never go back. Nothing is delivered for a time
    before the session began. Of pictures that nobody reads the newest 8 are kept.

    A camera is asked for 640x480 at 30 Hz, in Motion JPEG where that raises the rate, and may give
    something else. A size may also change while it runs.
    """

    def __init__(
        self,
        index: int = 0,
        *,
        offset: float = 0.0,
        open_camera: OpenCamera | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._index = index
        self._offset = offset
        self._open_camera = open_camera
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._now: Callable[[], float] | None = None
        self._try: _Try | None = None
        self._try_again_at = 0.0
        self._resting = False
        self._stuck: list[_Try] = []
        self._told: set[str] = set()
        self._last_time = 0.0
        self._dropped = 0

    @property
    def description(self) -> str:
        """What a person would call it."""
        name = None if self._open_camera else system_cameras().get(self._index)
        return f"camera {self._index}" if name is None else f"{name} (camera {self._index})"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the newest picture; None until the camera has opened."""
        return None if self._try is None else self._try.size

    @property
    def frame_rate(self) -> float | None:
        """Pictures a second, as the camera says; None until it has opened."""
        return None if self._try is None else self._try.frame_rate

    @property
    def dropped(self) -> int:
        """How many pictures were lost because :meth:`read` was not called in time."""
        with self._lock:
            return self._dropped

    def start(self, now: Callable[[], float]) -> None:
        """Begin to open the camera, and return at once.

        ``now`` tells the time of the session in seconds, from any thread.
        """
        with self._lock:
            self._now = now
            if not self._resting:
                self._begin()

    def rest(self) -> None:
        """Let go of the camera, so that its light goes out, until :meth:`wake`; at once."""
        with self._lock:
            self._resting = True
            if self._try is not None and not self._try.ending:
                self._let_go()

    def wake(self) -> None:
        """Begin to open the camera again; at once, from any thread, as :meth:`rest`."""
        with self._lock:
            self._resting = False
            if self._now is not None and self._try is None:
                self._begin()

    def read(self) -> list[VideoFrame | DeviceNotice]:
        """Pictures and notices since the last call; never waits."""
        with self._lock:
            if self._now is None or self._try is None:
                return []
            items: list[VideoFrame | DeviceNotice] = list(self._frames())
            code = self._look_after()
            if code is not None and self._is_news(code):
                items.append(self._notice(code))
            return items

    def stop(self) -> None:
        """Let go of the camera, within half a second.

        A driver that does not return keeps its thread, which lets go as soon as it does, and does
        not keep the program from ending.
        """
        with self._lock:
            begun = [*self._stuck, *([] if self._try is None else [self._try])]
            self._now = None
        for each in begun:
            each.end()
        deadline = wall.monotonic() + _STOPPING
        for each in begun:
            each.join(max(deadline - wall.monotonic(), 0.0))

    # --- Looking after it, in the caller's thread --------------------------------------------

    def _begin(self) -> None:
        assert self._now is not None
        self._try = _Try(
            self._index,
            self._open_camera or open_with_opencv,
            self._now,
            # To list them is to open each: once is enough.
            list_cameras=None if self._told else lambda: cameras(self._open_camera),
        )

    def _frames(self) -> Iterator[VideoFrame]:
        assert self._try is not None
        pictures, dropped = self._try.take()
        self._dropped += dropped
        for picture in pictures:
            time = picture.time - self._offset
            # Until the first sound comes the session stands at 0.
            if time > 0.0:
                self._last_time = max(time, self._last_time)
                yield VideoFrame(picture.image, self._last_time)

    def _look_after(self) -> str | None:
        """The code that describes the camera now, None while that is not known."""
        current = self._try
        assert current is not None
        now = wall.monotonic()
        if current.ending:
            self._stuck = [each for each in self._stuck if each.is_alive]
            ready = now >= self._try_again_at and len(self._stuck) < _MOST_STUCK
            if ready and not self._resting:
                self._begin()
            return None
        code, over = current.diagnose(self._patience, now)
        if over:
            self._let_go()
        return code

    def _let_go(self) -> None:
        assert self._try is not None
        self._try.end()
        self._stuck.append(self._try)
        self._try_again_at = wall.monotonic() + self._patience.retry

    def _is_news(self, code: str) -> bool:
        """Each trouble is told once until the camera is well again, after a loss none."""
        told = self._told
        if code == "returned":
            self._told = set()
            return bool(told)
        if code in told or "lost" in told:
            return False
        told.add(code)
        return True

    def _notice(self, code: str) -> DeviceNotice:
        assert self._now is not None
        assert self._try is not None
        return DeviceNotice(
            time=self._now(),
            device="camera",
            code=code,
            message=SENTENCES[code].format(index=self._index, found=self._try.found or "none"),
        )


class _Try:
    """One try at a camera: a thread that opens it, reads until it is told to end, and lets go."""

    def __init__(
        self,
        index: int,
        open_camera: OpenCamera,
        now: Callable[[], float],
        *,
        list_cameras: Callable[[], list[CameraDescription]] | None,
    ) -> None:
        self.found = ""
        self.size: tuple[int, int] | None = None
        self.frame_rate: float | None = None
        self._index = index
        self._open_camera = open_camera
        self._now = now
        self._list_cameras = list_cameras
        self._lock = threading.Lock()
        self._pictures: deque[VideoFrame] = deque()
        self._dropped = 0
        self._begun_at = wall.monotonic()
        self._opened_at: float | None = None
        self._seen_at: float | None = None
        self._dark_since: float | None = None
        self._failure: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {index}", daemon=True)
        self._thread.start()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self._ending.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def take(self) -> tuple[list[VideoFrame], int]:
        """What has been seen since the last call, and how many pictures did not fit."""
        with self._lock:
            taken = list(self._pictures), self._dropped
            self._pictures.clear()
            self._dropped = 0
            return taken

    def diagnose(self, patience: Patience, now: float) -> tuple[str | None, bool]:
        """The code that fits, and whether this try is over; ``now`` is time on the wall."""
        code, over = None, False
        with self._lock:
            if self._failure is not None:
                code, over = self._failure, True
            elif self._opened_at is None:
                if now - self._begun_at > patience.opening:
                    code = "slow"
            elif self._seen_at is None:
                if now - self._opened_at > patience.first_picture:
                    code, over = "busy", True
            elif now - self._seen_at > patience.next_picture:
                code, over = "lost", True
            elif self._dark_since is None:
                code = "returned"
            elif now - self._dark_since > patience.black:
                code = "black"
        return code, over

    # --- The thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            camera = self._open_camera(self._index)
        except FileNotFoundError:
            self._fail_to_open("missing")
        except PermissionError:
            self._fail("denied")
        except (OSError, cv2.error):
            self._fail_to_open("unopened")
        else:
            try:
                self._read(camera)
            finally:
                camera.release()

    def _fail_to_open(self, code: str) -> None:
        if self._list_cameras is not None and not self.ending:
            self.found = ", ".join(
                str(each.index) if each.name is None else f"{each.index} {each.name}"
                for each in self._list_cameras()
                if each.opens
            )
        self._fail(code)

    def _fail(self, code: str) -> None:
        with self._lock:
            self._failure = code

    def _read(self, camera: Camera) -> None:
        try:
            self.size, self.frame_rate = _negotiate(camera)
        except cv2.error:
            self._fail_to_open("unopened")
            return
        with self._lock:
            self._opened_at = wall.monotonic()
        failures = 0
        while not self.ending:
            image = _next_picture(camera)
            if image is not None:
                failures = 0
                self._add(image)
                continue
            failures += 1
            # A camera may need a moment before its first picture.
            if failures >= _FAILED_READS and self._seen_at is not None:
                self._fail("lost")
                return
            self._ending.wait(_READ_AGAIN)

    def _add(self, image: NDArray[np.uint8]) -> None:
        with self._lock:
            # Stamped and kept at once: what is taken later is not of before.
            self._pictures.append(VideoFrame(image, self._now()))
            while len(self._pictures) > _QUEUE:
                self._pictures.popleft()
                self._dropped += 1
            self.size = (image.shape[1], image.shape[0])
            self._seen_at = wall.monotonic()
            if image[::16, ::16].mean() >= _BLACK:
                self._dark_since = None
            elif self._dark_since is None:
                self._dark_since = self._seen_at


def _next_picture(camera: Camera) -> NDArray[np.uint8] | None:
    """RGB, or None where none could be had."""
    try:
        delivered, image = camera.read()
        if not delivered or image is None or not image.size:
            return None
        rgb: NDArray[np.uint8] = cv2.cvtColor(
            image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        )
        return rgb
    except cv2.error:
        return None


def _negotiate(camera: Camera) -> tuple[tuple[int, int], float]:
    """Ask for what is wanted; the size and the rate that the camera agrees to.

    Only what differs is asked for, since some drivers start anew with everything that is set.
    """
    camera.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
    if _size(camera) != SIZE:
        _ask_for_size(camera)
    if abs(camera.get(cv2.CAP_PROP_FPS) - RATE) > _ABOUT:
        camera.set(cv2.CAP_PROP_FPS, RATE)
    rate = camera.get(cv2.CAP_PROP_FPS)
    if 0 < rate < RATE - _ABOUT:
        _try_motion_jpeg(camera, rate)
        rate = camera.get(cv2.CAP_PROP_FPS)
    return _size(camera), rate if 0 < rate < _ABSURD else RATE


def _try_motion_jpeg(camera: Camera, rate: float) -> None:
    before = camera.get(cv2.CAP_PROP_FOURCC)
    # The format counts from when size and rate are asked for, in this order.
    for code in (cv2.VideoWriter.fourcc(*"MJPG"), before):
        if not camera.set(cv2.CAP_PROP_FOURCC, code):
            return
        _ask_for_size(camera)
        camera.set(cv2.CAP_PROP_FPS, RATE)
        if camera.get(cv2.CAP_PROP_FPS) > rate:
            return


def _ask_for_size(camera: Camera) -> None:
    camera.set(cv2.CAP_PROP_FRAME_WIDTH, SIZE[0])
    camera.set(cv2.CAP_PROP_FRAME_HEIGHT, SIZE[1])


def _size(camera: Camera) -> tuple[int, int]:
    return (
        round(camera.get(cv2.CAP_PROP_FRAME_WIDTH)),
        round(camera.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )


# --- What is there -------------------------------------------------------------------------------


def open_with_opencv(index: int) -> Camera:
    """Open a camera with what suits this system best; see :data:`OpenCamera` for what it raises."""
    if sys.platform == "linux":
        device = Path(f"/dev/video{index}")
        if not device.exists():
            raise FileNotFoundError(f"there is no {device}")
        if not os.access(device, os.R_OK | os.W_OK):
            raise PermissionError(f"{device} may not be opened")
    with _opencv_silenced():
        for backend in (*_BACKENDS.get(sys.platform, ()), cv2.CAP_ANY):
            camera = cv2.VideoCapture(index, backend)
            if camera.isOpened():
                opened: Camera = camera
                return opened
    raise OSError(f"camera {index} does not open")


def cameras(open_camera: OpenCamera | None = None) -> list[CameraDescription]:
    """The cameras that are there, by index; each is opened for a moment.

    On Linux the system names them. Elsewhere, and with ``open_camera``, those among the first five
    that open are listed, without a name. A camera that takes more than 3 s is listed as one that
    does not open, and let go of when it does.
    """
    names = {} if open_camera else system_cameras()
    found = [
        _describe(index, names.get(index), open_camera or open_with_opencv)
        for index in (names or _NAMED_INDICES)
    ]
    return [each for each in found if each.opens or each.index in names]


def linux_cameras(
    devices: Path = Path("/dev"), classes: Path = Path("/sys/class/video4linux")
) -> dict[int, str | None]:
    """Index and name of the cameras that Linux knows; a camera's further nodes are left out."""
    found = {}
    for device in devices.glob("video[0-9]*"):
        about = classes / device.name
        if device.name[5:].isdecimal() and _text(about / "index") in (None, "0"):
            found[int(device.name[5:])] = _text(about / "name")
    return dict(sorted(found.items()))


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def system_cameras() -> dict[int, str | None]:
    """Index and name of the cameras that the system tells of; none is opened for that.

    Only Linux tells.
    """
    return linux_cameras() if sys.platform == "linux" else {}


def _describe(index: int, name: str | None, open_camera: OpenCamera) -> CameraDescription:
    found = [CameraDescription(index, name, None, None, None)]

    def look() -> None:
        try:
            camera = open_camera(index)
        except (OSError, cv2.error):
            return
        try:
            size, rate = _negotiate(camera)
            found.append(CameraDescription(index, name, size, rate, camera.getBackendName()))
        except cv2.error:
            return
        finally:
            camera.release()

    looking = threading.Thread(target=look, name=f"look at camera {index}", daemon=True)
    looking.start()
    looking.join(_LISTING)
    return found[-1]


@contextmanager
def _opencv_silenced() -> Iterator[None]:
    """OpenCV warns on stderr of every camera that is not there."""
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
