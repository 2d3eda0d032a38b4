"""Words from sound: the window, what is dropped and why, the device, when a sentence is over."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from app.assets import DEMO_MEDIA
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock
from live_features.sources.recording import RecordingSource
from live_features.transcription import (
    FULL_CONTEXT,
    SHORTENED,
    EncoderContext,
    Transcriber,
    Transcript,
)
from live_features.weights import Weights

Samples = NDArray[np.float32]

REFERENCE = json.loads((DEMO_MEDIA.parent / "reference.json").read_text("utf-8"))["utterances"]


@pytest.fixture(scope="module")
def sound() -> Samples:
    """The demo's, mono."""
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    blocks = [item.samples[:, 0] for item in source if isinstance(item, AudioBlock)]
    return np.concatenate(blocks)


@pytest.fixture(scope="module")
def transcribe() -> Transcriber:
    return Transcriber(weights.whisper(offline=True))


def between(sound: Samples, start: float, end: float) -> Samples:
    return sound[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def utterance(sound: Samples, index: int) -> Samples:
    """One of the demo's, with a little before and after."""
    return between(sound, REFERENCE[index]["start"] - 0.3, REFERENCE[index]["end"] + 0.2)


def plain(text: str) -> str:
    return " ".join(re.findall(r"[\w']+", text.lower()))


@pytest.mark.parametrize("beam_size", [None, 1])
@pytest.mark.parametrize("index", [0, 2, 5, 7, 11, 18])
def test_a_shortened_window_has_all_the_words(
    transcribe: Transcriber, sound: Samples, index: int, beam_size: int | None
) -> None:
    transcript = transcribe(utterance(sound, index), beam_size=beam_size)
    assert transcript.rejected is None
    assert plain(transcript.text) == plain(REFERENCE[index]["text"])


def test_the_first_and_the_last_word_of_a_long_utterance_are_there(
    transcribe: Transcriber, sound: Samples
) -> None:
    for last in (5, 10, 21):  # 16, 32 and 73 s of talk
        transcript = transcribe(between(sound, 0.9, REFERENCE[last]["end"] + 0.2))
        words = plain(transcript.text)
        assert words.startswith("hey so what did you do today")
        assert words.endswith(" ".join(plain(REFERENCE[last]["text"]).split()[-3:]))


def test_whoever_talks_fast_is_heard_out(transcribe: Transcriber, sound: Samples) -> None:
    spoken = [between(sound, u["start"], u["end"]) for u in REFERENCE[:10]]
    transcript = transcribe(soxr.resample(np.concatenate(spoken), 3, 2).astype(np.float32))
    assert len(transcript.text.split()) > 5 * sum(map(len, spoken)) / SAMPLE_RATE / 1.5
    assert plain(transcript.text).endswith("that is so gross")


def test_a_window_that_was_too_short_is_noticed_and_read_again(sound: Samples) -> None:
    tight = Transcriber(
        weights.whisper(offline=True), context=EncoderContext(shortest=0.0, beyond=0.2)
    )
    transcripts = {index: tight(utterance(sound, index)) for index in range(6)}
    again = {index: t for index, t in transcripts.items() if t.read_again}
    assert again
    for index, transcript in again.items():
        assert plain(transcript.text) == plain(REFERENCE[index]["text"])


def test_a_window_ends_well_after_the_sound_and_is_never_longer_than_whisper_hears() -> None:
    assert SHORTENED.frames(300) == 1500
    assert SHORTENED.frames(1200) == 2200
    assert SHORTENED.frames(2500) == FULL_CONTEXT.frames(2500) == FULL_CONTEXT.frames(1) == 3000


# --- What is no utterance ------------------------------------------------------------------------


def band(noise: Samples, low: float, high: float) -> Samples:
    spectrum = np.fft.rfft(noise)
    frequencies = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    filtered = np.fft.irfft(spectrum, len(noise))
    return (filtered / np.abs(filtered).max()).astype(np.float32)


def silence(times: Samples, noise: Samples) -> Samples:
    return np.zeros_like(times)


def hiss(times: Samples, noise: Samples) -> Samples:
    return 0.03 * noise


def rumble(times: Samples, noise: Samples) -> Samples:
    return 0.2 * band(noise, 20, 200)


def hum(times: Samples, noise: Samples) -> Samples:
    waves = np.sin(2 * np.pi * 50 * times) + 0.5 * np.sin(2 * np.pi * 150 * times)
    return 0.05 * waves + 0.001 * noise


def chords(times: Samples, noise: Samples) -> Samples:
    beats = (times / 0.4).astype(int)
    roots = 220 * 2 ** (np.array([0, 5, 7, 3, 10])[beats % 5] / 12)
    decay = np.exp(-4 * (times % 0.4))
    return sum(0.05 * decay * np.sin(2 * np.pi * roots * n * times) for n in (1, 5 / 4, 3 / 2, 2))


def typing(times: Samples, noise: Samples) -> Samples:
    since_key = (times + 0.05 * np.sin(7 * times)) % 0.17
    return 0.2 * band(noise, 1500, 6000) * np.exp(-200 * since_key) + 0.0005 * noise


def breath(times: Samples, noise: Samples) -> Samples:
    swell = np.maximum(np.sin(2 * np.pi * times / 2.5), 0) ** 1.5
    return 0.05 * swell * band(noise, 300, 4000) + 0.0005 * noise


@pytest.mark.parametrize("seconds", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("make", [silence, hiss, rumble, hum, chords, typing, breath])
def test_what_is_no_speech_is_no_utterance_and_the_reason_is_given(
    transcribe: Transcriber, make: Callable[[Samples, Samples], Samples], seconds: float
) -> None:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(times))
    heard = transcribe(make(times, noise).astype(np.float32))
    assert heard.rejected in ("no_words", "not_speech", "stock_phrase", "repetition"), heard.text


def test_a_room_before_anybody_speaks_is_no_utterance(
    transcribe: Transcriber, sound: Samples
) -> None:
    assert transcribe(between(sound, 0.0, 0.9)).rejected is not None


def test_what_whisper_says_of_silence_stays_where_somebody_says_it(
    transcribe: Transcriber, sound: Samples
) -> None:
    start = REFERENCE[19]["start"]  # "Okay. So I called …"
    heard = transcribe(between(sound, start - 0.3, start + 0.5))
    assert (plain(heard.text), heard.rejected) == ("okay", None)


@pytest.mark.parametrize("samples", [0, 1, 500])
def test_next_to_no_sound_is_no_utterance(transcribe: Transcriber, samples: int) -> None:
    assert transcribe(np.zeros(samples, np.float32)).rejected is not None


# --- When a sentence is over ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "I got the job.",
        "You did what?",
        "No!",
        'He said "no."',
        "Hmm.",
        "I think so.",
        "And?",
        "好。",
    ],
)
def test_a_finished_sentence_reads_so(text: str) -> None:
    assert Transcript(text, None).reads_finished


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I got the",
        "I told you...",
        "Well…",
        "I went there and.",
        "Um.",
        "So.",
        "You know.",
        "a b,",
    ],
)
def test_an_unfinished_sentence_does_not(text: str) -> None:
    assert not Transcript(text, None).reads_finished


