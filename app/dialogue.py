"""The dialogue as it stands: who said what, how it reads, and every correction to that.

All that a correction can change is one immutable value, :class:`Facts`. A correction makes another
value of it, the difference is told as events, and the one before is kept for undoing. What is said
meanwhile is carried over when a correction is taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from app.corrections import (
    Attention,
    Correction,
    CorrectWords,
    Doubt,
    LookBack,
    Mark,
    Merge,
    Reassign,
    Recolour,
    Redo,
    Rename,
    Request,
    Split,
    Switch,
    Undo,
    Unmark,
)
from app.events import (
    CorrectionRefused,
    Event,
    HistoryChanged,
    MarkerPlaced,
    MarkerRemoved,
    ModalitySwitched,
    Reading,
    SpeakerColoured,
    SpeakerFound,
    SpeakerLeft,
    SpeakerRenamed,
    UtteranceCorrected,
    UtteranceLabelled,
    UtteranceReassigned,
    UtteranceRevised,
    shown_text,
)
from live_features.emotions import MODALITIES
from live_features.errors import UserFacingError
from sdt_model.checkpoints import Checkpoint
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.incremental import IncrementalSDT, UtteranceEmotion
from sdt_model.model import PAIRS

_REVISION = 0.02
"""A revision is told when a probability has moved at least this far since it was last told."""

_MOST_UNDONE = 100
_LONGEST_NAME = 60
_LONGEST_NOTE = 200
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An utterance; times in seconds, ``features`` as measured.

    ``voice`` is what the voice is known as, the line of a telephone or a cluster, and ``face`` the
    track of the face that was talking, where one was seen.
    """

    start: float
    end: float
    voice: str
    face: int | None
    speaker: int
    text: str
    features: UtteranceFeatures
    reading: Reading


@dataclass(frozen=True, slots=True)
class Person:
    """A speaker; ``here`` is false for one whose utterances have become somebody else's."""

    name: str
    colour: str | None = None
    here: bool = True


@dataclass(frozen=True, slots=True)
class Marker:
    """A moment that somebody wanted to find again; ``here`` is false once it was taken away."""

    time: float
    note: str
    here: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """All that corrections change.

    A speaker's number is the place in ``people`` and SDT's slot. ``voices`` says who a voice is
    from now on, whoever said what before. ``on`` has the modalities that are read.
    """

    people: tuple[Person, ...] = ()
    voices: dict[str, int] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    on: frozenset[str] = frozenset(MODALITIES)
    markers: tuple[Marker, ...] = ()


@dataclass(frozen=True, slots=True)
class _Done:
    """A correction that was made, and what was known and what was called unsure before."""

    correction: Correction
    before: Facts
    unsure_below: float


class RefusedError(UserFacingError):
    """A correction that cannot be made."""


