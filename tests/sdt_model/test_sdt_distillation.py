from __future__ import annotations

from math import exp, log

import pytest
import torch
from sdt_helpers import random_dialogue, small_model

from sdt_model.dialogues import collate
from sdt_model.distillation import distillation_loss
from sdt_model.model import SDTOutput


def output_of(
    fused: torch.Tensor, text: torch.Tensor, audio: torch.Tensor, visual: torch.Tensor
) -> SDTOutput:
    nothing = torch.zeros(0)
    return SDTOutput(fused, text, audio, visual, gates=nothing, hidden=nothing)


def logits(*probabilities: tuple[float, float]) -> torch.Tensor:
    """One dialogue (1, N, 2) whose softmax is ``probabilities``."""
    return torch.tensor([probabilities], dtype=torch.float64).log().requires_grad_()


EVEN = (0.5, 0.5)


def test_the_three_losses_to_the_digit() -> None:
    output = output_of(
        logits((0.8, 0.2), (0.4, 0.6)),
        logits(EVEN, EVEN),
        logits((0.8, 0.2), (0.4, 0.6)),
        logits((0.9, 0.1), EVEN),
    )
    labels, mask = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    loss = distillation_loss(output, labels, mask, temperature=1.0)

    task = -(log(0.8) + log(0.6)) / 2
    students = log(2) - (log(0.8) + log(0.6)) / 2 - (log(0.9) + log(0.5)) / 2
    of_text = 0.8 * log(1.6) + 0.2 * log(0.4) + 0.4 * log(0.8) + 0.6 * log(1.2)
    of_visual = 0.8 * log(0.8 / 0.9) + 0.2 * log(2.0) + 0.4 * log(0.8) + 0.6 * log(1.2)
    divergence = (of_text + of_visual) / 2
    assert loss.task.item() == pytest.approx(task)
    assert loss.students.item() == pytest.approx(students)
    assert loss.divergence.item() == pytest.approx(divergence)
    assert loss.total.item() == pytest.approx(task + students + divergence)

    weighed = distillation_loss(output, labels, mask, 1.0, gammas=(2.0, 0.5, 3.0))
    assert weighed.total.item() == pytest.approx(2 * task + 0.5 * students + 3 * divergence)


def test_a_student_learns_nothing_where_its_modality_is_missing() -> None:
    output = output_of(
        logits((0.8, 0.2), (0.4, 0.6)),
        logits((0.8, 0.2), (0.3, 0.7)),
        logits(EVEN, (0.9, 0.1)),
        logits(EVEN, EVEN),
    )
    labels, mask = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    present = torch.tensor([[[True, True, False], [True, False, False]]])
    loss = distillation_loss(output, labels, mask, 1.0, present)
    assert loss.task.item() == pytest.approx(-(log(0.8) + log(0.6)) / 2)
    assert loss.students.item() == pytest.approx(-(log(0.8) + log(0.7)) / 2 - log(0.5))
    of_text = 0.4 * log(0.4 / 0.3) + 0.6 * log(0.6 / 0.7)
    of_audio = 0.8 * log(1.6) + 0.2 * log(0.4)
    assert loss.divergence.item() == pytest.approx(of_text / 2 + of_audio)

    loss.students.backward()
    text, audio, visual = (student.grad for student in output.students)
    assert text is not None
    assert text.abs().sum(-1).all()
    assert audio is not None
    assert audio.abs().sum(-1).tolist()[0][1] == 0
    assert visual is None

    everything = torch.ones(1, 2, 3, dtype=torch.bool)
    whole = distillation_loss(output, labels, mask, 1.0, everything)
    assert whole.total.item() == distillation_loss(output, labels, mask, 1.0).total.item()


def test_class_weights_divide_by_the_sum_of_the_weights() -> None:
    output = output_of(*(logits((0.8, 0.2), (0.4, 0.6)) for _ in range(4)))
    weights = torch.tensor([3.0, 1.0], dtype=torch.float64)
    labels, mask = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    loss = distillation_loss(output, labels, mask, 1.0, class_weights=weights)
    expected = -(3 * log(0.8) + log(0.6)) / 4
    assert loss.task.item() == pytest.approx(expected)
    assert loss.students.item() == pytest.approx(3 * expected)
    assert loss.divergence.item() == pytest.approx(0.0)


def test_temperature_softens_both_sides_without_a_factor() -> None:
    output = output_of(logits((0.9, 0.1)), logits(EVEN), logits(EVEN), logits(EVEN))
    loss = distillation_loss(output, torch.tensor([[0]]), torch.tensor([[True]]), temperature=2.0)
    p = 1 / (1 + exp(-log(9) / 2))  # 0.9 : 0.1 becomes 3 : 1
    assert p == pytest.approx(0.75)
    assert loss.divergence.item() == pytest.approx(3 * (p * log(2 * p) + (1 - p) * log(2 - 2 * p)))


def test_the_teacher_learns_from_the_divergence() -> None:
    output = output_of(logits((0.9, 0.1)), logits(EVEN), logits(EVEN), logits(EVEN))
    loss = distillation_loss(output, torch.tensor([[0]]), torch.tensor([[True]]), temperature=1.0)
    (gradient,) = torch.autograd.grad(loss.divergence, [output.fused])
    assert gradient.abs().min() > 0.1


def test_padding_weighs_nothing_and_leaves_gradients_finite() -> None:
    model = small_model(dropout=0.0).train()
    dialogues = [random_dialogue(2), random_dialogue(9, seed=1), random_dialogue(5, seed=2)]
    batch = collate(dialogues, model.config)
    assert batch.labels is not None
    loss = distillation_loss(model(batch), batch.labels, batch.mask, temperature=1.0)
    loss.total.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name

    means = []
    for dialogue in dialogues:
        alone = collate([dialogue], model.config)
        assert alone.labels is not None
        each = distillation_loss(model(alone), alone.labels, alone.mask, temperature=1.0)
        means.append(each.total.item() * len(dialogue))
    assert loss.total.item() == pytest.approx(sum(means) / 16, rel=1e-5)


def test_a_teacher_certain_to_the_last_bit_leaves_gradients_finite() -> None:
    certain = torch.tensor([[[200.0, -200.0]]], requires_grad=True)
    doubtful = torch.zeros(1, 1, 2, requires_grad=True)
    output = output_of(certain, doubtful, doubtful, doubtful)
    loss = distillation_loss(output, torch.tensor([[1]]), torch.tensor([[True]]), temperature=1.0)
    loss.total.backward()
    assert certain.grad is not None
    assert certain.grad.isfinite().all()
