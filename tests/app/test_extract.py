"""``sdt-extract`` on small made-up releases with the real layout, of pieces of the demo."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app import extract_cli, train_cli
from app.assets import DEMO_MEDIA, HEARD_ADAPTER, WRITTEN_ADAPTER
from app.engine import LiveEngine
from app.extraction import Extractors, sides_of_speakers
from app.models import Models, load_models
from app.options import ModelOptions
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.corpora import CorpusUtterance, read_iemocap, read_meld
from live_features.emotions import EMOTIONS
from live_features.endpointing import Endpointer, SpeechSegment
from live_features.errors import UserFacingError
from live_features.faces import FaceTimeline
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from live_features.text import TextEncoder
from live_features.transcription import Transcript
from sdt_model.dialogues import FeatureStatistics, UtteranceFeatures, load_classes, load_dialogues
from tests.media_files import Pictures, Sound, write_media

JOE, MIA = (1.0, 3.6), (4.1, 6.4)
"""Seconds of the demo in which either says a sentence; Mia is on the left, Joe on the right."""
JOB = "It was so good! I got the job!"
TODAY = "Hey. So, what did you do today?"
HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime"
)


@dataclass(frozen=True)
class Piece:
    """Mono sound at 16 kHz and pictures (480 x 270) of a stretch of the demo, from second 0 on."""

    samples: NDArray[np.float32]
    frames: list[tuple[float, NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def demo() -> Piece:
    blocks, frames = [], []
    for item in RecordingSource(DEMO_MEDIA, VirtualClock()):
        if isinstance(item, AudioBlock):
            blocks.append(item.samples[:, 0])
        elif isinstance(item, VideoFrame):
            frames.append((item.time, cv2.resize(item.image, (480, 270))))
            if item.time >= MIA[1]:
                break
    return Piece(np.concatenate(blocks), frames)


def piece(demo: Piece, start: float, end: float) -> Piece:
    count = round((end - start) * 25)
    return Piece(
        demo.samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)],
        [(index / 25, demo.frames[round(start * 25) + index][1]) for index in range(count)],
    )


@pytest.fixture(scope="module")
def meld(tmp_path_factory: pytest.TempPathFactory, demo: Piece) -> Path:
    folder = tmp_path_factory.mktemp("MELD.Raw")
    clips = {
        "train_splits": [("dia0_utt0", JOE), ("dia0_utt1", MIA), ("dia2_utt0", JOE)],
        "dev_splits_complete": [("dia0_utt0", MIA)],
        "output_repeated_splits_test": [("dia0_utt0", MIA)],
    }
    for name, parts in clips.items():
        (folder / name).mkdir()
        for clip, part in parts:
            cut = piece(demo, *part)
            write_media(
                folder / name / f"{clip}.mp4",
                Sound(cut.samples[:, None], rate=SAMPLE_RATE),
                Pictures(cut.frames),
            )
    (folder / "train_splits" / "dia2_utt0.mp4").write_bytes(b"not a film")
    rows = {
        "train": [
            f'1,"{TODAY}",Joe,neutral,neutral,0,0,1,1,"00:00:01,000","00:00:03,600"',
            f'2,"{JOB}",Mia,joy,positive,0,1,1,1,"00:00:04,100","00:00:06,400"',
            '3,"Don\x92t you?",Joe,anger,negative,2,0,1,1,"00:00:01,000","00:00:03,600"',
        ],
        "dev": [f'1,"{JOB}",Mia,joy,positive,0,0,1,1,"00:00:04,100","00:00:06,400"'],
        "test": [f'1,"{JOB}",Mia,surprise,positive,0,0,1,1,"00:00:04,100","00:00:06,400"'],
    }
    for split, lines in rows.items():
        text = "\n".join((HEADER, *lines)) + "\n"
        (folder / f"{split}_sent_emo.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory, demo: Piece) -> Path:
    """Five times the same conversation: the woman (left) is Mia, the man Joe."""
    folder = tmp_path_factory.mktemp("IEMOCAP_full_release")
    start = JOE[0]
    talk = piece(demo, start, MIA[1])
    times = start + np.arange(len(talk.samples)) / SAMPLE_RATE
    # Each microphone hears its own person, the other one faintly, and a noise of its own.
    noise = 0.003 * np.random.default_rng(0).standard_normal((len(times), 2))
    near = np.stack([times >= MIA[0], times < MIA[0]], axis=1)
    sound = talk.samples[:, None] * np.where(near, 0.5, 0.05) + noise
    media = folder / "media"
    media.mkdir()
    write_media(
        media / "talk.wav",
        Sound(sound.astype(np.float32), SAMPLE_RATE, codec="pcm_s16le", layout="stereo"),
    )
    write_media(media / "talk.avi", pictures=Pictures(talk.frames, codec="mpeg4"))
    for number in range(1, 6):
        name = f"Ses0{number}F_impro01"
        dialog = folder / f"Session{number}" / "dialog"
        for part in ("avi/DivX", "wav", "transcriptions", "EmoEvaluation"):
            (dialog / part).mkdir(parents=True)
        shutil.copy(media / "talk.avi", dialog / "avi" / "DivX" / f"{name}.avi")
        shutil.copy(media / "talk.wav", dialog / "wav" / f"{name}.wav")
        (dialog / "transcriptions" / f"{name}.txt").write_text(
            f"{name}_M000 [000.1000-002.5000]: {TODAY} [LAUGHTER]\n"
            f"{name}_F000 [003.1000-005.3000]: {JOB}\n"
            f"{name}_MXX0 [005.3000-005.4000]: [BREATHING]\n"
        )
        (dialog / "EmoEvaluation" / f"{name}.txt").write_text(
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            f"[3.1000 - 5.3000]\t{name}_F000\texc\t[4.5000, 3.5000, 3.0000]\n"
            "C-E1:\tExcited;\t()\nA-E1:\tval 4; act 3; dom  3;\t()\n\n"
            f"[0.1000 - 2.5000]\t{name}_M000\tneu\t[2.5000, 2.5000, 2.5000]\n"
            "C-E1:\tNeutral;\t()\n\n"
            f"[5.3000 - 5.4000]\t{name}_F001\txxx\t[2.5000, 2.5000, 2.5000]\n"
        )
        # What a Mac leaves beside copied files.
        (dialog / "EmoEvaluation" / f"._{name}.txt").write_bytes(b"\0\5\x16\7")
    return folder


def extract(corpus: str, folder: Path, out: Path, processes: int = 1) -> int:
    arguments = [corpus, str(folder), "--out", str(out), "--processes", str(processes)]
    return extract_cli.main(arguments)


@pytest.fixture(scope="module")
def meld_store(meld: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("meld") / "store"
    assert extract("meld", meld, out, processes=2) == 0
    return out


@pytest.fixture(scope="module")
def iemocap_store(iemocap: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("iemocap") / "store"
    assert extract("iemocap", iemocap, out) == 0
    return out


class Overheard(FeatureStatistics):
    """Passes on to a checkpoint's statistics, and remembers what the live recogniser gave them."""

    heard: list[UtteranceFeatures]

    def standardise(self, features: UtteranceFeatures) -> UtteranceFeatures:
        self.heard.append(features)
        return super().standardise(features)


