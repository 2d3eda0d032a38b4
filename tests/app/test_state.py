"""Events fold into the snapshot that views draw."""

import dataclasses
import json

import pytest

from app.events import (
    DeviceChanged,
    EffortChanged,
    EnrolmentAsked,
    FacesSeen,
    Reading,
    SessionEnded,
    SessionStarted,
    SpeakerFound,
    SpeakerRenamed,
    SpeechEnded,
    SpeechStarted,
    StageFinished,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceReassigned,
    UtteranceRevised,
)
from app.state import SessionState
from live_features.emotions import EMOTIONS


def reading(emotion: str, confidence: float = 0.7) -> Reading:
    rest = (1 - confidence) / (len(EMOTIONS) - 1)
    fused = tuple(confidence if e == emotion else rest for e in EMOTIONS)
    return Reading(
        fused=fused,
        text=fused,
        audio=None,
        visual=None,
        gates=(0.5, 0.3, 0.2),
        contributions=(0.6, 0.3, 0.1),
    )


def labelled(index: int, emotion: str) -> UtteranceLabelled:
    return UtteranceLabelled(
        media_time=2.0,
        index=index,
        start=1.0,
        end=2.0,
        speaker=0,
        text="Great.",
        reading=reading(emotion),
    )


def started(speed: float | None) -> SessionStarted:
    return SessionStarted(
        media_time=0.0,
        source="a.mp4",
        duration=9.0,
        has_audio=True,
        has_video=False,
        device="cpu",
        weights={},
        speed=speed,
    )


def test_a_session_goes_from_loading_to_ended() -> None:
    state = SessionState()
    assert state.snapshot().phase == "loading"
    state(started(1.0))
    assert state.snapshot().phase == "running"
    assert state.snapshot().source == "a.mp4"
    state(SessionEnded(media_time=9.0, reason="end_of_media", utterances=0))
    assert state.snapshot().phase == "ended"


def test_a_snapshot_once_taken_never_changes() -> None:
    state = SessionState()
    before = state.snapshot()
    state(labelled(0, "joy"))
    assert before.utterances == ()
    assert state.snapshot().version > before.version
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.version = 3  # type: ignore[misc]


def test_a_revision_keeps_what_was_said_first() -> None:
    state = SessionState()
    state(SpeakerFound(media_time=1.0, speaker=0, name="Speaker 1"))
    state(labelled(0, "joy"))
    state(labelled(1, "neutral"))
    (first, second) = state.snapshot().utterances
    assert (first.emotion, first.was) == ("joy", None)
    state(UtteranceRevised(media_time=2.0, index=0, reading=reading("anger")))
    (first, second) = state.snapshot().utterances
    assert (first.emotion, first.was) == ("anger", "joy")
    assert (second.emotion, second.was) == ("neutral", None)


def test_two_lines_may_speak_at_once() -> None:
    state = SessionState()
    state(SpeechStarted(media_time=1.0, channel=0))
    state(SpeechStarted(media_time=2.0, channel=1))
    assert state.snapshot().speaking_since == 1.0
    state(SpeechEnded(media_time=3.0, channel=0, start=1.0, end=3.0, reason="pause"))
    assert state.snapshot().speaking_since == 2.0
    state(SpeechEnded(media_time=3.5, channel=1, start=2.0, end=3.5, reason="pause"))
    assert state.snapshot().speaking_since is None


def test_drops_are_counted_by_reason() -> None:
    state = SessionState()
    for reason in ("too_short", "no_words", "too_short"):
        state(UtteranceDropped(media_time=1.0, start=0.5, end=1.0, reason=reason))
    assert dict(state.snapshot().dropped) == {"too_short": 2, "no_words": 1}


def test_latency_is_measured_against_the_wall_clock_only_at_speed_one() -> None:
    for speed, expected in ((1.0, {"emotion": (0.5, 0.5)}), (2.0, {}), (None, {})):
        state = SessionState()
        state(started(speed))
        state(StageFinished(media_time=3.0, emitted_at=3.5, index=0, stage="emotion"))
        assert dict(state.snapshot().latency) == expected


