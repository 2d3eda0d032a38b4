from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sdt_helpers import random_dialogue, small_model, utterances_of

from app.assets import DEFAULT_CHECKPOINT
from sdt_model.checkpoints import load_checkpoint
from sdt_model.config import FUSIONS, MODALITIES, SDTConfig
from sdt_model.dialogues import Dialogue, UtteranceFeatures, collate
from sdt_model.errors import SDTError
from sdt_model.incremental import DialogueEmotions, IncrementalSDT, UtteranceEmotion
from sdt_model.incremental_cache import StackedSDT
from sdt_model.model import SDT

ROUNDING = 1e-5
BFLOAT16 = 0.005
"""How far from the full model a reading may be, in float32 and as ``bfloat16`` promises."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small gain nothing from a second thread, and wait for it on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_reads(
    emotions: DialogueEmotions, model: SDT, dialogue: Dialogue, within: float = ROUNDING
) -> None:
    """``emotions`` are those of a plain forward over ``dialogue``."""
    assert len(emotions.utterances) == len(dialogue)
    assert_ends_with(emotions.utterances, model, dialogue, within)


def assert_ends_with(
    emotions: Sequence[UtteranceEmotion], model: SDT, dialogue: Dialogue, within: float = ROUNDING
) -> None:
    """``emotions`` are those of the last utterances in a plain forward over ``dialogue``."""
    with torch.inference_mode():
        output = model(collate([dialogue], model.config))
    students = [logits[0].softmax(-1).numpy() for logits in output.students]
    for i, emotion in enumerate(emotions, start=len(dialogue) - len(emotions)):
        close(emotion.fused, output.fused[0, i].softmax(-1).numpy(), within)
        close(emotion.gates, output.gates[0, i].mean(-1).numpy(), within)
        norms = (output.gates[0, i] * output.hidden[0, i]).norm(dim=-1)
        close(emotion.contributions, (norms / norms.sum()).numpy(), within)
        for m, own in enumerate((emotion.text, emotion.audio, emotion.visual)):
            if dialogue.present[i, m] and MODALITIES[m] in model.config.modalities:
                close(own, students[m][i], within)
            else:
                assert own is None


def assert_looks(live: IncrementalSDT, model: SDT, context: Dialogue, row: int) -> None:
    """Utterance ``row`` of the context looks where the full model's attention weights say."""
    left = len(live) - len(context)
    looked = live.attention(left + row)
    with torch.inference_mode():
        heads = model.attention(collate([context], model.config))[0, :, :, row]
    assert looked.shape == (9, len(live))
    assert not looked[:, :left].any()
    close(looked[:, left:], heads.mean(1).numpy())


def close(got: np.ndarray | None, expected: np.ndarray | None, within: float = ROUNDING) -> None:
    assert got is not None
    assert expected is not None
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=within)


def same(one: UtteranceEmotion, other: UtteranceEmotion, within: float = ROUNDING) -> None:
    for name in ("fused", "gates", "contributions"):
        close(getattr(one, name), getattr(other, name), within)


@pytest.mark.parametrize("layers", [1, 2])
def test_every_prefix_reads_like_a_full_forward(layers: int) -> None:
    model, dialogue = small_model(layers=layers), random_dialogue(14, missing=0.3)
    live = IncrementalSDT(model)
    for i, utterance in enumerate(utterances_of(dialogue)):
        emotions = live.append(utterance, int(dialogue.speakers[i]))
        same(emotions.newest, emotions.utterances[-1])
        assert_reads(live.refresh(), model, dialogue.prefix(i + 1))


def test_three_hundred_appends_read_like_a_full_forward() -> None:
    model = small_model(hidden=64, heads=4, speakers=9)
    # Sharper attention than that of a model without training, as the running softmax has to bear.
    for encoder in model.encoders.values():
        encoder.layers[0].attention.query.weight.data *= 6
    dialogue = random_dialogue(300, missing=0.1, speakers=9)
    live = IncrementalSDT(model)
    for i, utterance in enumerate(utterances_of(dialogue)):
        emotions = live.append(utterance, int(dialogue.speakers[i]))
        assert_ends_with([emotions.newest], model, dialogue.prefix(i + 1))
        if (i + 1) % 25 == 0:
            assert_reads(live.refresh(), model, dialogue.prefix(i + 1))
    turned = replace(dialogue, speakers=dialogue.speakers[::-1].copy())
    assert_reads(live.relabel([int(speaker) for speaker in turned.speakers]), model, turned)