def live(models: Models, clip: Path, text: str) -> UtteranceFeatures:
    """What the live engine makes of the one utterance in ``clip`` that says ``text``."""
    statistics = models.checkpoint.statistics
    overheard = Overheard(statistics.means, statistics.deviations)
    object.__setattr__(overheard, "heard", [])

    def transcribe(samples: NDArray[np.float32], **settings: Any) -> Transcript:
        return replace(models.transcribe(samples, **settings), text=text, rejected=None)

    spied = replace(
        models,
        checkpoint=replace(models.checkpoint, statistics=overheard),
        transcribe=transcribe,  # type: ignore[arg-type]
    )
    clock = VirtualClock()
    LiveEngine(RecordingSource(clip, clock), clock, spied, [], ahead=False).run()
    return overheard.heard[-1]


def test_the_features_are_those_that_the_live_engine_makes(meld: Path, meld_store: Path) -> None:
    models = load_models(ModelOptions(offline=True))
    dialogue = load_dialogues(meld_store / "train.safetensors")[0]
    heard = live(models, meld / "train_splits" / "dia0_utt1.mp4", JOB)
    for mine, theirs in zip(dialogue.features[1:], heard.vectors[1:], strict=True):
        assert theirs is not None
        np.testing.assert_allclose(mine[1], theirs, rtol=1e-4, atol=1e-5)
    # Its words were written by people, those of a live session by Whisper.
    assert heard.text is not None
    for adapter, vector in ((WRITTEN_ADAPTER, dialogue.text[1]), (HEARD_ADAPTER, heard.text)):
        encode = TextEncoder(weights.text_encoder(offline=True), adapter=adapter)
        np.testing.assert_allclose(vector, encode([JOB])[0], rtol=1e-4, atol=1e-5)


