from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sdt_helpers import random_dialogue, small_model, utterances_of

from sdt_model.errors import SDTError
from sdt_model.evaluation import evaluate, score
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
