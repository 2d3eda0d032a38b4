from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sdt_helpers import random_dialogue, small_config, telling_dialogues

from sdt_model.errors import SDTError
from sdt_model.evaluation import evaluate
from sdt_model.model import SDT
from sdt_model.training import (
    EpochReport,
    FitResult,
    TrainingOptions,
    augment,
    fit,
    inverse_frequencies,
)

OPTIONS = TrainingOptions(
    epochs=4,
    batch_size=6,
    learning_rate=3e-3,
    modality_dropout=0.2,
    permute_speakers=True,
    prefix_probability=0.3,
)


class PowerCutError(Exception):
    """Stands for whatever ends a program."""


def new_model(**changes: object) -> SDT:
    torch.manual_seed(1)
    return SDT(small_config(**changes))


def train(model: SDT, options: TrainingOptions = OPTIONS, **settings: object) -> FitResult:
    return fit(model, telling_dialogues(12), telling_dialogues(5, seed=1), options, **settings)  # type: ignore[arg-type]


def assert_equal_weights(one: SDT, other: SDT) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_small_corpus_is_learned() -> None:
    model, corpus = new_model(dropout=0.1), telling_dialogues(12)
    before = evaluate(model, corpus)
    result = fit(model, corpus, corpus, replace(OPTIONS, epochs=16, learning_rate=1e-2))
    after = evaluate(model, corpus)
    assert before.fused.weighted_f1 < 0.7
    assert after.fused.weighted_f1 == result.best.dev_weighted_f1 > 0.95
    assert result.history[-1].task < 0.3 * result.history[0].task
    assert result.history[-1].students < 0.5 * result.history[0].students
    assert all(vector.abs().max() > 0 for vector in model.missing.values())


def test_students_learn_from_either_kind_of_self_distillation_and_from_nothing_else() -> None:
    corpus = telling_dialogues(12)
    options = TrainingOptions(epochs=25, batch_size=6, learning_rate=1e-2)
    fused, students = {}, {}
    for gammas in ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 1.0)):
        model = new_model(dropout=0.1)
        fit(model, corpus, corpus, replace(options, gammas=gammas))
        scores = evaluate(model, corpus)
        fused[gammas] = scores.fused.weighted_f1
        own = (scores.text, scores.audio, scores.visual)
        students[gammas] = np.array([s.weighted_f1 for s in own if s is not None])
    assert min(fused.values()) > 0.95
    without, hard_labels, soft_labels = students.values()
    assert without.max() < 0.5
    assert (hard_labels > without + 0.2).all()
    assert (soft_labels > without + 0.2).all()


def test_mixed_precision_learns_the_same_and_keeps_its_weights_whole() -> None:
    corpus = telling_dialogues(12)
    options = replace(OPTIONS, epochs=16, learning_rate=1e-2, mixed_precision=True)
    model = new_model(dropout=0.1)
    assert fit(model, corpus, corpus, options).best.dev_weighted_f1 > 0.95
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    whole = fit(new_model(dropout=0.1), corpus, corpus, replace(options, mixed_precision=False))
    mixed = fit(new_model(dropout=0.1), corpus, corpus, options)
    assert mixed.history[0].loss == pytest.approx(whole.history[0].loss, rel=0.02)
    assert mixed.history[0].loss != whole.history[0].loss


@pytest.mark.parametrize("used", [("text",), ("audio", "visual")])
def test_what_a_model_does_not_use_changes_nothing(used: tuple[str, ...]) -> None:
    model = new_model(dropout=0.1, modalities=used)
    corpus = telling_dialogues(12)
    fit(model, corpus, corpus, replace(OPTIONS, epochs=12, learning_rate=1e-2))
    scores = evaluate(model, corpus)
    assert scores.fused.weighted_f1 > 0.9
    for modality in ("text", "audio", "visual"):
        assert (getattr(scores, modality) is None) == (modality not in used)
    other = [
        replace(d, **{m: getattr(d, m) + 1 for m in ("text", "audio", "visual") if m not in used})
        for d in corpus
    ]
    assert evaluate(model, other) == scores