def test_meld_becomes_stores(meld_store: Path) -> None:
    first, second = load_dialogues(meld_store / "train.safetensors")
    assert first.id == "train-dia0"
    assert first.speakers.tolist() == [0, 1]
    assert first.labels is not None
    assert first.labels.tolist() == [EMOTIONS.index("neutral"), EMOTIONS.index("joy")]
    assert first.present.all()
    assert second.present.tolist() == [[True, False, False]]
    assert load_classes(meld_store / "test.safetensors") == EMOTIONS


def test_a_broken_clip_is_listed_and_the_rest_goes_on(meld_store: Path) -> None:
    with (meld_store / "skipped.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["clip"] == "train-dia2_utt0"
    assert row["reason"].startswith("dia2_utt0.mp4 is not an audio or video file")


def test_a_second_run_does_only_what_is_missing(
    meld: Path, meld_store: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "store", tmp_path / "MELD.Raw"
    shutil.copytree(meld_store, out)
    shutil.copytree(meld, again)
    before = {path: path.stat().st_mtime_ns for path in (out / "work").iterdir()}
    assert len(before) == 4
    shutil.copy(again / "train_splits" / "dia0_utt0.mp4", again / "train_splits" / "dia2_utt0.mp4")
    assert extract("meld", again, out) == 0
    after = {path: path.stat().st_mtime_ns for path in (out / "work").iterdir()}
    assert {path: after[path] for path in before} == before
    assert len(after) == 5
    assert (out / "skipped.csv").read_text() == "clip,reason\n"
    assert load_dialogues(out / "train.safetensors")[1].present.all()

    # A clip that had been cut off is copied again: what it held before does not stand.
    shutil.copy(again / "train_splits" / "dia0_utt0.mp4", again / "train_splits" / "dia0_utt1.mp4")
    assert extract("meld", again, out) == 0
    later = {path: path.stat().st_mtime_ns for path in (out / "work").iterdir()}
    assert [path.stem for path in later if later[path] != after[path]] == ["train-dia0_utt1"]


def test_iemocap_becomes_stores_with_the_six_classes(iemocap_store: Path) -> None:
    splits = {
        split: load_dialogues(iemocap_store / f"{split}.safetensors")
        for split in ("train", "dev", "test")
    }
    assert [len(dialogues) for dialogues in splits.values()] == [3, 1, 1]
    assert splits["test"][0].id == "Ses05F_impro01"
    classes = load_classes(iemocap_store / "train.safetensors")
    assert classes == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    dialogue = splits["train"][0]
    assert dialogue.speakers.tolist() == [0, 1]  # he, then she
    assert dialogue.labels is not None
    assert [classes[label] for label in dialogue.labels] == ["neutral", "excited"]
    assert dialogue.present.all()


def test_each_speaker_has_the_own_channel_and_the_own_half_of_the_picture(
    iemocap: Path, iemocap_store: Path
) -> None:
    dialogue = load_dialogues(iemocap_store / "test.safetensors")[0]
    (recording,) = read_iemocap(iemocap).splits["test"][0].recordings
    extractors = Extractors()
    source = RecordingSource(recording.sound, VirtualClock(), channels=2)
    sound = np.concatenate([b.samples for b in source if isinstance(b, AudioBlock)])
    timelines = (FaceTimeline(), FaceTimeline())
    frames = [f for f in RecordingSource(recording.pictures, VirtualClock())]
    looked = 0.0
    for frame in frames:
        if isinstance(frame, VideoFrame) and frame.time >= looked - 1e-6:
            looked += 0.2
            seen = extractors._analyse(frame)
            for side, timeline in enumerate(timelines):
                faces = [f for f in seen.faces if (f.box[0] + f.box[2] / 2 >= 0.5) == bool(side)]
                timeline.add(replace(seen, faces=tuple(faces)))
    for row, (utterance, side) in enumerate(zip(recording.utterances, (1, 0), strict=True)):
        span = slice(round(utterance.start * SAMPLE_RATE), round(utterance.end * SAMPLE_RATE))
        voice = np.ascontiguousarray(sound[span, side])
        extractors._voice_activity.reset()
        endpointer = Endpointer(extractors._voice_activity)
        said = [
            event
            for event in [*endpointer.push(voice), *endpointer.flush()]
            if isinstance(event, SpeechSegment)
        ]
        start, end = said[0].start, said[-1].end
        speech = voice[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        heard = extractors._voice.listen(speech).acoustic
        assert heard is not None
        np.testing.assert_allclose(dialogue.audio[row], heard, rtol=1e-4)
        (face,) = timelines[side].tracks(utterance.start + start, utterance.start + end).values()
        np.testing.assert_allclose(dialogue.visual[row], face.features.embedding, atol=1e-5)


def test_sides_follow_from_who_does_more_than_usual() -> None:
    def said(speaker: int) -> CorpusUtterance:
        return CorpusUtterance("", "", speaker, 0)

    # The left microphone is the more sensitive one throughout.
    assert sides_of_speakers([said(0), said(1), said(0)], [2.0, 5.0, 3.0]) == {0: 1, 1: 0}
    assert sides_of_speakers([said(1)], [-0.1]) == {1: 1}


@pytest.mark.parametrize("corpus", ["meld", "iemocap"])
def test_a_model_trains_on_the_stores(
    corpus: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = request.getfixturevalue(f"{corpus}_store")
    out = tmp_path / "checkpoint"
    arguments = ["store", "--features", str(store), "--out", str(out), "--epochs", "1"]
    arguments += ["--device", "cpu", "--hidden", "16", "--resume-dir", str(tmp_path / "runs")]
    assert train_cli.main(arguments) == 0
    classes = load_classes(store / "train.safetensors")
    assert classes is not None
    assert tuple(json.loads((out / "card.json").read_text())["config"]["classes"]) == classes
    if corpus == "iemocap":
        with pytest.raises(UserFacingError, match="tells happy, sad"):
            load_models(ModelOptions(checkpoint=out, offline=True))


def test_quotes_that_meld_misread_are_typed(meld: Path) -> None:
    assert read_meld(meld).splits["train"][1].utterances[0].text == "Don't you?"


@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [
        ("meld", "sdt-extract: There is no train_splits in"),
        ("iemocap", "sdt-extract: There is no folder"),
    ],
)
def test_a_wrong_folder_is_said_in_a_sentence(
    corpus: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract(corpus, tmp_path, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_none_is_said_in_a_sentence(
    meld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "MELD.Raw"
    shutil.copytree(meld, folder)
    (folder / "dev_sent_emo.csv").write_bytes(b"\xff\xfe\0garbage\n1,2,3\n")
    assert extract("meld", folder, tmp_path / "out") == 2
    assert "is not the table that comes with MELD.Raw" in capsys.readouterr().err


def test_stores_of_two_corpora_are_not_mixed(
    meld_store: Path, iemocap_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(meld_store, tmp_path / "mixed")
    shutil.copy(iemocap_store / "test.safetensors", tmp_path / "mixed" / "test.safetensors")
    out = str(tmp_path / "out")
    assert train_cli.main(["store", "--features", str(tmp_path / "mixed"), "--out", out]) == 2
    assert "name different classes" in capsys.readouterr().err
