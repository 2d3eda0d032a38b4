"""A recorded session is put right from what its folder holds, without media and Whisper."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.assets import DEFAULT_CHECKPOINT, DEMO_MEDIA
from app.cli import main
from app.conversation import Conversation
from app.corrections import (
    Attention,
    CorrectWords,
    LookBack,
    Mark,
    Merge,
    Rename,
    Request,
    Split,
    Switch,
    Undo,
)
from app.events import Event, ProblemOccurred, SessionEnded, UtteranceCorrected
from app.options import ModelOptions, RunOptions
from app.reopening import Reopened
from app.session.card import MEDIA, SessionCard
from app.session.features import FEATURES
from app.session.log import EVENTS
from app.session.logged import read_session
from app.session.reader import RecordedSession
from app.session.report import report
from app.session.timeline import Timeline
from app.state import SessionState, Snapshot
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from sdt_model.checkpoints import load_checkpoint
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.incremental import IncrementalSDT
from tests.media_files import Sound, write_media

SECONDS = 14.0
OPTIONS = ModelOptions(offline=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the demo's talk as a session, whose media are then taken away."""
    folder = tmp_path_factory.mktemp("recorded")
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    blocks = [i.samples[:, 0] for i in source if isinstance(i, AudioBlock) and i.end <= SECONDS]
    sound = np.concatenate(blocks)[:, None]
    write_media(folder / "talk.wav", Sound(sound, rate=SAMPLE_RATE, codec="pcm_f32le"), None)
    arguments = ["--replay", str(folder / "talk.wav"), "--headless", "--offline"]
    assert main([*arguments, "--speakers", "2", "--record", str(folder / "talk")]) == 0
    (folder / "talk.sdt" / MEDIA).unlink()
    return folder / "talk.sdt"


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "talk.sdt"))


def stands(folder: Path) -> SessionState:
    """The session as its events tell it."""
    state = SessionState()
    for event in RecordedSession(folder).events():
        state(event)
    return state


def correct(
    folder: Path, *requests: Request, models: ModelOptions = OPTIONS
) -> tuple[SessionState, list[Event], list[Attention]]:
    state, events, answers = stands(folder), list[Event](), list[Attention]()

    def tell(event: Event) -> None:
        events.append(event)
        state(event)

    session = RecordedSession(folder)
    with Reopened(session, state.snapshot(), tell, models=models, answer=answers.append) as opened:
        for request in requests:
            opened(request)
    return state, events, answers


def shown(now: Snapshot) -> tuple[object, ...]:
    utterances = [replace(u, first=u.reading, stages=()) for u in now.utterances]
    return utterances, now.speakers, now.colours, now.left, now.on, now.marks


def test_every_label_has_its_features(folder: Path) -> None:
    now = stands(folder).snapshot()
    features = RecordedSession(folder).features(len(now.utterances))
    assert len(now.utterances) >= 4
    assert sorted(features) == [u.index for u in now.utterances]
    for text, audio, visual in features.values():
        assert text is not None
        assert audio is not None
        assert (text.shape, audio.shape, visual) == ((384,), (1024,), None)


def test_corrections_are_read_from_features_and_kept_in_the_folder(folder: Path) -> None:
    before = stands(folder).snapshot()
    state, _, answers = correct(
        folder,
        Rename(0, "Ada"),
        Merge(1, 0),
        Switch("audio", on=False),
        Mark(3.0, "!"),
        LookBack(2),
    )
    now = state.snapshot()
    assert now.speakers[0] == "Ada"
    assert {u.speaker for u in now.utterances} == {0}
    assert answers[0].index == 2
    checkpoint = load_checkpoint(DEFAULT_CHECKPOINT)
    fresh = IncrementalSDT(checkpoint.model)
    for text, _, visual in RecordedSession(folder).features(len(now.utterances)).values():
        seen = UtteranceFeatures(text, None, visual)
        fresh.append(checkpoint.statistics.standardise(seen), 0)
    for u, emotion in zip(now.utterances, fresh.refresh().utterances, strict=True):
        np.testing.assert_allclose(u.reading.fused, emotion.fused, atol=1e-5)

    # Opened again, it is as it was left, and only what is corrected from now on can be taken back.
    again, events, _ = correct(folder, Undo())
    (mine, *rest), (kept, *others) = shown(now), shown(again.snapshot())
    assert rest == others
    for one, other in zip(mine, kept, strict=True):  # type: ignore[call-overload]
        np.testing.assert_allclose(one.reading.fused, other.reading.fused, atol=1e-6)
    assert events == []
    assert before.utterances[1].speaker == 1


