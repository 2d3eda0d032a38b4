"""Who speaks: an online clustering of voices, and the voices of the demo's two people."""

import json
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import ASSETS, DEMO_MEDIA
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.speakers import SpeakerTracker, VoiceEncoder


def voice(*direction: float) -> NDArray[np.float32]:
    vector = np.array(direction, dtype=np.float32)
    return vector / np.linalg.norm(vector)


ANN, BOB, CID = voice(1, 0, 0), voice(0, 1, 0), voice(0, 0, 1)


def test_people_are_numbered_as_they_are_heard() -> None:
    identify = SpeakerTracker()
    assert [identify(v, 2.0) for v in (BOB, ANN, BOB, CID, ANN)] == [0, 1, 0, 2, 1]


def test_a_voice_that_wanders_a_little_stays_the_same_person() -> None:
    identify = SpeakerTracker()
    assert [identify(voice(1, wander, 0), 2.0) for wander in (0, 0.2, 0.4, 0.5)] == [0, 0, 0, 0]


def test_a_short_exclamation_founds_no_new_person() -> None:
    identify = SpeakerTracker()
    assert identify(ANN, 0.3) == 0
    assert identify(BOB, 0.3) == 0
    assert identify(BOB, 3.0) in (0, 1)


def test_a_known_number_of_people_is_kept_to() -> None:
    identify = SpeakerTracker(known_number=2)
    assert [identify(v, 2.0) for v in (ANN, BOB)] == [0, 1]
    assert identify(CID, 2.0) in (0, 1)


def test_reset_forgets_everybody() -> None:
    identify = SpeakerTracker()
    identify(ANN, 2.0)
    identify.reset()
    assert identify(BOB, 2.0) == 0


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    return VoiceEncoder(weights.packaged(weights.GE2E))


def test_the_demo_s_people_sound_like_themselves(encoder: VoiceEncoder) -> None:
    blocks = [
        item.samples[:, 0]
        for item in RecordingSource(DEMO_MEDIA, VirtualClock())
        if isinstance(item, AudioBlock)
    ]
    sound = np.concatenate(blocks)
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    voices = [
        (u["speaker"], encoder.embed(sound[round(u["start"] * SAMPLE_RATE) :][: 2 * SAMPLE_RATE]))
        for u in told["utterances"][:10]
    ]
    same, different = [], []
    for (one, a), (other, b) in combinations(voices, 2):
        (same if one == other else different).append(float(a @ b))
    assert min(np.linalg.norm(v) for _, v in voices) == pytest.approx(1.0, abs=1e-5)
    assert np.mean(same) > np.mean(different) + 0.1


def test_a_voice_does_not_depend_on_the_gain(encoder: VoiceEncoder) -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE * 2).astype(np.float32)
    quiet, quieter = encoder.embed(noise * 0.01), encoder.embed(noise * 0.001)
    np.testing.assert_allclose(quiet, quieter, atol=1e-4)


def test_a_word_shorter_than_a_window_has_a_voice(encoder: VoiceEncoder) -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 4).astype(np.float32)
    assert encoder.embed(noise).shape == (256,)
