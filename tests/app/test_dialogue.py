"""Correcting a dialogue and taking corrections back, with the shipped weights and small ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from app.corrections import (
    Attention,
    Correction,
    CorrectWords,
    Doubt,
    LookBack,
    Mark,
    Merge,
    Reassign,
    Recolour,
    Redo,
    Rename,
    Requests,
    Split,
    Switch,
    Undo,
    Unmark,
)
from app.dialogue import LiveDialogue
from app.engine import LiveEngine
from app.events import Event, Reading, SessionEnded, UtteranceLabelled, from_json
from app.models import Models, load_models
from app.options import ModelOptions
from app.state import SessionState, Snapshot
from live_features.clocks import VirtualClock
from live_features.emotions import MODALITIES
from live_features.sources.recording import RecordingSource
from sdt_model.checkpoints import Checkpoint
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.incremental import IncrementalSDT
from sdt_model.model import PAIRS
from tests.app.small_dialogue import of_words, small_checkpoint, small_features

MOST = 6


@dataclass
class Talk:
    """A dialogue and what became of its events, read back from their JSON form."""

    dialogue: LiveDialogue
    state: SessionState
    events: list[Event]
    kept: dict[int, UtteranceFeatures]
    answers: list[Attention]

    def say(self, voice: str, text: str, features: UtteranceFeatures) -> None:
        start = 2.0 * len(self.dialogue)
        self.dialogue.meet(voice, start)
        self.dialogue.append(start, start + 1.5, voice, text, features)
        self.dialogue.revise()

    @property
    def shown(self) -> tuple[object, ...]:
        """All that a person sees of it, apart from what can be undone."""
        now = self.state.snapshot()
        here = [s for s in range(len(now.speakers)) if s not in now.left]
        return (
            [replace(u, stages=()) for u in now.utterances],
            {s: (now.speakers[s], now.colours[s]) for s in here},
            now.on,
            [(mark.time, mark.note) for mark in now.marks],
        )

    @property
    def readings(self) -> list[Reading]:
        return [u.reading for u in self.state.snapshot().utterances]


def talk_over(
    checkpoint: Checkpoint, encode_text: Callable[[list[str]], NDArray[np.float32]]
) -> Talk:
    state, events = SessionState(), []
    kept: dict[int, UtteranceFeatures] = {}
    answers: list[Attention] = []

    def tell(event: Event) -> None:
        back = from_json(event.to_json())
        assert back is not None
        assert back.to_json() == event.to_json()
        events.append(back)
        state(event)

    dialogue = LiveDialogue(
        checkpoint,
        tell,
        encode_text=encode_text,  # type: ignore[arg-type]
        answer=answers.append,
        keep=kept.__setitem__,
    )
    return Talk(dialogue, state, events, kept, answers)


# --- A small model -------------------------------------------------------------------------------


def small_talk(speakers: int = 4, utterances: int = 6) -> Talk:
    talk = talk_over(small_checkpoint(speakers), of_words)
    for index in range(utterances):
        talk.say(f"voice {index % 2}", f"Sentence {index}", small_features(index))
    return talk


STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 3), st.integers(0, 99)),
    st.tuples(st.just("undo"), st.just(0), st.just(0)),
    st.tuples(st.just("redo"), st.just(0), st.just(0)),
    st.tuples(
        st.sampled_from(["merge", "split", "reassign", "words", "switch", "rename", "mark"]),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
)


def correction(step: str, one: int, other: int) -> Correction:
    possible: dict[str, Correction] = {
        "merge": Merge(one % 4, other),
        "split": Split(one),
        "reassign": Reassign(one, other),
        "words": CorrectWords(one, f"Words {'!' * other}"),
        "switch": Switch(MODALITIES[one % 3], on=other % 2 == 0),
        "rename": Rename(one % 4, f"Person {other}"),
        "mark": Mark(float(one), f"Note {other}"),
    }
    return possible[step]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=16))
def test_whatever_is_corrected_when_all_is_taken_back_it_is_as_if_nothing_had_been(
    steps: list[tuple[str, int, int]],
) -> None:
    talk, untouched = small_talk(MOST, utterances=2), small_talk(MOST, utterances=2)
    for step, one, other in steps:
        match step:
            case "say":
                # The recogniser sees to it that there are no more voices than numbers.
                known = talk.dialogue.speaker(f"voice {one}") is not None
                if known or len(talk.state.snapshot().speakers) < MOST:
                    for each in (talk, untouched):
                        each.say(f"voice {one}", f"Said {other}", small_features(other))
            case "undo":
                talk.dialogue(Undo())
            case "redo":
                talk.dialogue(Redo())
            case _:
                talk.dialogue(correction(step, one, other))
        assert_reads_as_it_is(talk)
    while talk.state.snapshot().undo is not None:
        talk.dialogue(Undo())
    now, plain = talk.state.snapshot(), untouched.state.snapshot()
    assert [u.text for u in now.utterances] == [u.text for u in plain.utterances]
    assert in_order_of_appearance(now) == in_order_of_appearance(plain)
    assert (now.on, now.marks) == (plain.on, ())
    # Whoever was first heard after a new speaker had been made keeps a later number.
    if [u.speaker for u in now.utterances] == [u.speaker for u in plain.utterances]:
        assert talk.shown[1] == untouched.shown[1]
        for mine, theirs in zip(talk.readings, untouched.readings, strict=True):
            np.testing.assert_allclose(mine.fused, theirs.fused, atol=0.042)


def in_order_of_appearance(now: Snapshot) -> list[int]:
    """Who says each utterance, whatever the speakers' numbers are."""
    order: list[int] = []
    for u in now.utterances:
        if u.speaker not in order:
            order.append(u.speaker)
    return [order.index(u.speaker) for u in now.utterances]


