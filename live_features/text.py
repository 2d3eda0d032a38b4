"""What was said, as a sentence embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from live_features.errors import UserFacingError
from live_features.text_adapter import merge_adapter
from live_features.weights import Weights

_MAX_TOKENS = 128


class TextEncoder:
    """A Hugging Face encoder, averaged over its tokens and scaled to unit length.

    That is how the MiniLM sentence encoder was trained (Reimers & Gurevych 2019). With an adapter
    its sentences lie near each other where they sound alike in feeling, not in topic.
    """

    def __init__(
        self, weights: Weights, device: str = "cpu", *, adapter: Path | None = None
    ) -> None:
        """Load from a local folder; no code from it is run. ``adapter`` is a safetensors file.

        Raises:
            UserFacingError: the folder holds no encoder that transformers can load, or the adapter
                is damaged or made for another encoder.
        """
        self._tokenizer, self._model = load_encoder(weights)
        if adapter is not None:
            merge_adapter(self._model, adapter)
        self._model.to(device).eval()

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings, float32 of shape (len(texts), dim), each of unit length."""
        return embed(self._tokenizer, self._model, texts).float().cpu().numpy()


def load_encoder(weights: Weights) -> tuple[Any, Any]:
    """The tokenizer and the model (float32, on the processor) in a local folder.

    Raises:
        UserFacingError: the folder holds no encoder that transformers can load.
    """
    # Its progress bar would tear the one of the headless run.
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            weights.folder, local_files_only=True, trust_remote_code=False
        )
        model = AutoModel.from_pretrained(
            weights.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserFacingError(
            f"The text encoder in {weights.folder} cannot be loaded ({reason}): choose a "
            f"Hugging Face text encoder with safetensors weights."
        ) from error
    return tokenizer, model


def embed(tokenizer: Any, model: Any, texts: Sequence[str]) -> Tensor:
    """Mean last states of every text's tokens, of unit length: (len(texts), dim).

    Training and live use both read words through here; gradients reach ``model``.
    """
    tokens = tokenizer(
        list(texts), padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
    ).to(model.device)
    states = model(**tokens).last_hidden_state  # (B, T, dim)
    mask = tokens["attention_mask"].unsqueeze(-1)  # (B, T, 1)
    mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean.float(), dim=-1)
