from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sdt_helpers import SIZES, random_dialogue, small_config, utterances_of

from sdt_model.config import MODALITIES
from sdt_model.dialogues import (
    Dialogue,
    FeatureStatistics,
    UtteranceFeatures,
    collate,
    load_classes,
    load_dialogues,
    save_dialogues,
)
from sdt_model.errors import SDTError


def assert_same(one: Dialogue, other: Dialogue) -> None:
    assert one.id == other.id
    for name in (*MODALITIES, "present", "speakers", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_batch_marks_what_is_real() -> None:
    config = small_config()
    batch = collate([random_dialogue(2), random_dialogue(4, seed=1, missing=0.5)], config)
    assert batch.text.shape == (2, 4, SIZES[0])
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.speakers[0, 2:].tolist() == [config.speakers] * 2
    assert batch.labels is not None
    unlabelled = replace(random_dialogue(3), labels=None)
    assert collate([unlabelled, random_dialogue(4)], config).labels is None


def test_utterances_stack_into_a_dialogue() -> None:
    dialogue = random_dialogue(6, missing=0.4)
    stacked = Dialogue.from_utterances(
        "d", utterances_of(dialogue), dialogue.speakers, small_config(), dialogue.labels
    )
    np.testing.assert_array_equal(stacked.present, dialogue.present)
    np.testing.assert_array_equal(stacked.audio, dialogue.audio * dialogue.present[:, 1, None])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": np.full((3, 6), np.nan)}, "has text features that are not finite"),
        ({"audio": np.zeros((2, 10))}, r"audio features of shape \(2, 10\) for 3 utterances"),
        ({"visual": np.zeros(3)}, "visual features of shape"),
        ({"labels": np.array([0, -1, 0])}, "a label below 0"),
        ({"labels": np.array([0])}, "labels of shape"),
        ({"speakers": np.array([0, -1, 0])}, "a speaker number below 0"),
        ({"speakers": np.zeros(0)}, "has no utterances"),
        ({"present": np.ones((3, 2))}, "presence flags"),
    ],
)
def test_a_broken_dialogue_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SDTError, match=f"'scene 7'.*{sentence}|{sentence}"):
        replace(random_dialogue(3, name="scene 7"), **changes)  # type: ignore[arg-type]


def test_a_dialogue_that_does_not_fit_the_model_is_refused() -> None:
    dialogue = random_dialogue(3)
    with pytest.raises(SDTError, match=r"has label 3, the model has 3 classes \(0 to 2\)"):
        collate([replace(dialogue, labels=np.array([0, 3, 1]))], small_config())
    with pytest.raises(SDTError, match="has speaker number 5, the model has room for 3"):
        collate([replace(dialogue, speakers=np.array([0, 5, 1]))], small_config())
    with pytest.raises(SDTError, match="expects audio features of 12 values"):
        collate([dialogue], small_config(audio_dim=12))


def test_statistics_are_those_of_what_is_present() -> None:
    dialogues = [random_dialogue(40, seed=s, missing=0.3) for s in range(3)]
    statistics = FeatureStatistics.fit(dialogues)
    for i in range(3):
        rows = np.concatenate([d.features[i][d.present[:, i]] for d in dialogues])
        np.testing.assert_allclose(statistics.means[i], rows.mean(0), atol=1e-6)
        np.testing.assert_allclose(statistics.deviations[i], rows.std(0), rtol=1e-5)

    scaled = [statistics.standardise_dialogue(d) for d in dialogues]
    rows = np.concatenate([d.audio[d.present[:, 1]] for d in scaled])
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-5)
    assert (scaled[0].audio[~scaled[0].present[:, 1]] == 0).all()


def test_live_features_are_standardised_like_the_training_ones() -> None:
    dialogue = random_dialogue(30, missing=0.3)
    statistics = FeatureStatistics.fit([dialogue])
    scaled = statistics.standardise_dialogue(dialogue)
    for row, utterance in enumerate(utterances_of(dialogue)):
        live = statistics.standardise(utterance)
        for i, vector in enumerate(live.vectors):
            assert (vector is None) == (not dialogue.present[row, i])
            if vector is not None:
                np.testing.assert_array_equal(vector, scaled.features[i][row])


def test_outliers_and_constants_stay_harmless() -> None:
    dialogue = random_dialogue(30)
    dialogue.audio[:, 0] = 0.1  # not exact in binary: the sums round
    dialogue.audio[:, 1] = np.linspace(1e7, 2e7, 30)
    dialogue.audio[:, 2] = np.linspace(1e-9, 2e-9, 30)
    statistics = FeatureStatistics.fit([dialogue])
    live = np.zeros(10, np.float32)
    live[:4] = 1e6, 1e30, 1.5e-9, -1e6
    scaled = statistics.standardise(UtteranceFeatures(None, live, None)).audio
    assert scaled is not None
    np.testing.assert_allclose(scaled[:4], [0, 5, 0, -5], atol=1e-3)


def test_statistics_refuse_features_of_another_size() -> None:
    statistics = FeatureStatistics.fit([random_dialogue(4)])
    with pytest.raises(SDTError, match="expects visual features of 4 values"):
        statistics.standardise(UtteranceFeatures(None, None, np.zeros(5, np.float32)))


def test_a_store_gives_back_what_went_in(tmp_path: Path) -> None:
    dialogues = [
        random_dialogue(3, missing=0.5, name="Ausschnitt – eins"),
        replace(random_dialogue(5, seed=1, name="b"), labels=None),
    ]
    save_dialogues(tmp_path / "new" / "corpus.safetensors", dialogues)
    loaded = load_dialogues(tmp_path / "new" / "corpus.safetensors")
    assert loaded[1].labels is None
    for before, after in zip(dialogues, loaded, strict=True):
        assert_same(before, after)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["corpus.safetensors"]


def test_a_store_names_its_classes_where_it_was_given_them(tmp_path: Path) -> None:
    save_dialogues(tmp_path / "named", [random_dialogue(2)], ("calm", "not calm"))
    assert load_classes(tmp_path / "named") == ("calm", "not calm")
    save_dialogues(tmp_path / "unnamed", [random_dialogue(2)])
    assert load_classes(tmp_path / "unnamed") is None
    save_file({"text": torch.zeros(1)}, tmp_path / "other", {"description": "[]"})
    with pytest.raises(SDTError, match="is not a store of dialogues"):
        load_classes(tmp_path / "other")


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.safetensors"
    with pytest.raises(SDTError, match="does not exist"):
        load_dialogues(path)
    path.write_text("not tensors")
    with pytest.raises(SDTError, match="damaged or not a safetensors file"):
        load_dialogues(path)
    save_dialogues(path, [random_dialogue(3)])
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SDTError, match="damaged"):
        load_dialogues(path)
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(SDTError, match="not a store of dialogues"):
        load_dialogues(path)
    with pytest.raises(SDTError, match="no dialogues to write"):
        save_dialogues(path, [])
    wider = replace(random_dialogue(3, name="e"), text=np.zeros((3, 7)))
    with pytest.raises(SDTError, match="'d' and 'e' have features of different sizes"):
        save_dialogues(path, [random_dialogue(3), wider])


def test_numbers_that_are_not_finite_in_a_store_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.safetensors"
    dialogue = random_dialogue(3)
    dialogue.text[1, 2] = np.inf
    save_dialogues(path, [dialogue])
    with pytest.raises(SDTError, match="text features that are not finite"):
        load_dialogues(path)
