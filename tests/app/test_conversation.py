"""A session in a thread of its own, without a window."""

import time
from pathlib import Path

import pytest

from app.conversation import Conversation
from app.options import ModelOptions, RunOptions
from live_features.errors import UserFacingError
from tests.media_files import Pictures, plain_pictures, write_media


def test_what_cannot_be_opened_is_said_before_it_begins_or_where_it_is_shown(
    tmp_path: Path,
) -> None:
    missing = RunOptions(tmp_path / "missing.mp4")
    with pytest.raises(UserFacingError, match="There is no file"):
        Conversation(missing).open()

    conversation = Conversation(missing)
    conversation.begin()
    assert conversation.join(20.0)
    assert conversation.exit_code == 2
    assert conversation.state.snapshot().phase == "failed"
    assert "There is no file" in conversation.state.snapshot().message


def test_one_that_was_closed_before_never_begins(tmp_path: Path) -> None:
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(5)))
    conversation = Conversation(RunOptions(tmp_path / "silent.mp4", export=tmp_path / "out"))
    conversation.open()
    conversation.close()
    conversation.begin()
    assert conversation.join(0.0)
    assert conversation.exit_code == 0
    assert conversation.state.snapshot().phase == "loading"
    # Nothing holds it any more, which Windows would not forgive.
    (tmp_path / "silent.mp4").unlink()


def test_it_reads_to_the_end(tmp_path: Path) -> None:
    write_media(tmp_path / "silent.mp4", None, Pictures(plain_pictures(5)))
    options = RunOptions(tmp_path / "silent.mp4", speed=None, models=ModelOptions(offline=True))
    conversation = Conversation(options)
    conversation.begin()
    deadline = time.monotonic() + 120.0
    while conversation.state.snapshot().phase != "ended" and time.monotonic() < deadline:
        time.sleep(0.02)
    # It stays to be corrected until it is closed.
    assert not conversation.join(0.5)
    conversation.close()
    assert conversation.join(5.0)
    assert conversation.exit_code == 0
    assert conversation.state.snapshot().phase == "ended"
    assert conversation.preview.get() is not None
    assert conversation.title.startswith("silent.mp4")
