"""Speech to words with Whisper, and the filters that keep noise from becoming an utterance.

Whisper was made for windows of 30 s, and as the library calls it a word costs as much as half a
minute. CTranslate2 takes shorter windows. How short they may be without losing words is measured
by ``tests/benchmarks/transcription.py``; where the outcome looks wrong the full window decides.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE
from live_features.weights import Weights

WINDOW = 30.0
"""Seconds that Whisper can hear at once."""

_AT_ONCE = 2  # clips that are read side by side, where several threads ask
_FRAMES_PER_SECOND = 100
_MOST_TOKENS = 224

_NO_SPEECH = 0.6  # Whisper's own probability that nobody speaks
_DOUBTFUL = -0.8  # mean log-probability of a token
_HOPELESS = -1.5
_REPETITIVE = 2.4  # bytes of text for each byte of its compressed form
_SURE_OF_LANGUAGE = 0.5

_STOCK_PHRASES = frozenset(
    (
        "bye",
        "bye bye",
        "okay",
        "please subscribe",
        "see you next time",
        "subtitles by the amara org community",
        "thank you",
        "thank you for watching",
        "thank you so much",
        "thank you very much",
        "thanks",
        "thanks for watching",
        "you",
    )
)
"""What Whisper writes when it hears nothing, learnt from subtitles."""

_TERMINATORS = ".?!。？！؟।"
_CLOSERS = "\"'”’»)]"
_LEADS_ON = frozenset(
    (
        "a",
        "an",
        "and",
        "because",
        "but",
        "er",
        "erm",
        "i'm",
        "if",
        "my",
        "or",
        "our",
        "the",
        "their",
        "they're",
        "uh",
        "um",
        "we're",
        "your",
    )
)
_LEADS_ON_ALONE = frozenset(("so", "well", "like", "i mean", "you know"))

_THRICE = re.compile(r"\b(\w+(?: \w+){0,7}) \1 \1\b")


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of an utterance, or why there are none.

    ``rejected`` is a drop reason code, or None for words to trust:

    - ``no_words``: Whisper wrote nothing, or only punctuation;
    - ``not_speech``: it doubts that anybody spoke and its guess is unlikely, or its guess is so
      unlikely that the words mean nothing;
    - ``stock_phrase``: something like "Thank you.", which Whisper writes when it hears nothing,
      and it is not sure of it;
    - ``repetition``: the looping text that Whisper makes of noise.

    ``read_again`` tells that a shortened window had looked wrong, and the full one was used.
    """

    text: str
    rejected: str | None
    read_again: bool = False

    @property
    def reads_finished(self) -> bool:
        """Whether the words read like a finished sentence.

        They end in a full stop, a question mark or an exclamation mark. Whisper puts a full stop
        behind nearly everything, so one does not count in an ellipsis, after an English word that
        leads on ("and", "the", "um", …), or where all there is leads on ("So.", "You know.").
        """
        text = self.text.rstrip(_CLOSERS)
        if not text.endswith(tuple(_TERMINATORS)) or text.endswith(".."):
            return False
        if not text.endswith("."):
            return True
        words = _plain(text)
        return words not in _LEADS_ON_ALONE and words.split(" ")[-1] not in _LEADS_ON


@dataclass(frozen=True, slots=True)
class EncoderContext:
    """How long a window Whisper's encoder is given, in seconds.

    A window holds the sound, at least ``beyond`` of nothing after it, and is no shorter than
    ``shortest``. With too little of nothing Whisper drops sentences or says them twice.
    """

    shortest: float
    beyond: float

    def frames(self, sound: int) -> int:
        """Length of the window, in mel frames of 10 ms, for a sound of ``sound`` frames."""
        wanted = max(self.shortest, sound / _FRAMES_PER_SECOND + self.beyond)
        return round(min(wanted, WINDOW) * _FRAMES_PER_SECOND)


SHORTENED = EncoderContext(shortest=15.0, beyond=10.0)
FULL_CONTEXT = EncoderContext(shortest=WINDOW, beyond=0.0)


