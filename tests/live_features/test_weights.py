"""Weights are found without a network, checked, and asked for in words when they are not there."""

from pathlib import Path

import pytest

from live_features import weights
from live_features.errors import UserFacingError
from live_features.fetching import Fetching
from tests.stand_in_hub import StandInHub


@pytest.mark.parametrize(
    "package", [weights.TINY_EN, weights.MINILM, weights.SILERO, weights.MTCNN]
)
def test_the_default_set_is_installed_and_is_what_was_tested(
    package: weights.PackagedWeights,
) -> None:
    found = weights.packaged(package)
    assert all((found.folder / name).is_file() for name in package.files)
    assert package.distribution in found.origin


def test_a_file_of_another_hash_is_refused_and_named() -> None:
    changed = weights.PackagedWeights("silero-vad", "silero_vad", "data", {"silero_vad.onnx": "0"})
    with pytest.raises(UserFacingError, match=r"silero_vad\.onnx.*damaged.*reinstall"):
        changed.locate()


def test_a_package_that_is_not_there_is_named_with_the_remedy() -> None:
    absent = weights.PackagedWeights("no-such-weights", "no_such_weights", ".", {})
    with pytest.raises(UserFacingError, match=r"no-such-weights.*uv sync"):
        weights.packaged(absent)


def test_an_explicit_folder_wins(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json"):
        (tmp_path / name).touch()
    assert weights.whisper(str(tmp_path)).folder == tmp_path


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"model\.bin"):
        weights.whisper(str(tmp_path))
    with pytest.raises(UserFacingError, match=r"model\.safetensors"):
        weights.text_encoder(str(tmp_path))


def test_a_path_that_does_not_exist_is_not_taken_for_a_name(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="existing folder"):
        weights.whisper(str(tmp_path / "nowhere"))


def test_an_unknown_whisper_size_lists_the_known_ones() -> None:
    with pytest.raises(UserFacingError, match=r"enormous.*tiny\.en"):
        weights.whisper("enormous")


def test_offline_never_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserFacingError, match="--offline"):
        weights.text_encoder("nobody/no-such-encoder", offline=True)


def test_something_that_cannot_be_a_name_is_refused() -> None:
    with pytest.raises(UserFacingError, match="neither a folder nor a Hugging Face name"):
        weights.text_encoder("a/b/c", offline=True)


def test_a_whisper_size_that_is_not_here_is_not_fetched_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserFacingError, match=r"small\.en.*--offline"):
        weights.whisper("small.en", offline=True)


def test_a_fetch_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = StandInHub(tmp_path, {"model.safetensors": 8_000_000, "a.json": 2_000_000}, monkeypatch)
    hub.may_go_on.set()
    told: list[Fetching] = []
    found = weights.text_encoder("somebody/encoder", progress=told.append)
    assert found.origin == "hub somebody/encoder"
    assert told[0] == Fetching("somebody/encoder")
    assert told[-1] == Fetching("somebody/encoder", 10_000_000, 10_000_000)
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert told[0].share is None
    assert told[-1].share == 1.0
    assert told[-1].sentence.endswith("10 of 10 MB.")

    again: list[Fetching] = []
    assert weights.text_encoder("somebody/encoder", progress=again.append).folder == found.folder
    assert again == []


def test_a_whisper_size_is_fetched_from_where_faster_whisper_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = StandInHub(tmp_path, {"model.bin": 1_000_000, "config.json": 0}, monkeypatch)
    hub.may_go_on.set()
    told: list[Fetching] = []
    weights.whisper("small.en", progress=told.append)
    assert hub.asked == ["Systran/faster-whisper-small.en"]
    assert told[-1].model == "small.en"


def test_whoever_is_told_may_give_up_the_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = StandInHub(tmp_path, {"model.safetensors": 8_000_000}, monkeypatch)

    def give_up(fetching: Fetching) -> None:
        if hub.half_way.is_set():
            raise UserFacingError("That is enough.")

    with pytest.raises(UserFacingError, match="enough"):
        weights.text_encoder("somebody/encoder", progress=give_up)


def test_without_a_network_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StandInHub(tmp_path, {"model.safetensors": 1}, monkeypatch).offline = True
    with pytest.raises(UserFacingError, match=r"could not be fetched.*check the name and the net"):
        weights.text_encoder("somebody/encoder", progress=lambda _: None)
