"""What the live blocks make of a recording of a corpus: one voice and one face an utterance.

Everything is heard and seen as it would be live: sound and pictures through the recording source,
the voice from the first to the last word that the endpointer finds, faces at the engine's rate and
of them the one whose mouth moves most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.assets import EXPRESSION_NETWORK, VOICE_NETWORK
from app.pressure import Effort
from live_features import weights
from live_features.clocks import VirtualClock
from live_features.corpora import CorpusRecording, CorpusUtterance
from live_features.endpointing import Endpointer, speech_span
from live_features.expression import ExpressionEncoder
from live_features.faces import (
    FaceAnalyser,
    FaceDetector,
    FaceFrame,
    FaceTimeline,
    TrackSummary,
    talking_face,
)
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources.recording import RecordingSource
from live_features.voice_activity import VoiceActivityDetector
from live_features.voices import VoiceEncoder

_FAINTEST = 1e-12
"""Power that stands for silence, so that its logarithm is finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Acoustics (1024,) and expression embedding (342,) of an utterance, float32.

    None where there was no sound, or no face.
    """

    audio: NDArray[np.float32] | None
    visual: NDArray[np.float32] | None


class Extractors:
    """The live blocks for voice and face, loaded; for one thread."""

    def __init__(self) -> None:
        """Raises :class:`UserFacingError` when weights are missing or damaged."""
        silero = weights.packaged(weights.SILERO)
        self._voice_activity = VoiceActivityDetector(silero)
        self._voice = VoiceEncoder(VOICE_NETWORK)
        self._analyse = FaceAnalyser(FaceDetector(), ExpressionEncoder.load(EXPRESSION_NETWORK))

    def __call__(self, recording: CorpusRecording) -> tuple[Measured, ...]:
        """What each utterance of ``recording`` sounds and looks like.

        Raises:
            UserFacingError: the recording cannot be read.
        """
        sound, faces = self._play(recording)
        voices = _on_own_channel(sound, recording)
        measured = []
        timelines = _of_own_half(faces, recording)
        for utterance, voice, timeline in zip(recording.utterances, voices, timelines, strict=True):
            self._voice_activity.reset()
            start, end = speech_span(voice, Endpointer(self._voice_activity))
            speech = voice[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
            seen_until = utterance.start + end if len(voice) else utterance.end
            face = talking_face(timeline.tracks(utterance.start + start, seen_until))
            measured.append(
                Measured(
                    audio=self._voice.listen(speech).acoustic,
                    visual=None if face is None else face.features.embedding,
                )
            )
        return tuple(measured)

    def _play(self, recording: CorpusRecording) -> tuple[NDArray[np.float32], list[FaceFrame]]:
        """All sound (n, channels), and the faces of every picture that is looked at."""
        blocks: list[NDArray[np.float32]] = []
        faces: list[FaceFrame] = []
        effort = Effort()
        analysed = 0.0
        self._analyse.reset()
        for path in dict.fromkeys((recording.sound, recording.pictures)):
            source = RecordingSource(
                path, VirtualClock(), channels=2 if recording.side_by_side else None
            )
            for item in source:
                match item:
                    case AudioBlock() if path == recording.sound:
                        blocks.append(item.samples)
                    case VideoFrame(time=now) if path == recording.pictures and now >= analysed:
                        analysed = effort.next_analysis(now)
                        faces.append(self._analyse(item))
        sound = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
        return sound, faces


def _on_own_channel(
    sound: NDArray[np.float32], recording: CorpusRecording
) -> list[NDArray[np.float32]]:
    """Each utterance's stretch (n,) of ``sound`` (n, channels), of its speaker's microphone.

    A microphone is whose it hears louder than the other person's. Without one each, the channels
    are mixed.
    """
    stretches = [
        sound[_sample(u.start, sound) : _sample(u.end, sound)] for u in recording.utterances
    ]
    if not recording.side_by_side or sound.shape[1] != 2:
        return [stretch.mean(axis=1) for stretch in stretches]
    sides = sides_of_speakers(
        recording.utterances, [_loudness(s[:, 0]) - _loudness(s[:, 1]) for s in stretches]
    )
    return [
        np.ascontiguousarray(stretch[:, sides[utterance.speaker]])
        for utterance, stretch in zip(recording.utterances, stretches, strict=True)
    ]


def _of_own_half(faces: Sequence[FaceFrame], recording: CorpusRecording) -> list[FaceTimeline]:
    """For each utterance the faces among which its speaker's is.

    Of two people side by side, a half is whose mouth moves in it while they speak.
    """
    if not recording.side_by_side:
        return [_timeline(faces)] * len(recording.utterances)
    halves = (_timeline(faces, left=True), _timeline(faces, left=False))
    moved = [
        [_motion(half.tracks(u.start, u.end)) for half in halves] for u in recording.utterances
    ]
    sides = sides_of_speakers(recording.utterances, [left - right for left, right in moved])
    return [halves[sides[utterance.speaker]] for utterance in recording.utterances]


def sides_of_speakers(
    utterances: Sequence[CorpusUtterance], leanings: Sequence[float]
) -> dict[int, int]:
    """On which side, 0 left or 1 right, each speaker is.

    ``leanings`` says of each utterance how much more the left side did than the right one. Of two
    speakers the one during whose utterances it did more on average is on the left, so neither a
    more sensitive microphone nor a livelier listener matters.
    """
    by_speaker: dict[int, list[float]] = {}
    for utterance, leaning in zip(utterances, leanings, strict=True):
        by_speaker.setdefault(utterance.speaker, []).append(leaning)
    means = {speaker: float(np.mean(values)) for speaker, values in by_speaker.items()}
    middle = sum(means.values()) / 2 if len(means) == 2 else 0.0
    return {speaker: 0 if mean > middle else 1 for speaker, mean in means.items()}


def _timeline(faces: Sequence[FaceFrame], left: bool | None = None) -> FaceTimeline:
    """Those in one half of the picture, or all."""
    timeline = FaceTimeline(seconds=math.inf)
    for frame in faces:
        chosen = tuple(
            face
            for face in frame.faces
            if left is None or (face.box[0] + face.box[2] / 2 < 0.5) == left
        )
        timeline.add(FaceFrame(frame.time, chosen))
    return timeline


def _motion(tracks: dict[int, TrackSummary]) -> float:
    face = talking_face(tracks)
    return 0.0 if face is None else face.mouth_motion


def _loudness(samples: NDArray[np.float32]) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return math.log10(power + _FAINTEST)


def _sample(time: float, sound: NDArray[np.float32]) -> int:
    return min(round(min(time * SAMPLE_RATE, len(sound))), len(sound))