# --- Devices and models --------------------------------------------------------------------------


def test_without_a_working_graphics_card_the_processor_is_used_and_it_is_said(
    sound: Samples,
) -> None:
    transcribe = Transcriber(weights.whisper(offline=True), device="cuda")
    if transcribe.fallback is None:
        assert transcribe.device == "cuda"
    else:
        assert transcribe.device == "cpu"
        assert re.search(r"processor.*CTranslate2.*--device cpu\.$", transcribe.fallback)
    assert "what did you do today" in transcribe(utterance(sound, 0)).text.lower()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_folder_without_a_whisper_model_is_said_to_be_none(tmp_path: Path, device: str) -> None:
    with pytest.raises(UserFacingError, match="--whisper"):
        Transcriber(Weights(tmp_path, "a test"), device=device)


def test_a_damaged_whisper_model_is_said_to_be_none(tmp_path: Path) -> None:
    folder = shutil.copytree(weights.whisper(offline=True).folder, tmp_path / "whisper")
    words = folder / "tokenizer.json"
    words.write_bytes(words.read_bytes()[:1000])
    with pytest.raises(UserFacingError, match="--whisper"):
        Transcriber(Weights(folder, "a test"))


def test_an_english_model_hears_english_whatever_the_language(sound: Samples) -> None:
    transcribe = Transcriber(weights.whisper(offline=True), language="de")
    assert "what did you do today" in transcribe(utterance(sound, 0)).text.lower()
