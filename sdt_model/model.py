"""SDT in one file: Ma et al. 2023, arXiv 2310.20494.

    features -> projection -> nine encoders -> unimodal gates -> multimodal gate -> classifiers

Symbols in docstrings are the paper's. Letters in shape comments:

    B dialogues    N utterances    D_m feature size of modality m    d hidden size
    h heads        C classes       3 modalities, always in the order text, audio, visual
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.dialogues import DialogueBatch

NORM_EPSILON = 1e-6

SOURCES = {
    "text": ("text", "audio", "visual"),
    "audio": ("audio", "text", "visual"),
    "visual": ("visual", "text", "audio"),
}
"""For each target modality n the sources m of its three encoders, its own first."""

PAIRS = tuple(f"{m}_to_{n}" for n in MODALITIES for m in SOURCES[n])
"""The nine encoders m → n, three for each target n in turn."""


@dataclass(frozen=True, slots=True)
class SDTOutput:
    """What the model says about every utterance.

    ``fused``, ``text``, ``audio``, ``visual`` are the logits (B, N, C) of the teacher and its three
    students. ``gates`` (B, N, 3, d) are the multimodal gates g, which sum to 1 over the modalities
    (1/3 each in a model without that gate); ``hidden`` (B, N, 3, d) are the representations H_t,
    H_a, H_v that they weigh. Rows of padding hold numbers without a meaning.
    """

    fused: Tensor
    text: Tensor
    audio: Tensor
    visual: Tensor
    gates: Tensor
    hidden: Tensor

    @property
    def students(self) -> tuple[Tensor, Tensor, Tensor]:
        """The students' logits, each (B, N, C)."""
        return self.text, self.audio, self.visual

    def float(self) -> SDTOutput:
        """The same in float32."""
        return SDTOutput(*(getattr(self, field.name).float() for field in fields(self)))


def sinusoidal_positions(
    length: int, size: int, device: torch.device | None = None, *, first: int = 0
) -> Tensor:
    """Embeddings (length, size) of the positions p from ``first`` on.

    PE[p, 2k] = sin(p / 10000^(2k / size)) and PE[p, 2k + 1] is its cosine; any length will do.
    """
    position = torch.arange(first, first + length, dtype=torch.float32, device=device)
    even = torch.arange(0, size, 2, dtype=torch.float32, device=device)
    frequency = torch.exp(even * (-math.log(10_000.0) / size))
    angle = torch.outer(position, frequency)  # (N, d/2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # (N, d/2, 2) -> (N, d)


