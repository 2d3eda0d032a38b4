"""Training the text adapter on a handful of made-up lines."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from app.default_corpus import Line
from app.text_training import (
    TextTrainingOptions,
    as_recognised,
    train_text,
    without_punctuation,
)
from live_features import weights
from live_features.emotions import EMOTIONS
from live_features.text import TextEncoder

SAID = {
    "joy": ("What a lovely day!", "I am so happy for you!", "We won, we won!"),
    "anger": ("Get out of here!", "How dare you!", "I hate this."),
    "sadness": ("I miss her so much.", "It is all over.", "Nobody came."),
}
OPTIONS = TextTrainingOptions(epochs=1, batch_size=4, rank=2)


def dialogues(words: int) -> list[list[Line]]:
    return [
        [Line(texts[i % 3], "A", EMOTIONS.index(emotion)) for emotion, texts in SAID.items()]
        for i in range(words)
    ]


SPLITS = {"train": dialogues(4), "dev": dialogues(2), "test": dialogues(2)}


def train(folder: Path, seeds: tuple[int, ...]) -> list[str]:
    told: list[str] = []
    train_text(
        SPLITS,
        {1: ["what a lovely day", "get out of there", "i missed her"]},
        weights.text_encoder(offline=True),
        folder / "out",
        folder / "cache",
        OPTIONS,
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


def test_training_ends_in_an_adapter_the_encoder_loads(trained: Path) -> None:
    adapter = trained / "out" / "adapter.safetensors"
    card = json.loads((trained / "out" / "card.json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256(adapter.read_bytes()).hexdigest()
    assert [figures["seed"] for figures in card["weighted_f1_of_the_linear_head"]] == [1, 2]
    assert card["data"]["lines"] == {"train": 12, "dev": 6, "test": 6}
    assert card["data"]["read aloud"] == 3
    plain = TextEncoder(weights.text_encoder(offline=True))
    adapted = TextEncoder(weights.text_encoder(offline=True), adapter=adapter)
    assert np.abs(adapted(["We won!"]) - plain(["We won!"])).max() > 1e-5


def test_seeds_that_are_done_are_not_trained_again(trained: Path) -> None:
    before = (trained / "out" / "adapter.safetensors").read_bytes()
    told = train(trained, (1, 2))
    assert not any("epoch 1:" in line for line in told)
    assert (trained / "out" / "adapter.safetensors").read_bytes() == before


def test_the_same_seed_gives_the_same_adapter(trained: Path, tmp_path: Path) -> None:
    train(tmp_path, (2,))
    again = (tmp_path / "cache" / "text-seed-2.safetensors").read_bytes()
    assert again == (trained / "cache" / "text-seed-2.safetensors").read_bytes()


def test_words_without_punctuation() -> None:
    assert without_punctuation("No! I didn't, Joey...") == "no i didn't joey"
    assert without_punctuation("?!") == "?!"


@pytest.mark.parametrize(
    ("written", "recognised"),
    [
        ("Come on! Joe!", "Come on, Joe."),
        ("Here?! Now?!", "Here? Now?"),
        ("You should! A lot of people do!", "You should, A lot of people do."),
        ("I never left you! You have been my agent!", "I never left you. You have been my agent."),
        ("I-I\u2019m sorry, we were\u2026we were looking.", "I'm sorry, we were we were looking."),
        ("What\u2014You are not serious", "What You are not serious."),
        ("\u201cWanted.\u201d Nice, ok.", "Wanted. Nice, okay."),
        ("Uhh....", "Uhh."),
        ("The point is I...", "The point is I."),
        ("So?", "So?"),
        ("...", "..."),
    ],
)
def test_what_a_recogniser_would_write(written: str, recognised: str) -> None:
    assert as_recognised(written) == recognised


def test_what_several_seeds_learned_is_kept_together(trained: Path) -> None:
    card = json.loads((trained / "out" / "card.json").read_text("utf-8"))
    merits = [
        figures["dev"] + figures["dev_recognised"]
        for figures in (*card["weighted_f1_of_the_linear_head"], card["mean_of_the_seeds"])
    ]
    kept = ["seed 1", "seed 2", "the mean of the seeds"].index(card["saved"])
    assert merits[kept] == max(merits)
