"""The session as it stands: events folded into one immutable snapshot that views may keep."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.corrections import Attention
from app.events import (
    BacklogChanged,
    CorrectionRefused,
    DeviceChanged,
    EffortChanged,
    EnrolmentAsked,
    Event,
    FaceSeen,
    FacesSeen,
    HistoryChanged,
    MarkerPlaced,
    MarkerRemoved,
    ModalitySwitched,
    ProblemOccurred,
    Reading,
    SessionEnded,
    SessionPaused,
    SessionResumed,
    SessionStarted,
    ShiftMeasured,
    SpeakerColoured,
    SpeakerFound,
    SpeakerLeft,
    SpeakerRenamed,
    SpeechEnded,
    SpeechStarted,
    StageFinished,
    UtteranceCorrected,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceReassigned,
    UtteranceRevised,
)
from live_features.emotions import EMOTIONS, MODALITIES
from live_features.fetching import Fetching

T = TypeVar("T")

_LATENCY_WINDOW = 200
_MOST_ENDPOINTS = 64
_WELL = frozenset({"returned", "overflow", "default_changed"})
"""Codes of device notices after which the device works."""


@dataclass(frozen=True, slots=True)
class LabelledUtterance:
    """An utterance as shown: times in seconds, ``first`` its reading when it was newest.

    ``stages`` holds what was done to it and when, in seconds after the end of its speech, in order
    of time; it is empty unless the session kept pace with a real clock.
    """

    index: int
    start: float
    end: float
    speaker: int
    text: str
    reading: Reading
    first: Reading
    stages: tuple[tuple[str, float], ...] = ()

    @property
    def emotion(self) -> str:
        return emotion_of(self.reading)

    @property
    def confidence(self) -> float:
        return max(self.reading.fused)

    @property
    def unsure(self) -> bool:
        """Whether ``emotion`` is only a guess."""
        return self.reading.unsure

    @property
    def was(self) -> str | None:
        """The first label, where context has changed it since."""
        before = emotion_of(self.first)
        return before if before != self.emotion else None


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    """An utterance that is still being spoken, as it read up to ``until`` (seconds).

    ``speaker`` is None where the voice is not known yet.
    """

    start: float
    until: float
    speaker: int | None
    text: str
    reading: Reading

    @property
    def emotion(self) -> str:
        return emotion_of(self.reading)

    @property
    def confidence(self) -> float:
        return max(self.reading.fused)

    @property
    def unsure(self) -> bool:
        """Whether ``emotion`` is only a guess."""
        return self.reading.unsure


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that was marked: second of the session, note, and the marker's number."""

    time: float
    note: str
    number: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a view draws.

    ``phase`` is ``loading``, ``running``, ``ended`` or ``failed``; ``message`` the sentence that
    goes with it. ``speaking_since`` is the start of the open utterance and ``provisional`` what is
    known of it. ``latency`` maps a stage to its (p50, p95) in seconds after the end of speech.
    ``without`` names what is left out while the machine cannot keep up, ``devices`` maps a device
    that is not as it should be to the sentence about it. ``shift`` says how far text, audio and
    visual lie from training, see :class:`ShiftMeasured`. ``fetching`` is how far a model is that is
    fetched before the session can begin. ``paused`` says that live input is paused, ``pauses`` when
    that was; ``playing`` how a recording plays: ``playing``, ``paused`` or ``waiting`` until more
    of it has been read; it is empty for live input. ``busy`` says in words what is being done for a
    correction that takes a while. ``version`` grows with every change.

    Of what was corrected: ``colours`` are those that people chose for speakers, None for the
    theme's; ``left`` holds the speakers that nobody is any more; ``on`` the modalities that are
    read; ``marks`` are in order of time. ``undo`` and ``redo`` name what would be taken back and
    made again. ``refused`` says why the last of ``refusals`` corrections was not made.
    ``attention`` is where the utterance looked that was asked about last.

    Of what is played the last ``ahead`` of the utterances lie ahead of ``position``: they are known
    because they have been played before, or the session was recorded. ``elsewhere`` holds, where a
    session has been read twice and the label is not the same, the index of an utterance and what
    the older and the newer reading make of it in the end.
    """

    version: int = 0
    phase: str = "loading"
    message: str = ""
    source: str = ""
    device: str = ""
    position: float = 0.0
    duration: float | None = None
    has_video: bool = False
    utterances: tuple[LabelledUtterance, ...] = ()
    speakers: tuple[str, ...] = ()
    speaking_since: float | None = None
    faces: tuple[FaceSeen, ...] = ()
    faces_at: float = 0.0
    backlog: float = 0.0
    dropped: tuple[tuple[str, int], ...] = ()
    latency: tuple[tuple[str, tuple[float, float]], ...] = ()
    problems: tuple[str, ...] = ()
    provisional: OpenUtterance | None = None
    without: tuple[str, ...] = ()
    devices: tuple[tuple[str, str], ...] = ()
    shift: tuple[float | None, float | None, float | None] = (None, None, None)
    colours: tuple[str | None, ...] = ()
    left: frozenset[int] = frozenset()
    on: frozenset[str] = frozenset(MODALITIES)
    marks: tuple[Mark, ...] = ()
    undo: str | None = None
    redo: str | None = None
    refused: str = ""
    refusals: int = 0
    attention: Attention | None = None
    ahead: int = 0
    elsewhere: tuple[tuple[int, LabelledUtterance, LabelledUtterance], ...] = ()
    fetching: Fetching | None = None
    paused: bool = False
    pauses: tuple[float, ...] = ()
    playing: str = ""
    busy: str = ""

    @property
    def newest(self) -> LabelledUtterance | None:
        """The utterance that got its label last before ``position``."""
        labelled = len(self.utterances) - self.ahead
        return self.utterances[labelled - 1] if labelled else None


class SessionState:
    """A sink for events; :meth:`snapshot` may be called from any thread at any rate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Snapshot()
        self._open: dict[int | None, float] = {}
        self._dropped: Counter[str] = Counter()
        self._speed: float | None = None
        self._latency: dict[str, deque[float]] = {}
        self._timed: dict[str, float] = {}
        self._endpoints: dict[tuple[float, float], float] = {}

    def snapshot(self) -> Snapshot:
        return self._now

    def copy(self) -> SessionState:
        """One that stands where this stands, and goes on by itself."""
        other = SessionState()
        with self._lock:
            other._now = self._now
            other._open = dict(self._open)
            other._dropped = Counter(self._dropped)
            other._speed = self._speed
            other._latency = {stage: times.copy() for stage, times in self._latency.items()}
            other._timed = dict(self._timed)
            other._endpoints = dict(self._endpoints)
        return other

    def show(self, **changes: object) -> None:
        """Set fields of the snapshot that no event carries (phase, message, position)."""
        with self._lock:
            self._set(**changes)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._apply(event)

    def _set(self, **changes: object) -> None:
        self._now = replace(self._now, version=self._now.version + 1, **changes)  # type: ignore[arg-type]

    def _add_latency(self, index: int) -> None:
        """Count the stages of the utterance that has just got its label."""
        if 0 <= index < len(self._now.utterances):
            u = self._now.utterances[index]
            ended = self._endpoints.pop((u.start, u.end), None)
            timed = {} if ended is None else {"endpoint": ended}
            stages = sorted({**timed, **self._timed}.items(), key=lambda stage: stage[1])
            self._replace(index, stages=tuple(stages))
        for stage, seconds in self._timed.items():
            self._latency.setdefault(stage, deque(maxlen=_LATENCY_WINDOW)).append(seconds)
        self._timed = {}
        self._set(
            latency=tuple(
                (name, (quantile(ordered, 0.5), quantile(ordered, 0.95)))
                for name, ordered in ((n, sorted(times)) for n, times in self._latency.items())
            )
        )

    def _apply(self, event: Event) -> None:  # noqa: PLR0912
        now = self._now
        match event:
            case SessionStarted():
                self._speed = event.speed
                self._set(
                    phase="running",
                    message="",
                    source=event.source,
                    device=event.device,
                    duration=event.duration,
                    has_video=event.has_video,
                )
            case SessionPaused():
                self._set(paused=True, pauses=(*now.pauses, event.media_time))
            case SessionResumed():
                self._set(paused=False)
            case SpeechStarted():
                self._open[event.channel] = event.media_time
                self._set(speaking_since=min(self._open.values()))
            case SpeechEnded():
                self._end_speech(event)
            case UtteranceDropped():
                self._dropped[event.reason] += 1
                self._set(dropped=tuple(sorted(self._dropped.items())), provisional=None)
            case StageFinished():
                if self._speed == 1.0:
                    self._timed[event.stage] = event.emitted_at - event.media_time
                    if event.stage == "emotion":
                        self._add_latency(event.index)
            case FacesSeen():
                self._set(faces=event.faces, faces_at=event.media_time)
            case SpeakerFound():
                self._find_speaker(event.speaker, event.name)
            case EnrolmentAsked():
                self._set(
                    message=f"{event.name}, please talk for about {event.seconds:.0f} seconds, "
                    "so that your voice is known"
                )
            case UtteranceProvisional():
                self._set(
                    provisional=OpenUtterance(
                        start=event.start,
                        until=event.media_time,
                        speaker=event.speaker,
                        text=event.text,
                        reading=event.reading,
                    )
                )
            case UtteranceLabelled():
                utterance = LabelledUtterance(
                    index=event.index,
                    start=event.start,
                    end=event.end,
                    speaker=event.speaker,
                    text=event.text,
                    reading=event.reading,
                    first=event.reading,
                )
                self._set(utterances=(*now.utterances, utterance), provisional=None)
            case ShiftMeasured():
                self._set(shift=(event.text, event.audio, event.visual))
            case BacklogChanged():
                self._set(backlog=event.seconds)
            case EffortChanged():
                self._set(without=event.without)
            case DeviceChanged():
                self._note_device(event)
            case ProblemOccurred():
                self._set(problems=(*now.problems, event.message))
            case SessionEnded():
                self._set(
                    phase="ended",
                    message="",
                    paused=False,
                    speaking_since=None,
                    provisional=None,
                    backlog=0.0,
                    faces=(),
                )
            case _:
                self._apply_correction(event)

    def _end_speech(self, event: SpeechEnded) -> None:
        self._open.pop(event.channel, None)
        if self._speed == 1.0:
            self._endpoints[event.start, event.end] = event.emitted_at - event.end
            # Of what became no utterance nobody will ask.
            while len(self._endpoints) > _MOST_ENDPOINTS:
                del self._endpoints[next(iter(self._endpoints))]
        self._set(speaking_since=min(self._open.values(), default=None))

    def _apply_correction(self, event: Event) -> None:
        now = self._now
        match event:
            case SpeakerRenamed():
                self._set(speakers=_with(now.speakers, event.speaker, event.name))
            case UtteranceReassigned():
                self._replace(event.index, speaker=event.speaker)
            case SpeakerColoured():
                self._set(colours=_with(now.colours, event.speaker, event.colour))
            case SpeakerLeft():
                self._set(left=now.left | {event.speaker})
            case ModalitySwitched():
                on = now.on | {event.modality} if event.on else now.on - {event.modality}
                self._set(on=on)
            case UtteranceRevised():
                self._replace(event.index, reading=event.reading)
            case UtteranceCorrected():
                self._replace(event.index, text=event.text)
            case MarkerPlaced():
                marks = (*now.marks, Mark(event.media_time, event.note, event.marker))
                self._set(marks=tuple(sorted(marks, key=lambda mark: mark.time)))
            case MarkerRemoved():
                self._set(marks=tuple(m for m in now.marks if m.number != event.marker))
            case HistoryChanged():
                self._set(undo=event.undo, redo=event.redo, refused="")
            case CorrectionRefused():
                self._set(refused=event.message, refusals=now.refusals + 1)

    def _find_speaker(self, speaker: int, name: str) -> None:
        """A new speaker, or a number that belongs to somebody again."""
        now = self._now
        if speaker == len(now.speakers):
            speakers = (*now.speakers, name)
            self._set(speakers=speakers, colours=(*now.colours, None), message="")
        else:
            self._set(speakers=_with(now.speakers, speaker, name), left=now.left - {speaker})

    def _replace(self, index: int, **changes: object) -> None:
        """Change fields of one utterance."""
        utterances = list(self._now.utterances)
        utterances[index] = replace(utterances[index], **changes)  # type: ignore[arg-type]
        self._set(utterances=tuple(utterances))

    def _note_device(self, event: DeviceChanged) -> None:
        away = dict(self._now.devices)
        away.pop(event.device, None)
        if event.code not in _WELL:
            away[event.device] = event.message
        self._set(devices=tuple(away.items()), problems=(*self._now.problems, event.message))


def _with(values: tuple[T, ...], position: int, value: T) -> tuple[T, ...]:
    changed = list(values)
    changed[position] = value
    return tuple(changed)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of numbers in order, as NumPy's, which takes longer for so few than all else per event."""
    below, part = divmod(share * (len(ordered) - 1), 1)
    first, second = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
    return first + part * (second - first)


def emotion_of(reading: Reading) -> str:
    """The most likely class of the fused classifier."""
    return EMOTIONS[reading.fused.index(max(reading.fused))]
