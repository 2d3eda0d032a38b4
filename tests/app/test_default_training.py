"""Training what ships on a made-up corpus, and measuring it again."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from app import default_training
from app.assets import ASSETS
from app.default_training import compare_card, train_default
from app.evaluate_cli import main
from app.text_training import READINGS, adapter_file
from app.voice_augmentation import AUGMENTATIONS
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.voices import ACOUSTIC_SIZE
from sdt_model.dialogues import load_dialogues

SAID = ("Fine.", "What?", "Help!", "I miss her.", "We won!", "Yuck.", "How dare you!")
RAVDESS = ("01", "08", "06", "04", "03", "07", "05")
"""In the order of the classes."""


@dataclass(frozen=True, slots=True)
class Trained:
    data: Path
    assets: Path
    cache: Path
    told: list[str]


def made_up_corpora(data: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    (data / "meld").mkdir(parents=True)
    for split, dialogues in (("train", 12), ("dev", 5), ("test", 5)):
        with (data / "meld" / f"{split}_sent_emo.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"])
            for scene in range(dialogues):
                for i, label in enumerate(rng.permutation(7)):
                    row = [f"{SAID[label]} {split}{scene}", "AB"[i % 2], EMOTIONS[label], scene, i]
                    table.writerow(row)

    voices = []
    for actor in range(1, 23):
        folder = data / "ravdess" / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for emotion in sorted(RAVDESS):
            (folder / f"03-01-{emotion}-01-01-01-{actor:02d}.flac").touch()
            voices.append((RAVDESS.index(emotion), actor))
    signs = rng.normal(size=(7, ACOUSTIC_SIZE))
    rows = [v for v in voices] + [v for v in voices if v[1] <= 18 for _ in AUGMENTATIONS]
    features = signs[[label for label, _ in rows]] + rng.normal(size=(len(rows), ACOUSTIC_SIZE))
    cache.mkdir()
    np.savez(cache / "ravdess-voices.npz", vectors=features.astype(np.float32))

    (data / "fer2013").mkdir()
    for name, count in (("train", 2100), ("public_test", 70)):
        images = rng.integers(20, 230, (count, 12, 12), np.uint8).repeat(4, 1).repeat(4, 2)
        labels = np.arange(count) % 7
        np.savez(data / "fer2013" / f"{name}.npz", images=images, labels=labels, classes=EMOTIONS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("default")
    here = Trained(folder / "data", folder / "assets", folder / "cache", [])
    made_up_corpora(here.data, here.cache)
    for part in ("expression", "text"):
        shutil.copytree(ASSETS / part, here.assets / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default_training, "CONFIG", replace(default_training.CONFIG, hidden=16))
        patch.setattr(default_training, "OPTIONS", replace(default_training.OPTIONS, epochs=2))
        train_default(
            here.data, here.assets, here.cache, seed=3, command="a test", report=here.told.append
        )
    return here


def test_the_card_of_a_training_holds(trained: Trained) -> None:
    assert sum(line.startswith("Epoch") for line in trained.told) == 2
    compared, different = compare_card(trained.data, trained.assets, trained.cache, lambda _: None)
    assert compared > 100
    assert different == []
    card = json.loads((trained.assets / "sdt" / "card.json").read_text("utf-8"))
    voices = card["RAVDESS, actors 19-22, one clip at a time, audio student"]
    assert voices["utterances"] == 4 * len(RAVDESS)
    mean = np.mean(list(voices["recall"].values()))
    assert voices["unweighted_recall"] == pytest.approx(mean, abs=2e-4)
    # The dialogues it was trained on are there for sdt-train store.
    train = load_dialogues(trained.cache / "dialogues" / "train.safetensors")
    test = load_dialogues(trained.cache / "dialogues" / "test.safetensors")
    assert len(train) % 12 == 0
    assert len(test) == 5


def test_the_command_says_that_the_card_holds(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.evaluate_cli.ASSETS", trained.assets)
    assert main(["--card", str(trained.data), "--cache", str(trained.cache)]) == 0
    assert "hold" in capsys.readouterr().out


def test_a_card_that_is_not_true_is_found_out(trained: Trained, tmp_path: Path) -> None:
    assets = Path(shutil.copytree(trained.assets, tmp_path / "assets"))
    path = assets / "sdt" / "card.json"

    def compared(card: dict[str, object]) -> dict[str, tuple[float, float]]:
        path.write_text(json.dumps(card), encoding="utf-8")
        _, different = compare_card(trained.data, assets, trained.cache, lambda _: None)
        return {d.figure: (d.card, d.today) for d in different}

    text = path.read_text(encoding="utf-8")
    card = json.loads(text)
    told = card["figures"]["test, prefix (as live)"]["fused"]
    true = told["weighted_f1"]
    told["weighted_f1"] = true + 0.0015  # float noise of another machine
    assert compared(card) == {}
    told["weighted_f1"] = true + 0.05
    name = "figures / test, prefix (as live) / fused / weighted_f1"
    assert compared(card) == {name: (pytest.approx(true + 0.05), pytest.approx(true))}
    del told["weighted_f1"]
    ((figure, (on_card, today)),) = compared(card).items()
    assert figure == name
    assert math.isnan(on_card)
    assert today == pytest.approx(true)

    for lacking in ("draws", "seed", "figures"):
        card = json.loads(text)
        del card[lacking]
        with pytest.raises(UserFacingError, match=f"lacks '{lacking}'"):
            compared(card)


def test_other_weights_than_the_card_s_are_found_out(trained: Trained, tmp_path: Path) -> None:
    """A checkpoint that answers differently cannot keep the figures."""
    assets = Path(shutil.copytree(trained.assets, tmp_path / "assets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default_training, "CONFIG", replace(default_training.CONFIG, hidden=16))
        patch.setattr(default_training, "OPTIONS", replace(default_training.OPTIONS, epochs=1))
        cache = Path(shutil.copytree(trained.cache, tmp_path / "cache"))
        (cache / "sdt-training.pt").unlink()
        train_default(trained.data, assets, cache, seed=4, command="", report=lambda _: None)
    card = json.loads((trained.assets / "sdt" / "card.json").read_text("utf-8"))
    described = json.loads((assets / "sdt" / "card.json").read_text("utf-8"))
    (assets / "sdt" / "card.json").write_text(json.dumps(described | {"figures": card["figures"]}))
    _, different = compare_card(trained.data, assets, trained.cache, lambda _: None)
    assert different


def test_other_adapters_than_the_card_s_are_found_out(trained: Trained, tmp_path: Path) -> None:
    """What one adapter made of the words is in the cache, and is not taken for another's."""
    assets = Path(shutil.copytree(trained.assets, tmp_path / "assets"))
    written, heard = (assets / "text" / adapter_file(reading) for reading in READINGS)
    written.write_bytes(heard.read_bytes())
    _, different = compare_card(trained.data, assets, trained.cache, lambda _: None)
    assert different