def test_what_is_taken_back_is_as_it_was_also_in_the_folder(folder: Path) -> None:
    before = stands(folder).snapshot()
    corrections = (Merge(1, 0), Split(2), CorrectWords(1, "I hate this!"), Switch("text", on=False))
    correct(folder, *corrections, *[Undo()] * len(corrections))
    after = stands(folder).snapshot()
    assert [(u.speaker, u.text) for u in after.utterances] == [
        (u.speaker, u.text) for u in before.utterances
    ]
    for one, other in zip(after.utterances, before.utterances, strict=True):
        assert one.reading == other.reading
    count = len(before.utterances)
    features = RecordedSession(folder).features(count)
    told = RecordedSession(folder).events()
    assert sum(isinstance(event, UtteranceCorrected) for event in told) == 2
    lines = (folder / FEATURES).read_bytes().splitlines()
    assert len(lines) == count + 2
    first = json.loads(lines[1])["text"]
    np.testing.assert_array_equal(features[1][0], np.frombuffer(base64.b64decode(first), "<f4"))


def test_undo_leaves_unsure_what_was_unsure_when_it_was_recorded(folder: Path) -> None:
    told = [json.loads(line) for line in (folder / EVENTS).read_text("utf-8").splitlines()]
    for event in told:
        if "reading" in event:
            event["reading"]["unsure"] = True
    (folder / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in told), "utf-8")
    state, _, _ = correct(folder, Merge(1, 0), Undo())
    assert all(u.unsure for u in state.snapshot().utterances)
    assert all(u.unsure for u in stands(folder).snapshot().utterances)


def test_a_session_that_was_killed_goes_on_where_its_last_whole_lines_end(folder: Path) -> None:
    for name in (EVENTS, FEATURES):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + b'{"half": ')
    # Features are written before the label that they lead to.
    count = len(stands(folder).snapshot().utterances)
    assert len(RecordedSession(folder).features(count - 1)) == count - 1
    state, _, _ = correct(folder, CorrectWords(0, "I hate this!"))
    assert state.snapshot().utterances[0].text == "I hate this!"
    again = stands(folder).snapshot()
    assert again.utterances[0].text == "I hate this!"
    for name in (EVENTS, FEATURES):
        assert b"half" not in (folder / name).read_bytes()


def test_what_is_corrected_in_a_session_that_was_killed_holds_at_every_moment(
    folder: Path,
) -> None:
    lines = (folder / EVENTS).read_text("utf-8").splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "session_ended"
    (folder / EVENTS).write_text("".join(lines[:-1]), "utf-8")
    for note in ("first", "second"):
        correct(folder, CorrectWords(0, f"I hate this, {note}!"), Mark(1.0, note))
    told = list(RecordedSession(folder).events())
    assert sum(isinstance(event, SessionEnded) for event in told) == 1
    timeline = Timeline(as_recorded=True)
    for event in told:
        timeline(event)
    now = timeline.at(timeline.newest.utterances[1].start)
    assert now.utterances[0].text == "I hate this, second!"
    assert [mark.note for mark in now.marks] == ["first", "second"]
    # That it was cut off is still told.
    assert "stops before the session ended" in report(read_session(folder))


