"""How a session stood at any moment equals what its events up to there fold to."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import (
    Event,
    HistoryChanged,
    MarkerPlaced,
    SessionStarted,
    SpeakerFound,
    SpeakerRenamed,
    UtteranceLabelled,
    UtteranceReassigned,
    UtteranceRevised,
)
from app.session.timeline import Timeline
from app.state import SessionState, Snapshot
from tests.app.synthetic_session import DURATION, UTTERANCES, reading
from tests.app.synthetic_session import events as synthetic_events

# On the virtual clock, where what has been told is there as soon as the medium has got so far.
STORY = [
    dataclasses.replace(event, speed=None) if isinstance(event, SessionStarted) else event
    for event in synthetic_events()
]


def timeline_of(story: Sequence[Event], *, as_recorded: bool = False) -> Timeline:
    timeline = Timeline(as_recorded=as_recorded)
    for event in story:
        timeline(event)
    return timeline


def folded(story: Sequence[Event], time: float) -> Snapshot:
    state, now = SessionState(), 0.0
    for event in story:
        now = max(now, event.media_time)
        if now > time:
            break
        state(event)
    return state.snapshot()


def test_any_moment_in_any_order_is_the_fold_up_to_there() -> None:
    timeline = timeline_of(STORY)
    moments = [DURATION * n / 97 for n in range(98)]
    random.Random(3).shuffle(moments)
    for moment in moments:
        assert timeline.at(moment) == folded(STORY, moment)
    assert timeline.at(1e9) == timeline.newest == folded(STORY, 1e9)
    assert timeline.told == DURATION
    assert timeline.ended


def test_while_nothing_happens_it_is_the_same_object() -> None:
    timeline = timeline_of(STORY)
    assert timeline.at(7.05) is timeline.at(7.06)
    before, after = timeline.at(30.0), timeline.at(31.0)
    assert before.utterances[0] is after.utterances[0]


def test_a_revision_is_there_only_when_it_came() -> None:
    timeline = timeline_of(STORY)
    assert timeline.at(21.9).utterances[4].emotion == "joy"
    assert timeline.at(22.5).utterances[4].emotion == "sadness"
    assert timeline.at(22.5).utterances[4].was == "joy"
    assert timeline.at(21.9).utterances[4].emotion == "joy"


def test_it_may_grow_while_it_is_looked_at() -> None:
    timeline = Timeline()
    assert not timeline.begun
    assert timeline.at(5.0) == Snapshot()
    for event in STORY:
        timeline(event)
        timeline.at(20.0)
    assert timeline.at(20.0) == folded(STORY, 20.0)


def test_with_a_real_clock_a_label_is_there_when_it_came_out() -> None:
    late = [
        dataclasses.replace(event, emitted_at=event.media_time + 2.0)
        if isinstance(event, UtteranceLabelled)
        else event
        for event in synthetic_events()
        if event.kind != "faces_seen"
    ]
    timeline = timeline_of(late, as_recorded=True)
    end = UTTERANCES[0][1]
    assert len(timeline.at(end + 1.9).utterances) == 0
    assert len(timeline.at(end + 2.1).utterances) == 1


def test_a_clock_that_jumped_delays_nothing_for_long() -> None:
    asleep = [dataclasses.replace(event, emitted_at=1e6) for event in synthetic_events()]
    timeline = timeline_of(asleep, as_recorded=True)
    assert timeline.told <= DURATION + 10.0


CORRECTION: list[Event] = [
    SpeakerRenamed(media_time=30.0, speaker=0, name="Ada"),
    UtteranceReassigned(media_time=3.9, index=0, speaker=1),
    UtteranceRevised(media_time=3.9, index=0, reading=reading("fear", 0.9, 1)),
    HistoryChanged(media_time=30.0, undo="merge", redo=None),
]


@pytest.mark.parametrize("when", [40.0, None])
def test_a_correction_holds_at_every_moment(when: float | None) -> None:
    split = next((n for n, e in enumerate(STORY) if when and e.media_time > when), len(STORY))
    timeline = timeline_of([*STORY[:split], *CORRECTION, *STORY[split:]])
    for moment in (4.0, 10.0, 60.0, DURATION, 5.0):
        now = timeline.at(moment)
        assert now.speakers[0] == "Ada"
        assert now.utterances[0].speaker == 1
        assert now.utterances[0].emotion == "fear"
        assert now.undo == "merge"
        plain = folded(STORY, moment)
        assert now.utterances[1:] == plain.utterances[1:]
        assert (now.faces, now.phase) == (plain.faces, plain.phase)
    assert timeline.at(3.0).utterances == ()
    assert timeline.at(30.0).utterances[0] is timeline.at(31.0).utterances[0]


def test_what_is_called_unsure_holds_at_every_moment_while_reading_goes_on() -> None:
    story = [event for event in STORY if event.media_time < 60.0]
    timeline = timeline_of(story)
    certain = timeline.at(20.0).utterances
    assert not any(u.unsure for u in certain)
    # Revised by what was said since, which nobody asked for and which has its moment.
    revised = UtteranceRevised(media_time=59.0, index=0, reading=reading("fear", 0.9, 1))
    timeline(revised)
    for u in timeline.newest.utterances[1:]:
        doubted = dataclasses.replace(u.reading, unsure=True)
        timeline(UtteranceRevised(media_time=u.end, index=u.index, reading=doubted))
    timeline(HistoryChanged(media_time=59.0, undo=None, redo=None))
    now = timeline.at(20.0).utterances
    assert now[0] == certain[0]
    assert all(u.unsure for u in now[1:])


def test_a_correction_that_was_recorded_has_its_moment() -> None:
    split = next(n for n, event in enumerate(STORY) if event.media_time > 40.0)
    story = [*STORY[:split], *CORRECTION, *STORY[split:]]
    timeline = timeline_of(story, as_recorded=True)
    assert timeline.at(10.0).speakers[0] == "Speaker 1"
    assert timeline.at(41.0).speakers[0] == "Ada"


def test_a_person_who_was_split_off_has_a_name_from_the_beginning() -> None:
    split: list[Event] = [
        SpeakerFound(media_time=DURATION, speaker=2, name="Speaker 3"),
        SpeakerRenamed(media_time=DURATION, speaker=2, name="Zoë"),
        UtteranceReassigned(media_time=3.9, index=0, speaker=2),
        MarkerPlaced(media_time=2.0, marker=0, note="here"),
    ]
    timeline = timeline_of([*STORY, *split])
    now = timeline.at(4.0)
    assert now.utterances[0].speaker == 2
    assert now.speakers[2] == "Zoë"
    assert [mark.note for mark in now.marks] == ["here"]


def test_markers_that_were_recorded_show_with_those_that_were_placed_later() -> None:
    split = next(n for n, event in enumerate(STORY) if event.media_time >= 12.0)
    story = [
        *STORY[:split],
        MarkerPlaced(media_time=12.0, marker=0, note="then"),
        *STORY[split:],
        MarkerPlaced(media_time=2.0, marker=1, note="later"),
    ]
    timeline = timeline_of(story, as_recorded=True)
    for moment, notes in ((10.0, ["later"]), (13.5, ["later", "then"]), (11.0, ["later"])):
        assert [mark.note for mark in timeline.at(moment).marks] == notes


def test_what_is_corrected_after_the_end_makes_a_session_no_longer() -> None:
    later = [
        dataclasses.replace(event, media_time=DURATION - 1.0, emitted_at=DURATION + 300.0)
        for event in CORRECTION
    ]
    whole = timeline_of([*synthetic_events(), *later], as_recorded=True)
    assert whole.told == DURATION
    cut_off = timeline_of(list(synthetic_events())[:100], as_recorded=True)
    told = cut_off.told
    cut_off.finish()
    cut_off(later[0])
    assert cut_off.told == told


def test_what_was_cut_off_ends_all_the_same() -> None:
    timeline = timeline_of(STORY[:100], as_recorded=True)
    assert not timeline.ended
    timeline.finish()
    assert timeline.ended


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-10.0, 100.0, allow_nan=False), max_size=30), st.integers(0, 99))
def test_every_jump_lands_where_playing_leads(moments: list[float], seed: int) -> None:
    drawn = random.Random(seed)
    jumbled = sorted(STORY, key=lambda e: e.media_time + drawn.uniform(0.0, 3.0))
    left_out = ("utterance_revised", "utterance_labelled", "session_ended")
    jumbled = [e for e in jumbled if e.kind not in left_out]
    timeline = timeline_of(jumbled)
    for moment in moments:
        assert timeline.at(moment) == folded(jumbled, moment)
