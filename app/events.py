"""Everything the engine has to say, as frozen dataclasses with a JSON form.

Every event carries ``media_time``, the second of the session it is about, and ``emitted_at``, the
second of wall time since the engine started at which it came out. Their difference is latency, and
it is the only thing that differs between two runs of the same recording on the virtual clock.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from live_features.emotions import EMOTIONS, MODALITIES

_LARGEST = 1e9
"""No number that an event carries comes near it: seconds of 30 years."""

# Controls could take over a terminal, halves of surrogate pairs cannot be written anywhere.
_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Base of all events; ``emitted_at`` is filled in when the event leaves the engine."""

    kind: ClassVar[str] = "event"
    media_time: float
    emitted_at: float = 0.0

    def to_json(self) -> str:
        """One line of JSON, floats rounded to a microsecond or a millionth."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps({"event": self.kind, **_plain(fields)}, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStarted(Event):
    """The source is open and the models are loaded.

    ``weights`` maps each model to where it came from; ``duration`` is None for live input.
    ``speed`` is media seconds per second of wall time, None on the virtual clock.
    """

    kind: ClassVar[str] = "session_started"
    source: str
    duration: float | None
    has_audio: bool
    has_video: bool
    device: str
    weights: dict[str, str]
    speed: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPaused(Event):
    """From here on nothing was heard, seen or recorded, until :class:`SessionResumed`.

    Session time stands still meanwhile, but for a second of silence that stands for the pause.
    """

    kind: ClassVar[str] = "session_paused"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionResumed(Event):
    """What devices deliver is listened to again."""

    kind: ClassVar[str] = "session_resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechStarted(Event):
    """Somebody began to speak at ``media_time``; ``channel`` is None on a shared line."""

    kind: ClassVar[str] = "speech_started"
    channel: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechEnded(Event):
    """An utterance was cut; ``reason`` is an endpoint reason code."""

    kind: ClassVar[str] = "speech_ended"
    channel: int | None
    start: float
    end: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceDropped(Event):
    """Speech-like sound that became no utterance; ``reason`` is a drop reason code."""

    kind: ClassVar[str] = "utterance_dropped"
    start: float
    end: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageFinished(Event):
    """A stage of the recogniser is done with utterance ``index``; timing is ``emitted_at``.

    ``transcription`` and ``features`` may be done ahead, before the utterance is known to be over.
    Where it then goes on they are done again, so the last event of a kind counts.
    """

    kind: ClassVar[str] = "stage_finished"
    index: int
    stage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceSeen:
    """A face in one analysed frame.

    ``box`` is (left, top, width, height) as fractions of the frame; ``expression`` holds the
    per-frame probabilities in MELD order.
    """

    track: int
    box: tuple[float, float, float, float]
    confidence: float
    expression: tuple[float, ...]
    speaker: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FacesSeen(Event):
    """The faces of one analysed frame."""

    kind: ClassVar[str] = "faces_seen"
    faces: tuple[FaceSeen, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerFound(Event):
    """A new person was heard."""

    kind: ClassVar[str] = "speaker_found"
    speaker: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerRenamed(Event):
    """A person was given a name."""

    kind: ClassVar[str] = "speaker_renamed"
    speaker: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerColoured(Event):
    """A person was given a colour, ``#RRGGBB``; None is the theme's own."""

    kind: ClassVar[str] = "speaker_coloured"
    speaker: int
    colour: str | None

    def __post_init__(self) -> None:
        if self.colour is not None and not _COLOUR.fullmatch(self.colour):
            raise ValueError("colour is not #RRGGBB")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeakerLeft(Event):
    """Nobody is ``speaker`` any more, as two were one; the number may be found again."""

    kind: ClassVar[str] = "speaker_left"
    speaker: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrolmentAsked(Event):
    """``name`` is to talk for about ``seconds``, so that the voice is known from the start."""

    kind: ClassVar[str] = "enrolment_asked"
    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What SDT makes of one utterance.

    Probabilities are in MELD order; ``gates`` and ``contributions`` are shares of text, audio and
    visual, each summing to 1: the mean of the multimodal gate over the hidden dimensions, and the
    norms of the gated representations. A student is None where its modality is missing. ``unsure``
    says that the likeliest class is too unlikely to be taken for an answer.
    """

    fused: tuple[float, ...]
    text: tuple[float, ...] | None
    audio: tuple[float, ...] | None
    visual: tuple[float, ...] | None
    gates: tuple[float, ...]
    contributions: tuple[float, ...]
    unsure: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceLabelled(Event):
    """An utterance with its words, speaker and emotion; ``media_time`` is the end of its speech."""

    kind: ClassVar[str] = "utterance_labelled"
    index: int
    start: float
    end: float
    speaker: int
    text: str
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftMeasured(Event):
    """How far words, voices and faces lie from what the checkpoint was trained on.

    0 is like training, 1 as far from it as the oddest hundredth of it; None for a modality that has
    not been there. ``media_time`` is the end of the utterance that it was measured after.
    """

    kind: ClassVar[str] = "shift_measured"
    text: float | None
    audio: float | None
    visual: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceProvisional(Event):
    """An utterance that is still being spoken, as far as it has been heard (real clock only).

    ``media_time`` is how far that is. ``speaker`` is None where the voice is not known yet.
    """

    kind: ClassVar[str] = "utterance_provisional"
    index: int
    start: float
    speaker: int | None
    text: str
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceReassigned(Event):
    """Somebody else said utterance ``index`` than was thought."""

    kind: ClassVar[str] = "utterance_reassigned"
    index: int
    speaker: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceRevised(Event):
    """A later utterance, or a correction, changed how an earlier one reads."""

    kind: ClassVar[str] = "utterance_revised"
    index: int
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceCorrected(Event):
    """Somebody put right what was said in utterance ``index``."""

    kind: ClassVar[str] = "utterance_corrected"
    index: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModalitySwitched(Event):
    """The whole dialogue is read with or without a modality from now on."""

    kind: ClassVar[str] = "modality_switched"
    modality: str
    on: bool

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError("there is no such modality")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerPlaced(Event):
    """Somebody marked ``media_time``; markers are numbered in the order in which they come."""

    kind: ClassVar[str] = "marker_placed"
    marker: int
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerRemoved(Event):
    """Marker number ``marker`` is no more."""

    kind: ClassVar[str] = "marker_removed"
    marker: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryChanged(Event):
    """What can be taken back and made again now, in a word or two; None for nothing."""

    kind: ClassVar[str] = "history_changed"
    undo: str | None
    redo: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectionRefused(Event):
    """A correction cannot be made; ``message`` is one sentence on why and what to do."""

    kind: ClassVar[str] = "correction_refused"
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BacklogChanged(Event):
    """Seconds of speech that wait for the recogniser (never reported on the virtual clock)."""

    kind: ClassVar[str] = "backlog_changed"
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EffortChanged(Event):
    """The machine cannot keep up, or can again: ``without`` says what is left out meanwhile."""

    kind: ClassVar[str] = "effort_changed"
    without: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChanged(Event):
    """A microphone or camera left, came back, or lost something; the session goes on.

    ``code`` is a device reason code, ``lost`` the seconds of sound that are missing.
    """

    kind: ClassVar[str] = "device_changed"
    device: str
    code: str
    message: str
    lost: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemOccurred(Event):
    """Something a person should know; the session goes on. ``message`` is one sentence."""

    kind: ClassVar[str] = "problem_occurred"
    message: str


CUT_OFF = "cut_off"
"""Why a session ended that a crash cut off; said when it is first corrected afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionEnded(Event):
    """Nothing more will come.

    ``reason`` is ``end_of_media``, ``stopped`` or ``medium_failed``, or :data:`CUT_OFF`.
    """

    kind: ClassVar[str] = "session_ended"
    reason: str
    utterances: int


