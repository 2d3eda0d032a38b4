"""The low-rank change of the text encoder, through files as they ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from live_features import weights
from live_features.errors import UserFacingError
from live_features.text import TextEncoder, load_encoder
from live_features.text_adapter import adapted_matrices, low_rank

TEXTS = ["I can't believe it!", "That is so sad.", "Pass me the salt."]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A change of rank 2, so that factors of rank 4 hold all of it."""
    torch.manual_seed(3)
    _, model = load_encoder(weights.text_encoder(offline=True))
    before = {name: m.weight.detach() for name, m in adapted_matrices(model).items()}
    after = {
        name: w + 0.002 * torch.randn(len(w), 2) @ torch.randn(2, w.shape[1])
        for name, w in before.items()
    }
    path = tmp_path_factory.mktemp("text") / "adapter.safetensors"
    save_file(low_rank({k: after[k] - before[k] for k in after}, rank=4), path)
    for name, linear in adapted_matrices(model).items():
        linear.weight.data = after[name]
    torch.save(model.state_dict(), path.with_suffix(".pt"))
    return path


def test_the_adapter_makes_the_encoder_what_training_made_it(adapter: Path) -> None:
    adapted = TextEncoder(weights.text_encoder(offline=True), adapter=adapter)
    trained = TextEncoder(weights.text_encoder(offline=True))
    plain = trained(TEXTS)
    trained._model.load_state_dict(torch.load(adapter.with_suffix(".pt"), weights_only=True))
    np.testing.assert_allclose(adapted(TEXTS), trained(TEXTS), atol=2e-3)
    assert np.abs(adapted(TEXTS) - plain).max() > 0.02
    np.testing.assert_allclose(np.linalg.norm(adapted(TEXTS), axis=1), 1.0, atol=1e-5)


def test_an_adapter_takes_little_room(adapter: Path) -> None:
    assert adapter.stat().st_size < 400_000


@pytest.mark.parametrize("harm", ["missing", "truncated", "of another encoder", "with more"])
def test_an_adapter_that_cannot_be_used_is_refused(
    adapter: Path, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "adapter.safetensors"
    if harm == "truncated":
        path.write_bytes(adapter.read_bytes()[:999])
    elif harm == "of another encoder":
        save_file({"encoder.layer.0.x.down": torch.zeros(2, 8)}, path)
    elif harm == "with more":
        save_file({**load_file(adapter), "pooler.dense.up": torch.zeros(2, 8)}, path)
    with pytest.raises(UserFacingError, match="adapter"):
        TextEncoder(weights.text_encoder(offline=True), adapter=path)