def test_the_same_seed_gives_the_same_model_whatever_else_draws() -> None:
    first, second, third = new_model(), new_model(), new_model()
    one = train(first)
    torch.manual_seed(12345)
    two = train(second, on_epoch=lambda *_: torch.manual_seed(0))
    assert one == two
    assert_equal_weights(first, second)
    assert train(third, replace(OPTIONS, seed=7)) != one


def test_training_leaves_the_callers_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    model = new_model()
    torch.manual_seed(3)
    train(model, replace(OPTIONS, epochs=1))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("options", [OPTIONS, replace(OPTIONS, average_decay=0.9)])
def test_a_resumed_run_ends_like_one_that_never_stopped(
    tmp_path: Path, options: TrainingOptions
) -> None:
    whole, cut = new_model(), new_model()
    expected = train(whole, options)
    state = tmp_path / "runs" / "state.pt"

    def stop(report: EpochReport, _: SDT) -> None:
        if report.epoch == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(cut, options, resume=state, on_epoch=stop)
    resumed = new_model()
    epochs: list[int] = []
    again = train(resumed, options, resume=state, on_epoch=lambda r, _: epochs.append(r.epoch))
    assert again == expected
    assert epochs == [2, 3, 4]  # the second was cut off before its state was written
    assert_equal_weights(whole, resumed)

    again = new_model()
    assert train(again, options, resume=state) == expected
    assert_equal_weights(whole, again)
    assert [path.name for path in state.parent.iterdir()] == ["state.pt"]


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    train(new_model(), replace(OPTIONS, epochs=1), resume=state)
    with pytest.raises(SDTError, match="another model, other options or other dialogues"):
        train(new_model(), replace(OPTIONS, learning_rate=1e-3), resume=state)
    with pytest.raises(SDTError, match="another model"):
        train(new_model(layers=2), resume=state)
    with pytest.raises(SDTError, match="other dialogues"):
        fit(new_model(), telling_dialogues(3), telling_dialogues(2), OPTIONS, resume=state)
    for rubbish in (b"", b"not a state", state.read_bytes()[:500]):
        state.write_bytes(rubbish)
        with pytest.raises(SDTError, match="not the state of a training run"):
            train(new_model(), resume=state)


def test_training_stops_when_dev_no_longer_improves() -> None:
    model = new_model()
    result = train(model, replace(OPTIONS, epochs=60, patience=2))
    assert len(result.history) == result.best.epoch + 2 < 60
    assert result.best.dev_weighted_f1 == max(r.dev_weighted_f1 for r in result.history)
    assert evaluate(model, telling_dialogues(5, seed=1)).fused.weighted_f1 == pytest.approx(
        result.best.dev_weighted_f1
    )


def test_fixed_gates_are_not_trained() -> None:
    model = new_model(trainable_unimodal_gates=False)
    train(model, replace(OPTIONS, epochs=1))
    for gate in model.unimodal_gates.values():
        assert torch.equal(gate.linear.weight, torch.eye(16))


def test_lost_modalities_never_leave_an_utterance_with_nothing() -> None:
    rng = np.random.default_rng(0)
    options = TrainingOptions(modality_dropout=0.5)
    dialogues = [random_dialogue(30, seed=s, missing=0.3) for s in range(40)]
    for dialogue in dialogues:
        present = augment(dialogue, 3, options, rng).present
        assert not (present & ~dialogue.present).any()
        assert (present.any(1) == dialogue.present.any(1)).all()
    whole = [augment(random_dialogue(30), 3, options, rng).present.any(0) for _ in range(40)]
    assert {int(kept.sum()) for kept in whole} == {1, 2, 3}