def assert_reads_as_it_is(talk: Talk) -> None:
    """What is shown is what the model says of the words, voices, faces and people as shown."""
    now = talk.state.snapshot()
    fresh = IncrementalSDT(small_checkpoint(MOST).model)
    for u in now.utterances:
        seen = (
            vector if modality in now.on else None
            for modality, vector in zip(MODALITIES, talk.kept[u.index].vectors, strict=True)
        )
        emotions = fresh.append(UtteranceFeatures(*seen), u.speaker)
    emotions = fresh.refresh()
    for u, emotion in zip(now.utterances, emotions.utterances, strict=True):
        # A revision by a later utterance is told once it has moved by 0.02.
        np.testing.assert_allclose(u.reading.fused, emotion.fused, atol=0.021)


def test_numbers_of_speakers_run_out_with_a_sentence_and_are_free_after_a_merge() -> None:
    talk = small_talk(speakers=3, utterances=6)
    talk.dialogue(Split(2))
    assert talk.state.snapshot().speakers == ("Speaker 1", "Speaker 2", "Speaker 3")
    talk.dialogue(Split(3))
    assert talk.state.snapshot().refused == (
        "The model tells at most 3 people apart, and there are as many: merge two of them first."
    )
    talk.dialogue(Merge(1, 0))
    assert talk.state.snapshot().refused == ""
    assert talk.state.snapshot().left == {1}
    talk.dialogue(Split(4))
    assert talk.state.snapshot().left == set()
    # What the third voice says from now on is the new speaker's.
    talk.say("voice 0", "And now?", small_features(9))
    assert talk.state.snapshot().utterances[-1].speaker == 1


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Rename(0, " \n"), "Give a name of at least one letter."),
        (Rename(5, "Ada"), "This speaker is not there any more."),
        (Merge(0, 7), "This speaker is not there any more."),
        (Reassign(0, -1), "This speaker is not there any more."),
        (Reassign(60, 0), "There is no such utterance."),
        (CorrectWords(-1, "No"), "There is no such utterance."),
        (CorrectWords(0, "  "), "Write what was said; to do without words, switch them off."),
        (Unmark(0), "This marker is not there any more."),
        (
            Split(1),
            "Speaker 2 says nothing before that, so there is nobody to tell apart: rename this "
            "speaker instead.",
        ),
    ],
)
def test_what_cannot_be_corrected_is_one_sentence_and_changes_nothing(
    request_: Correction, sentence: str
) -> None:
    talk = small_talk()
    before = talk.shown
    talk.dialogue(request_)
    assert talk.state.snapshot().refused == sentence
    assert talk.shown == before
    assert talk.state.snapshot().undo is None


def test_something_is_always_read() -> None:
    talk = small_talk()
    for modality in MODALITIES:
        talk.dialogue(Switch(modality, on=False))
    assert talk.state.snapshot().on == {"visual"}
    assert talk.state.snapshot().refused.startswith("Something has to be read")


