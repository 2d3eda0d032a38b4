"""The engine on a real clock: threads that keep up, stop when told, and leave nothing behind."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from app.engine import LiveEngine
from app.events import (
    BacklogChanged,
    EffortChanged,
    Event,
    ProblemOccurred,
    SessionEnded,
    SpeechEnded,
    UtteranceLabelled,
)
from app.models import Models, load_models
from app.options import ModelOptions
from live_features.clocks import RealClock, VirtualClock
from live_features.errors import UserFacingError
from live_features.media import AudioBlock, MediaInfo, VideoFrame
from live_features.sources.recording import RecordingSource
from live_features.transcription import Transcript
from tests.media_files import Pictures, plain_pictures, write_media

SECONDS = 10.0


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(ModelOptions(offline=True))


class Excerpt:
    """The first seconds of a source; may break off at the end."""

    def __init__(self, source: RecordingSource, failure: str | None = None) -> None:
        self._source = source
        self._failure = failure

    @property
    def info(self) -> MediaInfo:
        return self._source.info

    def __iter__(self) -> Iterator[AudioBlock | VideoFrame]:
        for item in self._source:
            if isinstance(item, AudioBlock) and item.end > SECONDS:
                break
            yield item
        if self._failure is not None:
            raise UserFacingError(self._failure)

    def close(self) -> None:
        self._source.close()


def labelled(events: list[Event]) -> list[UtteranceLabelled]:
    return [event for event in events if isinstance(event, UtteranceLabelled)]


def run(models: Models, clock: RealClock | VirtualClock, failure: str | None = None) -> list[Event]:
    events: list[Event] = []
    source = Excerpt(RecordingSource(DEMO_MEDIA, clock), failure)
    LiveEngine(source, clock, models, [events.append]).run()
    return events


@pytest.fixture(scope="module")
def expected(models: Models) -> list[UtteranceLabelled]:
    found = labelled(run(models, VirtualClock()))
    assert len(found) >= 3
    return found


def test_a_real_clock_finds_what_the_virtual_one_finds(
    models: Models, expected: list[UtteranceLabelled]
) -> None:
    events = run(models, RealClock(speed=2.0))
    found = labelled(events)
    assert [(u.start, u.end, u.text, u.speaker) for u in found] == [
        (u.start, u.end, u.text, u.speaker) for u in expected
    ]
    for mine, theirs in zip(found, expected, strict=True):
        # Under load a picture may be left out, which may move the face's share of a label.
        np.testing.assert_allclose(mine.reading.audio, theirs.reading.audio, atol=0.3)
    assert not [t for t in threading.enumerate() if t.name in ("recogniser", "listener", "watcher")]


def test_speech_that_waits_is_reported_and_worked_off(models: Models) -> None:
    backlog = [e.seconds for e in run(models, RealClock(8.0)) if isinstance(e, BacklogChanged)]
    assert max(backlog) > 0.0
    assert backlog[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_recogniser_that_is_too_slow_leaves_work_out_and_loses_nothing(
    models: Models, expected: list[UtteranceLabelled]
) -> None:
    def slow(samples: NDArray[np.float32], **settings: Any) -> Transcript:
        time.sleep(0.6)
        return models.transcribe(samples, **settings)

    events = run(replace(models, transcribe=slow), RealClock(speed=8.0))  # type: ignore[arg-type]
    assert [u.text for u in labelled(events)] == [u.text for u in expected]
    efforts = [event.without for event in events if isinstance(event, EffortChanged)]
    assert efforts[0] == ("provisional labels",)
    assert efforts[-1] == ()
    backlog = [event.seconds for event in events if isinstance(event, BacklogChanged)]
    assert max(backlog) < SECONDS


def test_utterances_that_wait_are_read_side_by_side_and_told_in_order(
    models: Models, expected: list[UtteranceLabelled]
) -> None:
    changed = threading.Condition()
    reading = most = 0

    def together(samples: NDArray[np.float32], **settings: Any) -> Transcript:
        nonlocal reading, most
        with changed:
            reading += 1
            most = max(most, reading)
            changed.notify_all()
            # Nobody is done before somebody else has begun, or it is clear that nobody will.
            changed.wait_for(lambda: most >= 2, timeout=2.0)
        transcript = models.transcribe(samples, **settings)
        with changed:
            reading -= 1
        return transcript

    events = run(replace(models, transcribe=together), RealClock(speed=8.0))  # type: ignore[arg-type]
    assert most >= 2
    assert [(u.start, u.text) for u in labelled(events)] == [(u.start, u.text) for u in expected]
    assert not [t for t in threading.enumerate() if t.name.startswith("reader")]


def test_stopping_labels_what_was_heard_and_ends_every_thread(models: Models) -> None:
    events: list[Event] = []
    clock = RealClock(speed=4.0)

    def stop_after_the_first(event: Event) -> None:
        if isinstance(event, UtteranceLabelled):
            engine.stop()

    engine = LiveEngine(
        RecordingSource(DEMO_MEDIA, clock), clock, models, [events.append, stop_after_the_first]
    )
    engine.run()
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].reason == "stopped"
    heard = [event for event in events if isinstance(event, SpeechEnded)]
    assert 1 <= len(labelled(events)) == events[-1].utterances <= len(heard) < 8
    assert not [t for t in threading.enumerate() if t.name in ("recogniser", "listener", "watcher")]


@pytest.mark.parametrize("clock", [VirtualClock(), RealClock(8.0)])
def test_a_medium_that_breaks_off_loses_nothing_heard_before(
    models: Models, expected: list[UtteranceLabelled], clock: RealClock | VirtualClock
) -> None:
    events: list[Event] = []
    source = Excerpt(RecordingSource(DEMO_MEDIA, clock), "The disk went away.")
    with pytest.raises(UserFacingError, match="The disk went away"):
        LiveEngine(source, clock, models, [events.append]).run()
    assert [u.text for u in labelled(events)] == [u.text for u in expected]
    problems = [event for event in events if isinstance(event, ProblemOccurred)]
    assert [problem.message for problem in problems] == ["The disk went away."]
    assert problems[0].media_time == events[-1].media_time == pytest.approx(SECONDS, abs=0.1)
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].reason == "medium_failed"


def test_a_recording_without_sound_has_nothing_to_label(models: Models, tmp_path: Path) -> None:
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(50)))
    clock = VirtualClock()
    events: list[Event] = []
    LiveEngine(
        RecordingSource(tmp_path / "silent.mp4", clock), clock, models, [events.append]
    ).run()
    assert labelled(events) == []
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].reason == "end_of_media"
