"""Stretches of speech to labelled utterances, and the dialogue that they make."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from app.events import (
    EnrolmentAsked,
    Reading,
    ShiftMeasured,
    SpeakerFound,
    SpeakerRenamed,
    StageFinished,
    UtteranceDropped,
    UtteranceLabelled,
    UtteranceProvisional,
    UtteranceReassigned,
    UtteranceRevised,
)
from app.listening import Heard, Partial, Sink, Speculation
from app.models import Models
from app.pressure import Effort
from live_features.endpointing import SpeechSegment
from live_features.faces import FaceTimeline, TrackSummary, talking_face
from live_features.media import SAMPLE_RATE
from live_features.speakers import ENROLMENT_SECONDS, SpeakerTracker
from live_features.transcription import Transcript
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.domain_shift import ShiftMeter
from sdt_model.incremental import IncrementalSDT, UtteranceEmotion

_REVISION = 0.02
"""A revision is told when a probability has moved at least this far since it was last told."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A correction to the dialogue, to be made between two utterances."""

    apply: Callable[[Recogniser], None]


Work = Heard | Speculation | Partial | Edit
"""Everything that a recogniser can be asked to do."""


@dataclass(slots=True)
class _Prepared:
    """What is known of a stretch of speech, whatever the dialogue: filled in as it is needed."""

    segment: SpeechSegment
    transcript: Transcript | None = None
    text: NDArray[np.float32] | None = None
    audio: NDArray[np.float32] | None = None
    voice: NDArray[np.float32] | None = None

    def fits(self, segment: SpeechSegment) -> bool:
        mine = self.segment
        return (mine.start, mine.end, len(mine.samples)) == (
            segment.start,
            segment.end,
            len(segment.samples),
        )


