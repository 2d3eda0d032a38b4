"""From sound and script to faces: what each person's face and head do in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from dialogue import SPEAKERS
from expressions import EXPRESSIONS, Expression, Pose
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from voices import SAMPLE_RATE, Samples

Track = NDArray[np.float64]

FRAME_RATE = 25
"""Frames a second."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A line placed on the timeline; ``start`` and ``end`` (s) bound its audible sound."""

    index: int
    start: float
    end: float
    speaker: str
    text: str
    emotion: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Moment:
    """One person in one frame; ``speaking`` in [0, 1] lights the frame around them."""

    expression: Expression
    pose: Pose
    speaking: float


_EMOTIONS = tuple(EXPRESSIONS)
_REACTIONS = {
    "neutral": ("neutral", 1.0),
    "surprise": ("surprise", 0.25),
    "fear": ("sadness", 0.3),
    "sadness": ("sadness", 0.4),
    "joy": ("joy", 0.45),
    "disgust": ("disgust", 0.25),
    "anger": ("sadness", 0.45),
}
"""What a listener's face shows, and how much of it."""
_STANCES = {
    "neutral": Pose(),
    "surprise": Pose(y=-0.05, pitch=-0.35),
    "fear": Pose(y=-0.02, x=0.02, pitch=-0.15),
    "sadness": Pose(y=0.07, roll=4.0, pitch=0.55),
    "joy": Pose(y=-0.02, roll=-2.5, pitch=-0.1),
    "disgust": Pose(roll=3.5, yaw=0.45, pitch=-0.1),
    "anger": Pose(y=0.02, pitch=0.35),
}
_BEFORE, _AFTER = 0.3, 0.55
_SHUT_WHILE_LISTENING = 0.12


def act(speaker: str, utterances: Sequence[Utterance], duration: float, seed: int) -> list[Moment]:
    """The part of ``speaker``, one moment a frame, for ``duration`` seconds."""
    frames = int(duration * FRAME_RATE)
    times = np.arange(frames) / FRAME_RATE
    rng = np.random.default_rng([seed, SPEAKERS.index(speaker)])
    weights, talking = _feelings(speaker, utterances, times)
    loudness, brightness = _sound(speaker, utterances, frames)
    table = np.stack([EXPRESSIONS[emotion].as_array() for emotion in _EMOTIONS])
    shapes = weights @ table
    poses = _poses(weights, loudness, times, rng)
    blinks = _blinks(times, rng)
    gaze_x, gaze_y = _glances(times, rng)
    moments = []
    for i in range(frames):
        felt = Expression.from_array(shapes[i])
        heard = loudness[i]
        rest = felt.open * (_SHUT_WHILE_LISTENING + (0.55 - _SHUT_WHILE_LISTENING) * talking[i])
        face = replace(
            felt,
            open=rest + heard * (0.3 + 0.5 * felt.open),
            wide=felt.wide + 0.45 * heard * (brightness[i] - 0.5),
            pout=felt.pout * (1 - 0.6 * heard),
            teeth=max(felt.teeth, 0.3 * heard),
            lids=felt.lids * (1 - blinks[i]),
            gaze_x=felt.gaze_x + gaze_x[i],
            gaze_y=felt.gaze_y + gaze_y[i],
        )
        moments.append(Moment(face, poses[i], float(talking[i])))
    return moments


