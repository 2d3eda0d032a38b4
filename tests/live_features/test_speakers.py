"""Who speaks: an online clustering of voices, and the voices of the demo's two people."""

import json
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import ASSETS, DEMO_MEDIA, VOICE_NETWORK
from live_features.clocks import VirtualClock
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.speakers import SpeakerTracker
from live_features.voices import VoiceEncoder


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


def test_a_first_word_that_tells_little_does_not_stand_for_a_person() -> None:
    identify = SpeakerTracker(known_number=2)
    assert identify(CID, 0.3) == 0
    assert identify(ANN, 2.0) == 1
    assert [identify(v, 2.0) for v in (BOB, ANN, BOB)] == [0, 1, 0]


def test_reset_forgets_everybody() -> None:
    identify = SpeakerTracker()
    identify(ANN, 2.0)
    identify.reset()
    assert identify(BOB, 2.0) == 0


def test_a_guess_teaches_nothing() -> None:
    identify = SpeakerTracker()
    assert identify.guess(ANN) is None
    identify(ANN, 2.0)
    assert identify.guess(voice(1, 0.3, 0)) == 0
    assert identify.guess(BOB) is None
    assert identify(BOB, 2.0) == 1


def test_who_has_enrolled_is_known_from_the_first_word() -> None:
    identify = SpeakerTracker()
    assert [identify.enrol(ANN), identify.enrol(BOB)] == [0, 1]
    assert identify(voice(0.2, 1, 0), 0.4) == 1
    assert identify(CID, 2.0) == 2


def test_the_talking_face_tells_voices_apart_that_are_nearly_alike() -> None:
    identify = SpeakerTracker(known_number=2)
    near, between = voice(1, 0.9, 0), voice(1, 0.42, 0)
    ann, bob = 7, 8
    for _ in range(3):
        assert identify(ANN, 2.0, face=ann) == 0
    identify.enrol(near)
    for _ in range(3):
        assert identify(near, 2.0, face=bob) == 1
    assert identify.guess(between, face=ann) == 0
    assert identify.guess(between, face=bob) == 1
    # A voice that is another's beyond doubt is not overruled by a face.
    assert identify.guess(ANN, face=bob) == 0


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    return VoiceEncoder(VOICE_NETWORK)


def test_the_demo_s_people_sound_like_themselves(encoder: VoiceEncoder) -> None:
    blocks = [
        item.samples[:, 0]
        for item in RecordingSource(DEMO_MEDIA, VirtualClock())
        if isinstance(item, AudioBlock)
    ]
    sound = np.concatenate(blocks)
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    length = 2 * SAMPLE_RATE
    voices = [
        (u["speaker"], encoder.listen(sound[round(u["start"] * SAMPLE_RATE) :][:length]).speaker)
        for u in told["utterances"][:10]
    ]
    same, different = [], []
    for (one, a), (other, b) in combinations(voices, 2):
        (same if one == other else different).append(float(a @ b))
    assert min(np.linalg.norm(v) for _, v in voices) == pytest.approx(1.0, abs=1e-5)
    assert min(same) > 0.4 > max(different)


def test_a_voice_does_not_depend_on_the_gain(encoder: VoiceEncoder) -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE * 2).astype(np.float32)
    quiet, quieter = encoder.listen(noise * 0.01).speaker, encoder.listen(noise * 0.001).speaker
    np.testing.assert_allclose(quiet, quieter, atol=1e-3)


def test_a_word_shorter_than_a_window_has_a_voice(encoder: VoiceEncoder) -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // 4).astype(np.float32)
    assert encoder.listen(noise).speaker.shape == (192,)
