from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sdt_helpers import random_dialogue, small_model, utterances_of

from sdt_model.dialogues import Dialogue, UtteranceFeatures, collate
from sdt_model.errors import SDTError
from sdt_model.incremental import DialogueEmotions, IncrementalSDT, UtteranceEmotion
from sdt_model.model import SDT


def assert_reads(emotions: DialogueEmotions, model: SDT, dialogue: Dialogue) -> None:
    """``emotions`` are those of a plain forward over ``dialogue``."""
    with torch.inference_mode():
        output = model(collate([dialogue], model.config))
    students = [logits[0].softmax(-1).numpy() for logits in output.students]
    assert len(emotions.utterances) == len(dialogue)
    for i, emotion in enumerate(emotions.utterances):
        close(emotion.fused, output.fused[0, i].softmax(-1).numpy())
        close(emotion.gates, output.gates[0, i].mean(-1).numpy())
        norms = (output.gates[0, i] * output.hidden[0, i]).norm(dim=-1)
        close(emotion.contributions, (norms / norms.sum()).numpy())
        for m, own in enumerate((emotion.text, emotion.audio, emotion.visual)):
            if dialogue.present[i, m]:
                close(own, students[m][i])
            else:
                assert own is None


def close(got: np.ndarray | None, expected: np.ndarray | None) -> None:
    assert got is not None
    assert expected is not None
    np.testing.assert_allclose(got, expected, atol=1e-5)


def same(one: UtteranceEmotion, other: UtteranceEmotion) -> None:
    for name in ("fused", "gates", "contributions"):
        close(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("layers", [1, 2])
def test_every_prefix_reads_like_a_full_forward(layers: int) -> None:
    model, dialogue = small_model(layers=layers), random_dialogue(14, missing=0.3)
    live = IncrementalSDT(model)
    for i, utterance in enumerate(utterances_of(dialogue)):
        emotions = live.append(utterance, int(dialogue.speakers[i]))
        same(emotions.newest, emotions.utterances[-1])
        assert_reads(live.refresh(), model, dialogue.prefix(i + 1))


def test_readings_are_shares() -> None:
    dialogue = random_dialogue(5)
    live = IncrementalSDT(small_model())
    for utterance in utterances_of(dialogue):
        newest = live.append(utterance, 0).newest
        for shares in (newest.fused, newest.text, newest.gates, newest.contributions):
            assert shares is not None
            assert shares.sum() == pytest.approx(1, abs=1e-6)


def test_a_preview_is_what_appending_would_give_and_leaves_no_trace() -> None:
    first, second, third = utterances_of(random_dialogue(3))
    live = IncrementalSDT(small_model())
    live.append(first, 0)
    preview = live.preview(second, 1)
    live.preview(third, 2)
    assert len(live) == 1
    same(preview, live.append(second, 1).newest)


def test_speakers_and_features_may_be_put_right_later() -> None:
    model, dialogue = small_model(), random_dialogue(6)
    utterances = utterances_of(dialogue)
    live = IncrementalSDT(model)
    for utterance in utterances:
        live.append(utterance, 0)
    corrected = live.relabel([int(speaker) for speaker in dialogue.speakers])
    assert_reads(corrected, model, dialogue)

    present = dialogue.present.copy()
    present[2, 0] = False
    muted = replace(utterances[2], text=None)
    assert_reads(live.edit(2, muted), model, replace(dialogue, present=present))


def test_reset_forgets() -> None:
    first, second = utterances_of(random_dialogue(2))
    live = IncrementalSDT(small_model())
    alone = live.append(second, 1).newest
    live.append(first, 0)
    live.reset()
    assert len(live) == 0
    assert live.refresh().utterances == ()
    same(alone, live.append(second, 1).newest)


def test_a_window_drops_the_oldest_in_blocks_and_keeps_what_they_read() -> None:
    model, dialogue = small_model(), random_dialogue(11)
    live = IncrementalSDT(model, window=8)
    for i, utterance in enumerate(utterances_of(dialogue)):
        emotions = live.append(utterance, int(dialogue.speakers[i]))
        start = {8: 2, 9: 2, 10: 4}.get(i, 0)
        context = replace(
            dialogue.prefix(i + 1),
            **{
                name: getattr(dialogue, name)[start : i + 1]
                for name in ("text", "audio", "visual", "present", "speakers", "labels")
            },
        )
        assert len(emotions.utterances) == i + 1
        assert_reads(DialogueEmotions(emotions.utterances[start:]), model, context)
        if i == 7:
            eighth = emotions.utterances
        if i == 8:
            same(emotions.utterances[0], eighth[0])


def test_what_does_not_fit_is_refused_and_not_kept() -> None:
    live = IncrementalSDT(small_model())
    good = utterances_of(random_dialogue(1))[0]
    with pytest.raises(SDTError, match=r"speaker number 3 is outside the model's 3 \(0 to 2\)"):
        live.append(good, 3)
    with pytest.raises(SDTError, match=r"expects text features of 6 values, .* gives 7"):
        live.append(replace(good, text=np.zeros(7, np.float32)), 0)
    with pytest.raises(SDTError, match=r"audio features .* not finite"):
        live.preview(replace(good, audio=np.full(10, np.nan, np.float32)), 0)
    with pytest.raises(SDTError, match=r"visual features .* shape \(1, 4\)"):
        live.append(replace(good, visual=np.zeros((1, 4), np.float32)), 0)
    assert len(live) == 0
    live.append(good, 0)
    with pytest.raises(SDTError, match="2 speakers for 1 utterances"):
        live.relabel([0, 1])
    with pytest.raises(SDTError, match="no utterance 1"):
        live.edit(1, good)
    with pytest.raises(SDTError, match="context window is 0"):
        IncrementalSDT(small_model(), window=0)


def test_an_utterance_without_anything_still_gets_a_reading() -> None:
    newest = IncrementalSDT(small_model()).append(UtteranceFeatures(None, None, None), 0).newest
    assert newest.text is newest.audio is newest.visual is None
    assert newest.fused.sum() == pytest.approx(1, abs=1e-6)