def test_what_is_not_a_change_is_not_undone() -> None:
    talk = small_talk()
    talk.dialogue(Rename(0, "Ada"))
    for nothing in (Rename(0, " Ada "), Merge(1, 1), Reassign(0, 0), CorrectWords(0, "Sentence 0")):
        talk.dialogue(nothing)
    assert talk.state.snapshot().undo == "rename"
    talk.dialogue(Undo())
    talk.dialogue(Undo())
    assert (talk.state.snapshot().undo, talk.state.snapshot().redo) == (None, "rename")
    talk.dialogue(Mark(1.0, "here"))
    assert talk.state.snapshot().redo is None


def test_a_redo_that_has_become_impossible_is_said_and_dropped() -> None:
    talk = small_talk(speakers=3, utterances=6)
    talk.dialogue(Split(2))
    talk.dialogue(Undo())
    talk.dialogue(Redo())
    assert talk.state.snapshot().undo == "new speaker"
    talk.dialogue(Undo())
    assert talk.state.snapshot().left == {2}
    assert talk.state.snapshot().redo == "new speaker"


def test_only_the_newest_question_waits_and_a_full_queue_refuses() -> None:
    requests = Requests()
    for index in range(5):
        assert requests.put(LookBack(index))
    assert requests.take() == LookBack(4)
    assert requests.take() is None
    put = [requests.put(Undo()) for _ in range(100)]
    assert put.index(False) == 64
    woken: list[bool] = []
    requests.call(lambda: woken.append(True))
    assert woken == [True]


# --- The shipped weights, on the shipped demo ----------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(ModelOptions(offline=True))


@dataclass
class Demo:
    labelled: list[UtteranceLabelled]
    features: list[UtteranceFeatures]


@pytest.fixture(scope="module")
def demo(models: Models) -> Demo:
    kept: dict[int, UtteranceFeatures] = {}
    events: list[Event] = []
    clock = VirtualClock()
    source = RecordingSource(DEMO_MEDIA, clock)
    LiveEngine(source, clock, models, [events.append], keep=kept.__setitem__).run()
    labelled = [event for event in events if isinstance(event, UtteranceLabelled)]
    assert sorted(kept) == list(range(len(labelled)))
    return Demo(labelled, [kept[index] for index in range(len(labelled))])


@pytest.fixture
def talk(models: Models, demo: Demo) -> Talk:
    talk = talk_over(models.checkpoint, models.encode_text)  # type: ignore[arg-type]
    for said, features in zip(demo.labelled, demo.features, strict=True):
        talk.say(f"voice {said.speaker}", said.text, features)
    return talk


CORRECTIONS = [
    Rename(0, "Ada"),
    Recolour(1, "#1A4FA8"),
    Merge(1, 0),
    Split(9),
    Reassign(4, 1),
    CorrectWords(3, "I am so happy, this is wonderful!"),
    Switch("text", on=False),
    Switch("audio", on=False),
    Switch("visual", on=False),
    Mark(12.5, "here it turns"),
]


@pytest.mark.parametrize("what", CORRECTIONS, ids=lambda c: c.title)
def test_a_correction_taken_back_leaves_everything_as_it_was(talk: Talk, what: Correction) -> None:
    before = talk.shown
    talk.dialogue(what)
    after = talk.shown
    assert after != before
    assert talk.state.snapshot().undo == what.title
    talk.dialogue(Undo())
    assert talk.shown == before
    assert (talk.state.snapshot().undo, talk.state.snapshot().redo) == (None, what.title)
    talk.dialogue(Redo())
    assert talk.shown == after


def test_many_corrections_are_taken_back_one_by_one(talk: Talk) -> None:
    seen = [talk.shown]
    for what in CORRECTIONS[:-3]:
        talk.dialogue(what)
        seen.append(talk.shown)
    for expected in reversed(seen[:-1]):
        talk.dialogue(Undo())
        assert talk.shown == expected
    for expected in seen[1:]:
        talk.dialogue(Redo())
        assert talk.shown == expected