def test_a_stage_done_again_counts_once_and_with_its_last_time() -> None:
    state = SessionState()
    state(started(1.0))
    for stage, at in (("transcription", 3.2), ("transcription", 3.3), ("emotion", 3.5)):
        state(StageFinished(media_time=3.0, emitted_at=at, index=0, stage=stage))
    latency = dict(state.snapshot().latency)
    assert latency["transcription"] == (pytest.approx(0.3), pytest.approx(0.3))


def test_an_open_utterance_is_shown_until_it_gets_its_label_or_is_dropped() -> None:
    endings = (
        labelled(0, "joy"),
        UtteranceDropped(media_time=3.0, start=1.0, end=3.0, reason="no_words"),
    )
    for ending in endings:
        state = SessionState()
        state(
            UtteranceProvisional(
                media_time=2.0, index=0, start=1.0, speaker=None, text="Gr", reading=reading("joy")
            )
        )
        shown = state.snapshot().provisional
        assert shown is not None
        assert (shown.start, shown.until, shown.text, shown.emotion) == (1.0, 2.0, "Gr", "joy")
        state(ending)
        assert state.snapshot().provisional is None


def test_people_can_be_renamed_and_utterances_given_to_others() -> None:
    state = SessionState()
    for slot in range(2):
        name = f"Speaker {slot + 1}"
        state(SpeakerFound(media_time=1.0, speaker=slot, name=name))
    state(labelled(0, "joy"))
    state(SpeakerRenamed(media_time=2.0, speaker=1, name="Anna"))
    state(UtteranceReassigned(media_time=2.0, index=0, speaker=1))
    now = state.snapshot()
    assert now.speakers[now.utterances[0].speaker] == "Anna"


def test_who_is_to_introduce_themselves_is_asked_until_the_voice_is_known() -> None:
    state = SessionState()
    state(EnrolmentAsked(media_time=0.0, name="Anna", seconds=3.0))
    assert "Anna, please talk for about 3 seconds" in state.snapshot().message
    state(SpeakerFound(media_time=4.0, speaker=0, name="Anna"))
    assert state.snapshot().message == ""


def test_a_device_that_is_away_is_named_until_it_is_back() -> None:
    state = SessionState()
    for code, message, away in (
        ("lost", "The microphone is gone.", {"microphone": "The microphone is gone."}),
        ("returned", "The microphone is back.", {}),
        ("overflow", "Some sound was lost.", {}),
    ):
        state(DeviceChanged(media_time=1.0, device="microphone", code=code, message=message))
        assert dict(state.snapshot().devices) == away
        assert state.snapshot().problems[-1] == message


def test_what_is_left_out_under_load_is_shown_meanwhile() -> None:
    state = SessionState()
    state(EffortChanged(media_time=1.0, without=("provisional labels",)))
    assert state.snapshot().without == ("provisional labels",)
    state(EffortChanged(media_time=2.0, without=()))
    assert state.snapshot().without == ()


def test_every_event_is_one_line_of_json() -> None:
    events = [started(None), labelled(0, "joy"), FacesSeen(media_time=1 / 3, faces=())]
    for event in events:
        line = event.to_json()
        assert "\n" not in line
        assert json.loads(line)["event"] == event.kind
    assert json.loads(events[2].to_json())["media_time"] == 0.333333


def test_an_utterance_keeps_when_each_stage_was_done_with_it() -> None:
    state = SessionState()
    state(started(1.0))
    state(SpeakerFound(media_time=1.0, speaker=0, name="Speaker 1"))
    for stage, at in (("transcription", 2.3), ("features", 2.35)):
        state(StageFinished(media_time=2.0, emitted_at=at, index=0, stage=stage))
    state(
        SpeechEnded(
            media_time=2.5, emitted_at=2.55, channel=None, start=1.0, end=2.0, reason="pause"
        )
    )
    state(labelled(0, "joy"))
    state(StageFinished(media_time=2.0, emitted_at=2.6, index=0, stage="emotion"))
    (utterance,) = state.snapshot().utterances
    assert [name for name, _ in utterance.stages] == [
        "transcription",
        "features",
        "endpoint",
        "emotion",
    ]
    assert dict(utterance.stages)["endpoint"] == pytest.approx(0.55)
    assert dict(utterance.stages)["emotion"] == pytest.approx(0.6)
