"""The drawn voices and faces that the default checkpoint learns from."""

from pathlib import Path

import numpy as np
import pytest

from app.default_corpus import (
    Bank,
    Drawer,
    DrawRates,
    Line,
    embed_lines,
    linear_score,
    read_meld,
    right_rate,
)
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from sdt_model.dialogues import Dialogue

CLASSES = len(EMOTIONS)
PRIORS = np.eye(CLASSES)[0]  # wrong draws are always neutral


def bank(persons: int) -> Bank:
    """One vector (label, person) for every person showing every emotion."""
    labels, people = np.divmod(np.arange(CLASSES * persons), persons)
    return Bank(np.stack([labels, people], axis=1).astype(np.float32), labels, people)


def lines(count: int) -> list[Line]:
    return [Line("Hi.", "ABC"[i % 3], i % CLASSES) for i in range(count)]


def draw(rates: DrawRates, count: int = 210, seed: int = 0) -> Dialogue:
    drawer = Drawer(bank(5), bank(1), PRIORS, rates, seed)
    return drawer("d", lines(count), np.zeros((count, 4), np.float32))


def test_right_draws_show_the_utterance_s_emotion() -> None:
    dialogue = draw(DrawRates(1.0, 1.0, audio_missing=0.0, visual_missing=0.0))
    assert dialogue.present.all()
    np.testing.assert_array_equal(dialogue.audio[:, 0], dialogue.labels)
    np.testing.assert_array_equal(dialogue.visual[:, 0], dialogue.labels)


def test_wrong_draws_follow_the_priors() -> None:
    dialogue = draw(DrawRates(0.0, 0.0, audio_missing=0.0, visual_missing=0.0))
    assert not dialogue.audio[:, 0].any()
    assert not dialogue.visual[:, 0].any()


def test_a_person_keeps_one_voice_through_a_dialogue() -> None:
    dialogue = draw(DrawRates(0.5, 0.5, audio_missing=0.0))
    for speaker in range(3):
        assert len(set(dialogue.audio[dialogue.speakers == speaker, 1])) == 1


def test_missing_draws_are_marked_and_as_frequent_as_asked() -> None:
    dialogue = draw(DrawRates(1.0, 1.0, audio_missing=0.2, visual_missing=0.5), count=2000)
    text, audio, visual = dialogue.present.mean(axis=0)
    assert text == 1.0
    assert audio == pytest.approx(0.8, abs=0.04)
    assert visual == pytest.approx(0.5, abs=0.04)
    assert not dialogue.audio[~dialogue.present[:, 1]].any()


def test_the_same_seed_draws_the_same() -> None:
    rates = DrawRates(0.5, 0.5)
    np.testing.assert_array_equal(draw(rates).audio, draw(rates).audio)
    assert not np.array_equal(draw(rates).audio, draw(rates, seed=1).audio)


def test_the_rate_of_right_draws_meets_its_target() -> None:
    assert right_rate(lambda rate: rate**2, 0.25, steps=12) == pytest.approx(0.5, abs=1e-3)


def test_a_linear_classifier_learns_what_is_there_to_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 700)
    telling = np.eye(CLASSES)[labels].astype(np.float32) + 0.1 * rng.standard_normal((700, CLASSES))
    noise = rng.standard_normal((700, CLASSES))
    halves = slice(0, 350), slice(350, 700)

    def score(features: np.ndarray) -> float:
        parts = [(features[half].astype(np.float32), labels[half]) for half in halves]
        return linear_score(parts[0], parts[1], seed=0)

    assert score(telling) > 0.95
    assert score(noise) < 0.4


def test_meld_s_tables_are_read_by_dialogue(tmp_path: Path) -> None:
    table = tmp_path / "dev_sent_emo.csv"
    table.write_text(
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
        "1,You must\u2019ve had your hands full.,Ann,neutral,neutral,0,0\n"
        "2,Oh!,Bob,surprise,positive,0,1\n"
        "3,No.,Ann,anger,negative,1,0\n",
        encoding="utf-8",
    )
    first, second = read_meld(table)
    assert first == [
        Line("You must've had your hands full.", "Ann", 0),
        Line("Oh!", "Bob", EMOTIONS.index("surprise")),
    ]
    assert [line.text for line in second] == ["No."]


def test_a_table_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "dev_sent_emo.csv").write_text("a,b\n1,2\n")
    for path in (tmp_path / "dev_sent_emo.csv", tmp_path / "absent.csv"):
        with pytest.raises(UserFacingError, match="MELD"):
            read_meld(path)


def test_features_kept_of_another_corpus_are_not_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.zeros((3, 384), np.float32))
    with pytest.raises(UserFacingError, match="delete it"):
        embed_lines([lines(2)], lambda texts: np.zeros((len(texts), 384)), tmp_path / "text.npy")


def test_every_line_gets_the_embedding_of_its_own_words(tmp_path: Path) -> None:
    scenes = [[Line("x" * n, "Ann", 0) for n in lengths] for lengths in ((9, 2, 5), (1,), (70, 3))]
    vectors = embed_lines(
        scenes, lambda texts: np.array([[len(t)] for t in texts], np.float32), tmp_path / "text.npy"
    )
    assert [scene.ravel().tolist() for scene in vectors] == [[9, 2, 5], [1], [70, 3]]


def test_words_are_blended_with_others_but_mostly_stay_what_they_are() -> None:
    rng = np.random.default_rng(2)
    text = rng.normal(size=(210, 64)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    strangers = rng.permutation(text)
    rates = DrawRates(1.0, 1.0, text_blend=0.5)
    drawer = Drawer(bank(5), bank(1), PRIORS, rates, 0, strangers)
    blended = drawer("d", lines(210), text).text
    np.testing.assert_allclose(np.linalg.norm(blended, axis=1), 1.0, rtol=1e-5)
    likeness = (blended * text).sum(axis=1)
    assert likeness.min() > 0.5
    assert 0.8 < likeness.mean() < 0.99
    plain = Drawer(bank(5), bank(1), PRIORS, rates, 0)("d", lines(210), text).text
    np.testing.assert_array_equal(plain, text)
