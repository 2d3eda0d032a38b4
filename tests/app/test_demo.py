"""The shipped conversation through the real entry point, every part real."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jiwer
import pytest

from app.assets import ASSETS
from app.cli import main
from app.session.exports import COLUMNS
from live_features.emotions import EMOTIONS

Event = dict[str, Any]


def run_demo(folder: Path) -> list[Event]:
    assert main(["--demo", "--headless", "--offline", "--export", str(folder)]) == 0
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def events(folder: Path) -> list[Event]:
    return run_demo(folder)


@pytest.fixture(scope="module")
def labelled(events: list[Event]) -> list[Event]:
    return [event for event in events if event["event"] == "utterance_labelled"]


@pytest.fixture(scope="module")
def reference() -> list[dict[str, Any]]:
    path = ASSETS / "demo" / "reference.json"
    return json.loads(path.read_text(encoding="utf-8"))["utterances"]


def test_every_utterance_is_found_where_it_was_spoken(
    labelled: list[Event], reference: list[dict[str, Any]]
) -> None:
    assert len(labelled) == len(reference)
    for found, meant in zip(labelled, reference, strict=True):
        assert found["start"] == pytest.approx(meant["start"], abs=0.35)
        assert found["end"] == pytest.approx(meant["end"], abs=0.35)


def test_the_words_are_right(labelled: list[Event], reference: list[dict[str, Any]]) -> None:
    def plain(text: str) -> str:
        return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " "))

    wrong = jiwer.wer(
        [plain(meant["text"]) for meant in reference], [plain(found["text"]) for found in labelled]
    )
    assert wrong <= 0.08


def test_two_speakers_take_their_own_turns(
    labelled: list[Event], reference: list[dict[str, Any]]
) -> None:
    names: dict[str, Counter[int]] = {}
    for found, meant in zip(labelled, reference, strict=True):
        names.setdefault(meant["speaker"], Counter())[found["speaker"]] += 1
    assert {event["speaker"] for event in labelled} == {0, 1}
    assert all(len(speakers) == 1 for speakers in names.values())


def test_probabilities_and_gates_are_shares(labelled: list[Event]) -> None:
    for event in labelled:
        reading = event["reading"]
        for share in ("fused", "text", "audio", "visual", "gates", "contributions"):
            assert sum(reading[share]) == pytest.approx(1.0, abs=1e-4)
            assert min(reading[share]) >= 0.0


def test_both_faces_are_followed_and_belong_to_the_two_speakers(events: list[Event]) -> None:
    frames = [event["faces"] for event in events if event["event"] == "faces_seen"]
    assert sum(len(faces) == 2 for faces in frames) >= 0.95 * len(frames)
    owners = {face["track"]: face["speaker"] for faces in frames[-5:] for face in faces}
    assert sorted(owners.values()) == [0, 1]


def test_the_log_tells_the_whole_session(events: list[Event]) -> None:
    assert events[0]["event"] == "session_started"
    assert events[-1]["event"] == "session_ended"
    assert events[-1]["reason"] == "end_of_media"
    emitted = [event["emitted_at"] for event in events]
    assert emitted == sorted(emitted)


def test_the_table_and_the_subtitles_hold_what_was_found(
    folder: Path, labelled: list[Event]
) -> None:
    with (folder / "emotions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["text"] for row in rows] == [event["text"] for event in labelled]
    for row in rows:
        shares = {emotion: float(row[f"p_{emotion}"]) for emotion in EMOTIONS}
        assert row["emotion"] == max(shares, key=shares.__getitem__)
        assert float(row["confidence"]) == max(shares.values())
    subtitles = (folder / "transcript.srt").read_text(encoding="utf-8")
    assert len(re.findall(r"^\d\d:\d\d:\d\d,\d{3} --> ", subtitles, re.M)) == len(labelled)
    assert all(event["text"] in subtitles for event in labelled)


def test_a_second_run_tells_the_same_story(events: list[Event], tmp_path: Path) -> None:
    def timeless(told: list[Event]) -> list[Event]:
        return [{k: v for k, v in event.items() if k != "emitted_at"} for event in told]

    assert timeless(run_demo(tmp_path)) == timeless(events)
