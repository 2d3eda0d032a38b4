"""The command line on recordings of other kinds than the demo."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import terminal
from app.assets import ASSETS, DEMO_MEDIA
from app.cli import main
from app.terminal import clock_time
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from tests.media_files import Pictures, Sound, plain_pictures, write_media


def test_the_command_line_needs_neither_qt_nor_torch_to_start() -> None:
    heavy = "{'PySide6', 'pyqtgraph', 'torch', 'transformers'}"
    code = f"import sys, app.cli; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_recording_without_speech_says_so_and_exports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(30)))
    out = tmp_path / "out"
    status = main(["--replay", str(tmp_path / "silent.mp4"), "--headless", "--export", str(out)])
    assert status == 0
    assert "No speech was found in silent.mp4" in capsys.readouterr().out
    assert len((out / "emotions.csv").read_text(encoding="utf-8").splitlines()) == 1
    assert (out / "transcript.srt").read_text(encoding="utf-8") == ""


def test_two_lines_are_two_speakers_and_no_face_is_a_missing_one(tmp_path: Path) -> None:
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    turns = told["utterances"][:4]
    people = [turns[0]["speaker"], turns[1]["speaker"]]
    sound = np.concatenate(
        [
            item.samples[:, 0]
            for item in RecordingSource(DEMO_MEDIA, VirtualClock())
            if isinstance(item, AudioBlock)
        ]
    )
    lines = np.zeros((round((turns[-1]["end"] + 1.0) * SAMPLE_RATE), 2), np.float32)
    for turn in turns:
        span = slice(round(turn["start"] * SAMPLE_RATE), round(turn["end"] * SAMPLE_RATE))
        lines[span, people.index(turn["speaker"])] = sound[span]
    call = Sound(lines, rate=SAMPLE_RATE, codec="pcm_s16le", layout="stereo")
    write_media(tmp_path / "call.wav", call, None)

    out = tmp_path / "out"
    assert main(["--replay", str(tmp_path / "call.wav"), "--headless", "--export", str(out)]) == 0
    with (out / "emotions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [f"Speaker {people.index(turn['speaker']) + 1}" for turn in turns]
    assert [row["speaker"] for row in rows] == expected
    assert {row["student_visual"] for row in rows} == {""}
    assert all(row["student_text"] and row["student_audio"] for row in rows)


def test_without_a_display_the_same_command_runs_headless_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux runs without a display")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(10)))
    assert main(["--replay", str(tmp_path / "silent.mp4")]) == 0
    shown = capsys.readouterr()
    assert "no display" in shown.err
    assert "No speech was found" in shown.out


def test_what_was_given_up_is_not_said_to_hold_no_speech(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = terminal.read

    def interrupted_at_once(*arguments: Any, **named: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        read(*arguments, **named)

    monkeypatch.setattr(terminal, "read", interrupted_at_once)
    assert main(["--replay", str(DEMO_MEDIA), "--headless"]) == 0
    shown = capsys.readouterr().out
    assert "Stopped before the end" in shown
    assert "No speech" not in shown
    assert "100%" not in shown


def test_a_time_is_rounded_before_it_is_cut_into_minutes() -> None:
    assert [clock_time(s) for s in (0.0, 59.94, 59.97, 125.3)] == [
        "0:00.0",
        "0:59.9",
        "1:00.0",
        "2:05.3",
    ]
