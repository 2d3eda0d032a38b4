from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sdt_helpers import SIZES, random_dialogue, small_config

from sdt_model.config import SDTConfig
from sdt_model.dialogues import Dialogue, collate
from sdt_model.errors import SDTError
from sdt_model.reference import load_reference_state_dict

CLASSES = 3
PAIRS = ("t_t", "a_t", "v_t", "a_a", "t_a", "v_a", "v_v", "t_v", "a_v")
Weights = dict[str, torch.Tensor]
Array = NDArray[np.float64]


def position_table(length: int, d: int) -> torch.Tensor:
    table = np.zeros((length, d))
    for p in range(length):
        for k in range(0, d, 2):
            table[p, k] = np.sin(p / 10_000 ** (k / d))
            table[p, k + 1] = np.cos(p / 10_000 ** (k / d))
    return torch.from_numpy(table).float()


def released_weights(config: SDTConfig, seed: int = 0) -> Weights:
    """A state dict as the released code saves it, with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    d = config.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "textf_input.weight": (d, config.text_dim, 1),
        "acouf_input.weight": (d, config.audio_dim, 1),
        "visuf_input.weight": (d, config.visual_dim, 1),
        "speaker_embeddings.weight": (config.speakers + 1, d),
        "last_gate.fc.weight": (d, d),
        "all_output_layer.weight": (CLASSES, d),
        "all_output_layer.bias": (CLASSES,),
    }
    for letter in "tav":
        shapes[f"features_reduce_{letter}.weight"] = (d, 3 * d)
        shapes[f"features_reduce_{letter}.bias"] = (d,)
        shapes[f"{letter}_output_layer.2.weight"] = (CLASSES, d)
        shapes[f"{letter}_output_layer.2.bias"] = (CLASSES,)
    for pair in PAIRS:
        shapes[f"{pair}_gate.fc.weight"] = (d, d)
        for depth in range(config.layers):
            layer = f"{pair}.transformer_inter.{depth}"
            for linear in ("linear_q", "linear_k", "linear_v", "linear"):
                shapes[f"{layer}.self_attn.{linear}.weight"] = (d, d)
                shapes[f"{layer}.self_attn.{linear}.bias"] = (d,)
            for linear in ("w_1", "w_2"):
                shapes[f"{layer}.feed_forward.{linear}.weight"] = (d, d)
                shapes[f"{layer}.feed_forward.{linear}.bias"] = (d,)
            for norm in ("feed_forward.layer_norm", "layer_norm"):
                shapes[f"{layer}.{norm}.weight"] = (d,)
                shapes[f"{layer}.{norm}.bias"] = (d,)
    weights = {
        name: torch.randn(shape, generator=generator) * (0.5 if len(shape) == 1 else d**-0.5)
        for name, shape in shapes.items()
    }
    weights["speaker_embeddings.weight"][-1] = 0.0
    return weights | {f"{pair}.pos_emb.pe": position_table(512, d)[None] for pair in PAIRS}


class Plain:
    """The released forward pass for one dialogue, in float64 and without torch."""

    def __init__(self, weights: Weights, config: SDTConfig) -> None:
        self.weights = {name: tensor.double().numpy() for name, tensor in weights.items()}
        self.config = config

    def __call__(self, dialogue: Dialogue) -> dict[str, Array]:
        inputs = {"t": dialogue.text, "a": dialogue.audio, "v": dialogue.visual}
        names = {"t": "textf_input", "a": "acouf_input", "v": "visuf_input"}
        streams = {m: x @ self.weights[f"{names[m]}.weight"][:, :, 0].T for m, x in inputs.items()}
        who = self.weights["speaker_embeddings.weight"][dialogue.speakers]

        hidden = {}
        for target, sources in {"t": "tav", "a": "atv", "v": "vta"}.items():
            views = []
            for source in sources:
                view = self.encode(f"{source}_{target}", streams[source], streams[target], who)
                gate = view @ self.weights[f"{source}_{target}_gate.fc.weight"].T
                views.append(view / (1 + np.exp(-gate)))
            hidden[target] = self.linear(f"features_reduce_{target}", np.hstack(views))

        stacked = np.stack([hidden[m] for m in "tav"])
        gates = softmax(stacked @ self.weights["last_gate.fc.weight"].T, axis=0)
        logits = {"all": self.linear("all_output_layer", (gates * stacked).sum(0))}
        for m in "tav":
            logits[m] = self.linear(f"{m}_output_layer.2", np.maximum(hidden[m], 0))
        return {name: softmax(values, axis=-1) for name, values in logits.items()}

    def encode(self, pair: str, source: Array, target: Array, who: Array) -> Array:
        when = self.weights[f"{pair}.pos_emb.pe"][0, : len(target)]
        y, x = source + when + who, target + when + who
        for depth in range(self.config.layers):
            layer = f"{pair}.transformer_inter.{depth}"
            if depth:
                x = self.norm(f"{layer}.layer_norm", x)
            keys = x if pair[0] == pair[2] else y
            x = x + self.attend(f"{layer}.self_attn", x, keys)
            block = f"{layer}.feed_forward"
            inner = self.linear(f"{block}.w_1", self.norm(f"{block}.layer_norm", x))
            cubic = np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)
            x = x + self.linear(f"{block}.w_2", inner * (1 + np.tanh(cubic)) / 2)
        return x

    def attend(self, name: str, x: Array, y: Array) -> Array:
        q, k, v = (
            self.linear(f"{name}.linear_{part}", values)
            for part, values in (("q", x), ("k", y), ("v", y))
        )
        size = self.config.hidden // self.config.heads
        heads = []
        for start in range(0, self.config.hidden, size):
            head = slice(start, start + size)
            share = softmax(q[:, head] @ k[:, head].T / np.sqrt(size), axis=-1)
            heads.append(share @ v[:, head])
        return self.linear(f"{name}.linear", np.hstack(heads))

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def without(weights: Weights, *parts: str) -> Weights:
    return {name: t for name, t in weights.items() if not any(part in name for part in parts)}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("trainable", [True, False])
def test_the_released_weights_give_the_released_probabilities(layers: int, trainable: bool) -> None:
    config = small_config(layers=layers, trainable_unimodal_gates=trainable)
    weights = released_weights(config)
    model = load_reference_state_dict(weights, config)
    dialogues = [random_dialogue(length, seed=length) for length in (1, 7, 30)]

    with torch.inference_mode():
        output = model(collate(dialogues, config))

    for row, dialogue in enumerate(dialogues):
        expected = Plain(weights, config)(dialogue)
        for name, logits in {
            "all": output.fused,
            "t": output.text,
            "a": output.audio,
            "v": output.visual,
        }.items():
            ours = logits[row, : len(dialogue)].softmax(-1).numpy()
            assert np.abs(ours - expected[name]).max() <= 1e-5
            assert expected[name].std() > 0.01  # else any model would agree


@pytest.mark.parametrize(
    "name", ["a_t.transformer_inter.0.self_attn.linear_v.bias", "v_a_gate.fc.weight"]
)
def test_source_and_target_are_not_mixed_up(name: str) -> None:
    config = small_config()
    weights = released_weights(config)
    dialogue = random_dialogue(5)
    before = Plain(weights, config)(dialogue)["all"]
    weights[name] = weights[name] + 0.5
    model = load_reference_state_dict(weights, config)

    with torch.inference_mode():
        ours = model(collate([dialogue], config)).fused[0].softmax(-1).numpy()

    expected = Plain(weights, config)(dialogue)["all"]
    assert np.abs(expected - before).max() > 1e-3
    assert np.abs(ours - expected).max() <= 1e-5


def test_a_saved_file_loads_like_the_state_dict_itself(tmp_path: Path) -> None:
    config = small_config()
    weights = released_weights(config)
    torch.save(weights, tmp_path / "released.pt")

    from_file = load_reference_state_dict(tmp_path / "released.pt", config)
    from_dict = load_reference_state_dict(weights, config)

    assert not from_file.training
    for name, tensor in from_dict.state_dict().items():
        assert torch.equal(tensor, from_file.state_dict()[name]), name


def test_names_of_a_data_parallel_model_are_understood() -> None:
    config = small_config()
    weights = {f"module.{name}": tensor for name, tensor in released_weights(config).items()}

    assert load_reference_state_dict(weights, config).config == config


def test_what_the_released_model_never_uses_may_be_absent() -> None:
    config = small_config()
    weights = released_weights(config)
    slim = without(weights, "transformer_inter.0.layer_norm", "pos_emb")
    batch = collate([random_dialogue(6)], config)

    with torch.inference_mode():
        full = load_reference_state_dict(weights, config)(batch).fused
        assert torch.equal(load_reference_state_dict(slim, config)(batch).fused, full)


def test_the_norm_before_a_second_layer_is_used_and_must_be_there() -> None:
    config = small_config(layers=2)
    weights = without(released_weights(config), "t_v.transformer_inter.1.layer_norm")

    with pytest.raises(SDTError, match=r"lacks.*t_v\.transformer_inter\.1\.layer_norm\.bias"):
        load_reference_state_dict(weights, config)


@pytest.mark.parametrize(
    "name",
    [
        "textf_input.weight",
        "v_t_gate.fc.weight",
        "last_gate.fc.weight",
        "a_output_layer.2.bias",
        "speaker_embeddings.weight",
        "a_v.transformer_inter.0.feed_forward.layer_norm.weight",
    ],
)
def test_a_missing_weight_is_named(name: str) -> None:
    config = small_config()
    weights = released_weights(config)
    del weights[name]

    with pytest.raises(SDTError, match=f"lacks the weight '{name}'"):
        load_reference_state_dict(weights, config)


@pytest.mark.parametrize(
    "name", ["t_t.layer_norm.weight", "textf_input.bias", "rnn.weight_ih_l0", "missing.text"]
)
def test_an_unknown_weight_is_named(name: str) -> None:
    config = small_config()
    weights = released_weights(config) | {name: torch.zeros(config.hidden)}

    with pytest.raises(SDTError, match=f"holds '{name}'"):
        load_reference_state_dict(weights, config)


def test_more_layers_than_the_settings_have_are_an_error() -> None:
    with pytest.raises(SDTError, match=r"transformer_inter\.1.*number of layers"):
        load_reference_state_dict(released_weights(small_config(layers=2)), small_config())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("acouf_input.weight", {"audio_dim": SIZES[1] + 1}),
        ("speaker_embeddings.weight", {"speakers": 4}),
        ("all_output_layer.weight", {"classes": ("a", "b", "c", "d")}),
    ],
)
def test_a_weight_of_another_shape_is_named(name: str, change: dict[str, object]) -> None:
    weights = released_weights(small_config())

    with pytest.raises(SDTError, match=rf"'{name}' of shape .* the settings ask for"):
        load_reference_state_dict(weights, small_config(**change))


def test_weights_that_are_not_finite_are_named() -> None:
    config = small_config()
    weights = released_weights(config)
    weights["t_a_gate.fc.weight"][0, 0] = float("nan")

    with pytest.raises(SDTError, match=r"'t_a_gate\.fc\.weight' with numbers that are not finite"):
        load_reference_state_dict(weights, config)


def test_something_that_is_no_tensor_is_named() -> None:
    config = small_config()
    weights: dict[str, object] = {**released_weights(config), "last_gate.fc.weight": [1.0]}

    with pytest.raises(SDTError, match=r"'last_gate\.fc\.weight' that is no tensor"):
        load_reference_state_dict(weights, config)


def test_another_position_table_is_another_model() -> None:
    config = small_config()
    weights = released_weights(config)
    weights["v_v.pos_emb.pe"] = weights["v_v.pos_emb.pe"].flip(1)

    with pytest.raises(SDTError, match=r"'v_v\.pos_emb\.pe' that is not the sinusoidal table"):
        load_reference_state_dict(weights, config)


class Gadget:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def test_nothing_in_a_hostile_file_is_run(tmp_path: Path) -> None:
    trap, zipped, bare = tmp_path / "trap", tmp_path / "zipped.pt", tmp_path / "bare.pt"
    torch.save({"textf_input.weight": Gadget(trap)}, zipped)
    bare.write_bytes(pickle.dumps(Gadget(trap), 2))

    for path in (zipped, bare):
        with pytest.raises(SDTError, match="nothing in it was run"):
            load_reference_state_dict(path, small_config())
    assert not trap.exists()


def test_a_whole_saved_model_is_asked_for_as_a_state_dict(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")

    with pytest.raises(SDTError, match=r"save model\.state_dict\(\)"):
        load_reference_state_dict(tmp_path / "model.pt", small_config())


def test_damaged_and_foreign_files_are_told_apart_from_weights(tmp_path: Path) -> None:
    config = small_config()
    torch.save(released_weights(config), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    path = tmp_path / "broken.pt"
    for broken in (b"", b"weights", data[:100], data[: len(data) // 2], data[:-30]):
        path.write_bytes(broken)
        with pytest.raises(SDTError, match="damaged"):
            load_reference_state_dict(path, config)
    torch.save([1, 2], path)
    with pytest.raises(SDTError, match="holds no named weights"):
        load_reference_state_dict(path, config)
    with pytest.raises(SDTError, match="does not exist"):
        load_reference_state_dict(tmp_path / "nowhere.pt", config)
