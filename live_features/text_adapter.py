"""What the text encoder has learned about emotion: a low-rank change of every matrix.

Training changes the matrices freely; the change W' - W is then cut to its largest singular values
(Eckart & Young 1936: nothing of that rank comes nearer), which keeps the file small, and is added
to the encoder's own matrices when that is loaded, so that it costs nothing afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from live_features.errors import UserFacingError

_DOWN, _UP = ".down", ".up"


def adapted_matrices(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear maps in the layers of ``model``, by name: what an adapter changes."""
    return dict(_linears(model))


def low_rank(changes: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Changes of matrices (out, in) as factors of ``rank``, in 16 bits, by name."""
    factors = {}
    for name, change in changes.items():
        left, values, right = torch.linalg.svd(change, full_matrices=False)
        root = values[:rank].sqrt()
        factors[f"{name}{_UP}"] = (left[:, :rank] * root).half().cpu().contiguous()
        factors[f"{name}{_DOWN}"] = (root[:, None] * right[:rank]).half().cpu().contiguous()
    return factors


def apply(model: nn.Module, factors: Mapping[str, Tensor]) -> None:
    """Add the change that ``factors`` make up to the matrices of ``model``, in place.

    Raises:
        KeyError, RuntimeError: they are not those of such a model.
    """
    linears = adapted_matrices(model)
    with torch.no_grad():
        for name, linear in linears.items():
            up, down = factors[f"{name}{_UP}"].float(), factors[f"{name}{_DOWN}"].float()
            linear.weight.add_((up @ down).to(linear.weight))
    if len(factors) != 2 * len(linears):
        raise KeyError("more matrices than the model has")


def merge_adapter(model: nn.Module, path: Path) -> None:
    """Change ``model`` in place by the adapter in a safetensors file.

    Raises:
        UserFacingError: the file is missing, damaged, or made for another encoder.
    """
    try:
        factors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserFacingError(
            f"The text adapter {path} cannot be read ({error}); install sdt-live again."
        ) from error
    try:
        apply(model, factors)
    except (KeyError, RuntimeError) as error:
        raise UserFacingError(
            f"The text adapter {path} was made for another text encoder; install sdt-live again."
        ) from error


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "layer." in name:
            yield name, module
