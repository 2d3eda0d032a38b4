"""A session folder may be cut off, broken or made by a stranger to do harm."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from app.cli import main
from app.conversation import Conversation
from app.events import (
    CorrectionRefused,
    DeviceChanged,
    EffortChanged,
    EnrolmentAsked,
    Event,
    HistoryChanged,
    MarkerPlaced,
    MarkerRemoved,
    ModalitySwitched,
    ProblemOccurred,
    Reading,
    SessionPaused,
    SessionResumed,
    ShiftMeasured,
    SpeakerColoured,
    SpeakerFound,
    SpeakerLeft,
    SpeakerRenamed,
    UtteranceCorrected,
    UtteranceProvisional,
    UtteranceReassigned,
    from_json,
)
from app.options import RunOptions
from app.session import event_file
from app.session.card import CARD, MEDIA, SessionCard
from app.session.exports import export
from app.session.log import EVENTS, EventLog
from app.session.reader import RecordedSession
from app.state import SessionState
from app.terminal import print_results
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from tests.app.synthetic_session import events as synthetic_events
from tests.app.synthetic_session import reading
from tests.media_files import Pictures, Sound, plain_pictures, write_media

CARD_OF_TALK = SessionCard(
    created="2026-01-01T12:00:00+00:00",
    source="talk",
    channels=2,
    has_video=False,
    speakers=2,
    enrol=("Ada", "Ben"),
    models={"whisper": "tiny.en"},
    checkpoint_sha256="ab" * 32,
)

OTHERS: list[Event] = [
    SessionPaused(media_time=60.0),
    SessionResumed(media_time=61.0),
    ShiftMeasured(media_time=60.0, text=0.2, audio=1.4, visual=None),
    SpeakerRenamed(media_time=80.0, speaker=1, name="Zoë"),
    EnrolmentAsked(media_time=80.0, name="Ada", seconds=3.0),
    UtteranceProvisional(
        media_time=81.0,
        index=14,
        start=80.0,
        speaker=None,
        text="I",
        reading=reading("joy", 0.5, 3, ("text",)),
    ),
    UtteranceReassigned(media_time=81.0, index=3, speaker=0),
    SpeakerLeft(media_time=81.0, speaker=1),
    SpeakerFound(media_time=81.0, speaker=1, name="Zoë again"),
    SpeakerColoured(media_time=81.0, speaker=1, colour="#1A4FA8"),
    SpeakerColoured(media_time=81.0, speaker=1, colour=None),
    SpeakerRenamed(media_time=81.0, speaker=1, name="Zoë"),
    UtteranceCorrected(media_time=81.0, index=3, text="They called this morning."),
    ModalitySwitched(media_time=81.0, modality="audio", on=False),
    MarkerPlaced(media_time=12.5, marker=0, note="here"),
    MarkerRemoved(media_time=12.5, marker=0),
    HistoryChanged(media_time=81.0, undo="words", redo=None),
    CorrectionRefused(media_time=81.0, message="There is no such utterance."),
    EffortChanged(media_time=81.0, without=("provisional labels",)),
    DeviceChanged(media_time=81.0, device="camera", code="lost", message="Gone.", lost=0.5),
    ProblemOccurred(media_time=82.0, message="The disk is full."),
]
STORY = [*synthetic_events(), *OTHERS]
LINES = [event.to_json().encode() + b"\n" for event in STORY]
# Few faces, so that a mutation hits other events too.
SHORT = b"".join(line for line in LINES if b"faces_seen" not in line) + LINES[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "talk.sdt", b"".join(LINES))


def made(folder: Path, events: bytes, card: bytes | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / CARD).write_bytes(CARD_OF_TALK.to_json().encode() if card is None else card)
    (folder / EVENTS).write_bytes(events)
    return folder


def test_events_come_back_as_they_were_written(folder: Path) -> None:
    kinds = {event.kind for event in STORY}
    assert kinds == {cls.kind for cls in Event.__subclasses__()}
    session = RecordedSession(folder)
    assert [e.to_json() for e in session.events()] == [event.to_json() for event in STORY]
    assert session.card == CARD_OF_TALK
    assert session.notes == []


def test_an_incomplete_last_line_is_left_out_with_a_note(folder: Path) -> None:
    whole = b"".join(LINES[:30])
    for length in range(len(whole) - len(LINES[29]) + 1, len(whole) - 2):
        (folder / EVENTS).write_bytes(whole[:length])
        session = RecordedSession(folder)
        assert len(list(session.events())) == 29
        assert len(session.notes) == 1
    # A power cut may leave a stretch of zeros.
    (folder / EVENTS).write_bytes(whole + bytes(4096))
    assert len(list(RecordedSession(folder).events())) == 30


def test_a_line_before_the_last_that_is_damaged_is_named(folder: Path) -> None:
    (folder / EVENTS).write_bytes(b"".join([*LINES[:3], b"{\n", *LINES[3:]]))
    with pytest.raises(UserFacingError, match=r"Line 4 of events\.jsonl"):
        list(RecordedSession(folder).events())


def test_as_recorded_on_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / EVENTS).write_bytes(b"".join(LINES) + b'{"event": "utt')
    assert main([str(folder), "--as-recorded", "--export", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "last line of events.jsonl in talk.sdt is incomplete" in " ".join(printed.split())
    assert "Zoë" in printed
    assert (tmp_path / "out" / EVENTS).read_bytes() == b"".join(LINES)
    assert len((tmp_path / "out" / "emotions.csv").read_text("utf-8").splitlines()) == 15


def test_an_export_into_a_session_is_refused_and_leaves_its_labels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = ["--export", str(folder)]
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(10)))
    for typed in (
        [str(folder), "--as-recorded"],
        [str(tmp_path / "silent.mp4"), "--headless"],
    ):
        assert main([*typed, *into]) == 2
        assert "give --export another folder" in capsys.readouterr().err
        assert (folder / EVENTS).read_bytes() == b"".join(LINES)


def test_as_recorded_needs_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--as-recorded"]) == 2
    assert "no recorded session" in capsys.readouterr().err
    assert main(["--as-recorded"]) == 2
    assert "no recorded session" in capsys.readouterr().err


def test_a_session_is_named_after_its_folder_and_has_as_many_lines_as_were_recorded(
    folder: Path,
) -> None:
    # By itself a file with the same on both sides is taken for one line.
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (SAMPLE_RATE, 1)).astype(np.float32)
    both = Sound(np.repeat(sound, 2, axis=1), rate=SAMPLE_RATE, codec="pcm_f32le", layout="stereo")
    write_media(folder / MEDIA, both, None)
    assert RecordingSource(folder / MEDIA, VirtualClock()).info.channels == 1
    source = RecordedSession(folder).media(VirtualClock())
    assert (source.info.name, source.info.channels) == ("talk.sdt", 2)
    blocks = [item.samples for item in source if isinstance(item, AudioBlock)]
    np.testing.assert_array_equal(np.concatenate(blocks), both.samples)


def test_without_media_a_session_cannot_be_read_anew(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--headless"]) == 2
    assert "has no media.mkv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no session.json"),
        ({CARD + ".part": b"{"}, "has no session.json"),
        ({CARD: CARD_OF_TALK.to_json().encode()}, "has no events.jsonl: nothing was made of it"),
        ({CARD: CARD_OF_TALK.to_json().encode(), EVENTS: b"", MEDIA: b""}, "it is empty"),
        ({CARD: CARD_OF_TALK.to_json().encode(), EVENTS: b'{"eve', MEDIA: b"\x1a"}, "it is empty"),
    ],
)
def test_a_session_that_was_killed_at_its_very_beginning_says_so(
    tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    folder = tmp_path / "talk.sdt"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    conversation = Conversation(RunOptions(folder))
    conversation.begin()
    deadline = time.monotonic() + 20.0
    while conversation.state.snapshot().phase not in ("ended", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    now = conversation.state.snapshot()
    conversation.close()
    assert conversation.join(20.0)
    assert now.phase == ("ended" if CARD in files else "failed")
    assert sentence in (now.problems[-1] if now.problems else now.message)
    assert now.utterances == ()


# --- Strangers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CARD, EVENTS, MEDIA])
def test_links_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes((folder / name).read_bytes() if name != MEDIA else b"secret")
    (folder / name).unlink(missing_ok=True)
    try:
        (folder / name).symlink_to(outside)
    except OSError:
        pytest.skip("this system lets nobody make links")
    with pytest.raises(UserFacingError, match="a link or no file"):
        _open_all(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", [CARD, EVENTS, MEDIA])
def test_pipes_are_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserFacingError, match="a link or no file"):
        _open_all(folder)


def _open_all(folder: Path) -> None:
    session = RecordedSession(folder)
    list(session.events())
    list(session.media(VirtualClock()))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "zip"},
        {"version": 2},
        {"version": "1"},
        {"version": True},
        {"channels": 3},
        {"channels": -1},
        {"channels": 1.0},
        {"has_video": 1},
        {"speakers": 0},
        {"speakers": 10**30},
        {"source": None},
        {"enrol": "Ada"},
        {"enrol": ["Ada"] * 10},
        {"enrol": [1]},
        {"models": {"whisper": ["/etc/passwd"]}},
        {"models": []},
    ],
)
def test_a_card_with_wrong_values(
    tmp_path: Path, changes: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {**json.loads(CARD_OF_TALK.to_json()), **changes}
    folder = made(tmp_path / "a.sdt", b"", json.dumps(told).encode())
    assert main([str(folder), "--as-recorded"]) == 2
    assert "session.json is not usable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "card",
    [
        b"",
        b"{}",
        b"[]",
        b"nothing",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"version":' + b"9" * 6000 + b"}",
    ],
)
def test_a_card_that_is_none(tmp_path: Path, card: bytes) -> None:
    with pytest.raises(UserFacingError, match="not usable"):
        RecordedSession(made(tmp_path / "a.sdt", b"", card))


def test_paths_that_a_card_names_are_not_opened(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.mkv").write_bytes(b"secret")
    for path in ("../secret.mkv", str(tmp_path / "secret.mkv"), "C:\\secret.mkv"):
        told = json.loads(CARD_OF_TALK.to_json())
        told.update(media=path, events=path, source=path, checkpoint=path)
        (folder / CARD).write_text(json.dumps(told), encoding="utf-8")
        session = RecordedSession(folder)
        assert len(list(session.events())) == len(STORY)
        with pytest.raises(UserFacingError, match=r"has no media\.mkv"):
            session.media(VirtualClock())


def test_enormous_files_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / CARD).open("ab") as file:
        file.truncate(10_000_000)
    with pytest.raises(UserFacingError, match="larger than any"):
        RecordedSession(folder)
    (folder / CARD).write_text(CARD_OF_TALK.to_json(), encoding="utf-8")
    monkeypatch.setattr(event_file, "MOST_EVENT_BYTES", 1_000)
    with pytest.raises(UserFacingError, match="larger than any"):
        list(RecordedSession(folder).events())
    monkeypatch.undo()
    (folder / EVENTS).write_bytes(b"x" * 3 * event_file.MOST_LINE_BYTES)
    with pytest.raises(UserFacingError, match="too long"):
        list(RecordedSession(folder).events())


def _line(original: Event, **changes: object) -> bytes:
    return json.dumps({**json.loads(original.to_json()), **changes}).encode() + b"\n"


LABELLED = next(e for e in STORY if e.kind == "utterance_labelled")
FIRST = LABELLED.to_json().encode() + b"\n"
READING = json.loads(LABELLED.to_json())["reading"]


@pytest.mark.parametrize(
    "line",
    [
        _line(LABELLED, index=7),
        _line(LABELLED, index=-1),
        _line(LABELLED, index=10**12),
        _line(LABELLED, index=0.0),
        _line(LABELLED, speaker=5),
        _line(LABELLED, speaker=True),
        _line(LABELLED, text="word " * 4_000),
        _line(LABELLED, start=float("nan")),
        _line(LABELLED, start=1e300),
        _line(LABELLED, end="4"),
        _line(LABELLED, reading={**READING, "fused": [1.0]}),
        _line(LABELLED, reading={**READING, "fused": None}),
        _line(LABELLED, reading={**READING, "gates": [0.5, 0.5]}),
        _line(LABELLED, reading=READING["fused"]),
        _line(LABELLED, event=["utterance_labelled"]),
        _line(SpeakerColoured(media_time=1.0, speaker=0, colour="#123456")),
        _line(SpeakerColoured(media_time=1.0, speaker=0, colour=None), colour="red"),
        _line(SpeakerColoured(media_time=1.0, speaker=0, colour=None), colour="#12345\n"),
        _line(SpeakerLeft(media_time=1.0, speaker=0)),
        _line(ModalitySwitched(media_time=1.0, modality="text", on=True), modality="smell"),
        _line(ModalitySwitched(media_time=1.0, modality="text", on=True), on=1),
        _line(UtteranceCorrected(media_time=1.0, index=0, text="Nobody said anything.")),
        _line(MarkerPlaced(media_time=1.0, marker=0, note=""), note=None),
        _line(HistoryChanged(media_time=1.0, undo=None, redo=None), undo=3),
        b"[" * 100_000 + b"\n",
        b'{"event": "problem_occurred", "media_time": ' + b"1" * 5_000 + b"}\n",
        b"\xff\n",
        b"\n",
    ],
)
def test_an_event_that_no_engine_would_send(folder: Path, line: bytes) -> None:
    (folder / EVENTS).write_bytes(LINES[0] + line + LINES[1])
    with pytest.raises(UserFacingError, match=r"Line 2 of events\.jsonl"):
        list(RecordedSession(folder).events())


def test_what_a_later_version_adds_is_passed_over_with_a_note(folder: Path) -> None:
    more = {**READING, "mood": 1}
    later = [_line(LABELLED, more=1, reading=more), _line(LABELLED, event="weather_changed")]
    (folder / EVENTS).write_bytes(b"".join([*LINES[: LINES.index(FIRST)], *later]))
    session = RecordedSession(folder)
    assert [event.to_json().encode() + b"\n" for event in session.events()][-1] == FIRST
    assert len(session.notes) == 1
    assert "later version" in session.notes[0]


def test_what_an_earlier_version_did_not_tell_has_its_default(folder: Path) -> None:
    told = json.loads(LINES[0])
    del told["speed"]
    (folder / EVENTS).write_bytes(json.dumps(told).encode() + b"\n")
    started = next(RecordedSession(folder).events())
    assert started.speed is None  # type: ignore[attr-defined]


def test_texts_cannot_talk_to_the_terminal(folder: Path) -> None:
    text = "\x1b]0;owned\x07\x9b2J\u202e\ud800 [bold]hello[/bold]"
    problem = {"event": "problem_occurred", "media_time": 0, "emitted_at": 0, "message": text}
    (folder / EVENTS).write_bytes(json.dumps(problem).encode())
    event = next(RecordedSession(folder).events())
    assert event.message.isprintable()  # type: ignore[attr-defined]
    event.to_json().encode()


def test_what_has_no_unicode_form_is_still_kept(tmp_path: Path) -> None:
    # File names on Linux may be any bytes, and one of them is the name of the source.
    with EventLog(tmp_path) as log:
        log(dataclasses.replace(STORY[0], source="caf\udce9.mp4"))  # type: ignore[call-arg]
    assert from_json((tmp_path / EVENTS).read_text("utf-8")).source == "caf?.mp4"  # type: ignore[attr-defined]


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """``original`` with some stretches replaced, doubled, left out or swapped for odd tokens."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 60)))
        data[start:stop] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.just(bytes(data[start:stop]) * 2),
                st.sampled_from([b"null", b"-1", b"1e999", b"NaN", b'"', b"[]", b"{}", b"\n"]),
                st.sampled_from([b"true", b"99999999999", b"\\ud800", b"0.5", b'"event"', b"]"]),
            )
        )
    return bytes(data)