def from_json(line: str) -> Event | None:
    """The event that :meth:`Event.to_json` made ``line`` of, or one that a stranger made up.

    Everything has the type and the length that the event promises, every number is finite, and
    texts can be shown; whether the events of a session go together is not looked at. Of a version
    that is not this one, fields nobody knows are passed over, and fields that have a default may be
    missing; an event nobody knows is None.

    Raises:
        ValueError: the line is no event; the message says in a few words why.
    """
    try:
        told = _DECODER.decode(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(told, dict):
        raise ValueError("it is no object")
    kind = told.get("event")
    if not isinstance(kind, str):
        raise ValueError("it does not say what happened")
    cls: Any = _kinds().get(kind)
    event: Event | None = None if cls is None else _reader(cls)(told)
    return event


def shown_text(text: str) -> str:
    """``text`` without what may not be sent to a terminal or cannot be written to a file."""
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text)


@functools.cache
def _kinds() -> dict[str, type[Event]]:
    return {event.kind: event for event in Event.__subclasses__()}


_LENGTHS = {
    (Reading, "fused"): len(EMOTIONS),
    (Reading, "text"): len(EMOTIONS),
    (Reading, "audio"): len(EMOTIONS),
    (Reading, "visual"): len(EMOTIONS),
    (Reading, "gates"): len(MODALITIES),
    (Reading, "contributions"): len(MODALITIES),
    (FaceSeen, "expression"): len(EMOTIONS),
}


