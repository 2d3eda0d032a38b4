"""Everything that has to be loaded before a conversation can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from app.assets import DEFAULT_CHECKPOINT, EXPRESSION_NETWORK
from app.options import ModelOptions
from live_features import weights
from live_features.acoustic import ACOUSTIC_SIZE, AcousticExtractor
from live_features.errors import UserFacingError
from live_features.expression import EMBEDDING_SIZE, ExpressionEncoder
from live_features.faces import FaceAnalyser, FaceDetector
from live_features.speakers import VoiceEncoder
from live_features.text import TextEncoder
from live_features.transcription import Transcriber
from live_features.voice_activity import VoiceActivityDetector
from sdt_model.checkpoints import Checkpoint, load_checkpoint
from sdt_model.errors import SDTError


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded blocks, handed to the engine.

    ``new_voice_activity`` makes a detector for one more stream. ``origins`` says where each set of
    weights came from.
    """

    new_voice_activity: Callable[[], VoiceActivityDetector]
    transcribe: Transcriber
    encode_text: TextEncoder
    extract_acoustic: AcousticExtractor
    encode_voice: VoiceEncoder
    analyse_faces: FaceAnalyser
    checkpoint: Checkpoint
    device: str
    origins: dict[str, str]


def load_models(options: ModelOptions) -> Models:
    """Load all models.

    Raises:
        UserFacingError: weights are missing, damaged or do not fit, or the device is not there.
    """
    device = resolve_device(options.device)
    # Several stages compute side by side; each with a team of threads of its own would keep the
    # others off the processor.
    torch.set_num_threads(1)
    with _told_to_people():
        checkpoint = load_checkpoint(options.checkpoint)
    silero = weights.packaged(weights.SILERO)
    whisper_weights = weights.whisper(options.whisper, offline=options.offline)
    text_weights = weights.text_encoder(options.text_encoder, offline=options.offline)
    voice_weights = weights.packaged(weights.GE2E)
    face_weights = weights.packaged(weights.MTCNN)
    # Loading is mostly reading files, so the two large models load side by side.
    with ThreadPoolExecutor(2) as pool:
        transcriber = pool.submit(Transcriber, whisper_weights, device=_whisper_device(device))
        text = pool.submit(TextEncoder, text_weights, device)
        acoustic = AcousticExtractor()
        voice = VoiceEncoder(voice_weights)
        faces = FaceAnalyser(FaceDetector(), ExpressionEncoder.load(EXPRESSION_NETWORK))
        models = Models(
            new_voice_activity=lambda: VoiceActivityDetector(silero),
            transcribe=transcriber.result(),
            encode_text=text.result(),
            extract_acoustic=acoustic,
            encode_voice=voice,
            analyse_faces=faces,
            checkpoint=checkpoint,
            device=device,
            origins={
                "voice activity": silero.origin,
                "speech recognition": whisper_weights.origin,
                "text": text_weights.origin,
                "speakers": voice_weights.origin,
                "faces": face_weights.origin,
                "expression": "shipped",
                "emotion": "shipped"
                if options.checkpoint == DEFAULT_CHECKPOINT
                else f"folder {options.checkpoint}",
            },
        )
    with _told_to_people():
        checkpoint.config.require_sizes(
            text=models.encode_text.dim, audio=ACOUSTIC_SIZE, visual=EMBEDDING_SIZE
        )
    return models


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


def _whisper_device(device: str) -> str:
    # CTranslate2 knows NVIDIA cards and processors, not Apple's.
    return "cuda" if device == "cuda" else "cpu"
