"""Nobody and nothing that is tested on has been learned from: split by split, and on the corpora.

The corpora are not the project's to ship, so what needs them is left out where they are not beside
the checkout.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.default_corpus import Bank, Line, face_banks, read_meld, unseen_faces, voice_banks
from app.voice_augmentation import AUGMENTATIONS
from live_features.emotions import EMOTIONS
from live_features.expression import ExpressionEncoder
from live_features.expression_training import copies, learnable, read_faces
from live_features.voices import ACOUSTIC_SIZE

CORPORA = Path(__file__).parents[3] / "shared" / "data"
SHIPPED = Path(__file__).parents[2] / "assets" / "expression"
SPLITS = ("train", "dev", "test")
SEED = 1

needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"the corpora are not in {CORPORA}")


def banks(folder: Path, cache: Path) -> dict[str, Bank]:
    """Voices of all clips in ``folder``, each with its place among them as its features."""
    clips = sorted(folder.glob("Actor_*/*.flac"))
    learned = [i for i, clip in enumerate(clips) if int(clip.stem[-2:]) <= 18]
    places = np.concatenate([np.arange(len(clips)), np.repeat(learned, len(AUGMENTATIONS))])
    np.savez(cache, vectors=np.tile(places[:, None], ACOUSTIC_SIZE).astype(np.float32))

    def unasked() -> None:
        raise AssertionError("the features are there already")

    return voice_banks(folder, unasked, unasked, cache, SEED)  # type: ignore[arg-type]


def check_voices(folder: Path, tmp_path: Path) -> None:
    found = banks(folder, tmp_path / "voices.npz")
    actors = {split: set(found[split].persons.tolist()) for split in SPLITS}
    clips = {split: set(found[split].vectors[:, 0].astype(int).tolist()) for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert actors[one].isdisjoint(actors[other])
        assert clips[one].isdisjoint(clips[other])
    assert set.union(*clips.values()) == set(range(len(list(folder.glob("Actor_*/*.flac")))))
    # Changed copies of a clip are learned from alone.
    assert all(len(clips[split]) == len(found[split].labels) for split in ("dev", "test"))
    assert len(found["train"].labels) == len(clips["train"]) * (1 + len(AUGMENTATIONS))


def check_faces(folder: Path) -> None:
    known, test = read_faces(folder / "train.npz"), read_faces(folder / "public_test.npz")
    learned = known.images[learnable(known, test, SEED)]
    unseen = unseen_faces(folder, SEED)
    for split in SPLITS:
        assert len(unseen[split].labels)
        assert not copies(learned, unseen[split].images).any()
    for one, other in combinations(SPLITS, 2):
        assert not copies(unseen[one].images, unseen[other].images).any()
    np.testing.assert_array_equal(unseen["test"].images, test.images)


def check_words(splits: dict[str, list[list[Line]]]) -> None:
    scenes = {split: {tuple(scene) for scene in splits[split]} for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert scenes[one].isdisjoint(scenes[other])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of noise, some of which are in two of the places that must not share any."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        coarse = rng.integers(20, 230, (count, 12, 12), np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2), np.arange(count) % len(EMOTIONS)

    (known, labels), (test, test_labels) = drawn(700), drawn(70)
    for first in range(0, 700, 70):  # of every class, and so held out or not
        known[first : first + 7] = test[:7, :, ::-1]
        known[first + 7 : first + 14] = known[7:14] // 2 + 40
    np.savez(tmp_path / "train.npz", images=known, labels=labels, classes=EMOTIONS)
    np.savez(tmp_path / "public_test.npz", images=test, labels=test_labels, classes=EMOTIONS)
    return tmp_path


def test_no_actor_and_no_clip_is_in_two_splits(tmp_path: Path) -> None:
    for actor in range(1, 25):
        folder = tmp_path / f"Actor_{actor:02d}"
        folder.mkdir()
        for emotion in range(1, 9):
            (folder / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.flac").touch()
    for extra in (23, 24):  # of a complete release: in no split
        for clip in (tmp_path / f"Actor_{extra}").iterdir():
            clip.unlink()
    check_voices(tmp_path, tmp_path)


def test_no_picture_is_in_two_splits_nor_learned_from(pictures: Path) -> None:
    check_faces(pictures)


def test_faces_are_drawn_from_the_pictures_of_their_split(pictures: Path) -> None:
    encoder = ExpressionEncoder.load(SHIPPED)
    found = face_banks(pictures, encoder, SEED)
    for split, faces in unseen_faces(pictures, SEED).items():
        np.testing.assert_array_equal(found[split].labels, faces.labels)
        np.testing.assert_allclose(found[split].vectors, encoder(faces.images)[0], atol=1e-4)


@needs_corpora
def test_no_actor_and_no_clip_of_ravdess_is_in_two_splits(tmp_path: Path) -> None:
    check_voices(CORPORA / "ravdess", tmp_path)


@needs_corpora
def test_no_picture_of_fer2013_is_in_two_splits_nor_learned_from() -> None:
    check_faces(CORPORA / "fer2013")


@needs_corpora
def test_no_dialogue_of_meld_is_in_two_splits() -> None:
    splits = {name: read_meld(CORPORA / "meld" / f"{name}_sent_emo.csv") for name in SPLITS}
    check_words(splits)
    # Nor is a stretch of one: "Hi!" "Hey!" is said again and again, four lines are not.
    stretches = {
        name: {
            tuple(line.text for line in scene[first : first + 4])
            for scene in scenes
            for first in range(len(scene) - 3)
        }
        for name, scenes in splits.items()
    }
    for one, other in combinations(SPLITS, 2):
        assert stretches[one].isdisjoint(stretches[other])
