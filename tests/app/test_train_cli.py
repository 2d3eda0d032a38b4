"""``sdt-train`` on synthetic feature files in the public format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from app import evaluate_cli, train_cli
from app.feature_training import (
    PAPER_PROTOCOL,
    VALIDATION_SELECTED,
    public_material,
    train_on_features,
    unstandardised,
)
from app.options import INTERRUPTED
from sdt_model.checkpoints import load_checkpoint
from sdt_model.config import SDTConfig
from sdt_model.corpora import read_public_pickle
from sdt_model.dialogues import collate, load_dialogues, save_dialogues
from sdt_model.errors import SDTError
from sdt_model.evaluation import evaluate
from sdt_model.model import SDT
from sdt_model.presets import PRESETS, Preset
from tests.sdt_model.public_pickles import write_public_pickle

SDT_DEFAULTS = SDTConfig(1, 1, 1)


def small(name: str) -> Preset:
    """A preset's way to train, on a model that a test has time for."""
    preset = PRESETS[name]
    return Preset(
        replace(preset.config, hidden=32, heads=4, dropout=0.1),
        replace(preset.options, learning_rate=3e-3, batch_size=8),
    )


def train(
    folder: Path, *, seeds: Sequence[int] = (0,), epochs: int = 3, name: str = "run"
) -> dict[str, Any]:
    preset = small("iemocap")
    return train_on_features(
        public_material(folder / "features.pkl", "iemocap"),
        preset.config,
        replace(preset.options, epochs=epochs),
        folder / name / "out",
        folder / name / "states",
        seeds=seeds,
        device="cpu",
        command="the command",
        report=lambda _: None,
    )


@pytest.fixture
def sdt_train(monkeypatch: pytest.MonkeyPatch) -> Any:
    presets = {name: small(name) for name in PRESETS}
    monkeypatch.setattr(train_cli, "PRESETS", presets)
    return lambda *arguments: train_cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("corpus", ["iemocap", "meld"])
