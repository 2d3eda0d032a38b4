from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sdt_helpers import random_dialogue, small_config, small_model

from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.dialogues import Dialogue, collate
from sdt_model.errors import SDTError
from sdt_model.model import PAIRS, SDT, SDTOutput

LOGITS = ("fused", *MODALITIES)
EVERYTHING = (*LOGITS, "gates", "hidden")


def forward(model: SDT, *dialogues: Dialogue) -> SDTOutput:
    with torch.inference_mode():
        return model(collate(dialogues, model.config))


def by_the_book(model: SDT, dialogue: Dialogue) -> dict[str, NDArray[np.float64]]:
    """The paper's equations for one dialogue, in NumPy and without a thought for speed."""
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    config, count = model.config, len(dialogue)
    d, width = config.hidden, config.hidden // config.heads

    def linear(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def norm(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def softmax(x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        e = np.exp(x - x.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    def attention(
        name: str, target: NDArray[np.float64], source: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        q, k, v = (
            linear(f"{name}.{part}", x)
            for part, x in (("query", target), ("key", source), ("value", source))
        )
        heads = []
        for first in range(0, d, width):
            s = slice(first, first + width)
            heads.append(softmax(q[:, s] @ k[:, s].T / np.sqrt(width), -1) @ v[:, s])
        return linear(f"{name}.output", np.concatenate(heads, -1))

    def feed_forward(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        u = linear(f"{name}.expand", norm(f"{name}.norm", x))
        gelu = 0.5 * u * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))
        return linear(f"{name}.contract", gelu) + x

    embedding = weights["speakers.weight"][dialogue.speakers]
    for p in range(count):
        for k in range(d):
            angle = p / 10_000 ** ((k - k % 2) / d)
            embedding[p, k] += np.cos(angle) if k % 2 else np.sin(angle)

    streams = {}
    for i, m in enumerate(MODALITIES):
        there = dialogue.present[:, i, None] & (m in config.modalities)
        inputs = np.where(there, dialogue.features[i], weights[f"missing.{m}"])
        streams[m] = linear(f"projections.{m}", inputs.astype(np.float64))

    hidden = []
    for n in MODALITIES:
        views = []
        for m in (n, *(other for other in MODALITIES if other != n)):
            name = f"{m}_to_{n}"
            x, y = streams[n] + embedding, streams[m] + embedding
            for depth in range(config.layers):
                layer = f"encoders.{name}.layers.{depth}"
                x = norm(f"{layer}.norm", x) if depth else x
                attended = attention(f"{layer}.attention", x, x if m == n else y)
                x = feed_forward(f"{layer}.feed_forward", x + attended)
            if config.unimodal_gates:
                x = x / (1 + np.exp(-linear(f"unimodal_gates.{name}.linear", x)))
            views.append(x)
        hidden.append(linear(f"reductions.{n}", np.concatenate(views, -1)))

    stacked = np.stack(hidden, 1)
    gates = np.full_like(stacked, 1 / 3)
    if config.fusion == "gate":
        gates = softmax(linear("multimodal_gate.linear", stacked), 1)
        joined = (gates * stacked).sum(1)
    elif config.fusion == "concat":
        joined = linear("multimodal_gate.linear", np.concatenate(hidden, -1))
    else:
        joined = hidden[0] + hidden[1] + hidden[2]
    students = [
        linear(f"students.{m}.2", np.maximum(h, 0)) for m, h in zip(MODALITIES, hidden, strict=True)
    ]
    fused = linear("classifier", joined)
    return dict(zip(EVERYTHING, (fused, *students, gates, stacked), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 1},
        {"layers": 2},
        {"layers": 3},
        {"unimodal_gates": False},
        {"fusion": "concat"},
        {"fusion": "add"},
        {"modalities": ("audio",)},
        {"modalities": ("text", "visual"), "fusion": "add", "unimodal_gates": False},
    ],
)
def test_the_model_computes_the_papers_equations(changes: dict[str, object]) -> None:
    model = small_model(**changes)
    dialogue = random_dialogue(7, missing=0.3)
    expected = by_the_book(model, dialogue)
    output = forward(model, dialogue)
    for name in EVERYTHING:
        np.testing.assert_allclose(getattr(output, name)[0], expected[name], atol=2e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_padded_batch_reads_like_one_dialogue_at_a_time(layers: int) -> None:
    model = small_model(layers=layers)
    dialogues = [random_dialogue(n, seed=n, missing=0.2) for n in (1, 9, 4, 30)]
    together = forward(model, *dialogues)
    for row, dialogue in enumerate(dialogues):
        alone = forward(model, dialogue)
        for name in EVERYTHING:
            padded = getattr(together, name)[row, : len(dialogue)]
            np.testing.assert_allclose(padded, getattr(alone, name)[0], atol=1e-6, rtol=0)


def test_what_padding_holds_does_not_matter() -> None:
    model = small_model()
    batch = collate([random_dialogue(3), random_dialogue(8, seed=1)], model.config)
    noise = {m: getattr(batch, m).clone() for m in MODALITIES}
    for values in noise.values():
        values[~batch.mask] = 1e3
    with torch.inference_mode():
        clean, noisy = model(batch), model(replace(batch, **noise))
    for name in EVERYTHING:
        assert torch.equal(getattr(clean, name)[batch.mask], getattr(noisy, name)[batch.mask])


def test_the_order_of_a_batch_does_not_matter() -> None:
    model = small_model()
    dialogues = [random_dialogue(n, seed=n) for n in (5, 2, 7)]
    forwards, backwards = forward(model, *dialogues), forward(model, *dialogues[::-1])
    real = collate(dialogues, model.config).mask
    np.testing.assert_allclose(forwards.fused[real], backwards.fused.flip(0)[real], atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_attention_weights_are_those_that_the_forward_pass_uses(layers: int) -> None:
    model, dialogues = small_model(layers=layers), [random_dialogue(5), random_dialogue(3, seed=1)]
    batch = collate(dialogues, model.config)
    heads = model.attention(batch)
    compared = []
    for pair, weights in zip(PAIRS, heads.unbind(1), strict=True):

        def compare(
            module: Any, given: tuple[Any, ...], out: torch.Tensor, weights: torch.Tensor = weights
        ) -> None:
            mixed = weights @ module.split(module.value(given[1]))
            expected = module.output(mixed.transpose(1, 2).flatten(2))
            torch.testing.assert_close(out[batch.mask], expected[batch.mask])
            compared.append(module)

        model.encoders[pair].layers[-1].attention.register_forward_hook(compare)
    forward(model, *dialogues)
    assert len(compared) == len(PAIRS)
    torch.testing.assert_close(heads.sum(-1), torch.ones(heads.shape[:-1]))
    assert not heads[1, ..., 3:].any()


def test_gates_are_shares_of_the_three_modalities() -> None:
    gates = forward(small_model(), random_dialogue(12)).gates
    assert gates.shape == (1, 12, 3, 16)
    assert (gates >= 0).all()
    np.testing.assert_allclose(gates.sum(2), 1, atol=1e-6)


def test_a_dialogue_may_be_longer_than_512_utterances() -> None:
    dialogue = random_dialogue(700)
    output = forward(small_model(), dialogue)
    assert output.fused.shape == (1, 700, 3)
    assert output.fused.isfinite().all()


def test_context_position_and_speaker_all_count() -> None:
    model, dialogue = small_model(), random_dialogue(6)
    fused = forward(model, dialogue).fused
    assert not torch.allclose(fused[0, 0], forward(model, dialogue.prefix(1)).fused[0, 0])
    other = replace(dialogue, speakers=(dialogue.speakers + 1) % 3)
    assert not torch.allclose(fused, forward(model, other).fused)
    turned = replace(dialogue, **{m: getattr(dialogue, m)[::-1].copy() for m in MODALITIES})
    assert not torch.allclose(fused, forward(model, turned).fused.flip(1))


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_missing_modality_reads_as_its_learned_vector(modality: str) -> None:
    model, dialogue = small_model(), random_dialogue(5)
    present = dialogue.present.copy()
    present[2, MODALITIES.index(modality)] = False
    without = forward(model, replace(dialogue, present=present))

    learned = getattr(dialogue, modality).copy()
    learned[2] = model.missing[modality].detach().numpy()
    filled = forward(model, replace(dialogue, **{modality: learned}))

    assert torch.equal(without.fused, filled.fused)
    assert not torch.allclose(without.fused, forward(model, dialogue).fused)


def test_fixed_unimodal_gates_stay_the_identity() -> None:
    model = small_model(trainable_unimodal_gates=False)
    for gate in model.unimodal_gates.values():
        assert torch.equal(gate.linear.weight, torch.eye(16))
        assert not gate.linear.weight.requires_grad


IEMOCAP = SDTConfig(1024, 1582, 342, speakers=2, classes=("hap", "sad", "neu", "ang", "exc", "fru"))
MELD = SDTConfig(1024, 300, 342, speakers=9, trainable_unimodal_gates=False)


@pytest.mark.parametrize(
    ("config", "total", "trained"),
    [(IEMOCAP, 79_687_704, 79_687_704), (MELD, 78_386_204, 68_949_020)],
    ids=["IEMOCAP", "MELD"],
)
def test_the_paper_models_have_the_papers_size(config: SDTConfig, total: int, trained: int) -> None:
    model = SDT(config)
    extension = sum(vector.numel() for vector in model.missing.values())
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    assert extension == sum(config.feature_sizes)
    assert sum(size for size, _ in sizes) - extension == total
    assert sum(size for size, trains in sizes if trains) - extension == trained


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden": 10}, "hidden is 10: it must be a multiple of heads"),
        ({"hidden": 3, "heads": 3}, "hidden is 3: it must be even"),
        ({"layers": 0}, "layers is 0: it must be a whole number of at least 1"),
        ({"speakers": 2.0}, "speakers is 2.0: it must be a whole number"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"temperature": 0}, "temperature is 0"),
        ({"trainable_unimodal_gates": "no"}, "trainable_unimodal_gates is 'no'"),
        ({"unimodal_gates": 1}, "unimodal_gates is 1: it must be true or false"),
        ({"fusion": "mean"}, "fusion is 'mean': it must be one of gate, concat, add"),
        ({"modalities": ["smell"]}, "modalities is"),
        ({"modalities": []}, "modalities is"),
        ({"classes": ["joy", "joy"]}, "classes is"),
        ({"depth": 2}, "unknown model settings depth"),
    ],
)
def test_impossible_settings_are_named(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SDTError, match=sentence):
        SDTConfig.from_dict(small_config().to_dict() | changes)


def test_settings_survive_their_json_form_and_must_be_complete() -> None:
    config = small_config(temperature=8.0, fusion="add", modalities=("text", "audio"))
    assert SDTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(SDTError, match="without audio_dim, visual_dim"):
        SDTConfig.from_dict({"text_dim": 6})
    with pytest.raises(SDTError, match="not a JSON object"):
        SDTConfig.from_dict([])  # type: ignore[arg-type]


def test_another_encoder_is_told_apart_by_its_size() -> None:
    config = SDTConfig(384, 1582, 342)
    config.require_sizes(text=384, audio=None, visual=342)
    with pytest.raises(
        SDTError,
        match="expects text features of 384 values, the chosen text encoder gives 768: choose",
    ):
        config.require_sizes(text=768)
