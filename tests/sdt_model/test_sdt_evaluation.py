from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sdt_helpers import random_dialogue, small_model, utterances_of
from sklearn.metrics import f1_score

from sdt_model.dialogues import collate
from sdt_model.errors import SDTError
from sdt_model.evaluation import (
    Distribution,
    Interval,
    Intervals,
    Stability,
    bootstrap,
    evaluate,
    gate_report,
    predict,
    prefix_stability,
    rank_correlation,
    score,
    stability,
)
from sdt_model.incremental import IncrementalSDT


def test_figures_to_the_digit() -> None:
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.6, 0.3], [0.6, 0.4, 0.0]], np.float32
    )
    scores = score(probabilities, np.array([0, 0, 1, 1]))
    assert scores.utterances == 4
    assert scores.accuracy == 0.75
    assert scores.confusion == ((2, 0, 0), (1, 1, 0), (0, 0, 0))
    assert scores.f1 == pytest.approx((0.8, 2 / 3, 0.0))
    assert scores.weighted_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    # Bins: {0.9, 0.9} all right, {0.6, 0.6} one of two right.
    assert scores.calibration_error == pytest.approx((0.2 + 0.2) / 4)


@pytest.mark.parametrize("layers", [1, 2])
def test_prefix_evaluation_is_what_a_live_session_first_shows(layers: int) -> None:
    model = small_model(layers=layers)
    dialogues = [random_dialogue(n, seed=n, missing=0.3) for n in (1, 5, 40)]
    live, newest = IncrementalSDT(model), []
    for dialogue in dialogues:
        live.reset()
        for i, utterance in enumerate(utterances_of(dialogue)):
            newest.append(live.append(utterance, int(dialogue.speakers[i])).newest)
    labels = np.concatenate([d.labels for d in dialogues if d.labels is not None])

    prefix = evaluate(model, dialogues, context="prefix")
    assert prefix.fused.confusion == score(np.stack([e.fused for e in newest]), labels).confusion
    with_text = np.array([e.text is not None for e in newest])
    text = score(np.stack([e.text for e in newest if e.text is not None]), labels[with_text])
    assert prefix.text is not None
    assert prefix.text.confusion == text.confusion
    assert prefix.text.calibration_error == pytest.approx(text.calibration_error, abs=1e-5)

    live.reset()
    full = evaluate(model, dialogues[2:])
    for i, utterance in enumerate(utterances_of(dialogues[2])):
        live.append(utterance, int(dialogues[2].speakers[i]))
    answers = np.stack([e.fused for e in live.refresh().utterances])
    assert dialogues[2].labels is not None
    assert full.fused.confusion == score(answers, dialogues[2].labels).confusion


def test_a_student_without_its_modality_has_no_score() -> None:
    dialogue = random_dialogue(4)
    blind = replace(dialogue, present=np.tile([True, True, False], (4, 1)))
    evaluation = evaluate(small_model(), [blind])
    assert evaluation.visual is None
    assert evaluation.audio is not None
    assert json.loads(json.dumps(evaluation.to_dict()))["fused"]["utterances"] == 4


def test_only_labelled_dialogues_are_evaluated() -> None:
    with pytest.raises(SDTError, match="'d' has no labels"):
        evaluate(small_model(), [replace(random_dialogue(3), labels=None)])
    with pytest.raises(SDTError, match="no dialogues to evaluate"):
        evaluate(small_model(), [])


def test_the_bootstrap_draws_dialogues() -> None:
    labels = np.tile([0, 1], 20)
    half_right = np.zeros(40, int)
    # Every dialogue is as good as every other: whichever are drawn, the figures stay.
    same = bootstrap(half_right, labels, np.repeat(np.arange(20), 2), classes=3)
    assert same.accuracy == Interval(0.5, 0.5)
    f1 = f1_score(labels, half_right, average="weighted", zero_division=0)
    assert (same.weighted_f1.low, same.weighted_f1.high) == pytest.approx((f1, f1))
    # One of two dialogues is right throughout: both draws may be that one, or the other.
    either = bootstrap(half_right[:4], np.array([0, 0, 1, 1]), np.array([4, 4, 7, 7]), classes=2)
    assert either == Intervals(Interval(0.0, 1.0), Interval(0.0, 1.0))


def test_the_bootstrap_of_a_known_spread() -> None:
    # The number of right dialogues drawn of 400 is binomial with p = 1/2, sd of the share 0.025.
    right = np.arange(400) % 2
    drawn = bootstrap(right, np.ones(400, int), np.arange(400), classes=2)
    assert drawn.accuracy.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.01)
    assert drawn.accuracy.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.01)
    assert drawn == bootstrap(right, np.ones(400, int), np.arange(400), classes=2)
    assert drawn != bootstrap(right, np.ones(400, int), np.arange(400), classes=2, seed=1)