def test_without_features_or_by_another_checkpoint_nothing_is_corrected(folder: Path) -> None:
    whole = (folder / EVENTS).read_bytes()
    state, events, answers = correct(
        folder, LookBack(0), Rename(0, "Ada"), models=replace(OPTIONS, checkpoint=folder)
    )
    assert "card.json does not exist" in state.snapshot().refused
    card = json.loads((folder / "session.json").read_text("utf-8"))
    (folder / "session.json").write_text(json.dumps({**card, "checkpoint_sha256": "ab" * 32}))
    state, _, _ = correct(folder, Rename(0, "Ada"))
    assert "read by another checkpoint" in state.snapshot().refused
    (folder / FEATURES).unlink()
    state, _, _ = correct(folder, Rename(0, "Ada"))
    assert "does not hold what was measured" in state.snapshot().refused
    assert state.snapshot().speakers[0] == "Speaker 1"
    assert (folder / EVENTS).read_bytes() == whole
    assert not answers
    assert [event.kind for event in events] == ["correction_refused"]


def test_words_need_the_text_encoder_of_then(folder: Path) -> None:
    card = SessionCard.from_json((folder / "session.json").read_text("utf-8"))
    other = replace(card, models={**card.models, "text_encoder": "some/other"})
    (folder / "session.json").write_text(other.to_json(), encoding="utf-8")
    state, _, _ = correct(folder, CorrectWords(0, "I hate this!"), Rename(0, "Ada"))
    assert state.snapshot().speakers[0] == "Ada"
    assert state.snapshot().utterances[0].text != "I hate this!"
    state, _, _ = correct(folder, CorrectWords(0, "I hate this!"))
    assert "some/other" in state.snapshot().refused


def test_a_text_encoder_that_cannot_be_had_refuses_words_alone(folder: Path) -> None:
    card = SessionCard.from_json((folder / "session.json").read_text("utf-8"))
    other = replace(card, models={**card.models, "text_encoder": "some/other"})
    (folder / "session.json").write_text(other.to_json(), encoding="utf-8")
    conversation = opened_in_a_conversation(folder, replace(OPTIONS, text_encoder="some/other"))
    state = conversation.state
    assert conversation.requests.put(CorrectWords(0, "I hate this!"))
    wait_for(lambda: state.snapshot().refused)
    assert "some/other" in state.snapshot().refused
    assert conversation.requests.put(Rename(0, "Ada"))
    wait_for(lambda: state.snapshot().speakers[0] == "Ada")
    wait_for(lambda: not state.snapshot().busy)
    assert conversation.exit_code == 0
    conversation.close()
    assert conversation.join(60.0)


def test_a_folder_that_may_not_be_written_is_said_once(folder: Path, tmp_path: Path) -> None:
    state, told = stands(folder), list[Event]()
    session = RecordedSession(folder)
    (folder / EVENTS).unlink()
    (folder / EVENTS).mkdir()
    with Reopened(session, state.snapshot(), told.append, models=OPTIONS) as opened:
        opened(Rename(0, "Ada"))
        opened(Rename(1, "Ben"))
    problems = [event for event in told if isinstance(event, ProblemOccurred)]
    assert len(problems) == 1
    assert "what you correct is not kept in it" in problems[0].message
    assert sum(event.kind == "speaker_renamed" for event in told) == 2


@pytest.mark.parametrize("times", [1, 2])
def test_the_conversation_over_a_recorded_session_takes_corrections(
    folder: Path, times: int
) -> None:
    for time_ in range(times):
        corrected_in_a_conversation(folder, f"Ada {time_}")
    assert stands(folder).snapshot().speakers[0] == f"Ada {times - 1}"


def corrected_in_a_conversation(folder: Path, name: str) -> None:
    conversation = Conversation(RunOptions(folder, models=OPTIONS))
    conversation.begin()
    state = conversation.state
    wait_for(lambda: len(state.snapshot().utterances) >= 4)
    assert state.snapshot().undo is None
    assert conversation.can_be_corrected
    for request in (Rename(0, name), Switch("audio", on=False), LookBack(1)):
        assert conversation.requests.put(request)
    wait_for(lambda: state.snapshot().attention is not None)
    now = state.snapshot()
    assert now.speakers[0] == name
    assert all(u.reading.audio is None for u in now.utterances)
    conversation.close()
    assert conversation.join(2.0)
    assert conversation.exit_code == 0