def _feelings(speaker: str, utterances: Sequence[Utterance], times: Track) -> tuple[Track, Track]:
    """Weights (frames, emotions), each row summing to 1, and whether it is ``speaker``'s turn."""
    weights = np.zeros((len(times), len(_EMOTIONS)))
    weights[:, _EMOTIONS.index("neutral")] = 1.0
    talking = np.zeros(len(times))
    for own in (False, True):
        for utterance in utterances:
            if (utterance.speaker == speaker) is not own:
                continue
            # Listeners need a moment to take in what they hear.
            begin = utterance.start + (-_BEFORE if own else 0.5)
            span = (times >= begin) & (times <= utterance.end + _AFTER)
            emotion, amount = (utterance.emotion, 1.0) if own else _REACTIONS[utterance.emotion]
            row = np.zeros(len(_EMOTIONS))
            row[_EMOTIONS.index("neutral")] = 1.0 - amount
            row[_EMOTIONS.index(emotion)] += amount
            weights[span] = row
            if own:
                talking[(times >= utterance.start - 0.08) & (times <= utterance.end + 0.08)] = 1.0
    smooth = 0.14 * FRAME_RATE
    return (
        gaussian_filter1d(weights, smooth, axis=0),
        gaussian_filter1d(talking, 0.06 * FRAME_RATE),
    )


def _sound(speaker: str, utterances: Sequence[Utterance], frames: int) -> tuple[Track, Track]:
    """Loudness and brightness of ``speaker``'s own voice in each frame, both in [0, 1]."""
    hop = SAMPLE_RATE // FRAME_RATE
    track = np.zeros((frames + 1) * hop)
    for utterance in utterances:
        if utterance.speaker == speaker:
            first = round(utterance.start * SAMPLE_RATE)
            level = np.sqrt(np.mean(utterance.samples**2))
            track[first : first + len(utterance.samples)] = utterance.samples / level
    slices = track[: frames * hop].reshape(frames, hop)
    rms = np.sqrt(np.mean(slices**2, axis=1))
    loudness = gaussian_filter1d(np.clip(rms / 1.7, 0, 1) ** 0.8, 0.75)
    spectrum = np.abs(np.fft.rfft(slices * np.hanning(hop), axis=1)) ** 2
    frequency = np.fft.rfftfreq(hop, 1 / SAMPLE_RATE)
    high = spectrum[:, frequency > 1800].sum(axis=1) / np.maximum(spectrum.sum(axis=1), 1e-6)
    return loudness, gaussian_filter1d(np.clip(3 * high, 0, 1), 1.0)


def _poses(weights: Track, loudness: Track, times: Track, rng: np.random.Generator) -> list[Pose]:
    names = ("x", "y", "roll", "yaw", "pitch")
    amounts = np.array([0.035, 0.02, 1.6, 0.32, 0.22])
    stances = np.array([[getattr(_STANCES[e], name) for name in names] for e in _EMOTIONS])
    held = gaussian_filter1d(weights, 0.2 * FRAME_RATE, axis=0) @ stances
    rates = rng.uniform(0.08, 0.35, (3, len(names)))
    phases = rng.uniform(0, 2 * np.pi, (3, len(names)))
    waves = np.sin(2 * np.pi * times[:, None, None] * rates + phases).mean(axis=1)
    moved = held + amounts * waves
    beat = gaussian_filter1d(loudness, 3.0)
    moved[:, names.index("pitch")] += 0.45 * beat
    moved[:, names.index("y")] += 0.03 * beat
    shiver = weights[:, _EMOTIONS.index("fear")] * 0.006
    moved[:, names.index("x")] += shiver * np.sin(2 * np.pi * 6.5 * times)
    return [Pose(*(float(value) for value in row)) for row in moved]


def _blinks(times: Track, rng: np.random.Generator) -> Track:
    closed = np.zeros(len(times))
    when = rng.uniform(0.8, 2.5)
    while when < times[-1]:
        closed = np.maximum(closed, np.exp(-(((times - when) / 0.065) ** 4)))
        when += rng.uniform(2.2, 5.0)
    return closed


def _glances(times: Track, rng: np.random.Generator) -> tuple[Track, Track]:
    x, y = np.zeros(len(times)), np.zeros(len(times))
    when = 0.0
    while when < times[-1]:
        following = when + rng.uniform(0.7, 2.6)
        span = (times >= when) & (times < following)
        x[span], y[span] = rng.normal(0, 0.28), rng.normal(0, 0.12)
        when = following
    return gaussian_filter1d(x, 0.8), gaussian_filter1d(y, 0.8)