def test_predictions_carry_intervals_around_their_figures() -> None:
    dialogues = [random_dialogue(n, seed=n, missing=0.3) for n in range(3, 12)]
    silent = [replace(d, present=d.present & [True, False, True]) for d in dialogues]
    predictions = predict(small_model(), silent)
    evaluation = predictions.evaluation()
    assert evaluation == evaluate(small_model(), silent)
    fused, text, audio, visual = predictions.intervals()
    assert audio is None
    for intervals, scores in (
        (fused, evaluation.fused),
        (text, evaluation.text),
        (visual, evaluation.visual),
    ):
        assert intervals is not None
        assert scores is not None
        assert intervals.accuracy.low <= scores.accuracy <= intervals.accuracy.high
        assert intervals.weighted_f1.low <= scores.weighted_f1 <= intervals.weighted_f1.high


def test_stability_to_the_digit() -> None:
    # Columns are utterances, rows prefixes; what lies above the diagonal is nobody's label.
    table = np.array([[0, 9, 9, 9], [1, 2, 9, 9], [0, 2, 1, 9], [0, 2, 0, 1]])
    assert stability([table, np.array([[2]])]) == Stability(
        utterances=5,
        flips=3 / 5,  # 0 -> 1 -> 0, and 1 -> 0
        ever_flipped=2 / 5,
        mean_until_final=(2 + 0 + 1 + 0 + 0) / 5,
        median_until_final=0.0,
    )


def test_stability_is_that_of_the_prefixes() -> None:
    model = small_model()
    dialogues = [random_dialogue(n, seed=n, missing=0.2) for n in (1, 6, 40)]
    tables = []
    for dialogue in dialogues:
        table = np.zeros((len(dialogue), len(dialogue)), int)
        for n in range(len(dialogue)):
            with torch.no_grad():
                output = model(collate([dialogue.prefix(n + 1)], model.config))
            table[n, : n + 1] = output.fused[0].argmax(-1)
        tables.append(table)
    expected = stability(tables)
    assert expected.flips > 0
    assert prefix_stability(model, dialogues) == expected


def test_rank_correlation_to_the_digit() -> None:
    assert rank_correlation(np.array([1.0, 5.0, 9.0]), np.array([0.1, 0.2, 70.0])) == 1
    assert rank_correlation(np.array([1.0, 5.0, 9.0]), np.array([3.0, 2.0, -8.0])) == -1
    tied = rank_correlation(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5.0))
    assert rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None


def test_gates_that_weigh_all_the_same_agree_with_nothing() -> None:
    model = small_model()
    torch.nn.init.zeros_(model.multimodal_gate.linear.weight)
    report = gate_report(model, [random_dialogue(n, seed=n) for n in (4, 7)])
    parts = [report.text, report.audio, report.visual]
    for part in parts:
        assert part is not None
        assert part.utterances == 11
        assert part.gate.mean == pytest.approx(1 / 3)
        assert part.gate.sd == pytest.approx(0, abs=1e-7)
        assert part.gate_agreement is None
        assert part.contribution_agreement is not None
    shares = sum(part.contribution.mean for part in parts if part is not None)
    assert shares == pytest.approx(1, abs=1e-6)


def test_the_drop_is_what_the_answer_loses() -> None:
    model = small_model()
    dialogue = random_dialogue(9)
    # Features equal to the stand-in for missing ones: the model cannot tell the difference.
    stand_in = np.tile(model.missing["visual"].detach().numpy(), (9, 1))
    report = gate_report(model, [replace(dialogue, visual=stand_in)])
    assert report.visual is not None
    assert report.visual.drop == Distribution(0.0, 0.0, 0.0, 0.0)

    whole = predict(model, [dialogue]).probabilities[:, 0]
    deaf = replace(dialogue, present=np.tile([True, False, True], (9, 1)))
    rows = np.arange(9), whole.argmax(-1)
    losses = whole[rows] - predict(model, [deaf]).probabilities[:, 0][rows]
    audio = gate_report(model, [dialogue]).audio
    assert audio is not None
    assert audio.drop.mean == pytest.approx(losses.mean(), abs=1e-6)
    assert audio.drop.p95 == pytest.approx(np.percentile(losses, 95), abs=1e-6)
    assert gate_report(model, [deaf]).audio is None