_Read = Callable[[Any], Any]


@functools.cache
def _reader(cls: type) -> _Read:
    """What makes a ``cls`` of an object that came from JSON.

    Types are looked up once for each class: a session of two hours has 50,000 events.
    """
    hints = typing.get_type_hints(cls)
    fields = tuple(
        (field.name, _value_reader(hints[field.name], _LENGTHS.get((cls, field.name))))
        for field in dataclasses.fields(cls)
    )
    needed = frozenset(
        field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
    )

    def read(told: Any) -> Any:
        if type(told) is not dict or not needed <= told.keys():
            raise ValueError(f"it does not have the fields of {cls.__name__}")
        return cls(**{name: of(told[name]) for name, of in fields if name in told})

    return read


def _value_reader(expected: Any, length: int | None = None) -> _Read:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is types.UnionType:
        inner = next(a for a in arguments if a is not type(None))
        return _optional(_value_reader(inner, length))
    if origin is tuple and arguments[-1] is Ellipsis:
        return _sequence(_value_reader(arguments[0]), length)
    if origin is tuple:
        return _sequence(_value_reader(arguments[0]), len(arguments))
    if origin is dict:
        return _mapping(_value_reader(arguments[1]))
    if dataclasses.is_dataclass(expected):
        assert isinstance(expected, type)
        return _reader(expected)
    return {float: _float, int: _int, str: _str, bool: _bool}[expected]


def _optional(of: _Read) -> _Read:
    return lambda value: None if value is None else of(value)


def _sequence(of: _Read, length: int | None) -> _Read:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _unexpected(value)
        if length is not None and len(value) != length:
            raise ValueError(f"there are not {length} numbers where that many belong")
        return tuple(map(of, value))

    return read


def _mapping(of: _Read) -> _Read:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _unexpected(value)
        return {shown_text(key): of(item) for key, item in value.items()}

    return read


def _float(value: Any) -> float:
    # What is no number fails the comparison, too.
    if type(value) in (float, int) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    raise _unexpected(value)


def _int(value: Any) -> int:
    if type(value) is int and -_LARGEST <= value <= _LARGEST:
        return value
    raise _unexpected(value)


def _str(value: Any) -> str:
    if type(value) is str:
        return shown_text(value)
    raise _unexpected(value)


def _bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _unexpected(value)


def _unexpected(value: Any) -> ValueError:
    return ValueError(f"{str(value)[:20]!r} is not what was expected")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 6)
    return value
