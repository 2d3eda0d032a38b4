"""The shipped demo conversation: small enough, playable, and in step with its reference."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import assets
from live_features.emotions import EMOTIONS

DEMO = Path(assets.__file__).parent / "demo"
VIDEO = DEMO / "demo.mp4"


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return json.loads((DEMO / "reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sound() -> tuple[np.ndarray, int]:
    with av.open(str(VIDEO)) as container:
        rate = container.streams.audio[0].rate
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    return samples, rate


def test_demo_and_what_belongs_to_it_stay_within_eight_megabytes() -> None:
    assert sum(f.stat().st_size for f in DEMO.iterdir() if f.is_file()) <= 8_000_000


def test_reference_belongs_to_this_very_video(reference: dict[str, Any]) -> None:
    assert reference["video"]["file"] == VIDEO.name
    assert reference["video"]["sha256"] == hashlib.sha256(VIDEO.read_bytes()).hexdigest()


def test_utterances_follow_one_another_with_a_pause_that_ends_each(
    reference: dict[str, Any],
) -> None:
    utterances = reference["utterances"]
    assert 16 <= len(utterances) <= 22
    assert [u["index"] for u in utterances] == list(range(len(utterances)))
    assert all(1.0 <= u["end"] - u["start"] <= 5.0 for u in utterances)
    gaps = [b["start"] - a["end"] for a, b in pairwise(utterances)]
    assert all(0.8 <= gap <= 1.21 for gap in gaps)
    assert utterances[-1]["end"] < reference["duration"]


def test_conversation_travels_through_the_emotions(reference: dict[str, Any]) -> None:
    utterances = reference["utterances"]
    emotions = {u["emotion"] for u in utterances}
    assert emotions <= set(EMOTIONS)
    assert len(emotions) >= 6
    assert {u["speaker"] for u in utterances} == {"Mia", "Joe"}


def test_the_same_words_are_meant_differently_after_good_and_bad_news(
    reference: dict[str, Any],
) -> None:
    great = [u["emotion"] for u in reference["utterances"] if u["text"].startswith("Great.")]
    assert great == ["joy", "anger"]


def test_rttm_says_the_same_as_the_reference(reference: dict[str, Any]) -> None:
    rows = [line.split() for line in (DEMO / "reference.rttm").read_text("utf-8").splitlines()]
    assert [row[7] for row in rows] == [u["speaker"] for u in reference["utterances"]]
    for row, spoken in zip(rows, reference["utterances"], strict=True):
        assert float(row[3]) == pytest.approx(spoken["start"], abs=0.002)
        assert float(row[4]) == pytest.approx(spoken["end"] - spoken["start"], abs=0.002)


def test_picture_lasts_as_long_as_the_sound(
    reference: dict[str, Any], sound: tuple[np.ndarray, int]
) -> None:
    samples, rate = sound
    with av.open(str(VIDEO)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 25
        stream.codec_context.skip_frame = "NONKEY"
        last_key = max(frame.time for frame in container.decode(stream))
        pictures = stream.frames / 25
    assert 75 <= reference["duration"] <= 110
    assert pictures == pytest.approx(reference["duration"], abs=0.1)
    assert len(samples) / rate == pytest.approx(reference["duration"], abs=0.1)
    assert last_key > reference["duration"] - 3


def test_speech_is_where_the_reference_says(
    reference: dict[str, Any], sound: tuple[np.ndarray, int]
) -> None:
    samples, rate = sound
    spoken = np.zeros(len(samples), bool)
    for u in reference["utterances"]:
        spoken[int((u["start"] - 0.1) * rate) : int((u["end"] + 0.1) * rate)] = True
        inside = samples[int(u["start"] * rate) : int(u["end"] * rate)]
        assert np.sqrt(np.mean(inside**2)) > 0.01
    assert np.abs(samples[~spoken]).max() < 0.02
    assert np.abs(samples[~spoken]).max() > 0, "digital silence is not how a room sounds"
