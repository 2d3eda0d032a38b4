"""Training the text adapter on a handful of made-up lines."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load, save

from app.default_corpus import Line
from app.text_training import (
    READINGS,
    TextTrainingOptions,
    adapter_file,
    train_text,
)
from live_features import weights
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.text import TextEncoder
from live_features.weights import Weights

SAID = {
    "joy": ("What a lovely day!", "I am so happy for you!", "We won, we won!"),
    "anger": ("Get out of here!", "How dare you!", "I hate this."),
    "sadness": ("I miss her so much.", "It is all over.", "Nobody came."),
}
HEARD = TextTrainingOptions(epochs=1, batch_size=4, rank=2)
TAUGHT = replace(HEARD, agreement=0.0, taught=0.6, varied=2)


def dialogues(words: int) -> list[list[Line]]:
    return [
        [Line(texts[i % 3], "A", EMOTIONS.index(emotion)) for emotion, texts in SAID.items()]
        for i in range(words)
    ]


SPLITS = {"train": dialogues(4), "dev": dialogues(2), "test": dialogues(2)}


def small_encoder() -> Weights:
    return weights.text_encoder(offline=True)


def train(
    folder: Path,
    seeds: tuple[int, ...],
    written: TextTrainingOptions = TAUGHT,
    teacher: Callable[[], Weights] = small_encoder,
) -> list[str]:
    """A small encoder is taught by its like, which has looked at the lines for longer."""
    told: list[str] = []
    train_text(
        SPLITS,
        {1: ["what a lovely day", "get out of there", "i missed her"]},
        small_encoder(),
        teacher,
        folder / "out",
        folder / "cache",
        {"written": written, "heard": HEARD},
        teacher_options=replace(HEARD, epochs=3),
        seeds=seeds,
        command="a test",
        report=told.append,
    )
    return told


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    train(folder, (1, 2))
    return folder


def kept(trained: Path, name: str) -> Path:
    """The file of that ``name`` in the cache, whatever recipe it is of."""
    (file,) = (trained / "cache").glob(f"{name}-*.safetensors")
    return file


def card(trained: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((trained / "out" / "card.json").read_text("utf-8"))
    return told


@pytest.mark.parametrize("reading", READINGS)
def test_training_ends_in_adapters_the_encoder_loads(trained: Path, reading: str) -> None:
    adapter = trained / "out" / adapter_file(reading)
    told = card(trained)
    assert told["sha256"][reading] == hashlib.sha256(adapter.read_bytes()).hexdigest()
    figures = told["weighted_f1_of_the_linear_head"][reading]
    assert [one["seed"] for one in figures["seeds"]] == [1, 2]
    assert told["data"]["lines"] == {"train": 12, "dev": 6, "test": 6}
    assert told["data"]["read aloud"] == 3
    plain = TextEncoder(weights.text_encoder(offline=True))
    adapted = TextEncoder(weights.text_encoder(offline=True), adapter=adapter)
    assert np.abs(adapted(["We won!"]) - plain(["We won!"])).max() > 1e-5


def test_seeds_that_are_done_are_not_trained_again(trained: Path) -> None:
    files = [trained / "out" / adapter_file(reading) for reading in READINGS]
    before = [file.read_bytes() for file in files]
    told = train(trained, (1, 2))
    assert not any("epoch 1:" in line for line in told)
    assert [file.read_bytes() for file in files] == before


def test_the_same_seed_gives_the_same_adapters(trained: Path, tmp_path: Path) -> None:
    train(tmp_path, (2,))
    for reading in READINGS:
        file = kept(tmp_path, f"text-{reading}-2")
        assert file.read_bytes() == (trained / "cache" / file.name).read_bytes()


@pytest.mark.parametrize("less", [{"taught": 0.0}, {"varied": 0}])
def test_what_a_teacher_says_counts_and_is_asked_for_once(
    trained: Path, tmp_path: Path, less: dict[str, Any]
) -> None:
    shutil.copytree(trained / "cache", tmp_path / "cache")
    taught = kept(tmp_path, "text-written-1")
    train(tmp_path, (1,), replace(TAUGHT, **less), teacher=lambda: pytest.fail("asked again"))
    # What another recipe made lies beside it, and was not taken for this one's.
    untaught = next(f for f in taught.parent.glob("text-written-1-*") if f != taught)
    assert untaught.read_bytes() != taught.read_bytes()
    said = card(tmp_path)["teacher of the written lines"]
    assert said == card(trained)["teacher of the written lines"]
    assert said["training"]["epochs"] == 3
    assert 0.0 <= said["dev"] <= 1.0


def test_a_teacher_of_other_lines_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "cache", tmp_path / "cache")
    opinions = kept(tmp_path, "text-teacher")
    fewer = {name: logits[1:] for name, logits in load(opinions.read_bytes()).items()}
    opinions.write_bytes(save(fewer))
    with pytest.raises(UserFacingError, match="another corpus: delete it"):
        train(tmp_path, (1,))


def test_written_and_heard_lines_teach_different_things(trained: Path) -> None:
    said = ["We won!", "I hate this."]
    written, heard = (
        TextEncoder(
            weights.text_encoder(offline=True), adapter=trained / "out" / adapter_file(reading)
        )(said)
        for reading in READINGS
    )
    assert np.abs(written - heard).max() > 1e-5


@pytest.mark.parametrize(("reading", "dev"), [("written", "dev"), ("heard", "dev_recognised")])
def test_what_several_seeds_learned_is_kept_together(trained: Path, reading: str, dev: str) -> None:
    figures = card(trained)["weighted_f1_of_the_linear_head"][reading]
    merits = [one[dev] for one in (*figures["seeds"], figures["mean_of_the_seeds"])]
    kept = ["seed 1", "seed 2", "the mean of the seeds"].index(figures["saved"])
    assert merits[kept] == max(merits)