def test_from_the_feature_file_to_a_checkpoint(
    sdt_train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], corpus: Any
) -> None:
    features, out = tmp_path / "features.pkl", tmp_path / "out"
    best = write_public_pickle(features, corpus, train=48)
    arguments = [corpus, "--features", features, "--out", out, "--device", "cpu"]
    arguments += ["--seeds", 0, 1, "--epochs", 12, "--resume-dir", tmp_path / "states"]
    assert sdt_train(*arguments) == 0
    printed = capsys.readouterr().out
    assert "best-test-epoch" in printed
    assert "validation-selected" in printed
    assert "mean ± sd" in printed

    checkpoint = load_checkpoint(out)
    card = checkpoint.card
    assert card["command"].startswith(f"uv run sdt-train {corpus} --features")
    assert card["data"]["dialogues"] == {"train": 43, "held out of train": 5, "test": 12}
    assert card["training"]["epochs"] == 12
    assert [seed["seed"] for seed in card["seeds"]] == [0, 1]
    for seed in card["seeds"]:
        assert seed[PAPER_PROTOCOL]["weighted_f1"] >= seed[VALIDATION_SELECTED]["weighted_f1"]
    for protocol in (PAPER_PROTOCOL, VALIDATION_SELECTED):
        values = [seed[protocol]["accuracy"] for seed in card["seeds"]]
        figures = card["figures"][protocol]["accuracy"]
        assert figures["mean"] == pytest.approx(np.mean(values))
        assert figures["sd"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
    paper = card["figures"][PAPER_PROTOCOL]["weighted_f1"]["mean"]
    assert paper == pytest.approx(best.weighted_f1, abs=0.1)

    # What was saved is what was tested: the checkpoint repeats the figures of its seed.
    saved = next(seed for seed in card["seeds"] if seed["seed"] == card["saved"]["seed"])
    test = [
        checkpoint.statistics.standardise_dialogue(dialogue)
        for dialogue in read_public_pickle(features).test
    ]
    scores = evaluate(checkpoint.model, test).fused
    assert scores.weighted_f1 == saved[VALIDATION_SELECTED]["weighted_f1"]
    assert scores.accuracy == saved[VALIDATION_SELECTED]["accuracy"]


@pytest.mark.parametrize(
    ("flags", "config", "gammas"),
    [
        (["--without", "ce", "kl"], {}, [1.0, 0.0, 0.0]),
        (["--without", "kl", "unimodal-gates"], {"unimodal_gates": False}, [1.0, 1.0, 0.0]),
        (["--fusion", "concat"], {"fusion": "concat"}, [1.0, 1.0, 1.0]),
        (["--fusion", "add"], {"fusion": "add"}, [1.0, 1.0, 1.0]),
        (["--modalities", "visual", "text"], {"modalities": ("text", "visual")}, [1.0, 1.0, 1.0]),
    ],
)
def test_the_papers_ablations_are_flags(
    sdt_train: Any,
    tmp_path: Path,
    flags: list[str],
    config: dict[str, object],
    gammas: list[float],
) -> None:
    features, out = tmp_path / "features.pkl", tmp_path / "out"
    write_public_pickle(features)
    shared = ["iemocap", "--features", features, "--resume-dir", tmp_path / "states", "--epochs", 6]
    # Another variant's unfinished training in the same folder is no hindrance.
    assert sdt_train(*shared, "--out", tmp_path / "whole") == 0
    assert sdt_train(*shared, "--out", out, *flags) == 0
    checkpoint = load_checkpoint(out)
    for name in ("unimodal_gates", "fusion", "modalities"):
        assert getattr(checkpoint.config, name) == config.get(name, getattr(SDT_DEFAULTS, name))
    assert checkpoint.card["training"]["gammas"] == gammas
    assert checkpoint.card["ablations"]["fusion"] == checkpoint.config.fusion
    assert checkpoint.card["figures"][PAPER_PROTOCOL]["weighted_f1"]["mean"] > 0.4


def test_a_folder_of_stores_is_trained_on_standardised(sdt_train: Any, tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl", "meld", train=30)
    corpus = read_public_pickle(tmp_path / "features.pkl")
    scaled = [replace(d, audio=1e4 * d.audio + 5e4) for d in (*corpus.train, *corpus.test)]
    for name, dialogues in {
        "train": scaled[:24],
        "dev": scaled[24:30],
        "test": scaled[30:],
    }.items():
        save_dialogues(tmp_path / "features" / f"{name}.safetensors", dialogues)
    out = tmp_path / "out"
    arguments = ["store", "--features", tmp_path / "features", "--out", out, "--epochs", 12]
    arguments += ["--hidden", 32, "--learning-rate", 3e-3, "--prefix-probability", 0.5]
    curves = tmp_path / "curves"
    arguments += ["--resume-dir", tmp_path / "states", "--tensorboard", curves, "--device", "cpu"]
    assert sdt_train(*arguments) == 0

    checkpoint = load_checkpoint(out)
    assert checkpoint.config.hidden == 32
    assert checkpoint.config.feature_sizes == corpus.feature_sizes
    assert checkpoint.card["data"]["dialogues"] == {"train": 24, "dev": 6, "test": 12}
    assert checkpoint.card["training"]["prefix_probability"] == 0.5
    test = [
        checkpoint.statistics.standardise_dialogue(d)
        for d in load_dialogues(tmp_path / "features" / "test.safetensors")
    ]
    scores = evaluate(checkpoint.model, test).fused
    assert scores.weighted_f1 == checkpoint.card["seeds"][0][VALIDATION_SELECTED]["weighted_f1"]
    assert scores.weighted_f1 > 0.6
    assert list(curves.glob("store-prefixes-0.5-seed-0/events.out.tfevents.*"))


def test_a_killed_training_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl")
    whole = train(tmp_path, epochs=4, name="whole")
    train(tmp_path, epochs=2, name="cut")
    assert train(tmp_path, epochs=4, name="cut") == whole
    assert train(tmp_path, epochs=4, name="cut") == whole

    # Killed after the third epoch was tested, before it was saved.
    train(tmp_path, epochs=2, name="unsaved")
    log = tmp_path / "unsaved" / "states" / "iemocap-seed-0.json"
    tested = json.loads(log.read_text())
    log.write_text(json.dumps([*tested, tested[-1] | {"epoch": 3}]))
    assert train(tmp_path, epochs=4, name="unsaved") == whole


def test_a_longer_training_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl")
    train(tmp_path, epochs=3)
    with pytest.raises(SDTError, match="3 epochs already"):
        train(tmp_path, epochs=2)


@pytest.mark.parametrize("command", [train_cli, evaluate_cli])
def test_an_interruption_is_told_in_one_sentence(
    command: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_cli, "public_material", interrupted)
    monkeypatch.setattr(evaluate_cli, "load_checkpoint", interrupted)
    recipe = ["meld", "--out", "out"] if command is train_cli else ["--checkpoint", "out"]
    assert command.main([*recipe, "--features", str(tmp_path)]) == INTERRUPTED
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl")
    card = train(tmp_path, epochs=1)
    assert card["figures"][PAPER_PROTOCOL]["weighted_f1"]["sd"] is None


def test_features_of_any_size_are_read_unscaled(tmp_path: Path) -> None:
    def enlarge(fields: list[Any]) -> None:
        fields[8] = {key: 3000 * rows for key, rows in fields[8].items()}

    write_public_pickle(tmp_path / "features.pkl", change=enlarge)
    corpus = read_public_pickle(tmp_path / "features.pkl")
    model = SDT(replace(corpus.config, hidden=16, heads=2)).eval()
    for vector in model.missing.values():
        torch.nn.init.normal_(vector)
    dialogue = replace(corpus.test[0], present=corpus.test[0].present.copy())
    dialogue.present[0] = [True, False, False]
    with torch.no_grad():
        raw = model(collate([dialogue], model.config)).fused
        statistics = unstandardised(model, corpus.train)
        scaled = model(collate([statistics.standardise_dialogue(dialogue)], model.config)).fused
    assert torch.equal(raw, scaled)


def test_what_is_wrong_is_told_in_one_sentence(
    sdt_train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint(recipe: str, features: Path, *more: object) -> str:
        status = sdt_train(recipe, "--features", features, "--out", tmp_path / "out", *more)
        assert status == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("sdt-train: ")
        return lines[0]

    features = tmp_path / "features.pkl"
    assert "does not exist" in complaint("meld", features)
    write_public_pickle(features, "iemocap")
    assert "run sdt-train iemocap" in complaint("meld", features)
    assert "epochs must be at least 1" in complaint("iemocap", features, "--epochs", 0)
    assert "learning_rate" in complaint("iemocap", features, "--learning-rate", "nan")
    assert "hidden" in complaint("iemocap", features, "--hidden", 0)
    assert "no device 'tpu'" in complaint("iemocap", features, "--device", "tpu")

    assert "another folder" in complaint("iemocap", features, "--tensorboard", features)

    states = tmp_path / "states"
    states.mkdir()
    (states / "iemocap-seed-0.pt").write_bytes(b"not a state")
    assert "delete it to start anew" in complaint("iemocap", features, "--resume-dir", states)
    (states / "iemocap-seed-0.json").write_bytes(b"[{")
    assert "is damaged" in complaint("iemocap", features, "--resume-dir", states)
    assert not (tmp_path / "out").exists()

    for seed in ("-1", "99999999999999999999"):
        with pytest.raises(SystemExit, match="2"):
            sdt_train("iemocap", "--features", features, "--out", tmp_path, "--seeds", seed)