def test_answers_that_are_less_likely_than_was_chosen_are_unsure_also_in_what_comes_later() -> None:
    talk = small_talk()
    plain = talk.readings
    below = sorted(max(reading.fused) for reading in plain)[3]
    talk.dialogue(Doubt(below))
    assert [r.unsure for r in talk.readings] == [max(r.fused) < below for r in plain]
    assert sum(r.unsure for r in talk.readings) == 3
    assert [r.fused for r in talk.readings] == [r.fused for r in plain]

    talk.dialogue(Reassign(0, 1))
    talk.say("voice 0", "Sentence 6", small_features(6))
    talk.dialogue(Undo())
    assert [r.unsure for r in talk.readings] == [max(r.fused) < below for r in talk.readings]

    talk.dialogue(Doubt(None))
    own = small_checkpoint(4).unsure_below
    assert [r.unsure for r in talk.readings] == [max(r.fused) < own for r in talk.readings]
    told = len(talk.events)
    talk.dialogue(Doubt(None))
    assert len(talk.events) == told


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_switched_off_reads_as_missing_also_in_what_comes_later(
    models: Models, demo: Demo, modality: str
) -> None:
    switched = talk_over(models.checkpoint, models.encode_text)  # type: ignore[arg-type]
    without = talk_over(models.checkpoint, models.encode_text)  # type: ignore[arg-type]
    for index, (said, features) in enumerate(zip(demo.labelled, demo.features, strict=True)):
        voice = f"voice {said.speaker}"
        switched.say(voice, said.text, features)
        without.say(voice, said.text, replace(features, **{modality: None}))
        if index == 11:
            switched.dialogue(Switch(modality, on=False))
    for mine, theirs in zip(switched.readings, without.readings, strict=True):
        assert getattr(mine, modality) is None
        np.testing.assert_allclose(mine.fused, theirs.fused, atol=0.021)


def test_corrected_words_are_read_like_words_that_were_heard(
    models: Models, talk: Talk, demo: Demo
) -> None:
    words = "I am so happy, this is wonderful!"
    talk.dialogue(CorrectWords(3, words))
    heard = talk_over(models.checkpoint, models.encode_text)  # type: ignore[arg-type]
    for index, (said, features) in enumerate(zip(demo.labelled, demo.features, strict=True)):
        text = words if index == 3 else said.text
        own = models.encode_text([text])[0]
        heard.say(f"voice {said.speaker}", text, replace(features, text=own))
    for mine, theirs in zip(talk.readings, heard.readings, strict=True):
        np.testing.assert_allclose(mine.fused, theirs.fused, atol=0.021)
    assert talk.state.snapshot().utterances[3].text == words
    np.testing.assert_array_equal(talk.kept[3].text, models.encode_text([words])[0])


def test_attention_is_that_of_the_model(talk: Talk, models: Models, demo: Demo) -> None:
    for index in (0, 7, 21):
        talk.dialogue(LookBack(index))
        attention = talk.answers[-1]
        assert attention.index == index
        assert attention.pairs == PAIRS
        assert all(sum(row) == pytest.approx(1.0, abs=1e-5) for row in attention.weights)
        assert sum(attention.mean) == pytest.approx(1.0, abs=1e-5)
        fresh = IncrementalSDT(models.checkpoint.model)
        for said, features in zip(demo.labelled, demo.features, strict=True):
            fresh.append(models.checkpoint.statistics.standardise(features), said.speaker)
        np.testing.assert_allclose(attention.weights, fresh.attention(index), atol=1e-5)
    talk.dialogue(LookBack(22))
    assert len(talk.answers) == 3


def test_corrections_work_while_a_session_runs_and_after_it_has_ended(models: Models) -> None:
    state, requests = SessionState(), Requests()
    closing, events = threading.Event(), list[Event]()

    def correct(event: Event) -> None:
        # Asked for on the way, from the thread that nobody may hold up.
        if isinstance(event, UtteranceLabelled) and event.index == 1:
            requests.put(Rename(0, "Ada"))
            requests.put(Switch("visual", on=False))
        if isinstance(event, UtteranceLabelled) and event.index == 3:
            engine.stop()

    clock = VirtualClock()
    engine = LiveEngine(
        RecordingSource(DEMO_MEDIA, clock),
        clock,
        models,
        [state, events.append, correct],
        requests=requests,
        answer=lambda attention: state.show(attention=attention),
    )

    def work() -> None:
        engine.run()
        engine.serve(closing)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: state.snapshot().phase == "ended")
    now = state.snapshot()
    assert now.speakers[0] == "Ada"
    assert all(u.reading.visual is None for u in now.utterances)

    for request in (Undo(), Merge(1, 0), LookBack(3)):
        assert requests.put(request)
    wait_for(lambda: state.snapshot().attention is not None)
    now = state.snapshot()
    assert {u.speaker for u in now.utterances} == {0}
    assert any(u.reading.visual is not None for u in now.utterances)
    ended = next(i for i, event in enumerate(events) if isinstance(event, SessionEnded))
    assert len(events) > ended + 1

    # What was asked for before is done before it ends.
    names = [f"Ada {n}" for n in range(30)]
    for name in names:
        assert requests.put(Rename(0, name))
    closing.set()
    thread.join(1.0)
    assert not thread.is_alive()
    assert state.snapshot().speakers[0] == names[-1]


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
