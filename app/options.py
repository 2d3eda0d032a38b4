"""What a person may choose before a session starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.assets import DEFAULT_CHECKPOINT
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which models; names or folders, see :mod:`live_features.weights`."""

    whisper: str = DEFAULT_WHISPER
    text_encoder: str = DEFAULT_TEXT_ENCODER
    checkpoint: Path = DEFAULT_CHECKPOINT
    device: str = "auto"
    offline: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One reading of a recording; ``speed`` None is as fast as possible.

    ``speakers`` is how many people talk, None where nobody knows; ``export`` the folder for the
    results, None for none.
    """

    media: Path
    speed: float | None = 1.0
    speakers: int | None = None
    export: Path | None = None
    models: ModelOptions = ModelOptions()
