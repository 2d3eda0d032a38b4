"""Everything that has to be loaded before a conversation can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.assets import (
    DEFAULT_CHECKPOINT,
    DEMO_MEDIA,
    EXPRESSION_NETWORK,
    HEARD_ADAPTER,
    SPEAKER_NETWORKS,
    VOICE_NETWORK,
)
from app.options import BEST_WHISPER, ModelOptions
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.expression import EMBEDDING_SIZE, ExpressionEncoder
from live_features.faces import FaceAnalyser, FaceDetector
from live_features.fetching import Progress
from live_features.media import AudioBlock
from live_features.self_test import choose_whisper
from live_features.sources.recording import RecordingSource
from live_features.text import TextEncoder
from live_features.transcription import Transcriber
from live_features.turns import SpeakerSegmentation, TurnFinder
from live_features.voice_activity import VoiceActivityDetector
from live_features.voices import ACOUSTIC_SIZE, VoiceEncoder
from live_features.weights import DEFAULT_WHISPER
from sdt_model.checkpoints import Checkpoint, load_checkpoint
from sdt_model.errors import SDTError

_TALK_FROM, _TALK_SECONDS = 4.0, 5.0


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded blocks, handed to the engine.

    ``new_voice_activity`` and ``new_turn_finder`` make one for one more stream. ``origins`` says
    where each set of weights came from, and ``remarks`` in sentences what is not as it was asked
    for.
    """

    new_voice_activity: Callable[[], VoiceActivityDetector]
    new_turn_finder: Callable[[], TurnFinder]
    transcribe: Transcriber
    encode_text: TextEncoder
    encode_voice: VoiceEncoder
    analyse_faces: FaceAnalyser
    checkpoint: Checkpoint
    device: str
    origins: dict[str, str]
    remarks: tuple[str, ...] = ()


def load_models(options: ModelOptions, progress: Progress | None = None) -> Models:
    """Load all models; ``progress`` is told how far the fetch of one is that is not here yet.

    Raises:
        UserFacingError: weights are missing, damaged or do not fit, the checkpoint labels with
            other emotions than are shown, or the device is not there.
    """
    device = resolve_device(options.device)
    # Several stages compute side by side; each with a team of threads of its own would keep the
    # others off the processor.
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    with _told_to_people():
        checkpoint = load_checkpoint(options.checkpoint)
    if checkpoint.config.classes != EMOTIONS:
        raise UserFacingError(
            f"The checkpoint {options.checkpoint} tells {', '.join(checkpoint.config.classes)} "
            f"apart, sdt-live shows {', '.join(EMOTIONS)}: choose one that was trained on MELD's "
            f"classes, and sdt-evaluate for this one."
        )
    silero = weights.packaged(weights.SILERO)
    text_weights = weights.text_encoder(
        options.text_encoder, offline=options.offline, progress=progress
    )
    face_weights = weights.packaged(weights.MTCNN)
    # Loading is mostly reading files, so the two large models load side by side.
    with ThreadPoolExecutor(2) as pool:
        whisper = pool.submit(_whisper, options, _whisper_device(device), progress)
        adapter = text_adapter(options.text_encoder, HEARD_ADAPTER)
        text = pool.submit(TextEncoder, text_weights, device, adapter=adapter)
        voice = VoiceEncoder(VOICE_NETWORK)
        segmentation = SpeakerSegmentation(SPEAKER_NETWORKS / "segmentation.safetensors")
        faces = FaceAnalyser(FaceDetector(), ExpressionEncoder.load(EXPRESSION_NETWORK))
        transcribe, whisper_origin = whisper.result()
        models = Models(
            new_voice_activity=lambda: VoiceActivityDetector(silero),
            new_turn_finder=lambda: TurnFinder(segmentation),
            transcribe=transcribe,
            encode_text=text.result(),
            encode_voice=voice,
            analyse_faces=faces,
            checkpoint=checkpoint,
            device=device,
            origins={
                "voice activity": silero.origin,
                "speech recognition": whisper_origin,
                "text": text_weights.origin,
                "speakers": "shipped",
                "faces": face_weights.origin,
                "expression": "shipped",
                "emotion": "shipped"
                if options.checkpoint == DEFAULT_CHECKPOINT
                else f"folder {options.checkpoint}",
            },
            remarks=() if transcribe.fallback is None else (transcribe.fallback,),
        )
    with _told_to_people():
        checkpoint.config.require_sizes(
            text=models.encode_text.dim, audio=ACOUSTIC_SIZE, visual=EMBEDDING_SIZE
        )
    return models


def load_text_encoder(options: ModelOptions, device: str) -> TextEncoder:
    """The text encoder alone, as :func:`load_models` loads it.

    Raises:
        UserFacingError: its weights are missing or damaged.
    """
    found = weights.text_encoder(options.text_encoder, offline=options.offline)
    adapter = text_adapter(options.text_encoder, HEARD_ADAPTER)
    return TextEncoder(found, device, adapter=adapter)


def text_adapter(text_encoder: str, shipped: Path) -> Path | None:
    """``shipped``, if it was made for this text encoder: only the default one has adapters."""
    return shipped if weights.is_default_text_encoder(text_encoder) else None


def resolve_device(name: str) -> str:
    """``auto`` becomes the best device of this machine; any other must be there.

    Raises:
        UserFacingError: there is no such device.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available.get(name, False):
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise UserFacingError(
            f"There is no device '{name}' on this machine: choose auto or one of {there}."
        )
    return name


@contextmanager
def _told_to_people() -> Iterator[None]:
    """What is wrong with a checkpoint is, here, wrong with what a person gave us."""
    try:
        yield
    except SDTError as error:
        sentence = str(error)
        raise UserFacingError(f"{sentence[:1].upper()}{sentence[1:]}.") from error


def _whisper(
    options: ModelOptions, device: str, progress: Progress | None
) -> tuple[Transcriber, str]:
    """The recogniser asked for, and where its weights came from."""
    if options.whisper == BEST_WHISPER:
        sizes = weights.whisper_sizes_here()
        # Where there is only one there is nothing to try out.
        if len(sizes) > 1:
            choice = choose_whisper(
                sizes, _speech_to_try(), device=device, language=options.language
            )
            return choice.transcribe, f"{choice.name}, {choice.origin}"
        name = sizes[0] if sizes else DEFAULT_WHISPER
    else:
        name = options.whisper
    found = weights.whisper(name, offline=options.offline, progress=progress)
    return Transcriber(found, device=device, language=options.language), found.origin


def _speech_to_try() -> NDArray[np.float32]:
    """A few seconds of the demo's talk, mono at 16 kHz."""
    blocks: list[NDArray[np.float32]] = []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock) and item.end >= _TALK_FROM:
            blocks.append(item.samples[:, 0])
            if item.end >= _TALK_FROM + _TALK_SECONDS:
                break
    return np.concatenate(blocks)


def _whisper_device(device: str) -> str:
    # CTranslate2 knows NVIDIA cards and processors, not Apple's.
    return "cuda" if device == "cuda" else "cpu"