def test_some_dialogues_keep_their_words_alone() -> None:
    rng = np.random.default_rng(0)
    options = TrainingOptions(text_alone=0.4, modality_dropout=0.3)
    whole = replace(random_dialogue(20), present=np.ones((20, 3), bool))
    alone = 0
    for _ in range(200):
        present = augment(whole, 3, options, rng).present
        assert present.any(axis=1).all()
        alone += not present[:, 1:].any()
    assert 80 <= alone <= 130  # 40 %, and the 9 % of the rest that lose both otherwise
    wordless = replace(whole, present=np.ones((20, 3), bool))
    wordless.present[4, 0] = False
    kept = [augment(wordless, 3, replace(options, modality_dropout=0), rng) for _ in range(20)]
    assert all(dialogue.present[4, 1:].all() for dialogue in kept)


def test_averaged_weights_are_those_that_dev_was_scored_with() -> None:
    options = replace(OPTIONS, epochs=6, average_decay=0.8)
    averaged, plain = new_model(), new_model()
    result = train(averaged, options)
    assert evaluate(averaged, telling_dialogues(5, seed=1)).fused.weighted_f1 == (
        result.best.dev_weighted_f1
    )
    unaveraged = train(plain, replace(OPTIONS, epochs=6))
    # Training itself goes the same way.
    assert [e.loss for e in result.history] == [e.loss for e in unaveraged.history]
    assert any(
        not torch.equal(tensor, plain.state_dict()[name])
        for name, tensor in averaged.state_dict().items()
    )
    still = new_model()
    train(still, replace(options, average_decay=0.0))
    assert_equal_weights(still, plain)


def test_whoever_hears_of_an_epoch_sees_the_weights_that_dev_was_scored_with() -> None:
    heard: list[tuple[float, float]] = []

    def note(report: EpochReport, model: SDT) -> None:
        scores = evaluate(model, telling_dialogues(5, seed=1)).fused
        heard.append((scores.weighted_f1, report.dev_weighted_f1))

    train(new_model(), replace(OPTIONS, epochs=4, average_decay=0.8), on_epoch=note)
    assert len(heard) == 4
    assert all(seen == scored for seen, scored in heard)


def test_permuted_speakers_stay_the_same_people() -> None:
    rng = np.random.default_rng(0)
    dialogue = random_dialogue(20)
    seen = set()
    for _ in range(30):
        speakers = augment(dialogue, 9, TrainingOptions(permute_speakers=True), rng).speakers
        assert speakers.max() < 9
        pairs = set(zip(dialogue.speakers.tolist(), speakers.tolist(), strict=True))
        assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs})
        seen.add(tuple(speakers))
    assert len(seen) > 10


def test_class_weights_are_inverse_frequencies() -> None:
    dialogue = replace(random_dialogue(4), labels=np.array([0, 0, 0, 1]))
    assert inverse_frequencies([dialogue], 3) == pytest.approx((4 / 3, 4.0, 0.0))


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"modality_dropout": 1.5},
        {"prefix_probability": -1},
        {"text_alone": 2},
        {"average_decay": 1.0},
        {"patience": 0},
        {"learning_rate": 0},
    ],
)
def test_impossible_options_are_named(changes: dict[str, float]) -> None:
    with pytest.raises(SDTError, match=next(iter(changes))):
        replace(OPTIONS, **changes)


def test_unusable_data_is_named() -> None:
    corpus = telling_dialogues(2)
    with pytest.raises(SDTError, match="no development dialogues"):
        fit(new_model(), corpus, [], OPTIONS)
    with pytest.raises(SDTError, match="training dialogue 'd' has no labels"):
        fit(new_model(), [replace(random_dialogue(3), labels=None)], corpus, OPTIONS)
    with pytest.raises(SDTError, match="2 class weights for 3 classes"):
        fit(new_model(), corpus, corpus, replace(OPTIONS, class_weights=(1.0, 2.0)))
    huge = [replace(d, text=d.text * np.float32(1e30)) for d in corpus]
    with pytest.raises(SDTError, match="loss is no longer finite in epoch 1"):
        fit(new_model(), huge, corpus, replace(OPTIONS, learning_rate=10.0))