# Mutations of a short text hit what the fields mean; those of numbers hit what they refer to.
NUMBERS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(-2, 20)), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(mutated(SHORT))
def test_damaged_events_are_shown_or_refused(events: bytes) -> None:
    _show_or_refuse(events, CARD_OF_TALK.to_json().encode())


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
def test_events_that_refer_to_anything_are_shown_or_refused(changes: list[tuple[int, int]]) -> None:
    lines = SHORT.splitlines(keepends=True)
    for where, number in changes:
        told = json.loads(lines[where % len(lines)])
        key = ("index", "speaker")[where % 2]
        if key in told:
            lines[where % len(lines)] = json.dumps({**told, key: number}).encode() + b"\n"
    _show_or_refuse(b"".join(lines), CARD_OF_TALK.to_json().encode())


@settings(max_examples=200, deadline=None)
@given(mutated(CARD_OF_TALK.to_json().encode()))
def test_damaged_cards_are_read_or_refused(card: bytes) -> None:
    _show_or_refuse(LINES[0], card)


def _show_or_refuse(events: bytes, card: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = made(Path(place) / "a.sdt", events, card)
        state = SessionState()
        with suppress(UserFacingError):
            for event in RecordedSession(folder).events():
                state(event)
        print_results(state.snapshot(), Console(file=io.StringIO()))
        export(state.snapshot(), Path(place))


@pytest.fixture(scope="module")
def small_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / MEDIA
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (4000, 2)).astype(np.float32)
    both = Sound(sound, rate=SAMPLE_RATE, codec="pcm_f32le", layout="stereo")
    write_media(path, both, Pictures(plain_pictures(5)))
    return path.read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_media_play_or_are_refused(small_film: bytes, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place, suppress(UserFacingError):
        folder = made(Path(place) / "a.sdt", b"")
        (folder / MEDIA).write_bytes(data.draw(mutated(small_film)))
        # However far apart a stranger puts two sounds, what lies between comes bit by bit.
        for _ in itertools.islice(RecordedSession(folder).media(VirtualClock()), 2_000):
            pass


def test_media_that_would_open_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    sound = np.zeros((SAMPLE_RATE, 1), np.float32)
    write_media(tmp_path / "private.wav", Sound(sound, rate=SAMPLE_RATE, codec="pcm_s16le"), None)
    segment = tmp_path / "private.ts"
    write_media(segment, Sound(sound, rate=SAMPLE_RATE, codec="mp2"), None)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n"
    lists = {
        "a.m3u8": playlist,
        "concat.mkv": "ffconcat version 1.0\nfile private.wav\n",
        MEDIA: "ffconcat version 1.0\nfile ../private.wav\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(UserFacingError):
            RecordingSource(tmp_path / name, VirtualClock())
    # They would have been opened otherwise.
    with av.open(str(tmp_path / "concat.mkv")) as container:
        assert container.format.name == "concat"
    (folder / MEDIA).write_text(lists[MEDIA], encoding="utf-8")
    with pytest.raises(UserFacingError):
        RecordedSession(folder).media(VirtualClock())


def test_enormous_pictures_are_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "huge.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8200, 8200, "yuvj420p"
        picture = av.VideoFrame(8200, 8200, "yuvj420p")
        picture.pts = 0
        container.mux([*stream.encode(picture), *stream.encode(None)])
    with pytest.raises(UserFacingError, match=r"Nothing in huge\.mkv can be played"):
        RecordingSource(tmp_path / "huge.mkv", VirtualClock())


def test_readings_have_a_number_for_every_class() -> None:
    lengths = {field.name for field in dataclasses.fields(Reading)}
    assert lengths == set(READING)
