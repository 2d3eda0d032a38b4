"""The three losses of SDT: the task, the students' own task, and the teacher's advice to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sdt_model.model import SDTOutput


@dataclass(frozen=True, slots=True)
class DistillationLoss:
    """Scalars: ``total`` = γ₁ ``task`` + γ₂ ``students`` + γ₃ ``divergence``."""

    total: Tensor
    task: Tensor
    students: Tensor
    divergence: Tensor


def distillation_loss(
    output: SDTOutput,
    labels: Tensor,
    mask: Tensor,
    temperature: float,
    present: Tensor | None = None,
    *,
    class_weights: Tensor | None = None,
    gammas: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> DistillationLoss:
    """L = γ₁ L_task + γ₂ L_CE + γ₃ L_KL over the real utterances of a batch.

    ``labels`` (B, N) are class indices, ``mask`` (B, N) is true for real utterances and
    ``class_weights`` (C,) weigh the negative log-likelihoods, whose mean then divides by the sum of
    the weights. ``present`` (B, N, 3) says which modalities are real: a student learns nothing
    where its own is missing. The paper knows no missing ones; None is that case.

        L_task = NLL(softmax(y_fused), label)
        L_CE   = Σ_m NLL(softmax(y_m), label)
        L_KL   = Σ_m KL(softmax(y_fused / T) ‖ softmax(y_m / T))

    The teacher learns from L_KL too: its gradient is not stopped, and there is no factor T².
    """
    # Padding leaves before any logarithm is taken. Zeroing it afterwards, inside the divergence,
    # sends 0 · log 0 = NaN through the teacher's gradient.
    teacher = output.fused[mask]  # (B, N, C) -> (M, C), M real utterances
    truth = labels[mask]  # (B, N) -> (M,)
    task = F.cross_entropy(teacher, truth, weight=class_weights)
    advice = F.log_softmax(teacher / temperature, dim=-1)

    own_task, divergence = torch.zeros_like(task), torch.zeros_like(task)
    for m, logits in enumerate(output.students):
        there = slice(None) if present is None else present[..., m][mask]  # (M,)
        student = logits[mask][there]  # (B, N, C) -> (M_m, C)
        if len(student) == 0:
            continue
        own_task = own_task + F.cross_entropy(student, truth[there], weight=class_weights)
        opinion = F.log_softmax(student / temperature, dim=-1)
        divergence = divergence + F.kl_div(
            opinion, advice[there], reduction="batchmean", log_target=True
        )
    terms = task, own_task, divergence
    weighted = [gamma * term for gamma, term in zip(gammas, terms, strict=True)]
    return DistillationLoss(torch.stack(weighted).sum(), *terms)
