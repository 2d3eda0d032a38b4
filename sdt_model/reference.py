"""Weights saved with the SDT code that the paper's authors released, read into our model."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.errors import SDTError
from sdt_model.files import read_bytes
from sdt_model.model import SDT, sinusoidal_positions

_LETTERS = {"text": "t", "audio": "a", "visual": "v"}

_CONVOLUTIONS = {"text": "textf_input", "audio": "acouf_input", "visual": "visuf_input"}

_LAYER = {
    "self_attn.linear_q": "attention.query",
    "self_attn.linear_k": "attention.key",
    "self_attn.linear_v": "attention.value",
    "self_attn.linear": "attention.output",
    "feed_forward.w_1": "feed_forward.expand",
    "feed_forward.w_2": "feed_forward.contract",
    "feed_forward.layer_norm": "feed_forward.norm",
    "layer_norm": "norm",
}
"""Parts of one encoder layer, released name to ours."""

_DATA_PARALLEL = "module."
_POSITION_TOLERANCE = 1e-3
"""Sines of angles up to 512 differ by some 1e-4 between ways to compute them in float32."""


def load_reference_state_dict(source: Path | str | Mapping[str, Any], config: SDTConfig) -> SDT:
    """Build SDT of ``config``, on the CPU and in evaluation mode, with the released code's weights.

    ``source`` is ``model.state_dict()`` of the released model, or a file that ``torch.save`` wrote
    it to; only tensors are read from a file. The model gives the released one's probabilities.
    ``config`` must be the one trained with: shapes are compared, but the number of heads shows in
    no shape. What the released model computes without is allowed for: the norm in front of an
    encoder's first layer, which is never applied, may be absent, and position tables (of any
    length) are compared with ours and not kept. The vectors for missing modalities, which the
    released model lacks, stay zero.

    Raises :class:`SDTError` when the file cannot be read, or naming the first weight that is
    unknown, missing, of another shape, or not finite.
    """
    if isinstance(source, Mapping):
        released, origin = dict(source), "the released state dict"
    else:
        released, origin = _read(Path(source)), str(source)
    if all(isinstance(name, str) and name.startswith(_DATA_PARALLEL) for name in released):
        released = {name.removeprefix(_DATA_PARALLEL): t for name, t in released.items()}

    if not config.unimodal_gates or config.fusion != "gate":
        raise SDTError(
            "the released SDT has its unimodal and multimodal gates: load its weights with "
            "settings that have both"
        )
    model = SDT(config)
    own = model.state_dict()
    names = _names(config)
    positions, unused = _positions(), _unused_norms()
    if unknown := sorted(map(str, released.keys() - names.keys() - positions)):
        raise SDTError(
            f"{origin} holds {unknown[0]!r}, which SDT of these settings does not have: "
            "use weights saved with the released SDT code and its number of layers"
        )
    if missing := sorted(names.keys() - unused - released.keys()):
        raise SDTError(
            f"{origin} lacks the weight {missing[0]!r}: save the whole state dict, "
            "and load it with the number of layers it was trained with"
        )
    for name in sorted(positions & released.keys()):
        _check_positions(_tensor(released[name], name, origin), name, origin, config)
    for name, target in names.items():
        if name in released:
            # A convolution of kernel 1 has our linear map's weights, with an axis for its kernel.
            convolution = target.startswith("projections.")
            shape = (*own[target].shape, 1) if convolution else tuple(own[target].shape)
            tensor = _tensor(released[name], name, origin)
            if tuple(tensor.shape) != shape:
                raise SDTError(
                    f"{origin} has {name!r} of shape {tuple(tensor.shape)}, the settings ask for "
                    f"{shape}: give the settings it was trained with"
                )
            own[target] = tensor.reshape(own[target].shape)
    model.load_state_dict(own)
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    data = io.BytesIO(read_bytes(path))
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise SDTError(
            f"{path} is damaged or holds more than weights, and nothing in it was run: save "
            "model.state_dict() of the released model with torch.save"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SDTError(
            f"{path} is damaged or was not written by torch.save: copy or save it again"
        ) from error
    if not isinstance(state, Mapping):
        raise SDTError(
            f"{path} holds no named weights: save model.state_dict() of the released model"
        )
    return dict(state)


def _names(config: SDTConfig) -> dict[str, str]:
    """Every weight of the released model, and what it is called in ours."""
    parts = {"last_gate.fc": "multimodal_gate.linear", "speaker_embeddings": "speakers"}
    biased = {"all_output_layer": "classifier"}
    for modality, letter in _LETTERS.items():
        parts[_CONVOLUTIONS[modality]] = f"projections.{modality}"
        biased[f"features_reduce_{letter}"] = f"reductions.{modality}"
        biased[f"{letter}_output_layer.2"] = f"students.{modality}.2"
    for released, own in _pairs().items():
        parts[f"{released}_gate.fc"] = f"unimodal_gates.{own}.linear"
        for depth in range(config.layers):
            for part, target in _LAYER.items():
                layer = f"{released}.transformer_inter.{depth}.{part}"
                biased[layer] = f"encoders.{own}.layers.{depth}.{target}"
    weights = {f"{name}.weight": f"{target}.weight" for name, target in (parts | biased).items()}
    return weights | {f"{name}.bias": f"{target}.bias" for name, target in biased.items()}


def _pairs() -> dict[str, str]:
    """The nine encoders, ``x_y`` to ours: both say source first, target second."""
    return {
        f"{_LETTERS[source]}_{_LETTERS[target]}": f"{source}_to_{target}"
        for source in MODALITIES
        for target in MODALITIES
    }


def _positions() -> set[str]:
    return {f"{pair}.pos_emb.pe" for pair in _pairs()}


def _unused_norms() -> set[str]:
    return {
        f"{pair}.transformer_inter.0.layer_norm.{part}"
        for pair in _pairs()
        for part in ("weight", "bias")
    }


def _tensor(value: object, name: str, origin: str) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise SDTError(f"{origin} has {name!r} that is no tensor of numbers: save it again")
    tensor = value.detach().to("cpu", torch.float32)
    if not tensor.isfinite().all():
        raise SDTError(
            f"{origin} has {name!r} with numbers that are not finite: the training that made it "
            "diverged, use an earlier state"
        )
    return tensor


def _check_positions(table: Tensor, name: str, origin: str, config: SDTConfig) -> None:
    fits = table.ndim == 3 and table.shape[0] == 1 and table.shape[2] == config.hidden
    if not fits or not torch.allclose(
        table[0],
        sinusoidal_positions(table.shape[1], config.hidden),
        rtol=0,
        atol=_POSITION_TOLERANCE,
    ):
        raise SDTError(
            f"{origin} has {name!r} that is not the sinusoidal table of the released code for "
            f"hidden size {config.hidden}: use weights of an unaltered SDT"
        )