class MultiHeadAttention(nn.Module):
    """softmax(Q Kᵀ / √(d/h)) V, with Q from the target stream and K, V from the source stream."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)
        self.output = nn.Linear(config.hidden, config.hidden)

    def forward(self, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """(B, N, d), (B, N, d), and which source utterances are real (B, N), to (B, N, d)."""
        attended = F.scaled_dot_product_attention(
            self.split(self.query(target)),
            self.split(self.key(source)),
            self.split(self.value(source)),
            attn_mask=mask[:, None, None, :],  # (B, N) -> (B, 1, 1, N): same for heads and queries
            dropout_p=self.dropout if self.training else 0.0,
        )
        attended = attended.transpose(1, 2)  # (B, h, N, d/h) -> (B, N, h, d/h)
        return self.output(attended.flatten(2))  # (B, N, h, d/h) -> (B, N, d)

    def weights(self, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """The softmax alone, (B, h, N, N): what share of every source each target takes."""
        queries, keys = self.split(self.query(target)), self.split(self.key(source))
        scores = queries @ keys.mT * queries.shape[-1] ** -0.5  # (B, h, N, N)
        return scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, N, d) -> (B, h, N, d/h)


class FeedForward(nn.Module):
    """x + W₂ GELU(W₁ LayerNorm(x)), at every utterance alone."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden, eps=NORM_EPSILON)
        self.expand = nn.Linear(config.hidden, config.hidden)
        self.contract = nn.Linear(config.hidden, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(F.gelu(self.expand(self.norm(x)), approximate="tanh"))
        return x + self.dropout(self.contract(inner))


class EncoderLayer(nn.Module):
    """Attention with a residual to the target stream, then the feed-forward block."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden, eps=NORM_EPSILON)
        self.attention = MultiHeadAttention(config)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward = FeedForward(config)

    def forward(
        self, target: Tensor, source: Tensor | None, mask: Tensor, normalise: bool
    ) -> Tensor:
        """Streams (B, N, d) to (B, N, d); without a source the target attends to itself."""
        if normalise:
            target = self.norm(target)
        attended = self.attention(target, target if source is None else source, mask)
        return self.feed_forward(target + self.dropout(attended))

    def weights(
        self, target: Tensor, source: Tensor | None, mask: Tensor, normalise: bool
    ) -> Tensor:
        """The attention weights (B, h, N, N) of :meth:`forward`."""
        if normalise:
            target = self.norm(target)
        return self.attention.weights(target, target if source is None else source, mask)


class Encoder(nn.Module):
    """The transformer from a source modality to a target modality, m → n.

    Only the target stream moves through the layers. Across modalities the source stays as embedded;
    within one (m = n) it *is* the target stream, at every layer.
    """

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        # The first layer's norm is never applied. It is there because the released model has it,
        # so that parameter counts agree with the paper and its weights have a place to go.
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(
        self, target: Tensor, source: Tensor | None, embedding: Tensor, mask: Tensor
    ) -> Tensor:
        """``target`` and ``source`` (B, N, d), None for m = n; ``embedding`` says when and who."""
        x = self.dropout(target + embedding)
        y = self.dropout(source + embedding) if source is not None else None
        for depth, layer in enumerate(self.layers):
            x = layer(x, y, mask, normalise=depth > 0)
        return x

    def weights(
        self, target: Tensor, source: Tensor | None, embedding: Tensor, mask: Tensor
    ) -> Tensor:
        """The attention weights (B, h, N, N) of the last layer, without dropout."""
        x = target + embedding
        y = source + embedding if source is not None else None
        *before, last = [cast(EncoderLayer, layer) for layer in self.layers]
        for depth, layer in enumerate(before):
            x = layer(x, y, mask, normalise=depth > 0)
        return last.weights(x, y, mask, normalise=bool(before))


class UnimodalGate(nn.Module):
    """z = σ(W H), H ← z ⊙ H: lets through what one encoder found useful."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden, config.hidden, bias=False)
        if not config.trainable_unimodal_gates:
            nn.init.eye_(self.linear.weight)
            self.linear.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(x)) * x