@dataclass(frozen=True, slots=True)
class _Guess:
    """What Whisper makes of a window; ``endless`` if it was stopped while still writing."""

    text: str
    log_probability: float
    no_speech: float
    endless: bool

    @property
    def loops(self) -> bool:
        return (
            self.endless
            or _compression(self.text) > _REPETITIVE
            or _THRICE.search(_plain(self.text)) is not None
        )

    @property
    def hears_nothing(self) -> bool:
        unsaid = self.log_probability < _DOUBTFUL or not _plain(self.text)
        return self.no_speech > _NO_SPEECH and unsaid


class Transcriber:
    """Whisper through CTranslate2, at temperature 0: the same sound gives the same words.

    ``device`` is where it computes, ``cpu`` or ``cuda``; ``fallback`` says in a sentence why that
    is not the device asked for, and is None where it is.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "cpu",
        threads: int | None = None,
        beam_size: int = 3,
        language: str | None = None,
        context: EncoderContext = SHORTENED,
    ) -> None:
        """Load a converted model; ``language`` is an ISO code, None lets a multilingual model tell.

        Where a graphics card or its libraries do not work, the processor is used. On it ``threads``
        compute; None is half of what the machine has, up to four, since the rest of a session
        wants to compute as well (two on a machine of two were slower than one).

        Raises:
            UserFacingError: the folder holds no model that CTranslate2 can load.
        """
        if threads is None:
            threads = min(max((os.cpu_count() or 1) // 2, 1), 4)
        self.device = device
        self.fallback: str | None = None
        try:
            self._whisper = _load(weights, device, threads)
        except (RuntimeError, ValueError, OSError) as error:
            if device == "cpu":
                raise _cannot_be_loaded(weights, error) from error
            self.device, self.fallback = "cpu", _cannot_compute(error)
            try:
                self._whisper = _load(weights, "cpu", threads)
            except (RuntimeError, ValueError, OSError) as worse:
                raise _cannot_be_loaded(weights, worse) from worse
        self._beam_size = beam_size
        self._language = language if self._whisper.model.is_multilingual else "en"
        self._context = context

    def __call__(self, samples: NDArray[np.float32], *, beam_size: int | None = None) -> Transcript:
        """Words of mono speech, float32 at 16 kHz, of any length; the longest are read in windows.

        ``beam_size`` is how many readings are followed at once, None for the usual number.
        """
        beam_size = beam_size or self._beam_size
        if len(samples) > WINDOW * SAMPLE_RATE:
            return self._read_windows(samples, beam_size)
        sound: NDArray[np.float32] = self._whisper.feature_extractor(samples)[:, :-1]
        frames = self._context.frames(sound.shape[-1])
        full = round(WINDOW * _FRAMES_PER_SECOND)
        guess = self._read(sound, frames, beam_size)
        again = frames < full and _looks_wrong(guess, len(samples) / SAMPLE_RATE)
        if again:
            second = self._read(sound, full, beam_size)
            guess = guess if second.loops and not guess.loops else second
        return Transcript(guess.text, _reason_to_reject(guess), again)

    def _read(self, sound: NDArray[np.float32], frames: int, beam_size: int) -> _Guess:
        """One window of ``frames`` mel frames; ``sound`` is (mel bands, frames)."""
        whisper = self._whisper
        encoded = whisper.encode(pad_or_trim(sound, frames))
        tokenizer = self._tokenizer(encoded, sound, frames)
        prompt = whisper.get_prompt(tokenizer, [], without_timestamps=True)
        longest = self._longest(sound.shape[-1] / _FRAMES_PER_SECOND)
        result = whisper.model.generate(
            encoded,
            [prompt],
            beam_size=beam_size,
            max_length=2 * longest,  # Whisper writes up to half of it, as it was trained
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = result.sequences_ids[0]
        # The score is the mean over the words; the end that follows them counts as well.
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        return _Guess(
            tokenizer.decode(tokens).strip(),
            log_probability,
            result.no_speech_prob,
            endless=len(tokens) >= longest,
        )

    def _longest(self, seconds: float) -> int:
        """Tokens beyond which nobody can have said that much: nine a second were the most heard.

        Other scripts take many more tokens for a word, so only English is cut off.
        """
        longest = round(24 + 12 * seconds) if self._language == "en" else _MOST_TOKENS
        return min(longest, _MOST_TOKENS)

    def _tokenizer(self, encoded: Any, sound: NDArray[np.float32], frames: int) -> Tokenizer:
        language = self._language or self._tell_language(encoded, sound, frames)
        whisper = self._whisper
        return Tokenizer(
            whisper.hf_tokenizer, whisper.model.is_multilingual, "transcribe", language
        )

    def _tell_language(self, encoded: Any, sound: NDArray[np.float32], frames: int) -> str:
        whisper = self._whisper
        token, probability = whisper.model.detect_language(encoded)[0][0]
        full = round(WINDOW * _FRAMES_PER_SECOND)
        if probability < _SURE_OF_LANGUAGE and frames < full:
            encoded = whisper.encode(pad_or_trim(sound, full))
            token, _ = whisper.model.detect_language(encoded)[0][0]
        return token.removeprefix("<|").removesuffix("|>")

    def _read_windows(self, samples: NDArray[np.float32], beam_size: int) -> Transcript:
        """More sound than Whisper hears at once, which the library cuts into windows."""
        segments, _ = self._whisper.transcribe(
            samples,
            language=self._language,
            beam_size=beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            vad_filter=False,
        )
        guesses = [_Guess(s.text.strip(), s.avg_logprob, s.no_speech_prob, False) for s in segments]
        reasons = [_reason_to_reject(guess) for guess in guesses]
        kept = [g.text for g, reason in zip(guesses, reasons, strict=True) if reason is None]
        if kept:
            return Transcript(" ".join(kept), None)
        return Transcript(
            " ".join(guess.text for guess in guesses), reasons[0] if reasons else "no_words"
        )


def _load(weights: Weights, device: str, threads: int) -> WhisperModel:
    """A model that has computed something: missing libraries show when they are first needed."""
    try:
        whisper = WhisperModel(
            str(weights.folder),
            device=device,
            compute_type="int8" if device == "cpu" else "float16",
            cpu_threads=threads,
            num_workers=_AT_ONCE,
            local_files_only=True,
        )
    except Exception as error:  # a damaged tokenizer.json raises nothing more special
        raise ValueError(str(error)) from error
    silence = whisper.feature_extractor(np.zeros(SAMPLE_RATE, np.float32))
    encoded = whisper.encode(pad_or_trim(silence, SHORTENED.frames(silence.shape[-1])))
    tokenizer = Tokenizer(whisper.hf_tokenizer, whisper.model.is_multilingual, "transcribe", "en")
    whisper.model.generate(encoded, [tokenizer.sot_sequence], beam_size=1, max_length=8)
    return whisper


def _cannot_be_loaded(weights: Weights, error: Exception) -> UserFacingError:
    return UserFacingError(
        f"The Whisper model in {weights.folder} cannot be loaded ({_first_line(error)}): choose "
        f"another with --whisper, or reinstall it."
    )


def _cannot_compute(error: Exception) -> str:
    return (
        f"Whisper computes on the processor, because CTranslate2 cannot use the graphics card "
        f"({_first_line(error)}): bring its driver, cuBLAS and cuDNN up to date, or choose "
        f"--device cpu."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _looks_wrong(guess: _Guess, seconds: float) -> bool:
    """Whether a shortened window may have cost words, so that it is worth reading the full one.

    Words that are merely unlikely are no better in the full one.
    """
    if guess.hears_nothing:
        return False
    few = seconds > 3.0 and len(guess.text) < 2.5 * seconds
    return guess.loops or few


def _reason_to_reject(guess: _Guess) -> str | None:
    words = _plain(guess.text)
    if not words:
        return "no_words"
    if _compression(guess.text) > _REPETITIVE:
        return "repetition"
    if guess.hears_nothing or guess.log_probability < _HOPELESS:
        return "not_speech"
    unsure = guess.no_speech > _NO_SPEECH or guess.log_probability < _DOUBTFUL
    return "stock_phrase" if unsure and words in _STOCK_PHRASES else None


def _compression(text: str) -> float:
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def _plain(text: str) -> str:
    """Words in lower case with single spaces, without punctuation."""
    return " ".join(re.findall(r"[\w']+", text.lower().replace("’", "'")))
