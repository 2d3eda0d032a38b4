"""What the log file holds after a session, and what it never holds."""

import errno
import io
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from app.events import (
    DeviceChanged,
    EffortChanged,
    ProblemOccurred,
    SessionEnded,
    UtteranceDropped,
)
from app.logs import log_event, start_logging
from tests.app.synthetic_session import UTTERANCES, events


def test_devices_drops_and_degradation_are_noted_and_words_are_not(tmp_path: Path) -> None:
    path = start_logging(tmp_path / "logs" / "sdt-live.log")
    assert path is not None
    logging.getLogger("live_features.sources.microphone").warning("PaErrorCode -9999")
    for event in events():
        log_event(event)
    gone = "The microphone is gone."
    told = DeviceChanged(media_time=3.0, device="microphone", code="lost", message=gone, lost=1.25)
    log_event(told)
    log_event(EffortChanged(media_time=4.0, without=("provisional labels",)))
    log_event(EffortChanged(media_time=9.0, without=()))
    log_event(UtteranceDropped(media_time=6.0, start=5.0, end=6.0, reason="not_speech"))
    log_event(ProblemOccurred(media_time=7.0, message="The disk is full."))
    log_event(SessionEnded(media_time=10.0, reason="stopped", utterances=2))

    written = path.read_text(encoding="utf-8")
    for part in (
        "PaErrorCode -9999",
        "3.00 s: microphone lost, 1.25 s of sound lost (The microphone is gone.)",
        "too slow for this machine, without provisional labels",
        "keeps up again",
        "5.00 s to 6.00 s dropped: not_speech",
        "The disk is full.",
        "ended (stopped), 2 utterances",
    ):
        assert part in written
    assert not any(text in written for _, _, _, text, *_ in UTTERANCES)


def test_a_full_disk_is_not_told_of_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class FullDisk(io.StringIO):
        def write(self, text: str, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    start_logging(tmp_path / "sdt-live.log")
    for handler in logging.getLogger("app").handlers:
        if isinstance(handler, RotatingFileHandler):
            handler.setStream(FullDisk())
    log_event(ProblemOccurred(media_time=7.0, message="The disk is full."))
    assert capsys.readouterr() == ("", "")


def test_a_second_start_writes_to_the_new_file_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "one.log", tmp_path / "two.log"
    start_logging(first)
    start_logging(second)
    logging.getLogger("app.engine").info("once")
    assert first.read_text() == ""
    assert second.read_text().count("once") == 1


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert start_logging(tmp_path / "file" / "sdt-live.log") is None