class MultimodalGate(nn.Module):
    """[g_t; g_a; g_v] = softmax([W H_t; W H_a; W H_v]) over the modalities, H = Σ g_m ⊙ H_m."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """H_t, H_a, H_v stacked (B, N, 3, d) to the fused (B, N, d) and the gates (B, N, 3, d)."""
        gates = self.linear(hidden).softmax(dim=-2)
        return (gates * hidden).sum(dim=-2), gates


class Ungated(nn.Module):
    """The ablations of the multimodal gate: H_t + H_a + H_v, or W [H_t; H_a; H_v] + b."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        d = config.hidden
        self.linear = nn.Linear(3 * d, d) if config.fusion == "concat" else None

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`MultimodalGate`; all gates are 1/3."""
        fused = hidden.sum(dim=-2) if self.linear is None else self.linear(hidden.flatten(-2))
        return fused, torch.full_like(hidden, 1 / len(MODALITIES))


class SDT(nn.Module):
    """The whole model. Dialogues may have any length and any mixture of missing modalities."""

    def __init__(self, config: SDTConfig) -> None:
        super().__init__()
        self.config = config
        d, classes = config.hidden, len(config.classes)
        sizes = dict(zip(MODALITIES, config.feature_sizes, strict=True))

        # Our one extension: what an utterance feeds in place of a modality that it lacks. Zero, the
        # mean of standardised features, to begin with; training with modality dropout moves it.
        self.missing = nn.ParameterDict(
            {m: nn.Parameter(torch.zeros(sizes[m])) for m in MODALITIES}
        )

        # A temporal convolution of kernel 1 is one linear map, the same at every utterance.
        self.projections = nn.ModuleDict(
            {m: nn.Linear(sizes[m], d, bias=False) for m in MODALITIES}
        )
        self.speakers = nn.Embedding(config.speakers + 1, d, padding_idx=config.speakers)

        self.encoders = nn.ModuleDict({pair: Encoder(config) for pair in PAIRS})
        self.unimodal_gates = nn.ModuleDict(
            {pair: UnimodalGate(config) for pair in PAIRS if config.unimodal_gates}
        )
        self.reductions = nn.ModuleDict({m: nn.Linear(3 * d, d) for m in MODALITIES})
        self.multimodal_gate = (
            MultimodalGate(config) if config.fusion == "gate" else Ungated(config)
        )

        self.classifier = nn.Linear(d, classes)
        self.students = nn.ModuleDict(
            {
                m: nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(d, classes))
                for m in MODALITIES
            }
        )

    def forward(self, batch: DialogueBatch) -> SDTOutput:
        streams = self.project(batch)
        embedding = self.embed(batch.speakers)

        # Nine encoders m → n, each behind its own gate; per target the intra-modal one comes first.
        hidden = torch.stack(
            [self.represent(n, streams, embedding, batch.mask) for n in MODALITIES], dim=-2
        )  # three (B, N, d) -> (B, N, 3, d)
        return self.classify(hidden)

    def classify(self, hidden: Tensor) -> SDTOutput:
        """What the teacher and the students make of H_t, H_a, H_v stacked (B, N, 3, d)."""
        fused, gates = self.multimodal_gate(hidden)
        text, audio, visual = (
            self.students[m](h) for m, h in zip(MODALITIES, hidden.unbind(-2), strict=True)
        )
        return SDTOutput(self.classifier(fused), text, audio, visual, gates, hidden)

    def attention(self, batch: DialogueBatch) -> Tensor:
        """How the nine encoders look at the dialogue: (B, 9, h, N, N) in the order of ``PAIRS``.

        Row i of the last layer's softmax, which sums to 1, says what share of each utterance's
        values goes into utterance i. Residuals, gates and classifiers come after it, so this is
        where the model looked, not why it answered.
        """
        streams, embedding = self.project(batch), self.embed(batch.speakers)
        weights = []
        for pair in PAIRS:
            source, target = pair.split("_to_")
            encoder = cast(Encoder, self.encoders[pair])
            keys = None if source == target else streams[source]
            weights.append(encoder.weights(streams[target], keys, embedding, batch.mask))
        return torch.stack(weights, dim=1)

    def project(self, batch: DialogueBatch) -> dict[str, Tensor]:
        """Each modality brought to size d, with the learned vector where it is missing."""
        features = (batch.text, batch.audio, batch.visual)  # (B, N, D_m) each
        streams = {}
        for i, (modality, values) in enumerate(zip(MODALITIES, features, strict=True)):
            present = batch.present[..., i, None]  # (B, N, 3) -> (B, N, 1)
            known = torch.where(present, values, self.missing[modality])  # (B, N, D_m)
            streams[modality] = self.projections[modality](known)  # (B, N, D_m) -> (B, N, d)
        return streams

    def embed(self, speakers: Tensor, first: int = 0) -> Tensor:
        """When plus who, (B, N, d), for speakers (B, N) of the utterances from ``first`` on."""
        positions = sinusoidal_positions(
            speakers.shape[1], self.config.hidden, speakers.device, first=first
        )
        return positions.to(self.speakers.weight.dtype) + self.speakers(speakers)

    def represent(
        self, target: str, streams: dict[str, Tensor], embedding: Tensor, mask: Tensor
    ) -> Tensor:
        """H_n (B, N, d): the three views of the target modality, gated, side by side, reduced."""
        views = []
        for source in SOURCES[target]:
            pair = f"{source}_to_{target}"
            keys = None if source == target else streams[source]
            view = self.encoders[pair](streams[target], keys, embedding, mask)  # (B, N, d)
            gated = pair in self.unimodal_gates
            views.append(self.unimodal_gates[pair](view) if gated else view)
        return self.reductions[target](torch.cat(views, dim=-1))  # (B, N, 3d) -> (B, N, d)