class Recogniser:
    """Owns the dialogue; for one thread, but for :meth:`owner`.

    A thread of its own measures the voice while Whisper reads the words; :meth:`close` ends it.
    """

    def __init__(
        self,
        models: Models,
        timeline: FaceTimeline,
        tell: Sink,
        *,
        speakers: int | None = None,
        enrol: Sequence[str] = (),
        effort: Callable[[], Effort] = Effort,
    ) -> None:
        """``speakers`` fixes how many people there are.

        The first that is heard is not labelled but makes known the voices of those named in
        ``enrol``, one after the other.
        """
        self._models = models
        self._timeline = timeline
        self._tell = tell
        self._effort = effort
        self._identify = SpeakerTracker(
            known_number=speakers, at_most=models.checkpoint.config.speakers
        )
        self._dialogue = IncrementalSDT(models.checkpoint.model)
        reference = models.checkpoint.shift
        self._measure_shift = None if reference is None else ShiftMeter(reference)
        self._measuring = ThreadPoolExecutor(1, thread_name_prefix="voice")
        self._prepared: dict[int | None, _Prepared] = {}
        self._told: list[UtteranceLabelled] = []
        self._names: list[str] = []
        self._slots: dict[str, int] = {}
        self._votes: dict[int, Counter[int]] = {}
        self._owners: dict[int, int] = {}
        self._enrolling = deque(enrol)
        self._enrolment: list[NDArray[np.float32]] = []

    def begin(self) -> None:
        """The session begins: ask the first of those who are to enrol to talk."""
        self._ask_for_enrolment(0.0)

    def close(self) -> None:
        """Nothing more will be asked."""
        self._measuring.shutdown()

    @property
    def utterances(self) -> int:
        """How many have been labelled."""
        return len(self._told)

    def owner(self, track: int) -> int | None:
        """The speaker during whose utterances the face ``track`` has mostly been talking."""
        return self._owners.get(track)

    def __call__(self, work: Work) -> None:
        match work:
            case Heard() if self._enrolling and work.channel is None:
                self._enrol(work)
            case Heard():
                self._label(work)
            case Speculation() if not self._enrolling:
                self._speculate(work)
            case Partial(heard=heard) if not self._enrolling:
                self._preview(heard)
            case Edit(apply=apply):
                apply(self)

    # --- Corrections -------------------------------------------------------------------------

    def rename(self, speaker: int, name: str) -> None:
        """Give a person a name."""
        if 0 <= speaker < len(self._names):
            self._names[speaker] = name
            self._tell(SpeakerRenamed(media_time=self._last_end(), speaker=speaker, name=name))

    def reassign(self, index: int, speaker: int) -> None:
        """Say who spoke utterance ``index``, and read the dialogue again."""
        if 0 <= index < len(self._told) and 0 <= speaker < len(self._names):
            self._relabel({index: speaker})

    def merge(self, speaker: int, into: int) -> None:
        """Two speakers are one person: from now on, and in all that was said."""
        known = range(len(self._names))
        if speaker == into or speaker not in known or into not in known:
            return
        for person, slot in self._slots.items():
            if slot == speaker:
                self._slots[person] = into
        for votes in self._votes.values():
            votes[into] += votes.pop(speaker, 0)
        self._find_owners()
        self._relabel({u.index: into for u in self._told if u.speaker == speaker})

    def _relabel(self, speakers: dict[int, int]) -> None:
        for index, speaker in speakers.items():
            told = self._told[index]
            self._told[index] = replace(told, speaker=speaker)
            self._tell(UtteranceReassigned(media_time=told.end, index=index, speaker=speaker))
        if speakers:
            self._dialogue.relabel([u.speaker for u in self._told])
            self._revise()

    def _last_end(self) -> float:
        return self._told[-1].end if self._told else 0.0

    # --- One utterance -----------------------------------------------------------------------

    def _label(self, heard: Heard) -> None:
        segment, index = heard.segment, len(self._told)
        ahead = self._prepare(heard)
        transcript = self._words(ahead)
        self._prepared.pop(heard.channel, None)
        if transcript.rejected:
            self._tell(
                UtteranceDropped(
                    media_time=segment.end,
                    start=segment.start,
                    end=segment.end,
                    reason=transcript.rejected,
                )
            )
            return
        if self._measure(ahead):
            self._finished("features", segment)
        face = self._talking_face(segment)
        speaker = self._speaker(heard, ahead, face)
        if face is not None:
            self._vote(face, speaker)
        features = self._features(ahead, face)
        emotions = self._dialogue.append(features, speaker)
        utterance = UtteranceLabelled(
            media_time=segment.end,
            index=index,
            start=segment.start,
            end=segment.end,
            speaker=speaker,
            text=transcript.text,
            reading=self._reading(emotions.newest),
        )
        self._told.append(utterance)
        self._tell(utterance)
        self._finished("emotion", segment)
        if self._measure_shift is not None:
            shift = self._measure_shift(features)
            self._tell(ShiftMeasured(media_time=segment.end, **asdict(shift)))
        self._revise()

    def _speculate(self, speculation: Speculation) -> None:
        if speculation.stale:
            return
        ahead = self._prepare(speculation.heard)
        transcript = self._words(ahead)
        speculation.settle(transcript.reads_finished and not transcript.rejected)
        if not (speculation.stale or transcript.rejected) and self._measure(ahead):
            self._finished("features", ahead.segment)

    def _preview(self, heard: Heard) -> None:
        """Read the beginning of an utterance as if it ended there; nothing of it is kept."""
        segment = heard.segment
        ahead = _Prepared(segment)
        transcript = self._read(ahead, beam_size=1)
        if transcript.rejected:
            return
        self._measure(ahead)
        face = self._talking_face(segment)
        speaker = self._guess_speaker(heard, ahead, face)
        # A voice that nobody knows yet is read as the one that would be added next.
        slot = min(len(self._names), self._most - 1) if speaker is None else speaker
        emotion = self._dialogue.preview(self._features(ahead, face), slot)
        self._tell(
            UtteranceProvisional(
                media_time=segment.end,
                index=len(self._told),
                start=segment.start,
                speaker=speaker,
                text=transcript.text,
                reading=self._reading(emotion),
            )
        )

    def _prepare(self, heard: Heard) -> _Prepared:
        """What was done ahead for this very stretch, or a clean sheet."""
        ahead = self._prepared.get(heard.channel)
        if ahead is None or not ahead.fits(heard.segment):
            ahead = self._prepared[heard.channel] = _Prepared(heard.segment)
        return ahead

    def _words(self, ahead: _Prepared) -> Transcript:
        if ahead.transcript is not None:
            return ahead.transcript
        transcript = self._read(ahead, self._effort().beam_size)
        self._finished("transcription", ahead.segment)
        return transcript

    def _read(self, ahead: _Prepared, beam_size: int | None) -> Transcript:
        """The words, while another thread measures the voice."""
        voice = self._measuring.submit(self._measure_voice, ahead)
        ahead.transcript = self._models.transcribe(ahead.segment.samples, beam_size=beam_size)
        voice.result()
        return ahead.transcript

    def _measure_voice(self, ahead: _Prepared) -> None:
        ahead.audio = self._models.extract_acoustic(ahead.segment.speech)
        ahead.voice = self._models.encode_voice.embed(ahead.segment.speech)

    def _measure(self, ahead: _Prepared) -> bool:
        """Text features of a stretch that has been read; whether that was still to do."""
        assert ahead.transcript is not None
        if ahead.text is not None:
            return False
        ahead.text = self._models.encode_text([ahead.transcript.text])[0]
        return True

    def _features(self, ahead: _Prepared, face: _TalkingFace | None) -> UtteranceFeatures:
        features = UtteranceFeatures(
            text=ahead.text,
            audio=ahead.audio,
            visual=None if face is None else face.summary.features.embedding,
        )
        return self._models.checkpoint.statistics.standardise(features)

    def _finished(self, stage: str, segment: SpeechSegment) -> None:
        self._tell(StageFinished(media_time=segment.end, index=len(self._told), stage=stage))

    # --- Who ---------------------------------------------------------------------------------

    @property
    def _most(self) -> int:
        return self._models.checkpoint.config.speakers

    def _speaker(self, heard: Heard, ahead: _Prepared, face: _TalkingFace | None) -> int:
        if heard.channel is not None:
            return self._slot(f"line {heard.channel}", heard.segment.start)
        assert ahead.voice is not None
        voice = self._identify(ahead.voice, heard.seconds, None if face is None else face.track)
        return self._slot(f"voice {voice}", heard.segment.start)

    def _guess_speaker(
        self, heard: Heard, ahead: _Prepared, face: _TalkingFace | None
    ) -> int | None:
        if heard.channel is not None:
            return self._slots.get(f"line {heard.channel}")
        assert ahead.voice is not None
        voice = self._identify.guess(ahead.voice, None if face is None else face.track)
        return self._slots.get(f"voice {voice}")

    def _slot(self, person: str, since: float, name: str | None = None) -> int:
        if person not in self._slots:
            slot = self._slots[person] = len(self._names)
            self._names.append(name or f"Speaker {slot + 1}")
            self._tell(SpeakerFound(media_time=since, speaker=slot, name=self._names[slot]))
        return self._slots[person]

    def _enrol(self, heard: Heard) -> None:
        self._enrolment.append(heard.segment.speech)
        speech = np.concatenate(self._enrolment)
        if len(speech) < ENROLMENT_SECONDS * SAMPLE_RATE:
            return
        voice = self._identify.enrol(self._models.encode_voice.embed(speech))
        self._slot(f"voice {voice}", heard.segment.end, self._enrolling.popleft())
        self._enrolment = []
        self._ask_for_enrolment(heard.segment.end)

    def _ask_for_enrolment(self, now: float) -> None:
        if self._enrolling:
            self._tell(
                EnrolmentAsked(media_time=now, name=self._enrolling[0], seconds=ENROLMENT_SECONDS)
            )

    def _talking_face(self, segment: SpeechSegment) -> _TalkingFace | None:
        """The face whose mouth moved most while the words were spoken."""
        summary = talking_face(self._timeline.tracks(segment.start, segment.end))
        return None if summary is None else _TalkingFace(summary.features.track, summary)

    def _vote(self, face: _TalkingFace, speaker: int) -> None:
        self._votes.setdefault(face.track, Counter())[speaker] += 1
        self._find_owners()

    def _find_owners(self) -> None:
        # Replaced whole, because the watcher's thread reads it.
        self._owners = {track: votes.most_common(1)[0][0] for track, votes in self._votes.items()}

    # --- Revisions ---------------------------------------------------------------------------

    def _revise(self) -> None:
        past = self._dialogue.refresh().utterances
        for index, (told, emotion) in enumerate(zip(self._told, past, strict=True)):
            reading = self._reading(emotion)
            moved = max(abs(a - b) for a, b in zip(reading.fused, told.reading.fused, strict=True))
            if moved >= _REVISION:
                self._told[index] = replace(told, reading=reading)
                self._tell(UtteranceRevised(media_time=told.end, index=index, reading=reading))

    def _reading(self, emotion: UtteranceEmotion) -> Reading:
        return Reading(
            fused=_floats(emotion.fused),
            text=_floats(emotion.text),
            audio=_floats(emotion.audio),
            visual=_floats(emotion.visual),
            gates=_floats(emotion.gates),
            contributions=_floats(emotion.contributions),
            unsure=bool(max(emotion.fused) < self._models.checkpoint.unsure_below),
        )


@dataclass(frozen=True, slots=True)
class _TalkingFace:
    """A face that was talking during an utterance, and what it showed meanwhile."""

    track: int
    summary: TrackSummary


@overload
def _floats(values: NDArray[np.float32]) -> tuple[float, ...]: ...
@overload
def _floats(values: None) -> None: ...
def _floats(values: NDArray[np.float32] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
