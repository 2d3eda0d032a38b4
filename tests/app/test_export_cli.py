"""``sdt-live export``: from an event log to files that other programs read."""

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pyannote.database.util import load_rttm

from app.cli import main
from app.events import (
    CorrectionRefused,
    DeviceChanged,
    MarkerPlaced,
    MarkerRemoved,
    ModalitySwitched,
    SpeakerFound,
    SpeakerRenamed,
    UtteranceCorrected,
    UtteranceLabelled,
    UtteranceReassigned,
)
from app.session import exports
from app.session.exports import FORMATS
from app.session.logged import read_session
from tests.app.logged_sessions import one_utterance, write_log
from tests.app.synthetic_session import REVISIONS, UTTERANCES, events, session

FILES = {name for name, _ in FORMATS.values()}
CUE = re.compile(r"\d+\n([\d:.,]+) --> ([\d:.,]+)\n(.+)\n\n")


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    return write_log(tmp_path / "session", events())


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"events.jsonl"}


def seconds(time: str) -> float:
    hours, minutes, rest = time.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def cues(text: str) -> list[tuple[float, float, str]]:
    return [(seconds(start), seconds(end), words) for start, end, words in CUE.findall(text)]


def test_every_format_is_written_beside_the_log_and_named(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(logged)]) == 0
    assert written(logged) == FILES
    told = capsys.readouterr().out
    assert all(name in told for name in FILES)


