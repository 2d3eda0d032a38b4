from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sdt_helpers import random_dialogue, small_model

from sdt_model.checkpoints import load_checkpoint, save_checkpoint
from sdt_model.dialogues import FeatureStatistics, collate
from sdt_model.errors import SDTError
from sdt_model.files import read_tensors, write_tensors

CARD = {"data": "made up", "weighted_f1": 0.5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    save_checkpoint(tmp_path / "model", small_model(layers=2), statistics, CARD)
    return tmp_path / "model"


def test_a_checkpoint_gives_back_model_statistics_and_card(folder: Path) -> None:
    model, checkpoint = small_model(layers=2), load_checkpoint(folder)
    batch = collate([random_dialogue(9, missing=0.3)], model.config)
    with torch.inference_mode():
        assert torch.equal(checkpoint.model(batch).fused, model(batch).fused)
    assert checkpoint.config == model.config
    assert not checkpoint.model.training
    assert checkpoint.card.items() >= CARD.items()
    assert checkpoint.card["config"] == model.config.to_dict()
    expected = FeatureStatistics.fit([random_dialogue(20)])
    for name in ("means", "deviations"):
        for got, wanted in zip(
            getattr(checkpoint.statistics, name), getattr(expected, name), strict=True
        ):
            np.testing.assert_array_equal(got, wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_half_precision_halves_the_file_and_barely_moves_the_answer(tmp_path: Path) -> None:
    model = small_model(hidden=64)
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    save_checkpoint(tmp_path / "full", model, statistics, {})
    save_checkpoint(tmp_path / "half", model, statistics, {}, half_precision=True)
    sizes = [(tmp_path / n / "weights.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]

    half = load_checkpoint(tmp_path / "half")
    assert half.card["weights_dtype"] == "float16"
    assert all(p.dtype == torch.float32 for p in half.model.parameters())
    batch = collate([random_dialogue(9)], model.config)
    with torch.inference_mode():
        np.testing.assert_allclose(half.model(batch).fused, model(batch).fused, atol=5e-3)


def test_the_same_model_makes_the_same_file(folder: Path, tmp_path: Path) -> None:
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    save_checkpoint(tmp_path / "again", small_model(layers=2), statistics, CARD)
    for name in ("weights.safetensors", "card.json"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_checkpoint_from_before_a_setting_existed_has_its_default(folder: Path) -> None:
    before = load_checkpoint(folder)
    tensors, metadata, _ = read_tensors(folder / "weights.safetensors")
    settings = json.loads(metadata["config"])
    for name in ("unimodal_gates", "fusion", "modalities"):
        del settings[name]
    sha256 = write_tensors(
        folder / "weights.safetensors", tensors, {"config": json.dumps(settings)}
    )
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"config": settings, "sha256": sha256}))
    assert load_checkpoint(folder).config == before.config


def test_fixed_gates_stay_fixed_after_loading(tmp_path: Path) -> None:
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    save_checkpoint(tmp_path, small_model(trainable_unimodal_gates=False), statistics, {})
    model = load_checkpoint(tmp_path).model
    assert not any(p.requires_grad for p in model.unimodal_gates.parameters())
    assert all(p.requires_grad for p in model.encoders.parameters())


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_card(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | changes))

    return change


def other_weights(folder: Path) -> None:
    """Weights of a wider model under the settings of the old one, with every hash in order."""
    model = small_model(layers=2, hidden=32)
    model.config = small_model(layers=2).config
    save_checkpoint(folder, model, FeatureStatistics.fit([random_dialogue(20)]), {})


def deeper_weights(folder: Path) -> None:
    model = small_model(layers=3)
    model.config = small_model(layers=2).config
    save_checkpoint(folder, model, FeatureStatistics.fit([random_dialogue(20)]), {})


def other_statistics(folder: Path) -> None:
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    short = FeatureStatistics(
        tuple(m[:3] for m in statistics.means), tuple(d[:3] for d in statistics.deviations)
    )
    save_checkpoint(folder, small_model(), short, {})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip_a_bit, "is not the file its card.json describes"),
        (truncate, "damaged or not a safetensors file"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors does not exist"),
        (lambda f: (f / "card.json").unlink(), "card.json does not exist"),
        (lambda f: (f / "card.json").write_text("{"), "card.json is not JSON"),
        (lambda f: (f / "card.json").write_bytes(b"\xff\xfe"), "card.json is not JSON"),
        (lambda f: (f / "card.json").write_text("[]"), "card.json is not a JSON object"),
        (change_card(sha256="0" * 64), "is not the file its card.json describes"),
        (change_card(config={"hidden": 8}), "settings in .*card.json differ"),
        (other_weights, "has shape .*, the settings ask for"),
        (deeper_weights, "is on one side only"),
        (other_statistics, r"statistics in .* are for sizes \(3, 3, 3\)"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    folder: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(folder)
    with pytest.raises(SDTError, match=sentence):
        load_checkpoint(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SDTError, match=r"no checkpoint folder at .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    statistics = FeatureStatistics.fit([random_dialogue(4)])
    with pytest.raises(SDTError, match="cannot be written"):
        save_checkpoint(tmp_path / "file", small_model(), statistics, {})
