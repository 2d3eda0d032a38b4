"""From words to a sentence embedding, from a voice to acoustic functionals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from live_features import weights
from live_features.acoustic import ACOUSTIC_SIZE, AcousticExtractor
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.text import TextEncoder
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


def test_acoustic_functionals_do_not_tell_the_gain(speech: NDArray[np.float32]) -> None:
    extract = AcousticExtractor()
    loud, soft = extract(speech), extract(speech * 0.25)
    assert loud is not None
    assert soft is not None
    assert loud.shape == (ACOUSTIC_SIZE,) == (1582,)
    assert np.isfinite(loud).all()
    # 16-bit rounding is all that is left of the difference.
    scale = np.abs(loud) + 1e-3
    assert np.median(np.abs(loud - soft) / scale) < 0.01


def test_the_same_sound_gives_the_same_numbers(speech: NDArray[np.float32]) -> None:
    extract = AcousticExtractor()
    np.testing.assert_array_equal(extract(speech), extract(speech))


def test_silence_and_a_click_have_no_acoustics() -> None:
    extract = AcousticExtractor()
    assert extract(np.zeros(SAMPLE_RATE, np.float32)) is None
    assert extract(np.ones(100, np.float32)) is None
