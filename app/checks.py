"""What works on this machine, a plain function for each part of it; nothing leaves the machine.

What takes long to import is imported where it is looked at, so that the first findings are there at
once and a broken library is one finding among others.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from app.assets import DEFAULT_CHECKPOINT, EXPRESSION_NETWORK, SPEAKER_NETWORKS, VOICE_NETWORK
from app.logs import log_file
from app.options import BEST_WHISPER, ModelOptions
from live_features import weights
from live_features.errors import UserFacingError

State = Literal["works", "missing", "slow", "failed"]
"""``failed`` is for a check that broke down itself."""

LIBRARIES = {
    "torch": "torch",
    "CTranslate2": "ctranslate2",
    "faster-whisper": "faster-whisper",
    "ONNX Runtime": "onnxruntime",
    "PySide6": "PySide6-Essentials",
    "PyAV": "av",
    "OpenCV": "opencv-python-headless",
    "sounddevice": "sounddevice",
}
"""Name of a library that matters, and the package that brings it."""

_GIGABYTE = 1e9
_MEMORY = 1.5  # GB that the program needs


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``detail`` in words, ``advice`` what to do where it fails."""

    name: str
    state: State
    detail: str
    advice: str = ""

    @classmethod
    def from_sentence(cls, name: str, sentence: str, state: State = "missing") -> Finding:
        """From one of this program's sentences, which say last what to do."""
        detail, _, advice = sentence.rpartition("; " if "; " in sentence else ": ")
        if not detail:
            return cls(name, state, sentence)
        return cls(name, state, f"{detail}.", f"{advice[:1].upper()}{advice[1:].rstrip('.')}.")


# --- The system ----------------------------------------------------------------------------------


def system() -> list[Finding]:
    """Interpreter, machine, memory, and the versions of the libraries that matter."""
    memory = psutil.virtual_memory()
    free = memory.available / _GIGABYTE
    enough = free >= _MEMORY
    return [
        Finding("sdt-live", "works", importlib.metadata.version("sdt-live")),
        Finding("Python", "works", platform.python_version()),
        Finding("system", "works", platform.platform(terse=True)),
        Finding(
            "processor",
            "works",
            f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        ),
        Finding(
            "memory",
            "works" if enough else "slow",
            f"{free:.1f} GB free of {memory.total / _GIGABYTE:.1f} GB",
            "" if enough else f"Close other programs: this one needs {_MEMORY} GB.",
        ),
        *_libraries(),
        _log(),
    ]


def _libraries() -> list[Finding]:
    versions, missing = [], []
    for name, package in LIBRARIES.items():
        try:
            versions.append(f"{name} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(Finding(name, "missing", "It is not installed.", "Run `uv sync`."))
    return [Finding("libraries", "works", ", ".join(versions)), *missing]


def _log() -> Finding:
    path = log_file()
    if not path.exists():
        return Finding("log", "missing", f"{path} cannot be written.", "Let yourself write there.")
    return Finding("log", "works", str(path))


# --- The window ----------------------------------------------------------------------------------


def window() -> list[Finding]:
    """Whether a window would open."""
    from app.ui.availability import has_display, qt_unavailable  # noqa: PLC0415

    display = Finding("display", "works", "there is one")
    if not has_display():
        display = Finding(
            "display", "missing", "There is none.", "Nothing: everything also runs headless."
        )
    missing = qt_unavailable()
    if missing is None:
        return [display, Finding("Qt", "works", "its system libraries load")]
    return [display, Finding.from_sentence("Qt", missing)]


# --- The graphics card ---------------------------------------------------------------------------


def torch_graphics() -> list[Finding]:
    """What torch could compute on beside the processor, tried with a little work."""
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        device, name = "cuda", torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device, name = "mps", "Apple's GPU"
    else:
        return [Finding("torch", "missing", "It has no GPU, and computes on the processor.")]
    try:
        ones = torch.ones(1, 8, 8, device=device)
        # One needs cuDNN, the other cuBLAS.
        (torch.nn.functional.conv1d(ones, ones) + ones @ ones).sum().item()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        detail = f"{name} cannot be used: {reason}."
        return [Finding("torch", "missing", detail, "Renew its driver, or use `--device cpu`.")]
    return [Finding("torch", "works", f"{name} (--device {device})")]


def ctranslate2_graphics() -> list[Finding]:
    """The same for CTranslate2, which looks for CUDA's libraries by itself: one may do without."""
    import ctranslate2  # noqa: PLC0415

    cards = ctranslate2.get_cuda_device_count()
    types = sorted(ctranslate2.get_supported_compute_types("cuda" if cards else "cpu"))
    with_types = f"computes with {', '.join(types)}"
    if not cards:
        detail = f"It has no CUDA device; on the processor it {with_types}."
        return [Finding("CTranslate2", "missing", detail)]
    from live_features.transcription import Transcriber  # noqa: PLC0415

    try:
        fallback = Transcriber(weights.whisper(offline=True), device="cuda").fallback
    except UserFacingError as error:
        fallback = str(error)
    if fallback is not None:
        return [Finding.from_sentence("CTranslate2", fallback)]
    return [Finding("CTranslate2", "works", f"{cards} CUDA device(s), {with_types}")]


# --- Weights -------------------------------------------------------------------------------------


def model_weights(models: ModelOptions) -> list[Finding]:
    """Where the weights of each model come from; all are read, and compared with their hash."""
    looked_for: dict[str, Callable[[], str]] = {
        "voice activity": lambda: weights.packaged(weights.SILERO).origin,
        "speech recognition": lambda: _whisper(models.whisper),
        "text": lambda: weights.text_encoder(models.text_encoder, offline=True).origin,
        "speakers": _speakers,
        "faces": lambda: weights.packaged(weights.MTCNN).origin,
        "expression": _expression,
        "emotion": lambda: _checkpoint(models.checkpoint),
    }
    return [_weights(name, find) for name, find in looked_for.items()]


def _weights(name: str, find: Callable[[], str]) -> Finding:
    from sdt_model.errors import SDTError  # noqa: PLC0415

    try:
        return Finding(name, "works", find())
    except (UserFacingError, SDTError) as error:
        sentence = str(error)
        return Finding.from_sentence(name, f"{sentence[:1].upper()}{sentence[1:]}")


def _whisper(name: str) -> str:
    if name != BEST_WHISPER:
        return weights.whisper(name, offline=True).origin
    sizes = weights.whisper_sizes_here() or [weights.DEFAULT_WHISPER]
    origins = [f"{size}, {weights.whisper(size, offline=True).origin}" for size in sizes]
    return "; ".join(origins)


def _expression() -> str:
    from live_features.expression import ExpressionEncoder  # noqa: PLC0415

    ExpressionEncoder.load(EXPRESSION_NETWORK)
    return "shipped"


def _speakers() -> str:
    from live_features.turns import SpeakerSegmentation  # noqa: PLC0415
    from live_features.voices import VoiceEncoder  # noqa: PLC0415

    VoiceEncoder(VOICE_NETWORK)
    SpeakerSegmentation(SPEAKER_NETWORKS / "segmentation.safetensors")
    return "shipped"


def _checkpoint(folder: Path) -> str:
    from sdt_model.checkpoints import load_checkpoint  # noqa: PLC0415

    load_checkpoint(folder)
    return "shipped" if folder == DEFAULT_CHECKPOINT else f"folder {folder}"
