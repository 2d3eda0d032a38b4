"""Whatever is wrong with the input, a person gets one sentence and a non-zero exit status."""

import shutil
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.assets import DEFAULT_CHECKPOINT, DEMO_MEDIA
from app.cli import main
from sdt_model.checkpoints import load_checkpoint, save_checkpoint
from sdt_model.config import SDTConfig
from sdt_model.dialogues import FeatureStatistics
from sdt_model.model import SDT
from tests.media_files import Sound, tone, write_media

Complain = Callable[..., str]


@pytest.fixture
def complain(capsys: pytest.CaptureFixture[str]) -> Complain:
    """Run the command line, expect failure, return the one sentence."""

    def run(*arguments: str) -> str:
        try:
            status = main([*arguments, "--headless", "--offline"])
        except SystemExit as leaving:  # argparse's own way out
            status = int(leaving.code or 0)
        assert status != 0
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("sdt-live: ")
        assert "Traceback" not in "".join(lines)
        return lines[-1]

    return run


def test_a_missing_file(complain: Complain, tmp_path: Path) -> None:
    assert "gone.mp4" in complain("--replay", str(tmp_path / "gone.mp4"))


def test_a_folder_that_is_no_recording(complain: Complain, tmp_path: Path) -> None:
    assert str(tmp_path) in complain("--replay", str(tmp_path))


def test_a_text_file_called_mp4(complain: Complain, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("This is no film.\n" * 50)
    assert "notes.mp4" in complain("--replay", str(tmp_path / "notes.mp4"))


def test_a_truncated_mp4(complain: Complain, tmp_path: Path) -> None:
    # A recorder that was cut off leaves the pictures without the index written after them.
    whole = DEMO_MEDIA.read_bytes()
    index, pictures = whole.index(b"moov") - 4, whole.index(b"mdat") - 4
    (tmp_path / "cut.mp4").write_bytes(whole[:index] + whole[pictures : len(whole) // 2])
    assert "cut.mp4" in complain("--replay", str(tmp_path / "cut.mp4"))


def test_a_wav_without_samples(complain: Complain, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    assert "empty.wav" in complain("--replay", str(tmp_path / "empty.wav"))


def test_an_unknown_device(complain: Complain) -> None:
    assert "'warp'" in complain("--demo", "--device", "warp")


def test_an_export_folder_that_cannot_be_made(complain: Complain, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert "taken" in complain("--demo", "--export", str(tmp_path / "taken"))


def test_a_session_that_is_there_already(complain: Complain, tmp_path: Path) -> None:
    (tmp_path / "talk.sdt").mkdir()
    (tmp_path / "talk.sdt" / "media.mkv").touch()
    assert "talk.sdt" in complain("--demo", "--record", str(tmp_path / "talk"))


def test_a_session_without_anything_in_it(complain: Complain, tmp_path: Path) -> None:
    (tmp_path / "talk.sdt").mkdir()
    assert "session.json" in complain(str(tmp_path / "talk.sdt"))


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan"])
def test_a_speed_that_is_none(complain: Complain, speed: str) -> None:
    assert f"'{speed}'" in complain("--demo", f"--speed={speed}")


def test_a_number_of_speakers_that_is_none(complain: Complain) -> None:
    assert "'many'" in complain("--demo", "--speakers", "many")


def test_more_people_to_introduce_than_can_be_told_apart(
    complain: Complain, tmp_path: Path
) -> None:
    names = [f"Person {n}" for n in range(10)]
    sentence = complain("--demo", "--record", str(tmp_path / "talk"), "--enrol", *names)
    assert "--enrol" in sentence
    assert "at most 9" in sentence
    assert not (tmp_path / "talk.sdt").exists()


def test_people_with_a_channel_each_do_not_introduce_themselves(
    complain: Complain, tmp_path: Path
) -> None:
    lines = np.stack([tone(4.0, [(0.5, 1.5)]), tone(4.0, [(2.0, 3.0)])], axis=1)
    call = tmp_path / "call.wav"
    write_media(call, Sound(lines, codec="pcm_s16le", layout="stereo"))
    assert "leave out --enrol" in complain("--replay", str(call), "--enrol", "Ada")


@pytest.mark.parametrize("name", [".", "..", "/", ""])
def test_a_recording_without_a_name(
    complain: Complain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--record" in complain("--demo", "--record", name)
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_there(complain: Complain, tmp_path: Path) -> None:
    assert "nowhere" in complain("--demo", "--checkpoint", str(tmp_path / "nowhere"))


def test_a_checkpoint_of_another_text_size(complain: Complain, tmp_path: Path) -> None:
    small = SDTConfig(text_dim=100, audio_dim=1024, visual_dim=342, hidden=16, heads=2)
    shipped = load_checkpoint(DEFAULT_CHECKPOINT).statistics
    statistics = FeatureStatistics(
        (shipped.means[0][:100], *shipped.means[1:]),
        (shipped.deviations[0][:100], *shipped.deviations[1:]),
    )
    save_checkpoint(tmp_path / "small", SDT(small), statistics, {})
    sentence = complain("--demo", "--checkpoint", str(tmp_path / "small"))
    assert "100" in sentence
    assert "384" in sentence


def test_damaged_weights(complain: Complain, tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_CHECKPOINT, tmp_path / "copy")
    weights = tmp_path / "copy" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-8:] = struct.pack("<d", 1e9)
    weights.write_bytes(content)
    assert "weights.safetensors" in complain("--demo", "--checkpoint", str(tmp_path / "copy"))
    weights.write_bytes(content[:1000])
    assert "weights.safetensors" in complain("--demo", "--checkpoint", str(tmp_path / "copy"))


def test_a_whisper_model_that_is_not_there(complain: Complain) -> None:
    assert "enormous" in complain("--demo", "--whisper", "enormous")


def test_a_text_encoder_that_is_not_there(complain: Complain) -> None:
    assert "--offline" in complain("--demo", "--text-encoder", "nobody/no-such-encoder")