@pytest.mark.parametrize("name", FORMATS)
def test_one_format_alone_goes_where_it_is_asked_for(
    logged: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "far" / "out"
    assert main(["export", str(logged), "--format", name, "--out", str(out)]) == 0
    assert written(out) == {FORMATS[name][0]}
    assert written(logged) == set()


def test_the_log_gives_the_session_that_the_engine_told(logged: Path) -> None:
    told, read = session().snapshot(), read_session(logged).snapshot
    assert [(u.speaker, u.text, u.emotion, u.was) for u in read.utterances] == [
        (u.speaker, u.text, u.emotion, u.was) for u in told.utterances
    ]
    assert read.speakers == told.speakers
    assert read.dropped == told.dropped
    assert read.phase == "ended"


def test_the_table_has_a_row_an_utterance_with_the_label_that_stands(logged: Path) -> None:
    main(["export", str(logged), "--format", "csv"])
    with (logged / "emotions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == exports.COLUMNS
    assert [row["text"] for row in rows] == [u[3] for u in UTTERANCES]
    _, revised, emotion, _ = REVISIONS[0]
    assert rows[revised]["emotion"] == emotion


def test_every_line_of_the_json_lines_tells_all_of_an_utterance(logged: Path) -> None:
    main(["export", str(logged), "--format", "jsonl"])
    lines = (logged / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    for row, (start, end, speaker, text, _, _, missing) in zip(told, UTTERANCES, strict=True):
        assert (row["start"], row["end"], row["text"]) == (start, end, text)
        assert row["speaker"] == f"Speaker {speaker + 1}"
        assert sum(row["fused"].values()) == pytest.approx(1.0, abs=1e-4)
        assert max(row["fused"], key=row["fused"].get) == row["emotion"]
        if row["was"] is None:
            absent = {m for m, student in row["students"].items() if student is None}
            assert absent == set(missing)
    assert {row["index"]: row["was"] for row in told if row["was"]} == {
        1: "neutral",
        4: "joy",
        9: "anger",
    }


def test_an_unsure_answer_is_unsure_in_every_format_that_has_labels(tmp_path: Path) -> None:
    sure = one_utterance("hello")
    label = sure[-1]
    assert isinstance(label, UtteranceLabelled)
    doubtful = [*sure[:-1], replace(label, reading=replace(label.reading, unsure=True))]
    for story, unsure in ((sure, False), (doubtful, True)):
        session = read_session(write_log(tmp_path / str(unsure), story))
        made = {name: make(session) for name, (_, make) in FORMATS.items()}
        row = next(csv.DictReader(made["csv"].splitlines()))
        assert row["unsure"] == str(unsure).lower()
        assert json.loads(made["jsonl"])["unsure"] is unsure
        emotion = row["emotion"]
        for subtitles in (made["srt"], made["vtt"]):
            assert (f"[unsure ({emotion} " in subtitles) is unsure
            assert (f"[{emotion} " in subtitles) is not unsure


def test_a_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    session = read_session(write_log(tmp_path / "s", one_utterance("hello")))
    path = tmp_path / f"{'n' * 250}.csv"
    exports.export_file(session, "csv", path)
    assert "hello" in path.read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 2


def test_subtitles_read_back_to_the_same_times_and_words(logged: Path) -> None:
    main(["export", str(logged)])
    srt = cues((logged / "transcript.srt").read_text(encoding="utf-8"))
    vtt_text = (logged / "transcript.vtt").read_text(encoding="utf-8")
    assert vtt_text.startswith("WEBVTT\n\n")
    vtt = cues(vtt_text.removeprefix("WEBVTT\n\n"))
    for (start, end, speaker, text, *_), line, voice in zip(UTTERANCES, srt, vtt, strict=True):
        assert line[:2] == voice[:2] == pytest.approx((start, end), abs=0.0005)
        assert re.fullmatch(rf"Speaker {speaker + 1} \[\w+ \d+%\]: {re.escape(text)}", line[2])
        assert re.fullmatch(rf"<v Speaker {speaker + 1}>\[\w+ \d+%\] {re.escape(text)}", voice[2])


def test_no_words_can_end_a_cue_or_open_a_tag(tmp_path: Path) -> None:
    hostile = "one\n\n2\n00:00:00.000 --> 00:01:00.000\n<v Eve> & two"
    folder = write_log(tmp_path / "s", one_utterance(hostile, name="A\n\n>B"))
    main(["export", str(folder)])
    for name in ("transcript.srt", "transcript.vtt"):
        body = (folder / name).read_text(encoding="utf-8").removeprefix("WEBVTT\n\n")
        assert len(body.split("\n\n")) == 2
        assert body.count("\n") == 4
    assert "<v A &gt;B>" in body
    assert "&lt;v Eve&gt; &amp; two" in body


def test_turns_are_read_by_diarization_tools(tmp_path: Path) -> None:
    folder = write_log(
        tmp_path / "s",
        [
            *one_utterance("Hello.", name="Ada Byron", source="a long talk.mp4"),
            SpeakerFound(media_time=2.6, speaker=1, name="Ben"),
            UtteranceReassigned(media_time=3.0, index=0, speaker=1),
            SpeakerRenamed(media_time=3.1, speaker=1, name="Ben X"),
        ],
    )
    main(["export", str(folder), "--format", "rttm"])
    turns = load_rttm(folder / "speakers.rttm")["a_long_talk"]
    assert [(s.start, s.end, who) for s, _, who in turns.itertracks(yield_label=True)] == [
        (1.0, 2.5, "Ben_X")
    ]


def test_corrections_are_in_what_is_taken_along(tmp_path: Path) -> None:
    folder = write_log(
        tmp_path / "s",
        [
            *one_utterance("Hallo."),
            UtteranceCorrected(media_time=2.5, index=0, text="Hello <you>."),
            ModalitySwitched(media_time=2.5, modality="audio", on=False),
            MarkerPlaced(media_time=2.0, marker=0, note="here & now"),
            MarkerPlaced(media_time=1.5, marker=1, note="a mistake"),
            MarkerRemoved(media_time=1.5, marker=1),
        ],
    )
    main(["export", str(folder)])
    assert "Hello <you>." in (folder / "transcript.srt").read_text(encoding="utf-8")
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Hello &lt;you&gt;." in report
    assert "here &amp; now" in report
    assert "Switched off" in report
    assert "a mistake" not in report
    marks = (folder / "markers.csv").read_text(encoding="utf-8").splitlines()
    assert marks == ["time,note", "2.000,here & now"]


def test_the_redacted_files_hold_no_word_no_name_and_no_file(tmp_path: Path) -> None:
    folder = write_log(
        tmp_path / "s",
        [
            *one_utterance("Xylophones quiver", name="Wilhelmina", source="Kowalski-therapy.mp4"),
            DeviceChanged(
                media_time=4.0, device="microphone", code="lost", message="Zelda's AirPods is gone."
            ),
            MarkerPlaced(media_time=2.0, marker=0, note="Yolanda weeps"),
            CorrectionRefused(media_time=2.5, message="Wilhelmina says nothing before that."),
        ],
    )
    assert main(["export", str(folder), "--redact"]) == 0
    assert written(folder) == {"redacted"}
    assert written(folder / "redacted") == FILES
    for name in FILES:
        text = (folder / "redacted" / name).read_text(encoding="utf-8")
        for secret in ("Xylophones", "quiver", "Wilhelmina", "Kowalski", "Zelda", "Yolanda"):
            assert secret.lower() not in text.lower(), name
        if name == "markers.csv":
            assert text.splitlines()[1:] == ["2.000,"]
            continue
        assert re.search("Speaker[ _]1", text)
        assert name == "speakers.rttm" or "joy" in text


def test_a_log_that_was_cut_off_is_read_up_to_there_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_log(tmp_path / "s", one_utterance("Hello."))
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "utterance_lab')
    assert main(["export", str(folder)]) == 0
    assert "cut off" in capsys.readouterr().err
    assert "cut off" in (folder / "report.html").read_text(encoding="utf-8")
    assert "Hello." in (folder / "transcript.srt").read_text(encoding="utf-8")


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "s", one_utterance("Hello."))
    log = folder / "events.jsonl"
    lines = [json.loads(line) | {"mood": 1} for line in log.read_text("utf-8").splitlines()]
    lines.append({"event": "weather_changed", "media_time": 3.0, "emitted_at": 0.0})
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert len(read_session(folder).snapshot.utterances) == 1


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (None, "There is no events.jsonl in"),
        ("", "holds no session"),
        ("no json\n", "Line 1 of"),
        ("[]\n", "Line 1 of"),
        ('{"event": "session_started", "media_time": 0.0}\n', "Line 1 of"),
        ('{"event": "utterance_labelled", "reading": {"fused": [1]}}\n', "Line 1 of"),
        (
            '{"event": "utterance_reassigned", "media_time": 1.0, "index": 3, "speaker": 0}\n',
            "is damaged",
        ),
    ],
)
def test_a_folder_without_a_session_is_one_sentence_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str | None, sentence: str
) -> None:
    if log is not None:
        (tmp_path / "events.jsonl").write_text(log, encoding="utf-8")
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sdt-live export: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("harm", ["a link", "an endless line", "nested without end"])
def test_a_log_made_by_a_stranger_is_refused(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    log = folder / "events.jsonl"
    if harm == "a link":
        try:
            log.symlink_to(logged / "events.jsonl")
        except OSError as error:
            pytest.skip(f"this user may not make links ({error})")
    else:
        log.write_text('"' + "x" * 400_000 if harm == "an endless line" else "[" * 200_000 + "\n")
    assert main(["export", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["events.jsonl"]


def test_a_folder_that_cannot_be_written_is_one_sentence(
    logged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert main(["export", str(logged), "--out", str(tmp_path / "taken")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_old_file_whole(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "index\n"
    (logged / "emotions.csv").write_text(old, encoding="utf-8")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["export", str(logged)]) == 2
    assert written(logged) == {"emotions.csv"}
    assert (logged / "emotions.csv").read_text(encoding="utf-8") == old
