"""Who says what in the shipped demo, and how each emotion bends a voice."""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "A job, a chicken and a car"
MIA, JOE = "Mia", "Joe"
SPEAKERS = (MIA, JOE)


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance; ``emotion`` is the one it is meant to carry where it stands."""

    speaker: str
    emotion: str
    text: str


DIALOGUE = (
    Line(JOE, "neutral", "Hey. So, what did you do today?"),
    Line(MIA, "joy", "It was so good! I got the job!"),
    Line(JOE, "surprise", "Oh my God! You got the job?"),
    Line(MIA, "joy", "Yes! I am so happy! I love this!"),
    Line(JOE, "joy", "Great. That is great."),
    Line(MIA, "neutral", "So, what did you have for dinner?"),
    Line(JOE, "neutral", "I made some chicken. It was in the fridge."),
    Line(MIA, "surprise", "What? That chicken was two weeks old!"),
    Line(JOE, "disgust", "Oh, that is disgusting."),
    Line(MIA, "disgust", "You ate it? That is so gross."),
    Line(JOE, "fear", "Oh no. I am scared. What is going to happen to me?"),
    Line(MIA, "neutral", "You will be fine. Just go and drink some water."),
    Line(JOE, "sadness", "I have some bad news. I am really sorry."),
    Line(MIA, "fear", "Oh no! What happened? I am really scared now."),
    Line(JOE, "sadness", "I crashed your car into a wall. I am so sorry."),
    Line(MIA, "anger", "You did what? I told you not to take my car!"),
    Line(MIA, "anger", "Great. That is great."),
    Line(JOE, "sadness", "I know. I am so sorry. I feel so bad."),
    Line(MIA, "anger", "I can't believe you did that! I am so mad at you!"),
    Line(JOE, "neutral", "Okay. So I called the garage about a new car."),
    Line(MIA, "surprise", "What? Are you serious? A new car?"),
    Line(JOE, "joy", "Yes! It is beautiful. You are going to love it!"),
)


@dataclass(frozen=True, slots=True)
class Prosody:
    """How a line is spoken, against the voice's plain reading.

    ``tempo`` multiplies the pace, ``pitch`` shifts in semitones, ``melody`` multiplies the pitch
    excursions around the mean, ``loudness`` and ``brightness`` (above 2 kHz) are in dB and
    ``tremor`` is the depth of a 6 Hz pitch wobble in semitones.
    """

    tempo: float = 0.95
    pitch: float = 0.0
    melody: float = 1.0
    loudness: float = 0.0
    brightness: float = 0.0
    tremor: float = 0.0


PROSODY = {
    "neutral": Prosody(melody=0.85),
    "surprise": Prosody(tempo=1.0, pitch=3.5, melody=1.5, loudness=2.0, brightness=1.5),
    "fear": Prosody(tempo=1.04, pitch=3.0, melody=0.8, loudness=-1.0, tremor=0.5),
    "sadness": Prosody(tempo=0.82, pitch=-2.0, melody=0.55, loudness=-5.0, brightness=-4.0),
    "joy": Prosody(tempo=1.0, pitch=2.5, melody=1.45, loudness=1.5, brightness=1.5),
    "disgust": Prosody(tempo=0.84, pitch=-1.5, melody=1.2, loudness=-1.0),
    "anger": Prosody(tempo=0.97, pitch=1.0, melody=1.3, loudness=4.0, brightness=4.0),
}
"""Directions after Banse & Scherer (1996), kept mild enough for every word to be understood."""

DIRECTED = {16: Prosody(tempo=0.8, pitch=-2.5, melody=0.5, loudness=1.0, brightness=2.0)}
"""Lines, by index, that are not spoken the usual way: the bitter "Great." falls flat."""


def prosody_of(index: int) -> Prosody:
    """How line ``index`` of the dialogue is spoken."""
    return DIRECTED.get(index, PROSODY[DIALOGUE[index].emotion])
