"""The paper's settings for its two corpora, IEMOCAP and MELD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sdt_model.config import SDTConfig
from sdt_model.training import TrainingOptions


@dataclass(frozen=True, slots=True)
class Preset:
    """A model and how the paper trains it on the public features of one corpus."""

    config: SDTConfig
    options: TrainingOptions


# Shares of happy, sad, neutral, angry, excited, frustrated; their inverses weigh the likelihoods.
_IEMOCAP_FREQUENCIES = (0.086747, 0.144406, 0.227883, 0.160585, 0.127711, 0.252668)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "iemocap": Preset(
            SDTConfig(
                text_dim=1024,
                audio_dim=1582,
                visual_dim=342,
                hidden=1024,
                heads=8,
                layers=1,
                classes=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
                speakers=2,
                dropout=0.5,
                temperature=1.0,
            ),
            TrainingOptions(
                epochs=150,
                batch_size=16,
                learning_rate=1e-4,
                l2=1e-5,
                class_weights=tuple(1 / share for share in _IEMOCAP_FREQUENCIES),
            ),
        ),
        "meld": Preset(
            SDTConfig(
                text_dim=1024,
                audio_dim=300,
                visual_dim=342,
                hidden=1024,
                heads=8,
                layers=1,
                classes=("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
                speakers=9,
                dropout=0.5,
                trainable_unimodal_gates=False,
                temperature=8.0,
            ),
            TrainingOptions(epochs=50, batch_size=8, learning_rate=5e-6, l2=1e-5),
        ),
    }
)
"""Settings by corpus; classes stand in the order of the public features' label numbers."""
