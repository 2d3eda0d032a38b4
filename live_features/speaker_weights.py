"""Reads the weights of a shipped speaker network."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from live_features.errors import UserFacingError


def read_weights(network: nn.Module, path: Path) -> None:
    """Fill ``network`` with the float16 tensors in ``path``, as float32, ready for use.

    Raises:
        UserFacingError: the file is missing, damaged or another network's.
    """
    try:
        stored = load_file(path)
        # What counts batches in training is left out of the file.
        expected = {k for k in network.state_dict() if not k.endswith("num_batches_tracked")}
        if stored.keys() != expected:
            raise KeyError(min(stored.keys() ^ expected))
        network.load_state_dict({k: v.float() for k, v in stored.items()}, strict=False)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserFacingError(
            f"The speaker network {path} is missing or damaged ({reason}): get the program's "
            "files again."
        ) from error
    network.eval()
