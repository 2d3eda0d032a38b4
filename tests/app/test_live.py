"""Live sessions from stand-in devices: the real sources, the real engine, the real command line."""

from __future__ import annotations

import csv
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import ASSETS, DEMO_MEDIA
from app.cli import main
from app.corrections import Merge, Reassign, Rename, Requests
from app.engine import LiveEngine
from app.events import (
    DeviceChanged,
    EnrolmentAsked,
    Event,
    SessionEnded,
    SessionPaused,
    SessionResumed,
    SpeakerFound,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceReassigned,
)
from app.models import Models, load_models
from app.options import ModelOptions
from app.session.card import SessionCard
from app.session.reader import RecordedSession, is_session
from app.session.recorder import Recorder
from live_features.clocks import RealClock, VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock, MediaSource, VideoFrame
from live_features.sources import microphone as microphone_module
from live_features.sources.live import LiveSource
from live_features.sources.microphone import Microphone
from live_features.sources.pausing import SILENCE, PausableSource
from live_features.sources.recording import RecordingSource
from live_features.sources.webcam import Webcam
from tests.fake_camera import FakeCamera
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice
from tests.media_files import Sound, write_media

CARD = SessionCard(
    created="2026-01-01T12:00:00+00:00",
    source="live",
    channels=1,
    has_video=False,
    speakers=2,
    enrol=(),
    models={},
    checkpoint_sha256="",
)
SECONDS = 7.0
PAUSE = 3.6
"""A moment between the first two utterances."""


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(ModelOptions(offline=True))


@pytest.fixture(scope="module")
def talk() -> NDArray[np.float32]:
    """The beginning of the demo, and a pause."""
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    blocks = [i.samples[:, 0] for i in source if isinstance(i, AudioBlock) and i.end <= SECONDS]
    return np.concatenate([*blocks, np.zeros(SAMPLE_RATE, np.float32)])


class Session:
    """A live session that ends when the microphone has played everything."""

    def __init__(
        self,
        models: Models,
        device: FakeDevice,
        camera: Webcam | None = None,
        record: Path | None = None,
    ) -> None:
        self.device = device
        self.events: list[Event] = []
        self.fake = FakeSoundDevice([device])
        microphone = Microphone(portaudio=self.fake, system_default=self.fake.system_default)
        self.live = PausableSource(LiveSource(microphone, camera))
        source: MediaSource = self.live
        self.recorder = None
        sinks: list[Callable[[Event], None]] = [self.events.append]
        if record is not None:
            self.recorder = Recorder(record, CARD, source.info)
            source = self.recorder.tee(source)
            sinks.append(self.recorder.keep)
        self.requests = Requests()
        self.engine = LiveEngine(
            source, RealClock(), models, sinks, speakers=2, requests=self.requests
        )

    def run(self) -> None:
        def stop() -> None:
            self.device.exhausted.wait()
            self.engine.stop()

        threading.Thread(target=stop, name="stopper", daemon=True).start()
        if self.recorder is not None:
            self.recorder.begin(self.engine.note_problem)
        self.engine.run()
        if self.recorder is not None:
            self.recorder.finish()

    @property
    def utterances(self) -> list[UtteranceLabelled]:
        return [event for event in self.events if isinstance(event, UtteranceLabelled)]


def replayed(models: Models, path: Path) -> list[UtteranceLabelled]:
    events: list[Event] = []
    clock = VirtualClock()
    session = RecordedSession(path) if is_session(path) else None
    source = RecordingSource(path, clock) if session is None else session.media(clock)
    LiveEngine(source, clock, models, [events.append], speakers=2).run()
    return [event for event in events if isinstance(event, UtteranceLabelled)]


def no_engine_threads() -> bool:
    names = {"recogniser", "listener", "watcher", "microphone", "camera", "recorder"}
    return not [thread for thread in threading.enumerate() if thread.name in names]


def test_a_live_session_and_a_replay_of_what_it_heard_say_the_same(
    models: Models, talk: NDArray[np.float32], tmp_path: Path
) -> None:
    session = Session(models, FakeDevice("Desk mic", talk, rate=SAMPLE_RATE))
    session.run()
    heard = Sound(session.device.heard, rate=SAMPLE_RATE, codec="pcm_f32le", layout="mono")
    write_media(tmp_path / "heard.wav", heard, None)
    expected = replayed(models, tmp_path / "heard.wav")
    assert len(expected) == 2
    assert [(u.start, u.end, u.speaker, u.text) for u in session.utterances] == [
        (u.start, u.end, u.speaker, u.text) for u in expected
    ]
    for mine, theirs in zip(session.utterances, expected, strict=True):
        np.testing.assert_allclose(mine.reading.fused, theirs.reading.fused, atol=1e-4)

    provisional = [event for event in session.events if isinstance(event, UtteranceProvisional)]
    assert provisional
    for event in provisional:
        final = session.utterances[event.index]
        assert final.start == event.start
        assert event.media_time <= final.end
    assert isinstance(session.events[-1], SessionEnded)
    assert session.events[-1].reason == "stopped"
    assert no_engine_threads()


