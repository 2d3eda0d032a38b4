"""What a person may choose before a session starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.assets import DEFAULT_CHECKPOINT
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

DEVICES = ("auto", "cpu", "cuda", "mps")

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""

BEST_WHISPER = "auto"
"""The largest Whisper size on this machine that keeps up with talk."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which models; names or folders, see :mod:`live_features.weights`.

    ``whisper`` may also be :data:`BEST_WHISPER`. ``language`` is the ISO code of what is spoken,
    for models that know several; None lets them tell.
    """

    whisper: str = DEFAULT_WHISPER
    text_encoder: str = DEFAULT_TEXT_ENCODER
    checkpoint: Path = DEFAULT_CHECKPOINT
    device: str = "auto"
    language: str | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Which devices; ``microphone`` None is the system's default, ``camera`` None is no camera.

    With two ``channels`` each is one person's. ``camera_delay`` is how many seconds pictures come
    later than the sound that belongs to them.
    """

    microphone: str | None = None
    camera: int | None = 0
    channels: int = 1
    camera_delay: float = 0.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One reading of a recording, or of what the devices deliver.

    ``speed``, of a recording, None is as fast as possible. ``speakers`` is how many people talk,
    None where nobody knows; those in ``enrol`` introduce their voices first. ``export`` is the
    folder for the results, ``record`` the session folder (:mod:`app.session.card`) to record to;
    None for none.
    """

    medium: Path | LiveOptions
    speed: float | None = 1.0
    speakers: int | None = None
    enrol: tuple[str, ...] = ()
    export: Path | None = None
    record: Path | None = None
    models: ModelOptions = ModelOptions()

    @property
    def name(self) -> str:
        return "live" if isinstance(self.medium, LiveOptions) else self.medium.name


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was typed, completed by defaults; ``given`` names the options that really were."""

    run: RunOptions
    given: frozenset[str] = frozenset()
