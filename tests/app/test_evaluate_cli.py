"""``sdt-evaluate`` on a small checkpoint and a store of dialogues."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from app.evaluate_cli import main
from sdt_model.checkpoints import load_checkpoint, save_checkpoint
from sdt_model.corpora import read_public_pickle
from sdt_model.dialogues import FeatureStatistics, save_dialogues
from sdt_model.evaluation import Context, evaluate, gate_report, prefix_stability
from sdt_model.model import SDT
from tests.sdt_model.public_pickles import write_public_pickle


@dataclass(frozen=True, slots=True)
class Material:
    checkpoint: Path
    store: Path
    public: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("evaluate")
    here = Material(folder / "checkpoint", folder / "test.safetensors", folder / "features.pkl")
    write_public_pickle(here.public, "meld")
    corpus = read_public_pickle(here.public)
    torch.manual_seed(0)
    model = SDT(replace(corpus.config, hidden=16, heads=2))
    save_checkpoint(here.checkpoint, model, FeatureStatistics.fit(corpus.train), {})
    save_dialogues(here.store, corpus.test)
    return here


def run(material: Material, *more: object, features: Path | None = None) -> int:
    arguments = ["--checkpoint", material.checkpoint, "--features", features or material.store]
    return main([str(argument) for argument in (*arguments, "--device", "cpu", *more)])


def test_full_and_prefix_side_by_side(
    material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "confusion.png"
    more = ("--context", "both", "--json", figures, "--confusion", picture)
    assert run(material, *more) == 0
    printed = capsys.readouterr().out
    for word in (
        "full",
        "prefix",
        "fused",
        "visual",
        "surprise",
        "median",
        "contributions",
        "rank",
    ):
        assert word in printed
    assert "…" not in printed
    printed.replace("─", "-").encode("cp1252")  # what Windows writes where output is redirected

    written = json.loads(figures.read_text(encoding="utf-8"))
    checkpoint = load_checkpoint(material.checkpoint)
    model = checkpoint.model
    standardised = [
        checkpoint.statistics.standardise_dialogue(dialogue)
        for dialogue in read_public_pickle(material.public).test
    ]
    contexts: tuple[Context, ...] = ("full", "prefix")
    for context in contexts:
        expected = evaluate(model, standardised, context)
        fused = written["context"][context]["fused"]
        assert fused["weighted_f1"] == pytest.approx(expected.fused.weighted_f1)
        assert f"{expected.fused.weighted_f1:.3f}" in printed
        interval = fused["interval_95"]["accuracy"]
        assert interval["low"] <= expected.fused.accuracy <= interval["high"]
    assert written["stability"]["flips"] == prefix_stability(model, standardised).flips
    gates = gate_report(model, standardised).audio
    assert gates is not None
    assert written["gates"]["audio"]["gate"]["mean"] == pytest.approx(gates.gate.mean)
    assert written["classes"][1] == "surprise"

    pixels = cv2.imdecode(np.frombuffer(picture.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[0] > 7 * 100


def test_the_test_split_of_a_public_file(material: Material, tmp_path: Path) -> None:
    store, public = tmp_path / "store.json", tmp_path / "public.json"
    assert run(material, "--json", store) == 0
    assert run(material, "--json", public, features=material.public) == 0
    by_store, by_public = (json.loads(path.read_bytes()) for path in (store, public))
    assert by_store["context"] == by_public["context"]
    assert by_store["stability"] is None


def test_prefixes_alone(material: Material, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(material, "--context", "prefix") == 0
    printed = capsys.readouterr().out
    assert "prefix" in printed
    assert "full" not in printed
    assert "mean gate" not in printed


def test_what_is_wrong_is_told_in_one_sentence(
    material: Material, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint(*more: object, features: Path | None = None) -> str:
        assert run(material, *more, features=features) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("sdt-evaluate: ")
        return lines[0]

    test = read_public_pickle(material.public).test
    other = tmp_path / "other.safetensors"
    assert "does not exist" in complaint(features=other)
    other.write_bytes(b"cut short")
    assert "damaged or not a safetensors file" in complaint(features=other)
    save_dialogues(other, [replace(dialogue, labels=None) for dialogue in test])
    assert "has no labels" in complaint(features=other)
    save_dialogues(other, [replace(dialogue, text=dialogue.text[:, :5]) for dialogue in test])
    assert "expects text features of 12 values" in complaint(features=other)
    save_dialogues(other, [replace(dialogue, labels=dialogue.labels + 7) for dialogue in test])
    assert "the model has 7 classes" in complaint(features=other)
    save_dialogues(other, test, tuple("abcdefg"))
    assert "labels in" in complaint(features=other)
    assert "no checkpoint folder" in complaint("--checkpoint", tmp_path / "nowhere")
    assert "no device 'tpu'" in complaint("--device", "tpu")


def test_a_bad_place_for_figures_does_not_cost_them(
    material: Material, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, complaint in ((material.store / "figures.json", "cannot be written"), (".", "file")):
        assert run(material, "--json", place) == 2
        told = capsys.readouterr()
        assert "weighted F1" in told.out
        assert complaint in told.err
        assert len(told.err.strip().splitlines()) == 1


def test_the_card_needs_the_corpora(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--card", str(tmp_path), "--cache", str(tmp_path)]) == 2
    assert "meld" in capsys.readouterr().err


def test_something_to_evaluate_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "--card" in capsys.readouterr().err