def test_a_recorded_session_says_the_same_when_it_is_read_anew(
    models: Models, talk: NDArray[np.float32], tmp_path: Path
) -> None:
    folder = tmp_path / "talk.sdt"
    session = Session(models, FakeDevice("Desk mic", talk, rate=SAMPLE_RATE), record=folder)
    session.run()
    assert len(session.utterances) == 2
    recorded = list(RecordedSession(folder).events())
    assert [e.to_json() for e in recorded] == [event.to_json() for event in session.events]
    for mine, anew in zip(session.utterances, replayed(models, folder), strict=True):
        assert (mine.start, mine.end, mine.text) == (anew.start, anew.end, anew.text)
        np.testing.assert_allclose(mine.reading.fused, anew.reading.fused, atol=1e-4)
    assert no_engine_threads()


def test_what_is_said_in_a_pause_is_neither_heard_nor_recorded(
    models: Models, talk: NDArray[np.float32], tmp_path: Path
) -> None:
    pause, resume = 5.0, 7.0
    whole = RecordingSource(DEMO_MEDIA, VirtualClock())
    demo = np.concatenate([i.samples[:, 0] for i in whole if isinstance(i, AudioBlock)])
    # In the middle of the second utterance somebody says what nobody is to hear.
    secret = demo[10 * SAMPLE_RATE : 12 * SAMPLE_RATE]
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    spoken = np.concatenate(
        [talk[: round(pause * SAMPLE_RATE)], secret, talk[: round(PAUSE * SAMPLE_RATE)], quiet]
    )
    device = FakeDevice("Desk mic", spoken, rate=SAMPLE_RATE)
    folder = tmp_path / "talk.sdt"
    picture = np.full((48, 64, 3), 120, np.uint8)
    camera = FakeCamera([picture])
    session = Session(models, device, Webcam(open_camera=camera), record=folder)
    lit = []

    def ask_for_privacy() -> None:
        while device.played < pause:
            time.sleep(0.01)
        session.live.pause()
        while device.played < resume:
            time.sleep(0.01)
        lit.append(camera.open_handles)
        session.live.resume()

    threading.Thread(target=ask_for_privacy, daemon=True).start()
    session.run()
    (paused,) = [e for e in session.events if isinstance(e, SessionPaused)]
    (resumed,) = [e for e in session.events if isinstance(e, SessionResumed)]
    assert lit == [0]
    assert resumed.media_time == pytest.approx(paused.media_time + SILENCE)
    assert resumed.emitted_at == pytest.approx(resumed.media_time, abs=0.5)
    before = [u for u in session.utterances if u.start < paused.media_time]
    after = session.utterances[len(before) :]
    assert (len(before), len(after)) == (2, 1)
    # Silero takes a word that breaks off for spoken a little longer, as it does in any pause.
    assert before[1].end <= paused.media_time + 0.25
    assert after[0].start >= resumed.media_time - 0.05
    assert after[0].text == before[0].text

    media = list(RecordedSession(folder).media(VirtualClock()))
    recorded = np.concatenate([i.samples[:, 0] for i in media if isinstance(i, AudioBlock)])
    heard = device.heard[:, 0]
    first, last = (round(e.media_time * SAMPLE_RATE) for e in (paused, resumed))
    np.testing.assert_array_equal(recorded[:first], heard[:first])
    assert not recorded[first:last].any()
    goes_on = recorded[last : last + SAMPLE_RATE]
    around = round(resume * SAMPLE_RATE)
    assert any(
        np.array_equal(heard[at : at + len(goes_on)], goes_on)
        for at in range(around - SAMPLE_RATE // 4, around + SAMPLE_RATE)
    )
    seen = np.array([i.time for i in media if isinstance(i, VideoFrame)])
    assert not ((seen > paused.media_time + 0.1) & (seen < resumed.media_time - 0.1)).any()
    assert min((seen > resumed.media_time).sum(), (seen < paused.media_time).sum()) > 10

    assert [e.to_json() for e in RecordedSession(folder).events()] == [
        event.to_json() for event in session.events
    ]
    for mine, anew in zip(session.utterances, replayed(models, folder), strict=True):
        assert (mine.start, mine.end, mine.text) == (anew.start, anew.end, anew.text)
    assert no_engine_threads()


def test_a_microphone_that_leaves_and_returns_costs_only_what_was_said_meanwhile(
    models: Models, talk: NDArray[np.float32]
) -> None:
    device = FakeDevice("Desk mic", talk, rate=SAMPLE_RATE)
    pictures = [np.full((48, 64, 3), 120, np.uint8)]
    session = Session(models, device, Webcam(open_camera=FakeCamera(pictures)))

    def pull_out_in_the_first_pause() -> None:
        while device.played < PAUSE:
            time.sleep(0.02)
        session.fake.pull_out("Desk mic")
        time.sleep(1.0)
        session.fake.plug_in("Desk mic")

    threading.Thread(target=pull_out_in_the_first_pause, daemon=True).start()
    session.run()
    told = [e for e in session.events if isinstance(e, DeviceChanged) and e.device == "microphone"]
    assert [event.code for event in told] == ["lost", "returned"]
    assert told[1].lost > 0.5
    assert len(session.utterances) == 2
    assert session.utterances[0].end < told[0].media_time
    assert session.utterances[1].start > told[1].media_time
    assert no_engine_threads()


def test_corrections_during_a_session_read_the_dialogue_again(
    models: Models, talk: NDArray[np.float32]
) -> None:
    session = Session(models, FakeDevice("Desk mic", talk, rate=SAMPLE_RATE))

    def correct() -> None:
        while len({u.speaker for u in session.utterances}) < 2:
            time.sleep(0.02)
        for request in (Rename(0, "Ada"), Reassign(0, 1), Merge(1, 0)):
            assert session.requests.put(request)

    threading.Thread(target=correct, daemon=True).start()
    session.run()
    moved = [e for e in session.events if isinstance(e, UtteranceReassigned)]
    assert (moved[0].index, moved[0].speaker) == (0, 1)
    assert {event.speaker for event in moved[1:]} == {0}
    found = [event for event in session.events if isinstance(event, SpeakerFound)]
    assert len(found) == 2
    # Whoever was speaker 1 is speaker 0 from then on.
    last_correction = session.events.index(moved[-1])
    later = [e for e in session.events[last_correction:] if isinstance(e, UtteranceLabelled)]
    assert {event.speaker for event in later} <= {0}


def test_those_who_talk_first_to_be_known_are_named_and_not_labelled(
    models: Models, tmp_path: Path
) -> None:
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    sound = np.concatenate([i.samples[:, 0] for i in source if isinstance(i, AudioBlock)])
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    turns = told["utterances"][:8]
    joe = [u for u in turns if u["speaker"] == "Joe"]
    mia = [u for u in turns if u["speaker"] == "Mia"]
    # Each introduces the voice with two sentences, which are more than 3 s; then they talk.
    played = [*joe[:2], *mia[:2], mia[2], joe[2]]
    pause = np.zeros(SAMPLE_RATE, np.float32)
    parts = [pause]
    for turn in played:
        span = slice(round(turn["start"] * SAMPLE_RATE), round(turn["end"] * SAMPLE_RATE))
        parts += [sound[span], pause]
    heard = Sound(np.concatenate(parts)[:, None], rate=SAMPLE_RATE, codec="pcm_f32le")
    write_media(tmp_path / "enrol.wav", heard, None)

    events: list[Event] = []
    clock = VirtualClock()
    source = RecordingSource(tmp_path / "enrol.wav", clock)
    LiveEngine(source, clock, models, [events.append], enrol=["Joe", "Mia"]).run()
    asked = [event.name for event in events if isinstance(event, EnrolmentAsked)]
    assert asked == ["Joe", "Mia"]
    found = [(e.speaker, e.name) for e in events if isinstance(e, SpeakerFound)]
    assert found == [(0, "Joe"), (1, "Mia")]
    assert [e.speaker for e in events if isinstance(e, UtteranceLabelled)] == [1, 0]


@pytest.fixture
def fake_microphone(monkeypatch: pytest.MonkeyPatch, talk: NDArray[np.float32]) -> FakeDevice:
    device = FakeDevice("Desk mic", talk, rate=SAMPLE_RATE)
    fake = FakeSoundDevice([device])
    monkeypatch.setattr(microphone_module, "load_portaudio", lambda: fake)
    return device


def test_live_on_the_command_line_until_ctrl_c(
    fake_microphone: FakeDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        fake_microphone.exhausted.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    arguments = ["--headless", "--camera", "none", "--export", str(tmp_path), "--offline"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Listening; Ctrl-C ends it." in printed
    with (tmp_path / "emotions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(row["text"] in " ".join(printed.split()) for row in rows[:1])
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["event"] == "session_ended"
    assert no_engine_threads()


def test_live_without_a_microphone_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeSoundDevice([])
    monkeypatch.setattr(microphone_module, "load_portaudio", lambda: fake)
    assert main(["--headless", "--camera", "none", "--offline"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("sdt-live: There is no microphone")