class LiveDialogue:
    """Grows by utterances and can be corrected at any time; for one thread, but for :meth:`owner`.

    Every utterance and every change is told as an event.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tell: Callable[[Event], None],
        *,
        encode_text: Callable[[Sequence[str]], NDArray[np.float32]],
        answer: Callable[[Attention], None] | None = None,
        keep: Callable[[int, UtteranceFeatures], None] | None = None,
    ) -> None:
        """``encode_text`` makes features of corrected words, a row for each.

        ``answer`` gets what :class:`LookBack` asks for. ``keep`` is handed the features of each
        utterance before it is told, and again when they change.
        """
        self._checkpoint = checkpoint
        self._tell = tell
        self._encode_text = encode_text
        self._answer = answer
        self._keep = keep
        self._sdt = IncrementalSDT(checkpoint.model)
        self._unsure_below = checkpoint.unsure_below
        self._facts = Facts()
        self._done: list[_Done] = []
        self._undone: list[Correction] = []
        self._owners: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._facts.lines)

    @property
    def most_speakers(self) -> int:
        """How many people SDT can tell apart."""
        return self._checkpoint.config.speakers

    @property
    def without_voice(self) -> int:
        """How many of the speakers' numbers no voice has brought, but a correction."""
        return len(self._facts.people) - len(self._facts.voices)

    @property
    def next_speaker(self) -> int:
        """The number that the next new voice gets, or the last one there is."""
        return min(len(self._facts.people), self.most_speakers - 1)

    def owner(self, track: int) -> int | None:
        """The speaker during whose utterances the face ``track`` has mostly been talking."""
        return self._owners.get(track)

    def speaker(self, voice: str) -> int | None:
        """Who a voice is, None for one that is not known."""
        return self._facts.voices.get(voice)

    def meet(self, voice: str, since: float, name: str | None = None) -> int:
        """Who a voice is; a new one becomes a new speaker, first heard at ``since``."""
        known = self.speaker(voice)
        if known is not None:
            return known
        facts = self._facts
        number = len(facts.people)
        person = Person(name or f"Speaker {number + 1}")
        self._facts = replace(
            facts, people=(*facts.people, person), voices={**facts.voices, voice: number}
        )
        self._tell(SpeakerFound(media_time=since, speaker=number, name=person.name))
        return number

    # --- Utterances --------------------------------------------------------------------------

    def append(
        self,
        start: float,
        end: float,
        voice: str,
        text: str,
        features: UtteranceFeatures,
        face: int | None = None,
    ) -> None:
        """Add what a voice that was met has said, and tell how it reads.

        ``start`` and ``end`` are seconds, ``features`` as measured, ``face`` a track.
        """
        facts, index = self._facts, len(self)
        speaker = facts.voices[voice]
        if self._keep is not None:
            self._keep(index, features)
        emotions = self._sdt.append(self._seen(features, facts.on), speaker)
        line = Line(
            start, end, voice, face, speaker, text, features, self._reading(emotions.newest)
        )
        self._facts = replace(facts, lines=(*facts.lines, line))
        self._find_owners()
        self._tell(
            UtteranceLabelled(
                media_time=end,
                index=index,
                start=start,
                end=end,
                speaker=speaker,
                text=text,
                reading=line.reading,
            )
        )

    def restore(self, facts: Facts) -> None:
        """Take a whole dialogue over, readings and all, of which everything has been told."""
        self._facts = facts
        self._sdt.reset()
        for line in facts.lines:
            self._sdt.append(self._seen(line.features, facts.on), line.speaker)
        self._find_owners()

    def preview(self, features: UtteranceFeatures, speaker: int) -> Reading:
        """How an utterance would read if it ended now; nothing is kept."""
        return self._reading(self._sdt.preview(self._seen(features, self._facts.on), speaker))

    def revise(self) -> None:
        """Tell of every utterance that now reads otherwise than was told."""
        self._tell_readings(self._read_again(), _REVISION)

    # --- Corrections -------------------------------------------------------------------------

    def __call__(self, request: Request) -> None:
        """Do what was asked; what cannot be done is told as :class:`CorrectionRefused`."""
        match request:
            case LookBack(index=index):
                self._look_back(index)
            case Doubt(below=below):
                self._doubt(below)
            case Undo():
                self._undo()
            case Redo():
                if self._undone:
                    self._correct(self._undone[-1], self._undone[:-1])
            case _:
                self._correct(request, [])

    def _correct(self, correction: Correction, undone: list[Correction]) -> None:
        """Make a correction, after which ``undone`` is what can be made again."""
        before = self._facts
        try:
            after = self._corrected(correction)
        except RefusedError as error:
            self._tell(CorrectionRefused(media_time=self._now, message=str(error)))
            return
        if after == before:
            return
        self._become(after)
        self._done = [*self._done, _Done(correction, before, self._unsure_below)][-_MOST_UNDONE:]
        self._undone = undone
        self._tell_history()

    def _undo(self) -> None:
        if not self._done:
            return
        done = self._done.pop()
        self._undone.append(done.correction)
        before = done.before.lines
        # Where nothing has been said since, everything reads to the last digit as it did then.
        same = len(before) == len(self)
        readings = [line.reading for line in before] if same else None
        if readings is not None and done.unsure_below != self._unsure_below:
            readings = [self._judged(reading) for reading in readings]
        self._become(_before(done.before, self._facts), readings)
        self._tell_history()

    def _doubt(self, below: float | None) -> None:
        self._unsure_below = self._checkpoint.unsure_below if below is None else below
        readings = [self._judged(line.reading) for line in self._facts.lines]
        if readings != [line.reading for line in self._facts.lines]:
            self._tell_readings(readings, 0.0)
            self._tell_history()

    def _judged(self, reading: Reading) -> Reading:
        return replace(reading, unsure=max(reading.fused) < self._unsure_below)

    def _corrected(self, correction: Correction) -> Facts:  # noqa: PLR0911 - one each
        match correction:
            case Rename(speaker=speaker, name=name):
                name = _showable(name, _LONGEST_NAME, "Give a name of at least one letter.")
                return self._with_person(speaker, name=name)
            case Recolour(speaker=speaker, colour=colour):
                return self._with_person(speaker, colour=colour)
            case Merge(speaker=speaker, into=into):
                return self._merged(speaker, into)
            case Split(index=index):
                return self._split(index)
            case Reassign(index=index, speaker=speaker):
                self._person(speaker)
                return self._with_lines({index: speaker})
            case CorrectWords(index=index, text=text):
                return self._with_words(index, text)
            case Switch(modality=modality, on=on):
                return self._switched(modality, on)
            case Mark(time=time, note=note):
                marker = Marker(time, shown_text(note).strip()[:_LONGEST_NOTE])
                return replace(self._facts, markers=(*self._facts.markers, marker))
            case Unmark(marker=number):
                if not 0 <= number < len(self._facts.markers):
                    raise RefusedError("This marker is not there any more.")
                markers = list(self._facts.markers)
                markers[number] = replace(markers[number], here=False)
                return replace(self._facts, markers=tuple(markers))

    def _merged(self, speaker: int, into: int) -> Facts:
        self._person(speaker)
        self._person(into)
        if speaker == into:
            return self._facts
        facts = self._with_lines(
            {i: into for i, line in enumerate(self._facts.lines) if line.speaker == speaker}
        )
        voices = {v: into if who == speaker else who for v, who in facts.voices.items()}
        people = list(facts.people)
        people[speaker] = replace(people[speaker], here=False)
        return replace(facts, people=tuple(people), voices=voices)

    def _split(self, index: int) -> Facts:
        speaker = self._line(index).speaker
        if not any(line.speaker == speaker for line in self._facts.lines[:index]):
            raise RefusedError(
                f"{self._facts.people[speaker].name} says nothing before that, so there is nobody "
                "to tell apart: rename this speaker instead."
            )
        new = self._free_number()
        facts = self._with_lines(
            {
                i: new
                for i, line in enumerate(self._facts.lines)
                if i >= index and line.speaker == speaker
            }
        )
        voices = {v: new if who == speaker else who for v, who in facts.voices.items()}
        people = [*facts.people[:new], Person(f"Speaker {new + 1}"), *facts.people[new + 1 :]]
        return replace(facts, people=tuple(people), voices=voices)

    def _free_number(self) -> int:
        """A number for a new speaker: one that nobody has any more, or the next."""
        people = self._facts.people
        left = [number for number, person in enumerate(people) if not person.here]
        if left:
            return left[0]
        if len(people) < self.most_speakers:
            return len(people)
        raise RefusedError(
            f"The model tells at most {self.most_speakers} people apart, and there are as many: "
            "merge two of them first."
        )

    def _with_words(self, index: int, text: str) -> Facts:
        line = self._line(index)
        text = _showable(
            text, _LONGEST_TEXT, "Write what was said; to do without words, switch them off."
        )
        if text == line.text:
            return self._facts
        features = replace(line.features, text=self._encode_text([text])[0])
        return self._with_line(index, replace(line, text=text, features=features))

    def _switched(self, modality: str, on: bool) -> Facts:
        left = self._facts.on | {modality} if on else self._facts.on - {modality}
        if not left:
            raise RefusedError("Something has to be read: leave words, voice or face on.")
        return replace(self._facts, on=left)

    def _with_person(self, speaker: int, **changes: str | None) -> Facts:
        people = list(self._facts.people)
        people[speaker] = replace(self._person(speaker), **changes)  # type: ignore[arg-type]
        return replace(self._facts, people=tuple(people))

    def _with_lines(self, speakers: dict[int, int]) -> Facts:
        lines = list(self._facts.lines)
        for index, speaker in speakers.items():
            if self._line(index).speaker != speaker:
                lines[index] = replace(lines[index], speaker=speaker)
        same = all(a is b for a, b in zip(lines, self._facts.lines, strict=True))
        return self._facts if same else replace(self._facts, lines=tuple(lines))

    def _with_line(self, index: int, line: Line) -> Facts:
        lines = list(self._facts.lines)
        lines[index] = line
        return replace(self._facts, lines=tuple(lines))

    def _person(self, speaker: int) -> Person:
        people = self._facts.people
        if not 0 <= speaker < len(people) or not people[speaker].here:
            raise RefusedError("This speaker is not there any more.")
        return people[speaker]

    def _line(self, index: int) -> Line:
        if not 0 <= index < len(self):
            raise RefusedError("There is no such utterance.")
        return self._facts.lines[index]

    # --- What became of it -------------------------------------------------------------------

    def _become(self, after: Facts, readings: Sequence[Reading] | None = None) -> None:
        """Take over ``after``, read the dialogue again where need be, and tell what is new.

        ``readings`` are what it reads like, where that is known.
        """
        before, self._facts = self._facts, after
        self._tell_people(before.people, after.people)
        for modality in MODALITIES:
            on = modality in after.on
            if on != (modality in before.on):
                self._tell(ModalitySwitched(media_time=self._now, modality=modality, on=on))
        self._tell_markers(before.markers, after.markers)
        unlike = before.on != after.on
        for index, (old, new) in enumerate(zip(before.lines, after.lines, strict=True)):
            unlike |= old.speaker != new.speaker or old.features is not new.features
            if old.features is not new.features and self._keep is not None:
                self._keep(index, new.features)
            if old.text != new.text:
                self._tell(UtteranceCorrected(media_time=new.end, index=index, text=new.text))
            if old.speaker != new.speaker:
                self._tell(
                    UtteranceReassigned(media_time=new.end, index=index, speaker=new.speaker)
                )
        if unlike:
            self._find_owners()
            seen = [self._seen(line.features, after.on) for line in after.lines]
            self._sdt.rewrite(seen, [line.speaker for line in after.lines])
            self._tell_readings(self._read_again() if readings is None else readings, 0.0)

    def _tell_people(self, before: tuple[Person, ...], after: tuple[Person, ...]) -> None:
        now = self._now
        for number, person in enumerate(after):
            old = before[number] if number < len(before) else Person("", here=False)
            if person.here and not old.here:
                self._tell(SpeakerFound(media_time=now, speaker=number, name=person.name))
            elif person.name != old.name:
                self._tell(SpeakerRenamed(media_time=now, speaker=number, name=person.name))
            if person.colour != old.colour:
                self._tell(SpeakerColoured(media_time=now, speaker=number, colour=person.colour))
            if old.here and not person.here:
                self._tell(SpeakerLeft(media_time=now, speaker=number))

    def _tell_markers(self, before: tuple[Marker, ...], after: tuple[Marker, ...]) -> None:
        for number, marker in enumerate(after):
            was_here = number < len(before) and before[number].here
            if marker.here and not was_here:
                self._tell(MarkerPlaced(media_time=marker.time, marker=number, note=marker.note))
            if was_here and not marker.here:
                self._tell(MarkerRemoved(media_time=marker.time, marker=number))

    def _tell_history(self) -> None:
        undo = self._done[-1].correction.title if self._done else None
        redo = self._undone[-1].title if self._undone else None
        self._tell(HistoryChanged(media_time=self._now, undo=undo, redo=redo))

    def _read_again(self) -> list[Reading]:
        return [self._reading(emotion) for emotion in self._sdt.refresh().utterances]

    def _tell_readings(self, readings: Sequence[Reading], least: float) -> None:
        """Tell those that differ from what was told by ``least`` in any probability."""
        lines = list(self._facts.lines)
        for index, (line, reading) in enumerate(zip(lines, readings, strict=True)):
            if reading == line.reading:
                continue
            moved = max(abs(a - b) for a, b in zip(reading.fused, line.reading.fused, strict=True))
            if moved >= least:
                lines[index] = replace(line, reading=reading)
                self._tell(UtteranceRevised(media_time=line.end, index=index, reading=reading))
        self._facts = replace(self._facts, lines=tuple(lines))

    def _look_back(self, index: int) -> None:
        if self._answer is not None and 0 <= index < len(self):
            weights = self._sdt.attention(index)
            self._answer(Attention(index, PAIRS, tuple(tuple(map(float, row)) for row in weights)))

    def _seen(self, features: UtteranceFeatures, on: frozenset[str]) -> UtteranceFeatures:
        """What SDT gets to see: standardised, without what is switched off."""
        seen = (
            vector if modality in on else None
            for modality, vector in zip(MODALITIES, features.vectors, strict=True)
        )
        return self._checkpoint.statistics.standardise(UtteranceFeatures(*seen))

    def _reading(self, emotion: UtteranceEmotion) -> Reading:
        reading = Reading(
            fused=_floats(emotion.fused),
            text=_floats(emotion.text),
            audio=_floats(emotion.audio),
            visual=_floats(emotion.visual),
            gates=_floats(emotion.gates),
            contributions=_floats(emotion.contributions),
        )
        return self._judged(reading)

    def _find_owners(self) -> None:
        votes: dict[int, Counter[int]] = {}
        for line in self._facts.lines:
            if line.face is not None:
                votes.setdefault(line.face, Counter())[line.speaker] += 1
        # Replaced whole, because the watcher's thread reads it.
        self._owners = {track: by.most_common(1)[0][0] for track, by in votes.items()}

    @property
    def _now(self) -> float:
        lines = self._facts.lines
        return lines[-1].end if lines else 0.0


