"""From words to a sentence embedding, from a voice to how it speaks."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA, VOICE_NETWORK
from app.models import load_text_encoder
from app.options import ModelOptions
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.text import TextEncoder
from live_features.voices import ACOUSTIC_SIZE, VoiceEncoder
from live_features.weights import Weights


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    """The demo's first sentence: "Hey, so what did you do today?"."""
    blocks = []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock):
            blocks.append(item.samples[:, 0])
            if item.end > 3.6:
                break
    return np.concatenate(blocks)[SAMPLE_RATE:]


@pytest.fixture(scope="module")
def encode() -> TextEncoder:
    return TextEncoder(weights.text_encoder(offline=True))


def test_like_sentences_are_close_and_of_unit_length(encode: TextEncoder) -> None:
    glad, happy, gross = encode(["I am so glad!", "I am so happy!", "That is disgusting."])
    assert glad.shape == (encode.dim,) == (384,)
    assert np.linalg.norm(glad) == pytest.approx(1.0, abs=1e-5)
    assert glad @ happy > glad @ gross


def test_an_embedding_does_not_depend_on_its_neighbours(encode: TextEncoder) -> None:
    alone = encode(["Great."])[0]
    together = encode(["Great.", "I never thought that you would say such a thing to me."])[0]
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_a_folder_without_an_encoder_is_said_to_be_none(tmp_path: object) -> None:
    with pytest.raises(UserFacingError, match="text encoder"):
        TextEncoder(Weights(tmp_path, "a test"))  # type: ignore[arg-type]


def test_a_damaged_encoder_is_said_to_be_none(tmp_path: Path) -> None:
    folder = shutil.copytree(weights.text_encoder(offline=True).folder, tmp_path / "encoder")
    tensors = folder / "model.safetensors"
    whole = tensors.read_bytes()
    for cut in (b"", whole[:100_000]):
        tensors.write_bytes(cut)
        with pytest.raises(UserFacingError, match="text encoder"):
            TextEncoder(Weights(folder, "a test"))


def test_the_default_encoder_by_its_full_name_has_its_adapter_too() -> None:
    lines = ["I can't believe you did that!", "What a lovely day."]
    full = ModelOptions(text_encoder="sentence-transformers/all-MiniLM-L6-v2", offline=True)
    np.testing.assert_allclose(
        load_text_encoder(full, "cpu")(lines),
        load_text_encoder(ModelOptions(offline=True), "cpu")(lines),
        atol=1e-5,
    )


@pytest.fixture(scope="module")
def voices() -> VoiceEncoder:
    return VoiceEncoder(VOICE_NETWORK)


def acoustic(voices: VoiceEncoder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    found = voices.listen(samples).acoustic
    assert found is not None
    return found


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_how_a_voice_speaks_does_not_tell_the_gain(
    voices: VoiceEncoder, speech: NDArray[np.float32]
) -> None:
    loud, soft = acoustic(voices, speech), acoustic(voices, speech * 0.25)
    assert loud.shape == (ACOUSTIC_SIZE,)
    assert np.isfinite(loud).all()
    np.testing.assert_allclose(loud, soft, atol=1e-3)


def test_the_same_sound_gives_the_same_numbers(
    voices: VoiceEncoder, speech: NDArray[np.float32]
) -> None:
    np.testing.assert_array_equal(acoustic(voices, speech), acoustic(voices, speech))


def test_of_long_speech_all_is_heard(voices: VoiceEncoder, speech: NDArray[np.float32]) -> None:
    hoarse = np.random.default_rng(0).normal(0, 0.05, len(speech)).astype(np.float32)
    once, often = acoustic(voices, speech), acoustic(voices, np.tile(speech, 5))
    at_the_end = acoustic(voices, np.concatenate([np.tile(speech, 4), hoarse]))
    assert likeness(often, once) > 0.99
    assert np.linalg.norm(at_the_end - often) > 2 * np.linalg.norm(often - once)


def test_silence_and_a_click_do_not_tell_how_a_voice_speaks(voices: VoiceEncoder) -> None:
    assert voices.listen(np.zeros(SAMPLE_RATE, np.float32)).acoustic is None
    assert voices.listen(np.ones(100, np.float32)).acoustic is None
