"""Where one voice follows another without a pause, on the demo's two voices put end to end."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from app.assets import ASSETS, DEMO_MEDIA, SPEAKER_NETWORKS
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.turns import Look, SpeakerSegmentation, TurnFinder


@pytest.fixture(scope="module")
def segmentation() -> SpeakerSegmentation:
    return SpeakerSegmentation(SPEAKER_NETWORKS / "segmentation.safetensors")


@pytest.fixture(scope="module")
def turns() -> list[tuple[str, NDArray[np.float32]]]:
    """What each person says in the demo, without the pauses in between."""
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    sound = np.concatenate([i.samples[:, 0] for i in source if isinstance(i, AudioBlock)])
    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    return [
        (u["speaker"], sound[round(u["start"] * SAMPLE_RATE) : round(u["end"] * SAMPLE_RATE)])
        for u in told["utterances"]
    ]


@pytest.mark.parametrize("first", [0, 1, 2, 9])
def test_a_change_of_voice_is_found_where_it_is(
    segmentation: SpeakerSegmentation, turns: list[tuple[str, NDArray[np.float32]]], first: int
) -> None:
    (one, before), (other, after) = turns[first : first + 2]
    assert one != other
    finder = TurnFinder(segmentation)
    found: list[Look] = []
    sound = np.concatenate([before, after])
    for start in range(0, len(sound), 8192):
        finder.push(sound[start : start + 8192])
        found.append(finder.look(0.0))
    changes = [look.change for look in found if look.sure]
    assert changes
    assert changes[-1] == pytest.approx(len(before) / SAMPLE_RATE, abs=0.35)


def test_one_voice_alone_never_changes(
    segmentation: SpeakerSegmentation, turns: list[tuple[str, NDArray[np.float32]]]
) -> None:
    mine = np.concatenate([sound for speaker, sound in turns if speaker == turns[0][0]][:4])
    finder = TurnFinder(segmentation)
    for start in range(0, len(mine), 8192):
        finder.push(mine[start : start + 8192])
        assert finder.look(0.0).change is None


def test_too_little_sound_tells_nothing(segmentation: SpeakerSegmentation) -> None:
    finder = TurnFinder(segmentation)
    assert finder.look(0.0).change is None
    finder.push(np.zeros(4000, np.float32))
    assert finder.look(0.0).change is None


def test_a_damaged_network_is_told(tmp_path: object) -> None:
    broken = tmp_path / "segmentation.safetensors"  # type: ignore[operator]
    with pytest.raises(UserFacingError, match="missing or damaged"):
        SpeakerSegmentation(broken)
    broken.write_bytes(b"not a network")
    with pytest.raises(UserFacingError, match="missing or damaged"):
        SpeakerSegmentation(broken)
    with pytest.raises(UserFacingError, match="missing or damaged"):
        SpeakerSegmentation(SPEAKER_NETWORKS / "voices.safetensors")


def test_what_is_known_of_earlier_sound_changes_nothing(
    segmentation: SpeakerSegmentation, turns: list[tuple[str, NDArray[np.float32]]]
) -> None:
    sound = np.concatenate([sound for _, sound in turns[:6]]) + np.float32(0.01)
    looking, waiting = TurnFinder(segmentation), TurnFinder(segmentation)
    seen: list[Look] = []
    for start in range(0, len(sound), 2048):
        for finder in (looking, waiting):
            finder.push(sound[start : start + 2048])
        seen.append(looking.look(0.0))
    afterwards = waiting.look(0.0)
    assert any(look.change is not None for look in seen)
    assert (seen[-1].sure, seen[-1].hint) == (afterwards.sure, afterwards.hint)
    assert seen[-1].change == pytest.approx(afterwards.change)