def _before(before: Facts, now: Facts) -> Facts:
    """What was known before the last correction, with what has come since."""
    heard_since = {who for voice, who in now.voices.items() if voice not in before.voices}
    people = [*before.people]
    for number in range(len(before.people), len(now.people)):
        person = now.people[number]
        people.append(person if number in heard_since else replace(person, here=False))
    voices = {**now.voices, **before.voices}
    lines = [
        replace(then, reading=line.reading)
        for then, line in zip(before.lines, now.lines, strict=False)
    ]
    lines += (replace(line, speaker=voices[line.voice]) for line in now.lines[len(lines) :])
    markers = [*before.markers]
    markers += (replace(marker, here=False) for marker in now.markers[len(markers) :])
    return replace(
        before, people=tuple(people), voices=voices, lines=tuple(lines), markers=tuple(markers)
    )


def _showable(text: str, most: int, otherwise: str) -> str:
    """``text`` in one line, not longer than ``most`` characters.

    Raises:
        RefusedError: nothing of it can be shown.
    """
    text = " ".join(shown_text(text).split())[:most].rstrip()
    if not text:
        raise RefusedError(otherwise)
    return text


@overload
def _floats(values: NDArray[np.float32]) -> tuple[float, ...]: ...
@overload
def _floats(values: None) -> None: ...
def _floats(values: NDArray[np.float32] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
