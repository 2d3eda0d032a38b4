"""What was said, as a sentence embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from live_features.errors import UserFacingError
from live_features.weights import Weights

_MAX_TOKENS = 128


class TextEncoder:
    """A Hugging Face encoder, averaged over its tokens and scaled to unit length.

    That is how the MiniLM sentence encoder was trained (Reimers & Gurevych 2019).
    """

    def __init__(self, weights: Weights, device: str = "cpu") -> None:
        """Load from a local folder; no code from it is run.

        Raises:
            UserFacingError: the folder holds no encoder that transformers can load.
        """
        # Its progress bar would tear the one of the headless run.
        transformers_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                weights.folder, local_files_only=True, trust_remote_code=False
            )
            self._model = AutoModel.from_pretrained(
                weights.folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserFacingError(
                f"The text encoder in {weights.folder} cannot be loaded ({reason}): choose a "
                f"Hugging Face text encoder with safetensors weights."
            ) from error
        self._model.to(device).eval()
        self._device = device

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings, float32 of shape (len(texts), dim), each of unit length."""
        tokens = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=_MAX_TOKENS,
            return_tensors="pt",
        ).to(self._device)
        states = self._model(**tokens).last_hidden_state  # (B, T, dim)
        mask = tokens["attention_mask"].unsqueeze(-1)  # (B, T, 1)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        unit = torch.nn.functional.normalize(mean, dim=-1)
        return unit.float().cpu().numpy()
