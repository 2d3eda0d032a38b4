"""What the doctor finds here, and what it says of devices that are there, missing or at fault."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.checks import Finding, model_weights
from app.device_checks import camera, microphone
from app.doctor import print_devices, print_diagnosis
from app.options import LiveOptions, ModelOptions
from app.ui.availability import APT_LINE
from live_features.sources.webcam import Patience
from tests.fake_camera import FakeCamera, Fault
from tests.fake_sounddevice import DEVICE_UNAVAILABLE, FakeDevice, FakeSoundDevice

PARTS = ("system", "window", "microphone", "camera", "graphics", "weights", "speed")
STAGES = ("voice activity", "words", "text", "voice", "emotion", "faces")
IMPATIENT = Patience(opening=0.2, first_picture=0.2, next_picture=0.2, black=0.1, retry=0.2)


def desk_microphone() -> FakeDevice:
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(3 * 48_000) / 48_000)
    return FakeDevice("Desk mic", tone.astype(np.float32))


def headset() -> FakeDevice:
    return FakeDevice("Headset", np.zeros((16_000, 2), np.float32), rate=16_000)


def grey_camera() -> FakeCamera:
    return FakeCamera([np.full((240, 320, 3), 120, np.uint8)])


def last(findings: list[Finding]) -> Finding:
    return findings[-1]


class BrokenPortAudio(FakeSoundDevice):
    def query_devices(self) -> list[dict[str, Any]]:
        raise RuntimeError("the driver fell over")


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The ``sounddevice`` module raises this on import where the library is not installed."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)


def test_everything_that_replay_needs_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_diagnosis() == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+)$", out, re.M) == list(PARTS)
    assert "failed" not in out
    weights, speed = out.split("\nweights\n")[1].split("\nspeed\n")
    assert set(re.findall(r"^.{18}  (\w+)", weights, re.M)) == {"works"}
    for stage in STAGES:
        assert re.search(rf"^{stage} +(works|slow) +[\d.]+ ms a.*of real time", speed, re.M)
    assert "Live reading" in speed


def test_one_broken_part_hides_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = f"The window cannot open because libEGL.so.1 is missing: run `{APT_LINE}`."
    monkeypatch.setattr("app.ui.availability.qt_unavailable", lambda: missing)
    models = ModelOptions(whisper=str(tmp_path))
    assert print_diagnosis(models, LiveOptions(camera=None), BrokenPortAudio([])) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+)$", out, re.M) == list(PARTS)
    assert re.search(r"^microphone +failed +RuntimeError: the driver fell over", out, re.M)
    # One line, whatever the width of the terminal: it is there to be copied.
    assert APT_LINE in out.splitlines()
    weights, speed = out.split("\nweights\n")[1].split("\nspeed\n")
    assert re.search(r"^speech recognition +missing", weights, re.M)
    assert re.search(r"^text +works", weights, re.M)
    assert re.search(r"^loading +missing", speed, re.M)


def test_weights_that_are_nowhere_are_not_fetched() -> None:
    findings = {finding.name: finding for finding in model_weights(ModelOptions("large-v3"))}
    assert findings["speech recognition"].state == "missing"
    assert "is not on this machine" in findings["speech recognition"].detail
    assert findings["speech recognition"].advice


def test_a_microphone_is_listened_to() -> None:
    sounds = FakeSoundDevice([headset(), desk_microphone()], default="Desk mic")
    found, heard = microphone(LiveOptions(), sounds)
    assert found.detail == "0 Headset (Fake)\n1 Desk mic (Fake), default"
    assert heard.state == "works"
    # A sine of 0.1: -20 dB at its peak and 3 less on average.
    assert heard.detail.startswith("Desk mic: -23 dBFS on average, -20 dBFS at most")
    assert sounds._device("Desk mic").stream is None


@pytest.mark.parametrize(
    ("name", "problem", "said", "advice"),
    [
        ("Headset", None, "delivers only zeros", "Unmute it"),
        (None, DEVICE_UNAVAILABLE, "is used by another program", "--microphone"),
        ("Lamp", None, 'There is no microphone "Lamp" but', "--microphone"),
    ],
    ids=["zeros", "busy", "unknown"],
)
def test_what_is_wrong_with_a_microphone_is_said(
    name: str | None, problem: int | None, said: str, advice: str
) -> None:
    sounds = FakeSoundDevice([desk_microphone(), headset()])
    if problem is not None:
        sounds.refuse("Desk mic", problem)
    found, heard = microphone(LiveOptions(microphone=name), sounds)
    assert "Desk mic" in found.detail
    assert heard.state == "missing"
    assert said in heard.detail
    assert advice in heard.advice


def test_a_server_has_no_microphone() -> None:
    (heard,) = microphone(LiveOptions(), FakeSoundDevice([]))
    assert (heard.state, heard.detail) == ("missing", "There is no microphone.")
    assert heard.advice


@pytest.mark.usefixtures("no_portaudio")
def test_a_missing_portaudio_is_named() -> None:
    (heard,) = microphone(LiveOptions())
    assert heard.state == "missing"
    assert "PortAudio" in heard.detail
    assert "nstall" in heard.advice


def test_a_camera_is_looked_through() -> None:
    device = grey_camera()
    found, seen = camera(LiveOptions(), device)
    assert found.detail == "0 camera"
    assert seen.state == "works"
    assert re.fullmatch(r"camera 0: 320x240, \d+ pictures a second", seen.detail)
    assert device.open_handles == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("busy", "delivers no picture"),
        ("denied", "may not be used"),
        ("unplugged", "There is no camera 0"),
        ("black", "delivers only black"),
    ],
)
def test_what_is_wrong_with_a_camera_is_said(fault: Fault, said: str) -> None:
    device = grey_camera()
    device.fault = fault
    seen = last(camera(LiveOptions(), device, IMPATIENT))
    assert seen.state == "missing"
    assert said in seen.detail
    assert seen.advice


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    sounds = FakeSoundDevice([headset(), desk_microphone()], default="Desk mic")
    assert print_devices(sounds, grey_camera()) == 0
    out = capsys.readouterr().out
    assert re.search(r"0 .*Headset .*2 .*16000 Hz .*Fake ", out)
    assert re.search(r"1 .*Desk mic .*1 .*48000 Hz .*Fake .*default", out)
    assert re.search(r"0 .*640x480 .*30 Hz .*FAKE .*yes", out)
    assert '--microphone "NAME"' in out
    assert "--camera N" in out


@pytest.mark.usefixtures("no_portaudio")
def test_without_devices_there_are_two_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    camera = grey_camera()
    camera.fault = "unplugged"
    assert print_devices(open_camera=camera) == 1
    portaudio, cameras = capsys.readouterr().out.splitlines()
    assert portaudio.startswith("The PortAudio library, which reads microphones, is missing; ")
    assert cameras == "There is no camera; plug one in, or go on without: --camera none"
