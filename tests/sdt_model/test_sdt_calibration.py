"""Temperatures, abstention and the distance from training, at their public surface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sdt_helpers import random_dialogue, small_model, telling_dialogues, utterances_of

from sdt_model.calibration import (
    abstaining,
    choose_abstention,
    fit_temperatures,
    temper,
)
from sdt_model.checkpoints import load_checkpoint, save_checkpoint
from sdt_model.dialogues import FeatureStatistics, UtteranceFeatures
from sdt_model.domain_shift import ShiftMeter, ShiftReference
from sdt_model.errors import SDTError
from sdt_model.evaluation import Predictions, predict
from sdt_model.files import read_tensors, write_tensors


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def predictions(factor: float, count: int = 4000) -> Predictions:
    """Labels drawn from known probabilities, told with logits ``factor`` times too large."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 7))
    truth = softmax(logits)
    labels = np.array([rng.choice(7, p=row / row.sum()) for row in truth.astype(np.float64)])
    told = softmax(factor * logits)
    return Predictions(
        context="prefix",
        probabilities=np.repeat(told[:, None], 4, axis=1),
        labels=labels,
        present=np.tile([True, True, False], (count, 1)),
        dialogues=np.arange(count),
    )


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_too_much_or_too_little_confidence(factor: float) -> None:
    temperatures = fit_temperatures(predictions(factor))
    assert temperatures.fused == pytest.approx(factor, rel=0.06)
    assert temperatures.text == temperatures.fused
    assert temperatures.visual == 1.0  # never there


def test_a_tempered_model_says_the_same_less_or_more_surely() -> None:
    model, dialogues = small_model(), telling_dialogues(6)
    before = predict(model, dialogues, "prefix")
    temperatures = fit_temperatures(before)
    temper(model, temperatures)
    after = predict(model, dialogues, "prefix")
    np.testing.assert_array_equal(after.probabilities.argmax(-1), before.probabilities.argmax(-1))
    scaled = before.probabilities[:, 0].astype(np.float64) ** (1 / temperatures.fused)
    expected = scaled / scaled.sum(-1, keepdims=True)
    np.testing.assert_allclose(after.probabilities[:, 0], expected, atol=1e-5)


def test_answers_that_are_not_unsure_are_as_often_right_as_asked() -> None:
    made = predictions(1.0)
    abstention = choose_abstention(made, 0.8)
    fused = made.probabilities[:, 0]
    sure = fused.max(-1) >= abstention.below
    assert (fused.argmax(-1) == made.labels)[sure].mean() >= 0.8
    assert abstention.answered == pytest.approx(sure.mean())
    assert 0.1 < abstention.answered < 0.9
    # A little lower, and it would no longer hold.
    assert abstaining(made, abstention.below - 0.02).precision < 0.8
    assert choose_abstention(made, 0.0).answered == 1.0


def test_answers_that_are_equally_sure_are_given_together() -> None:
    made = predictions(1.0, 40)
    alike = np.full_like(made.probabilities, 0.05)
    alike[..., 0] = 0.7
    right = np.where(np.arange(40) < 20, 0, 1)
    made = replace(made, probabilities=alike, labels=right)
    chosen = choose_abstention(made, 0.9)
    assert chosen == abstaining(made, chosen.below)
    assert (chosen.answered, chosen.precision) == (1.0, 0.5)


def test_a_precision_out_of_reach_gives_what_comes_nearest() -> None:
    made = predictions(1.0)
    wrong = replace(made, labels=(made.labels + 1) % 7)
    assert choose_abstention(wrong, 0.99).precision < 0.99


def test_training_lies_near_itself_and_strange_features_far() -> None:
    dialogues = telling_dialogues(12)
    statistics = FeatureStatistics.fit(dialogues)
    standardised = [statistics.standardise_dialogue(dialogue) for dialogue in dialogues]
    meter = ShiftMeter(ShiftReference.fit(standardised))
    for features in utterances_of(standardised[0]):
        near = meter(features)
    assert near.text is not None
    assert 0.0 <= near.text < 1.0
    for features in utterances_of(standardised[0]) * 3:
        assert features.audio is not None
        far = meter(UtteranceFeatures(features.text, features.audio * 4, None))
    assert far.audio is not None
    assert far.audio > 1.0
    assert far.text == pytest.approx(near.text, abs=0.7)
    silent = ShiftMeter(ShiftReference.fit(standardised))
    assert silent(UtteranceFeatures(features.text, None, None)).visual is None


def test_a_checkpoint_keeps_the_threshold_and_the_distances(tmp_path: Path) -> None:
    dialogues = [random_dialogue(20)]
    statistics = FeatureStatistics.fit(dialogues)
    reference = ShiftReference.fit([statistics.standardise_dialogue(d) for d in dialogues])
    save_checkpoint(tmp_path, small_model(), statistics, {}, unsure_below=0.4375, shift=reference)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.unsure_below == checkpoint.card["unsure_below"] == 0.4375
    assert checkpoint.shift is not None
    np.testing.assert_array_equal(checkpoint.shift.median, reference.median)
    np.testing.assert_array_equal(checkpoint.shift.odd, reference.odd)


def test_distances_that_are_no_three_numbers_are_refused(tmp_path: Path) -> None:
    statistics = FeatureStatistics.fit([random_dialogue(20)])
    save_checkpoint(tmp_path, small_model(), statistics, {})
    path = tmp_path / "weights.safetensors"
    tensors, metadata, old = read_tensors(path)
    for odd in ({"shift.median": torch.zeros(3)}, {"shift.median": torch.zeros(2)}):
        extra = {"shift.odd": torch.ones(2)} if odd["shift.median"].shape == (2,) else {}
        sha256 = write_tensors(path, {**tensors, **odd, **extra}, metadata)
        card = tmp_path / "card.json"
        card.write_text(card.read_text("utf-8").replace(old, sha256), "utf-8")
        old = sha256
        with pytest.raises(SDTError, match="training distances"):
            load_checkpoint(tmp_path)
