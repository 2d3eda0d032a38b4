"""A recording at its playhead: as it was, as it is read anew, and the difference."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.conversation import Conversation
from app.events import Event, SessionStarted, UtteranceLabelled
from app.options import ModelOptions, RunOptions
from app.preview import LatestFrame
from app.session.card import MEDIA
from app.session.comparison import differing, matched
from app.session.log import EVENTS
from app.session.replay import Reading, Replay
from app.state import SessionState
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.sources.recording import RecordingSource
from tests.app.recorded_sessions import write_film, write_session
from tests.app.synthetic_session import DURATION, UTTERANCES, reading
from tests.app.synthetic_session import events as synthetic_events

NO_MODELS = ModelOptions(checkpoint=Path("nowhere"))


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("sessions") / "talk.sdt")


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


class Shown:
    """A conversation over a recorded session, with nothing but its events and its media."""

    def __init__(self, path: Path) -> None:
        self.conversation = Conversation(RunOptions(path))
        assert self.conversation.replay is not None
        self.replay = self.conversation.replay
        self.conversation.open()
        self.conversation.begin()

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.conversation.close()
        assert self.conversation.join(5.0)

    def at(self, time: float):
        self.replay.seek(time)
        return self.replay.snapshot()


def test_a_session_opens_as_it_was_and_plays(folder: Path) -> None:
    with Shown(folder) as shown:
        until(lambda: shown.replay.is_complete)
        until(lambda: shown.replay.snapshot().position > 0.3)
        assert shown.replay.readings == (Reading.AS_IT_WAS,)
        assert shown.conversation.can_be_read_anew
        now = shown.replay.snapshot()
        assert now.phase == "running"
        assert now.duration == pytest.approx(DURATION, abs=0.3)
        assert shown.conversation.preview.get() is not None


def test_what_lies_ahead_of_the_playhead_is_known_of_a_session(folder: Path) -> None:
    with Shown(folder) as shown:
        until(lambda: shown.replay.is_complete)
        if shown.replay.player.playing:
            shown.replay.toggle()
        for where in (0.0, 30.0, 23.0, 80.0):
            now = shown.at(where)
            assert len(now.utterances) == len(UTTERANCES)
            labelled = len(UTTERANCES) - now.ahead
            said = sum(end <= where for _, end, *_ in UTTERANCES)
            assert labelled in (said, said - 1)  # a label comes a little after its words
            assert (now.newest is None) == (labelled == 0)
            if now.newest is not None:
                assert now.newest is now.utterances[labelled - 1]
        assert shown.at(30.0).utterances[0] is shown.at(31.0).utterances[0]


def test_while_nothing_moves_nothing_changes(folder: Path) -> None:
    with Shown(folder) as shown:
        until(lambda: shown.replay.is_complete)
        if shown.replay.player.playing:
            shown.replay.toggle()
        shown.replay.seek(40.0)
        first = shown.replay.snapshot()
        until(lambda: shown.replay.snapshot() is shown.replay.snapshot())
        later = shown.replay.snapshot()
        assert later.position == first.position == 40.0
        assert later.version >= first.version


def test_a_session_that_was_killed_opens_and_can_be_sought(tmp_path: Path) -> None:
    with Shown(write_session(tmp_path / "cut.sdt", killed=True)) as shown:
        until(lambda: shown.replay.is_complete)
        now = shown.at(50.0)
        assert now.ahead > 0
        assert any("incomplete" in problem for problem in shown.at(DURATION).problems)
        until(lambda: abs(_frame_time(shown) - DURATION) < 1.0)
        shown.replay.seek(20.0)
        until(lambda: abs(_frame_time(shown) - 20.0) < 1.0)


def _frame_time(shown: Shown) -> float:
    frame = shown.conversation.preview.get()
    return -1.0 if frame is None else frame.time


def test_a_session_without_media_is_shown_by_its_events(tmp_path: Path) -> None:
    with Shown(write_session(tmp_path / "words.sdt", film=False)) as shown:
        until(lambda: shown.replay.is_complete)
        now = shown.at(20.0)
        assert now.position >= 20.0
        assert len(now.utterances) == len(UTTERANCES)
        assert MEDIA in now.problems[0]


def test_a_damaged_log_is_one_sentence(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "bad.sdt", film=False)
    log = folder / "events.jsonl"
    log.write_text("{}\n" + log.read_text("utf-8"), encoding="utf-8")
    with Shown(folder) as shown:
        until(lambda: shown.conversation.state.snapshot().phase == "failed")
        assert "Line 1 of events.jsonl" in shown.conversation.state.snapshot().message
        assert shown.conversation.exit_code == 2


def test_reading_a_session_anew_does_not_export_over_what_was_made_of_it(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "talk.sdt")
    before = (folder / EVENTS).read_bytes()
    conversation = Conversation(RunOptions(folder, export=folder, models=NO_MODELS))
    conversation.begin()
    until(lambda: bool(conversation.state.snapshot().message))
    told = conversation.state.snapshot().message
    conversation.close()
    assert conversation.join(5.0)
    assert "is a recorded session" in told
    assert (folder / EVENTS).read_bytes() == before


def test_a_path_that_is_none_is_told_before_a_window_opens(tmp_path: Path) -> None:
    conversation = Conversation(RunOptions(tmp_path / "none.mp4"))
    with pytest.raises(UserFacingError, match=r"none\.mp4"):
        conversation.open()
    conversation.close()
    assert conversation.join(1.0)


# --- Read while it plays -------------------------------------------------------------------------


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    write_film(tmp_path / "talk.mkv", 20.0)
    replay = Replay(LatestFrame())
    replay.open(RecordingSource(tmp_path / "talk.mkv", VirtualClock()))
    replay.begin()
    yield replay
    replay.close()
    assert replay.join(5.0)


def read_up_to(replay: Replay, story: Iterator[Event], sink: Callable[[Event], None], to: float):
    for event in story:
        sink(event)
        replay.note_progress(event.media_time)
        if event.media_time >= to:
            return


def test_before_anything_is_known_it_tells_what_is_being_done(replay: Replay) -> None:
    replay.show(message="Loading the models")
    now = replay.snapshot()
    assert (now.phase, now.message) == ("loading", "Loading the models")
    assert replay.snapshot() is now
    replay.show(phase="failed", message="There is no model.")
    assert replay.snapshot().phase == "failed"


def test_playing_waits_for_the_reading_and_labels_come_as_if_live(replay: Replay) -> None:
    timeline = replay.add(Reading.ANEW)
    story = iter(synthetic_events())
    read_up_to(replay, story, timeline, 5.0)
    until(lambda: replay.snapshot().position > 1.3)
    now = replay.snapshot()
    assert now.utterances == ()
    assert now.speaking_since == pytest.approx(1.2)
    replay.seek(12.0)
    until(lambda: replay.player.waiting)
    now = replay.snapshot()
    assert now.position == 12.0
    assert now.speaking_since is None  # nobody knows yet
    read_up_to(replay, story, timeline, DURATION)
    until(lambda: not replay.player.waiting)
    assert replay.is_complete
    now = replay.snapshot()
    assert len(now.utterances) == 3
    assert now.ahead == 0


def test_what_has_been_played_stays_in_sight(replay: Replay) -> None:
    timeline = replay.add(Reading.ANEW)
    read_up_to(replay, iter(synthetic_events()), timeline, DURATION)
    replay.toggle()
    replay.seek(15.0)
    seen = replay.snapshot()
    assert seen.ahead == 0
    replay.seek(5.0)
    now = replay.snapshot()
    assert now.utterances == seen.utterances
    assert now.ahead == len(seen.utterances) - 1
    # Beyond, nothing has been shown yet.
    replay.seek(18.0)
    assert replay.snapshot().ahead == 0


def test_as_fast_as_possible_the_playhead_keeps_up_with_the_reading(tmp_path: Path) -> None:
    write_film(tmp_path / "talk.mkv", 20.0)
    replay = Replay(LatestFrame(), speed=None)
    replay.open(RecordingSource(tmp_path / "talk.mkv", VirtualClock()))
    replay.begin()
    timeline = replay.add(Reading.ANEW)
    story = iter(synthetic_events())
    read_up_to(replay, story, timeline, 9.0)
    assert replay.snapshot().position == pytest.approx(9.0, abs=0.3)
    read_up_to(replay, story, timeline, DURATION)
    until(lambda: replay.snapshot().phase == "ended")
    replay.close()
    assert replay.join(5.0)


# --- Two readings --------------------------------------------------------------------------------


def read_otherwise() -> list[Event]:
    """The same conversation, read by a model that takes anger for fear, and a little later."""
    story: list[Event] = []
    for event in synthetic_events():
        if isinstance(event, SessionStarted):
            story.append(dataclasses.replace(event, speed=None))
        elif isinstance(event, UtteranceLabelled):
            angry = UTTERANCES[event.index][4] == "anger"
            other = reading("fear", 0.8, 5) if angry else event.reading
            moved = dataclasses.replace(event, start=event.start + 0.2, reading=other)
            story.append(moved)
        elif event.kind != "utterance_revised":
            story.append(event)
    return story


def test_two_readings_are_kept_and_their_difference_is_shown(folder: Path) -> None:
    with Shown(folder) as shown:
        until(lambda: shown.replay.is_complete)
        timeline = shown.replay.add(Reading.ANEW)
        for event in read_otherwise():
            timeline(event)
        now = shown.at(DURATION)
        elsewhere = {index: labels for index, *labels in now.elsewhere}
        assert shown.replay.showing is Reading.AS_IT_WAS
        # Of the angry ones one was revised to sadness since, and two others were revised, too.
        assert {7, 9} <= set(elsewhere)
        assert [label.emotion for label in elsewhere[7]] == ["anger", "fear"]
        shown.replay.show_reading(Reading.ANEW)
        now = shown.at(DURATION)
        assert now.utterances[7].emotion == "fear"
        assert {index: labels for index, *labels in now.elsewhere} == elsewhere


def test_utterances_are_matched_by_the_time_they_share() -> None:
    state = SessionState()
    for event in synthetic_events():
        state(event)
    these = state.snapshot().utterances
    assert {i: u.index for i, u in matched(these, these).items()} == {
        u.index: u.index for u in these
    }
    assert differing(these, these) == {}
    # One in two, two in one, and one that nobody else heard.
    merged = dataclasses.replace(these[1], index=0, start=these[0].start, end=these[1].end)
    pairs = matched(these[:3], [merged])
    assert {index: that.index for index, that in pairs.items()} == {0: 0, 1: 0}
    assert matched([], these) == matched(these, []) == {}


def test_unsure_is_an_answer_of_its_own() -> None:
    state = SessionState()
    for event in synthetic_events():
        state(event)
    these = state.snapshot().utterances[:1]
    doubtful = dataclasses.replace(these[0].reading, unsure=True)
    those = [dataclasses.replace(these[0], reading=doubtful)]
    assert list(differing(these, those)) == [0]