def test_corrections_made_just_before_closing_are_kept(folder: Path) -> None:
    conversation = opened_in_a_conversation(folder)
    for request in (Rename(0, "Ada"), Rename(1, "Ben"), Mark(3.0, "note"), LookBack(1)):
        assert conversation.requests.put(request)
    conversation.close()
    assert conversation.join(60.0)
    now = stands(folder).snapshot()
    assert now.speakers[:2] == ("Ada", "Ben")
    assert [mark.note for mark in now.marks] == ["note"]
    assert conversation.state.snapshot().attention is None


def test_corrections_made_just_before_reading_anew_are_of_what_was(folder: Path) -> None:
    conversation = opened_in_a_conversation(folder)
    for request in (Rename(0, "Ada"), Rename(1, "Ben")):
        assert conversation.requests.put(request)
    conversation.read_anew()
    wait_for(lambda: stands(folder).snapshot().speakers[:2] == ("Ada", "Ben"))
    conversation.close()
    assert conversation.join(60.0)


def test_what_cannot_be_read_anew_can_still_be_corrected(folder: Path) -> None:
    conversation = opened_in_a_conversation(folder)
    state = conversation.state
    assert conversation.requests.put(Rename(0, "Ada"))
    conversation.read_anew()
    wait_for(lambda: MEDIA in state.snapshot().message)
    wait_for(lambda: conversation.can_be_read_anew)
    assert conversation.can_be_corrected
    assert conversation.requests.put(Rename(1, "Ben"))
    wait_for(lambda: state.snapshot().speakers[:2] == ("Ada", "Ben"))
    conversation.close()
    assert conversation.join(60.0)
    assert conversation.exit_code == 2
    assert stands(folder).snapshot().speakers[:2] == ("Ada", "Ben")


def opened_in_a_conversation(folder: Path, models: ModelOptions = OPTIONS) -> Conversation:
    conversation = Conversation(RunOptions(folder, models=models))
    conversation.begin()
    assert conversation.replay is not None
    wait_for(lambda: conversation.replay.is_complete)
    return conversation


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def vector(*values: float) -> str:
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


def line(**changes: object) -> bytes:
    told = {"utterance": 0, "text": vector(1.0), "audio": None, "visual": None, **changes}
    return json.dumps(told).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (line(utterance=-1), "there is no such utterance"),
        (line(utterance=True), "there is no such utterance"),
        (line(utterance=0.0), "there is no such utterance"),
        (line(text=3), "features are no text"),
        (line(text="%%%"), "not base64"),
        (line(text="AAA="), "no sensible size"),
        (line(text=""), "no sensible size"),
        (line(text=vector(float("nan"))), "not finite"),
        (line(text=vector(*[0.0] * 17_000)), "no sensible size"),
        (line(more=1), "promised form"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b"[]\n", "promised form"),
        (b"x" * 400_000, "too long"),
        (b"{\n", ""),
        (b"\xff\n", ""),
    ],
)
def test_features_from_a_stranger_are_refused_in_one_sentence(
    folder: Path, data: bytes, reason: str
) -> None:
    (folder / FEATURES).write_bytes(line() + data)
    with pytest.raises(UserFacingError, match=f"features.jsonl in talk.sdt is damaged.*{reason}"):
        RecordedSession(folder).features(4)


def test_features_that_are_a_link_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / FEATURES).rename(tmp_path / "outside")
    try:
        (folder / FEATURES).symlink_to(tmp_path / "outside")
    except OSError:
        pytest.skip("this system lets nobody make links")
    with pytest.raises(UserFacingError, match="a link or no file"):
        RecordedSession(folder).features(4)
