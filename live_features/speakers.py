"""Who is speaking: an online clustering of voices, helped by the face whose mouth moves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ENROLMENT_SECONDS = 3.0
"""How long somebody talks to be known from the start."""

_STILL_SURE = 0.8
"""An utterance teaches a voice only if it is this share of :class:`SpeakerTracker`'s threshold
alike: laughter and noise are attributed, too, but should not move it."""
_FACE_BONUS = 0.1
"""Cosine by which the voice that the talking face has mostly had counts as more alike."""
_LEAST_VOTES = 2


@dataclass(slots=True)
class _Voice:
    total: NDArray[np.float32]
    seconds: float
    faces: Counter[int] = field(default_factory=Counter)

    def similarity(self, embedding: NDArray[np.float32]) -> float:
        return float(self.total @ embedding / max(float(np.linalg.norm(self.total)), 1e-9))


class SpeakerTracker:
    """Gives each utterance a speaker number, in the order in which people are first heard.

    An utterance joins the voice it is most similar to, or founds a new one when no known voice is
    similar enough. A short utterance never founds a voice while there is one to join, because its
    embedding says little; one that was founded on no more than that is taken over by the next voice
    when there are as many people as there may be. A face that has mostly talked with one voice
    speaks for that voice.
    """

    def __init__(
        self,
        *,
        known_number: int | None = None,
        at_most: int = 9,
        same_voice: float = 0.4,
        founding_seconds: float = 0.8,
    ) -> None:
        """``known_number`` fixes how many people there are; ``same_voice`` is a cosine.

        ``at_most`` may be changed later; voices that are known then stay known.
        """
        self._known_number = known_number
        self.at_most = at_most
        self._same_voice = same_voice
        self._founding_seconds = founding_seconds
        self._voices: list[_Voice] = []

    def __call__(
        self, embedding: NDArray[np.float32], seconds: float, face: int | None = None
    ) -> int:
        """The speaker, counted from 0, of an utterance lasting ``seconds``.

        ``face`` is the track of the face that talked meanwhile, None where none was seen.
        """
        scores = self._scores(embedding, face)
        best = int(np.argmax(scores)) if scores else -1
        unlike = not scores or scores[best] < self._same_voice
        may_found = len(self._voices) < self._limit and (
            not scores or seconds >= self._founding_seconds
        )
        thin = self._thin_voice() if unlike and seconds >= self._founding_seconds else None
        if unlike and may_found:
            self._voices.append(_Voice(embedding * seconds, seconds))
            best = len(self._voices) - 1
        elif thin is not None:
            best = thin
            self._voices[thin].total, self._voices[thin].seconds = embedding * seconds, seconds
        elif scores[best] >= _STILL_SURE * self._same_voice:
            self._voices[best].total = self._voices[best].total + embedding * seconds
            self._voices[best].seconds += seconds
        if face is not None:
            self._voices[best].faces[face] += 1
        return best

    def guess(self, embedding: NDArray[np.float32], face: int | None = None) -> int | None:
        """Whose voice this is, None for nobody's that is known; nothing is learned from it."""
        scores = self._scores(embedding, face)
        best = int(np.argmax(scores)) if scores else -1
        full = len(self._voices) >= self._limit
        return best if scores and (full or scores[best] >= self._same_voice) else None

    def enrol(self, embedding: NDArray[np.float32], seconds: float = ENROLMENT_SECONDS) -> int:
        """Make a voice known that was heard alone for ``seconds``; its speaker number."""
        self._voices.append(_Voice(embedding * seconds, seconds))
        return len(self._voices) - 1

    def reset(self) -> None:
        """Forget every voice."""
        self._voices.clear()

    @property
    def _limit(self) -> int:
        return min(self._known_number or self.at_most, self.at_most)

    def _scores(self, embedding: NDArray[np.float32], face: int | None) -> list[float]:
        owner = self._owner(face)
        return [
            voice.similarity(embedding) + (_FACE_BONUS if i == owner else 0.0)
            for i, voice in enumerate(self._voices)
        ]

    def _thin_voice(self) -> int | None:
        """The voice of which so little was heard that it may have been anybody's."""
        seconds = [voice.seconds for voice in self._voices]
        least = min(seconds, default=self._founding_seconds)
        return seconds.index(least) if least < self._founding_seconds else None

    def _owner(self, face: int | None) -> int | None:
        """The voice that had ``face`` in more than half of its utterances, and of enough."""
        votes = [0 if face is None else voice.faces[face] for voice in self._voices]
        most = max(votes, default=0)
        if most < _LEAST_VOTES or 2 * most <= sum(votes):
            return None
        return votes.index(most)