def test_the_shipped_weights_read_in_bfloat16_as_closely_as_promised() -> None:
    model = load_checkpoint(DEFAULT_CHECKPOINT).model
    dialogue = made_up_dialogue(model.config, 200)
    live = IncrementalSDT(model, bfloat16=True)
    for i, utterance in enumerate(utterances_of(dialogue)):
        newest = live.append(utterance, int(dialogue.speakers[i])).newest
        assert_ends_with([newest], model, dialogue.prefix(i + 1), BFLOAT16)
    assert_reads(live.refresh(), model, dialogue, BFLOAT16)
    turned = replace(dialogue, speakers=dialogue.speakers[::-1].copy())
    read = live.relabel([int(speaker) for speaker in turned.speakers])
    assert_reads(read, model, turned, BFLOAT16)


def test_the_papers_size_reads_in_bfloat16_as_closely_as_promised() -> None:
    torch.manual_seed(0)
    model = SDT(SDTConfig(text_dim=1024, audio_dim=1582, visual_dim=342)).eval()
    dialogue = made_up_dialogue(model.config, 30)
    live = IncrementalSDT(model, bfloat16=True)
    exact = IncrementalSDT(model)
    for i, utterance in enumerate(utterances_of(dialogue)):
        speaker = int(dialogue.speakers[i])
        newest = live.append(utterance, speaker).newest
        same(newest, exact.append(utterance, speaker).newest, BFLOAT16)
    assert_reads(live.refresh(), model, dialogue, BFLOAT16)


def made_up_dialogue(config: SDTConfig, length: int) -> Dialogue:
    """Standard normal features, one in ten missing."""
    rng = np.random.default_rng(0)
    text, audio, visual = (
        rng.normal(size=(length, size)).astype(np.float32) for size in config.feature_sizes
    )
    return Dialogue(
        id="made up",
        text=text,
        audio=audio,
        visual=visual,
        present=rng.random((length, 3)) >= 0.1,
        speakers=rng.integers(config.speakers, size=length),
        labels=rng.integers(len(config.classes), size=length),
    )


OPERATIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 2**16)),
    st.tuples(st.just("append"), st.integers(0, 2**16)),
    st.tuples(st.sampled_from(["preview", "edit", "relabel", "rewrite"]), st.integers(0, 2**16)),
    st.tuples(st.sampled_from(["refresh", "reset"]), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    heads=st.integers(1, 3),
    width=st.sampled_from([2, 4, 6]),
    layers=st.sampled_from([1, 1, 1, 2]),
    gates=st.sampled_from(["trained", "pinned", "none"]),
    fusion=st.sampled_from(FUSIONS),
    modalities=st.sampled_from([MODALITIES, MODALITIES, ("text",), ("audio", "visual")]),
    speakers=st.integers(1, 4),
    window=st.none() | st.integers(1, 9),
    operations=st.lists(OPERATIONS, min_size=1, max_size=25),
)
def test_whatever_is_done_the_reading_is_that_of_a_full_forward(
    sizes: tuple[int, int, int],
    heads: int,
    width: int,
    layers: int,
    gates: str,
    fusion: str,
    modalities: tuple[str, ...],
    speakers: int,
    window: int | None,
    operations: list[tuple[str, int]],
) -> None:
    text, audio, visual = sizes
    model = small_model(
        text_dim=text,
        audio_dim=audio,
        visual_dim=visual,
        hidden=heads * width,
        heads=heads,
        layers=layers,
        speakers=speakers,
        trainable_unimodal_gates=gates == "trained",
        unimodal_gates=gates != "none",
        fusion=fusion,
        modalities=modalities,
    )
    live = IncrementalSDT(model, window)
    assert live.cached == (layers == 1)
    said: list[UtteranceFeatures] = []
    by: list[int] = []

    def in_window(utterances: list[UtteranceFeatures], people: list[int]) -> Dialogue:
        start = 0
        if window is not None and len(utterances) > window:
            block = max(1, window // 4)
            start = ceil((len(utterances) - window) / block) * block
        return Dialogue.from_utterances("d", utterances[start:], people[start:], model.config)

    for operation, seed in operations:
        rng = np.random.default_rng(seed)
        vectors = [rng.normal(size=size).astype(np.float32) for size in sizes]
        features = UtteranceFeatures(*(v if rng.random() < 0.8 else None for v in vectors))
        speaker = int(rng.integers(speakers))
        match operation:
            case "append":
                past = live.refresh().utterances if seed % 2 else ()
                emotions = live.append(features, speaker)
                said.append(features)
                by.append(speaker)
                assert len(live) == len(emotions.utterances) == len(said)
                for kept, before in zip(emotions.utterances, past, strict=False):
                    same(kept, before)
                assert_ends_with([emotions.newest], model, in_window(said, by))
                continue
            case "preview":
                preview = live.preview(features, speaker)
                assert_ends_with([preview], model, in_window([*said, features], [*by, speaker]))
                emotions = live.refresh()
            case "edit" if said:
                index = int(rng.integers(len(said)))
                said[index] = features
                emotions = live.edit(index, features)
            case "relabel":
                by = [int(person) for person in rng.integers(speakers, size=len(said))]
                emotions = live.relabel(by)
            case "reset":
                live.reset()
                said, by = [], []
                emotions = live.refresh()
            case "rewrite" if said:
                said, by = [features, *said[:-1]], [speaker, *by[:-1]]
                emotions = live.rewrite(said, by)
            case _:
                emotions = live.refresh()
        assert len(live) == len(emotions.utterances) == len(said)
        if said:
            context = in_window(said, by)
            assert_ends_with(emotions.utterances[-len(context) :], model, context)
            assert_looks(live, model, context, int(rng.integers(len(context))))


def test_the_past_keeps_its_reading_until_it_is_refreshed() -> None:
    dialogue = random_dialogue(4)
    live = IncrementalSDT(small_model())
    firsts = [live.append(u, i % 2).newest for i, u in enumerate(utterances_of(dialogue))]
    kept = live.append(utterances_of(dialogue)[0], 2)
    assert list(kept.utterances[:-1]) == firsts
    revised = live.refresh()
    same(revised.newest, kept.newest)
    for before, now in zip(firsts, revised.utterances, strict=False):
        assert np.abs(before.fused - now.fused).max() > 1e-5


def test_what_left_the_window_or_was_reset_is_let_go() -> None:
    live = IncrementalSDT(small_model(), window=4)
    held = []
    for seed in range(6):
        (utterance,) = utterances_of(random_dialogue(1, seed))
        vector = np.array(utterance.text)
        held.append(weakref.ref(vector))
        live.append(replace(utterance, text=vector), 0)
        del vector, utterance
    assert [reference() is None for reference in held] == [True] * 2 + [False] * 4
    live.reset()
    assert all(reference() is None for reference in held)


def test_only_one_layer_can_be_read_from_caches() -> None:
    with pytest.raises(SDTError, match="2 layers an encoder cannot be read from caches"):
        StackedSDT(small_model(layers=2))
    with pytest.raises(SDTError, match=r"2 layers an encoder .* leave out bfloat16"):
        IncrementalSDT(small_model(layers=2), bfloat16=True)


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
        live.append(utterance, int(dialogue.speakers[i]))
        emotions = live.refresh()
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
    with pytest.raises(SDTError, match="features of 2 utterances for 1"):
        live.rewrite([good, good], [0])
    with pytest.raises(SDTError, match="no utterance 1 in sight: those from 0 to 0 are"):
        live.attention(1)
    with pytest.raises(SDTError, match="context window is 0"):
        IncrementalSDT(small_model(), window=0)


def test_an_utterance_without_anything_still_gets_a_reading() -> None:
    newest = IncrementalSDT(small_model()).append(UtteranceFeatures(None, None, None), 0).newest
    assert newest.text is newest.audio is newest.visual is None
    assert newest.fused.sum() == pytest.approx(1, abs=1e-6)
