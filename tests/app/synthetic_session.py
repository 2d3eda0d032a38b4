"""A made-up conversation, as the events an engine would send, to look at and to test views with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from app.events import (
    BacklogChanged,
    Event,
    FaceSeen,
    FacesSeen,
    ProblemOccurred,
    Reading,
    SessionEnded,
    SessionStarted,
    SpeakerFound,
    SpeechEnded,
    SpeechStarted,
    StageFinished,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceRevised,
)
from app.state import SessionState
from live_features.emotions import EMOTIONS

DURATION = 84.0

# start, end, speaker, text, emotion, confidence, missing modalities
UTTERANCES: tuple[tuple[float, float, int, str, str, float, tuple[str, ...]], ...] = (
    (1.2, 3.9, 0, "Hey, did you get my message about tonight?", "neutral", 0.71, ()),
    (4.6, 7.0, 1, "I did. I have some news, actually.", "neutral", 0.48, ()),
    (7.6, 8.5, 0, "News?", "surprise", 0.66, ()),
    (9.4, 14.1, 1, "They called this morning. I got the job, the one in Lisbon!", "joy", 0.88, ()),
    (14.6, 16.0, 0, "Great.", "joy", 0.42, ()),
    (17.0, 21.8, 0, "No, really, I am happy for you. It is just so far away.", "sadness", 0.57, ()),
    (22.9, 26.0, 1, "I know. I was afraid to tell you.", "fear", 0.63, ("visual",)),
    (
        27.1,
        31.4,
        0,
        "You could have said something before you signed the papers!",
        "anger",
        0.74,
        (),
    ),
    (32.3, 35.2, 1, "How do you know that I signed?", "surprise", 0.81, ()),
    (36.0, 40.7, 0, "Your sister told me. Everybody knew except me.", "anger", 0.52, ()),
    (42.0, 46.4, 1, "She read my letters? That is revolting.", "disgust", 0.69, ()),
    (48.1, 50.0, 0, "I am sorry.", "sadness", 0.77, ("audio", "visual")),
    (51.3, 56.6, 1, "So am I. Come with me, then. There is room for two.", "joy", 0.55, ()),
    (57.9, 59.4, 0, "Great.", "joy", 0.83, ()),
)

# when, which utterance, what it reads as from then on
REVISIONS: tuple[tuple[float, int, str, float], ...] = (
    (22.4, 4, "sadness", 0.61),
    (15.0, 1, "joy", 0.46),
    (42.0, 9, "sadness", 0.49),
)


def reading(emotion: str, confidence: float, seed: int, missing: tuple[str, ...] = ()) -> Reading:
    """A reading won by ``emotion``; everything else is drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    gates = rng.dirichlet((60, 55, 50))
    weights = rng.dirichlet((9, 5, 4))
    weights *= np.array([m not in missing for m in ("text", "audio", "visual")]) * 0.9 + 0.1

    def student(modality: str, firmness: float) -> tuple[float, ...] | None:
        return None if modality in missing else _won_by(emotion, confidence * firmness, rng)

    return Reading(
        fused=_won_by(emotion, confidence, rng),
        text=student("text", 0.9),
        audio=student("audio", 0.6),
        visual=student("visual", 0.45),
        gates=_triple(gates),
        contributions=_triple(weights / weights.sum()),
    )


def events(until: float = DURATION) -> Iterator[Event]:
    """The conversation up to ``until`` seconds, in order of time."""
    script: list[Event] = [
        SessionStarted(
            media_time=0.0,
            source="synthetic",
            duration=DURATION,
            has_audio=True,
            has_video=True,
            device="CPU, 2 threads",
            weights={},
            speed=1.0,
        ),
        SpeakerFound(media_time=3.9, speaker=0, name="Speaker 1"),
        SpeakerFound(media_time=7.0, speaker=1, name="Speaker 2"),
        UtteranceDropped(media_time=47.6, start=47.0, end=47.5, reason="no_words"),
        BacklogChanged(media_time=50.0, seconds=0.8),
    ]
    for index, (start, end, speaker, text, emotion, confidence, missing) in enumerate(UTTERANCES):
        script += [
            SpeechStarted(media_time=start, channel=None),
            SpeechEnded(media_time=end, channel=None, start=start, end=end, reason="silence"),
            UtteranceLabelled(
                media_time=end,
                index=index,
                start=start,
                end=end,
                speaker=speaker,
                text=text,
                reading=reading(emotion, confidence, index, missing),
            ),
            StageFinished(
                media_time=end, emitted_at=end + 0.3 + 0.02 * index, index=index, stage="emotion"
            ),
        ]
    for time, index, emotion, confidence in REVISIONS:
        revised = reading(emotion, confidence, 100 + index)
        script.append(UtteranceRevised(media_time=time, index=index, reading=revised))
    script += [
        FacesSeen(media_time=0.2 * n, faces=faces(0.2 * n)) for n in range(int(5 * DURATION))
    ]
    script.sort(key=lambda event: event.media_time)
    yield from (event for event in script if event.media_time <= until)
    if until >= DURATION:
        yield SessionEnded(media_time=DURATION, reason="end_of_media", utterances=len(UTTERANCES))


def faces(time: float) -> tuple[FaceSeen, ...]:
    """Two people side by side; the one on the right is not known before he speaks."""
    sway = 0.01 * np.sin(time)
    return (
        FaceSeen(
            track=0,
            box=(0.15 + sway, 0.2, 0.2, 0.5),
            confidence=0.99,
            expression=_won_by("joy", 0.7, np.random.default_rng(1)),
            speaker=0 if time > 3.9 else None,
        ),
        FaceSeen(
            track=1,
            box=(0.65 - sway, 0.22, 0.2, 0.48),
            confidence=0.98,
            expression=_won_by("surprise", 0.6, np.random.default_rng(2)),
            speaker=1 if time > 7.0 else None,
        ),
    )


def session(until: float = DURATION) -> SessionState:
    """The state of the session at ``until`` seconds."""
    state = SessionState()
    for event in events(until):
        state(event)
    state.show(position=until)
    return state


def with_problem(state: SessionState) -> SessionState:
    state(ProblemOccurred(media_time=30.0, message="The camera fell behind, frames were skipped."))
    return state


def _won_by(emotion: str, confidence: float, rng: np.random.Generator) -> tuple[float, ...]:
    winner = EMOTIONS.index(emotion)
    rest = rng.dirichlet(np.full(len(EMOTIONS) - 1, 1.5)) * (1 - confidence)
    shares = np.insert(rest, winner, confidence)
    if shares.argmax() != winner:
        shares[winner] = shares.max() + 0.02
        shares /= shares.sum()
    return tuple(float(share) for share in shares)


def _triple(shares: np.ndarray) -> tuple[float, float, float]:
    text, audio, visual = (float(share) for share in shares)
    return text, audio, visual
