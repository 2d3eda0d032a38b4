"""At start-up the largest Whisper that keeps up is chosen, of those that are here."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.self_test import choose_whisper
from live_features.sources.recording import RecordingSource

UNHURRIED = 1e6
SMALLEST = weights.DEFAULT_WHISPER


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    blocks = []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock):
            blocks.append(item.samples[:, 0])
            if item.end > 7.0:
                break
    return np.concatenate(blocks)[SAMPLE_RATE:]


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another folder with a model."""
    folder = tmp_path_factory.mktemp("whisper") / "larger"
    shutil.copytree(weights.whisper(offline=True).folder, folder)
    return str(folder)


def test_the_largest_that_keeps_up_is_chosen_and_ready(
    speech: NDArray[np.float32], larger: str
) -> None:
    choice = choose_whisper([SMALLEST, larger], speech, budget=UNHURRIED)
    assert choice.name == larger
    assert choice.origin == f"folder {larger}"
    assert "what did you do today" in choice.transcribe(speech).text.lower()
    assert [trial.name for trial in choice.trials] == [SMALLEST, larger]
    assert all(trial.real_time_factor for trial in choice.trials)


def test_the_first_that_is_too_slow_ends_the_trials_and_the_smallest_has_to_do(
    speech: NDArray[np.float32], larger: str
) -> None:
    choice = choose_whisper([SMALLEST, larger], speech, budget=0.0)
    assert choice.name == SMALLEST
    assert [trial.name for trial in choice.trials] == [SMALLEST]


def test_one_that_cannot_be_loaded_is_passed_over_and_the_reason_kept(
    speech: NDArray[np.float32], tmp_path: Path
) -> None:
    choice = choose_whisper([str(tmp_path), SMALLEST], speech, budget=UNHURRIED)
    assert choice.name == SMALLEST
    broken, _ = choice.trials
    assert broken.real_time_factor is None
    assert broken.problem is not None
    assert "model.bin" in broken.problem


def test_without_any_it_is_said(speech: NDArray[np.float32], tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="--whisper"):
        choose_whisper([], speech)
    with pytest.raises(UserFacingError, match=r"model\.bin"):
        choose_whisper([str(tmp_path)], speech)


def test_sizes_here_are_the_packaged_one_and_whole_ones_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert weights.whisper_sizes_here() == [SMALLEST]
    cache(tmp_path, "Systran/faster-whisper-small.en", 900)
    cache(tmp_path, "Systran/faster-whisper-small", 901)
    cache(tmp_path, "Systran/faster-whisper-base", 300)
    cache(tmp_path, "Systran/faster-whisper-medium", None)
    # These are smaller than the packaged one only here, where they are no real models.
    assert weights.whisper_sizes_here() == ["base", "small.en", SMALLEST]


def cache(folder: Path, repository: str, size: int | None) -> None:
    """An entry in the hub cache, without the model if ``size`` is None."""
    entry = folder / f"models--{repository.replace('/', '--')}"
    snapshot = entry / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0" * 40)
    if size is not None:
        (snapshot / "model.bin").write_bytes(bytes(size))
