"""Faces found, followed and pooled; the shipped demo is the recording with two of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from live_features.expression import EMBEDDING_SIZE, Box, ExpressionEncoder
from live_features.faces import (
    DetectedFace,
    Face,
    FaceAnalyser,
    FaceDetector,
    FaceFrame,
    FaceTimeline,
    mouth_motion,
)
from live_features.media import VideoFrame

ASSETS = Path(__file__).parents[2] / "assets"
RATE = 10
WIDTH, HEIGHT, SIDE = 320, 240, 60


@pytest.fixture(scope="module")
def encoder() -> ExpressionEncoder:
    return ExpressionEncoder.load(ASSETS / "expression")


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random RGB: something optical flow can hold on to."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    return cv2.resize(coarse.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


class Stage:
    """Patches moving over a backdrop, and a detector that knows where they are."""

    def __init__(self, backdrop: int = 0) -> None:
        self.backdrop = texture(HEIGHT, WIDTH, backdrop)
        self.patches: dict[int, tuple[int, int]] = {}
        self.unseen: set[int] = set()
        self.backwards = False
        self.detections: list[float] = []
        self.time = 0.0

    def frame(self, time: float) -> VideoFrame:
        self.time = time
        image = self.backdrop.copy()
        for seed, (x, y) in self.patches.items():
            image[y : y + SIDE, x : x + SIDE] = texture(SIDE, SIDE, seed)
        return VideoFrame(image, time)

    def detect(self, image: NDArray[np.uint8]) -> Sequence[DetectedFace]:
        self.detections.append(self.time)
        found = [
            DetectedFace(self.box(seed), 0.99) for seed in self.patches if seed not in self.unseen
        ]
        return found[::-1] if self.backwards else found

    def box(self, seed: int) -> Box:
        x, y = self.patches[seed]
        return (x / WIDTH, y / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def analyser(stage: Stage, encoder: ExpressionEncoder) -> FaceAnalyser:
    return FaceAnalyser(stage.detect, encoder)


def tracks(frame: FaceFrame) -> list[int]:
    return [face.track for face in frame.faces]


def test_detection_comes_less_often_while_it_only_confirms_what_is_known(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (100, 80)}
    for index in range(36):
        if index == 30:  # somebody comes in
            stage.patches[12] = (200, 80)
        analyser(stage.frame(index / RATE))
    assert stage.detections == [0.0, 0.5, 1.5, 2.5, 3.5]
    for index in range(36, 46):
        analyser(stage.frame(index / RATE))
    assert stage.detections[5:] == [4.0]


def test_detection_does_not_come_less_often_while_nobody_is_there(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    for index in range(21):
        analyser(stage.frame(index / RATE))
    assert stage.detections == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_detection_is_not_put_off_after_a_jump_back(stage: Stage, analyser: FaceAnalyser) -> None:
    stage.patches = {11: (100, 80)}
    analyser(stage.frame(30.0))
    assert len(analyser(stage.frame(4.0)).faces) == 1
    assert stage.detections == [30.0, 4.0]


def test_a_face_carries_everything_the_views_and_the_pooling_need(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (100, 80)}
    seen = analyser(stage.frame(0.3))
    (face,) = seen.faces
    assert seen.time == 0.3
    assert face.track == 0
    assert face.box == pytest.approx(stage.box(11))
    assert face.confidence == 0.99
    assert face.embedding.shape == (EMBEDDING_SIZE,)
    assert sum(face.expression) == pytest.approx(1, abs=1e-5)
    assert len(face.expression) == 7
    assert face.mouth_motion == 0.0


def test_boxes_follow_the_face_between_detections(stage: Stage, analyser: FaceAnalyser) -> None:
    for index in range(5):
        stage.patches = {11: (60 + 5 * index, 60 + 3 * index)}
        (face,) = analyser(stage.frame(index / RATE)).faces
        assert face.track == 0
        assert face.box == pytest.approx(stage.box(11), abs=0.006)
    assert stage.detections == [0.0]


def test_faces_keep_their_tracks_in_whatever_order_they_are_detected(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (40, 80), 12: (200, 80)}
    left = [analyser(stage.frame(0.0)).faces[0].box[0]]
    for index in range(1, 31):
        stage.backwards = index % 10 >= 5
        stage.patches = {11: (40 + index, 80), 12: (200 - index, 80)}
        frame = analyser(stage.frame(index / RATE))
        assert tracks(frame) == [0, 1]
        left.append(frame.faces[0].box[0])
    assert (np.diff(left) > 0).all()


def test_a_face_the_detector_misses_is_kept_as_long_as_it_looks_the_same(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (100, 80)}
    analyser(stage.frame(0.0))
    stage.unseen = {11}
    assert tracks(analyser(stage.frame(0.5))) == [0]
    assert tracks(analyser(stage.frame(1.0))) == [0]
    assert tracks(analyser(stage.frame(1.5))) == [0]
    assert tracks(analyser(stage.frame(2.0))) == []


def test_a_face_that_goes_between_detections_is_gone_at_once(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (40, 80), 12: (200, 80)}
    assert tracks(analyser(stage.frame(0.0))) == [0, 1]
    stage.patches = {12: (200, 80)}
    assert tracks(analyser(stage.frame(0.1))) == [1]
    assert tracks(analyser(stage.frame(0.2))) == [1]
    assert stage.detections == [0.0, 0.1]


def test_a_face_back_within_two_seconds_is_the_same_track(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (100, 80)}
    analyser(stage.frame(0.0))
    stage.patches = {}
    assert tracks(analyser(stage.frame(0.5))) == []
    stage.patches = {11: (110, 84)}
    assert tracks(analyser(stage.frame(1.0))) == [0]


def test_a_track_ends_after_two_seconds_and_its_number_is_not_given_again(
    stage: Stage, analyser: FaceAnalyser
) -> None:
    stage.patches = {11: (100, 80)}
    analyser(stage.frame(0.0))
    stage.patches = {}
    for index in range(1, 5):
        assert tracks(analyser(stage.frame(index / 2))) == []
    stage.patches = {11: (100, 80)}
    assert tracks(analyser(stage.frame(2.5))) == [1]
    analyser.reset()
    assert tracks(analyser(stage.frame(0.0))) == [0]


def test_a_far_away_or_much_larger_face_is_another_track(encoder: ExpressionEncoder) -> None:
    boxes: list[Box] = [(0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 0.2, 0.2), (0.4, 0.4, 0.5, 0.5)]
    image = texture(HEIGHT, WIDTH, 0)
    showing = iter(boxes)
    analyser = FaceAnalyser(lambda _: [DetectedFace(next(showing), 0.95)], encoder)
    newest = [max(tracks(analyser(VideoFrame(image, index / 2)))) for index in range(3)]
    assert newest == [0, 1, 2]


def test_a_cut_ends_every_track_and_is_looked_at_at_once(encoder: ExpressionEncoder) -> None:
    here, there = Stage(backdrop=0), Stage(backdrop=1)
    here.patches = there.patches = {11: (100, 80)}
    analyser = FaceAnalyser(here.detect, encoder)
    assert tracks(analyser(here.frame(0.0))) == [0]
    assert tracks(analyser(here.frame(0.1))) == [0]
    assert tracks(analyser(there.frame(0.2))) == [1]
    assert len(here.detections) == 2


def test_the_same_frames_give_the_same_faces(encoder: ExpressionEncoder) -> None:
    def watch() -> list[FaceFrame]:
        stage = Stage()
        analyser = FaceAnalyser(stage.detect, encoder)
        seen = []
        for index in range(15):
            stage.patches = {11: (40 + 2 * index, 80), 12: (200, 80 - index)}
            seen.append(analyser(stage.frame(index / RATE)))
        return seen

    first, second = watch(), watch()
    assert first == second
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one.faces, other.faces, strict=True):
            np.testing.assert_array_equal(a.embedding, b.embedding)


def test_frames_of_changing_size_are_taken(stage: Stage, analyser: FaceAnalyser) -> None:
    stage.patches = {11: (100, 80)}
    analyser(stage.frame(0.0))
    smaller = cv2.resize(stage.frame(0.1).image, (WIDTH // 2, HEIGHT // 2))
    (face,) = analyser(VideoFrame(smaller, 0.1)).faces
    assert face.box == pytest.approx(stage.box(11))


def a_crop() -> NDArray[np.uint8]:
    return cv2.cvtColor(texture(48, 48, 5), cv2.COLOR_RGB2GRAY)


def test_mouth_motion_is_the_change_of_the_lower_third() -> None:
    still = a_crop()
    assert mouth_motion(still, still) == pytest.approx(0, abs=0.002)
    spoke = still.copy()
    spoke[36:44, 14:34] = 255 - spoke[36:44, 14:34]
    blinked = still.copy()
    blinked[12:20, 14:34] = 255 - blinked[12:20, 14:34]
    assert mouth_motion(still, spoke) > 10 * mouth_motion(still, blinked)
    assert 0.02 < mouth_motion(still, spoke) <= 1


def test_mouth_motion_leaves_the_movement_of_the_head_out() -> None:
    still = a_crop()
    shaken = np.roll(still, 2, axis=1)
    unaligned = np.abs(shaken[32:].astype(float) - still[32:]).mean() / 255
    assert mouth_motion(still, shaken) < 0.4 * unaligned


def demo_frames(seconds: float, rate: float) -> Iterable[VideoFrame]:
    due = 0.0
    with av.open(str(ASSETS / "demo" / "demo.mp4")) as container:
        for picture in container.decode(video=0):
            time = float(picture.time or 0)
            if time > seconds:
                return
            if time >= due - 1e-3:
                due += 1 / rate
                yield VideoFrame(picture.to_ndarray(format="rgb24"), time)


def test_the_demo_shows_two_people_and_who_of_them_speaks(
    detector: FaceDetector, encoder: ExpressionEncoder
) -> None:
    analyser, timeline = FaceAnalyser(detector, encoder), FaceTimeline()
    for frame in demo_frames(6.0, rate=8):
        timeline.add(analyser(frame))
    pooled = timeline.tracks(0.0, 6.0)
    assert sorted(pooled) == [0, 1]
    assert all(track.presence >= 0.95 for track in pooled.values())

    def who_moves(start: float, end: float) -> int:
        here = timeline.tracks(start, end)
        return max(here, key=lambda track: here[track].mouth_motion)

    # Joe speaks first, then Mia (assets/demo/reference.json).
    assert who_moves(1.0, 3.0) != who_moves(4.0, 5.8)


def test_small_faces_are_found(detector: FaceDetector) -> None:
    frame = next(iter(demo_frames(1.0, rate=1))).image
    largest = max(face.box[2] for face in detector(frame))
    shrunk = cv2.resize(frame, None, fx=0.07 / largest, fy=0.07 / largest)
    canvas = np.full((720, 1280, 3), 90, np.uint8)
    shrunk = cv2.resize(shrunk, None, fx=1280 / frame.shape[1], fy=1280 / frame.shape[1])
    canvas[200 : 200 + shrunk.shape[0], 500 : 500 + shrunk.shape[1]] = shrunk
    found = detector(canvas)
    assert len(found) == 2
    assert max(face.box[2] for face in found) == pytest.approx(0.07, rel=0.25)


@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (3, 400), (1080, 2)])
def test_a_picture_without_faces_gives_none(detector: FaceDetector, shape: tuple[int, int]) -> None:
    assert detector(np.full((*shape, 3), 120, np.uint8)) == ()


def seen(time: float, *faces: tuple[int, float]) -> FaceFrame:
    """A frame whose faces (track, value) carry the value in everything that gets pooled."""
    return FaceFrame(
        time,
        tuple(
            Face(
                track=track,
                box=(0.1, 0.1, 0.2, 0.2),
                confidence=1.0,
                expression=(value, 1 - value, 0.0, 0.0, 0.0, 0.0, 0.0),
                embedding=np.full(EMBEDDING_SIZE, 10 * value, np.float32),
                mouth_motion=value / 10,
            )
            for track, value in faces
        ),
    )


def test_timeline_pools_the_frames_of_an_utterance() -> None:
    timeline = FaceTimeline()
    timeline.add(seen(0.9, (0, 1.0)))
    timeline.add(seen(1.0, (0, 0.25), (3, 0.5)))
    timeline.add(seen(1.5, (0, 0.75)))
    timeline.add(seen(1.8))
    timeline.add(seen(2.0, (0, 0.5)))
    timeline.add(seen(2.1, (0, 1.0), (7, 1.0)))
    pooled = timeline.tracks(1.0, 2.0)
    assert list(pooled) == [0, 3]
    assert pooled[0].presence == 0.75
    assert pooled[0].mouth_motion == pytest.approx(0.05)
    assert pooled[0].features.frames == 3
    assert pooled[0].features.track == 0
    np.testing.assert_array_equal(pooled[0].features.embedding, np.full(342, 5, np.float32))
    np.testing.assert_array_equal(
        pooled[0].features.expression, np.array([0.5, 0.5, 0, 0, 0, 0, 0], np.float32)
    )
    assert pooled[0].features.embedding.dtype == np.float32
    assert pooled[3].presence == 0.25
    assert pooled[3].features.frames == 1
    assert pooled[3].mouth_motion == pytest.approx(0.05)


def test_timeline_knows_nothing_outside_its_frames() -> None:
    timeline = FaceTimeline()
    assert timeline.tracks(0.0, 10.0) == {}
    timeline.add(seen(1.0))
    assert timeline.tracks(0.0, 10.0) == {}
    timeline.add(seen(2.0, (0, 0.5)))
    assert timeline.tracks(3.0, 4.0) == {}
    timeline.reset()
    assert timeline.tracks(0.0, 10.0) == {}


def test_timeline_forgets_what_is_older_than_its_length_and_what_a_jump_back_left_behind() -> None:
    timeline = FaceTimeline(seconds=5)
    for time in range(100):
        timeline.add(seen(float(time), (0, 0.5)))
    assert timeline.tracks(0.0, 200.0)[0].features.frames == 6
    timeline.add(seen(10.0, (1, 0.5)))
    assert list(timeline.tracks(0.0, 200.0)) == [1]


def test_timeline_may_be_filled_while_it_is_asked() -> None:
    timeline = FaceTimeline(seconds=1)
    filling = threading.Thread(
        target=lambda: [timeline.add(seen(index / 100, (0, 0.5))) for index in range(3000)]
    )
    filling.start()
    while filling.is_alive():
        for summary in timeline.tracks(0.0, 100.0).values():
            assert summary.mouth_motion == pytest.approx(0.05)
    filling.join()
    assert timeline.tracks(0.0, 100.0)[0].features.frames in (100, 101)
