"""Stretches of speech to words, features and a speaker, which make the dialogue grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from app.corrections import Attention, Request
from app.dialogue import LiveDialogue
from app.events import (
    EnrolmentAsked,
    ShiftMeasured,
    StageFinished,
    UtteranceDropped,
    UtteranceProvisional,
)
from app.listening import Heard, Partial, Sink, Speculation
from app.models import Models
from app.pressure import Effort
from live_features.endpointing import SpeechSegment
from live_features.faces import FaceTimeline, TrackSummary, talking_face
from live_features.media import SAMPLE_RATE
from live_features.speakers import ENROLMENT_SECONDS, SpeakerTracker
from live_features.transcription import Transcript
from live_features.voices import Voice
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.domain_shift import ShiftMeter


@dataclass(slots=True)
class Prepared:
    """What is known of a stretch of speech, whatever the dialogue: filled in as it is needed.

    ``told`` says whether it has been made known that the words have been read.
    """

    segment: SpeechSegment
    transcript: Transcript | None = None
    text: NDArray[np.float32] | None = None
    voice: Voice | None = None
    told: bool = False

    def fits(self, segment: SpeechSegment) -> bool:
        mine = self.segment
        return (mine.start, mine.end, len(mine.samples)) == (
            segment.start,
            segment.end,
            len(segment.samples),
        )

    @property
    def reads_finished(self) -> bool:
        """Whether the words, which have been read, are a finished sentence."""
        assert self.transcript is not None
        return self.transcript.reads_finished and not self.transcript.rejected


@dataclass(frozen=True, slots=True)
class BeingRead:
    """An utterance that somebody else reads meanwhile, as with :meth:`Recogniser.read`."""

    heard: Heard
    reading: Future[Prepared]


Work = Heard | BeingRead | Speculation | Partial
"""Everything that a recogniser can be asked to do."""


class Recogniser:
    """Owns the dialogue; for one thread, but for :meth:`owner` and :meth:`read`.

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
        answer: Callable[[Attention], None] | None = None,
        keep: Callable[[int, UtteranceFeatures], None] | None = None,
        begin: Callable[[], object] | None = None,
    ) -> None:
        """``speakers`` fixes how many people there are.

        The first that is heard is not labelled but makes known the voices of those named in
        ``enrol``, one after the other. ``answer`` and ``keep`` are the dialogue's; ``begin`` is
        called in the thread that measures voices, first of all.
        """
        self._models = models
        self._timeline = timeline
        self._tell = tell
        self._effort = effort
        self._identify = SpeakerTracker(
            known_number=speakers, at_most=models.checkpoint.config.speakers
        )
        self._dialogue = LiveDialogue(
            models.checkpoint, tell, encode_text=models.encode_text, answer=answer, keep=keep
        )
        reference = models.checkpoint.shift
        self._measure_shift = None if reference is None else ShiftMeter(reference)
        self._measuring = ThreadPoolExecutor(1, thread_name_prefix="voice", initializer=begin)
        self._prepared: dict[int | None, Prepared] = {}
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
        return len(self._dialogue)

    def owner(self, track: int) -> int | None:
        """The speaker during whose utterances the face ``track`` has mostly been talking."""
        return self._dialogue.owner(track)

    def __call__(self, work: Work) -> None:
        match work:
            case BeingRead(heard=heard, reading=reading):
                self.place(heard, reading.result())
            case Heard() if self._enrolling and work.channel is None:
                self._enrol(work)
            case Heard():
                self._label(work)
            case Speculation():
                self._speculate(work)
            case Partial(heard=heard) if not self._enrolling:
                self._preview(heard)

    def read(self, heard: Heard) -> Prepared:
        """Words and voice of an utterance, for :meth:`place`; for several threads at once."""
        prepared = Prepared(heard.segment)
        self._read(prepared, self._effort().beam_size)
        return prepared

    def place(self, heard: Heard, prepared: Prepared) -> None:
        """Take an utterance of which :meth:`read` has made something."""
        self._prepared[heard.channel] = prepared
        self(heard)

    def correct(self, request: Request) -> None:
        """Do what a person asks of the dialogue, between two utterances or when all is over."""
        self._dialogue(request)
        # A correction may have taken numbers that voices could have had.
        self._identify.at_most = self._dialogue.most_speakers - self._dialogue.without_voice

    # --- One utterance -----------------------------------------------------------------------

    def _label(self, heard: Heard) -> None:
        segment = heard.segment
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
        voice = self._voice(heard, ahead, face)
        features = self._features(ahead, face)
        self._dialogue.meet(voice, segment.start)
        self._dialogue.append(
            segment.start,
            segment.end,
            voice,
            transcript.text,
            features,
            None if face is None else face.track,
        )
        self._tell_finished("emotion", segment, self.utterances - 1)
        if self._measure_shift is not None:
            standardised = self._models.checkpoint.statistics.standardise(features)
            shift = self._measure_shift(standardised)
            self._tell(ShiftMeasured(media_time=segment.end, **asdict(shift)))
        self._dialogue.revise()

    def _speculate(self, speculation: Speculation) -> None:
        if speculation.stale:
            return
        ahead = self._prepare(speculation.heard)
        transcript = self._words(ahead)
        speculation.settle(ahead.reads_finished)
        if not (speculation.stale or transcript.rejected) and self._measure(ahead):
            self._finished("features", ahead.segment)

    def _preview(self, heard: Heard) -> None:
        """Read the beginning of an utterance as if it ended there; nothing of it is kept."""
        segment = heard.segment
        ahead = Prepared(segment)
        transcript = self._read(ahead, beam_size=1)
        if transcript.rejected:
            return
        self._measure(ahead)
        face = self._talking_face(segment)
        speaker = self._guess_speaker(heard, ahead, face)
        # A voice that nobody knows yet is read as the one that would be added next.
        number = self._dialogue.next_speaker if speaker is None else speaker
        reading = self._dialogue.preview(self._features(ahead, face), number)
        self._tell(
            UtteranceProvisional(
                media_time=segment.end,
                index=self.utterances,
                start=segment.start,
                speaker=speaker,
                text=transcript.text,
                reading=reading,
            )
        )

    def _prepare(self, heard: Heard) -> Prepared:
        """What was done ahead for this very stretch, or a clean sheet."""
        ahead = self._prepared.get(heard.channel)
        if ahead is None or not ahead.fits(heard.segment):
            ahead = self._prepared[heard.channel] = Prepared(heard.segment)
        return ahead

    def _words(self, ahead: Prepared) -> Transcript:
        transcript = ahead.transcript
        if transcript is None:
            transcript = self._read(ahead, self._effort().beam_size)
        if not ahead.told:
            ahead.told = True
            self._finished("transcription", ahead.segment)
        return transcript

    def _read(self, ahead: Prepared, beam_size: int | None) -> Transcript:
        """The words, while another thread measures the voice."""
        voice = self._measuring.submit(self._measure_voice, ahead)
        ahead.transcript = self._models.transcribe(ahead.segment.samples, beam_size=beam_size)
        voice.result()
        return ahead.transcript

    def _measure_voice(self, ahead: Prepared) -> None:
        ahead.voice = self._models.encode_voice.listen(ahead.segment.speech)

    def _measure(self, ahead: Prepared) -> bool:
        """Text features of a stretch that has been read; whether that was still to do."""
        assert ahead.transcript is not None
        if ahead.text is not None:
            return False
        ahead.text = self._models.encode_text([ahead.transcript.text])[0]
        return True

    def _features(self, ahead: Prepared, face: _TalkingFace | None) -> UtteranceFeatures:
        assert ahead.voice is not None
        return UtteranceFeatures(
            text=ahead.text,
            audio=ahead.voice.acoustic,
            visual=None if face is None else face.summary.features.embedding,
        )

    def _finished(self, stage: str, segment: SpeechSegment) -> None:
        """Tell that a stage is done with what will be the next utterance."""
        self._tell_finished(stage, segment, self.utterances)

    def _tell_finished(self, stage: str, segment: SpeechSegment, index: int) -> None:
        self._tell(StageFinished(media_time=segment.end, index=index, stage=stage))

    # --- Who ---------------------------------------------------------------------------------

    def _voice(self, heard: Heard, ahead: Prepared, face: _TalkingFace | None) -> str:
        """What the voice is known as in the dialogue."""
        if heard.channel is not None:
            return f"line {heard.channel}"
        assert ahead.voice is not None
        track = None if face is None else face.track
        return f"voice {self._identify(ahead.voice.speaker, heard.seconds, track)}"

    def _guess_speaker(
        self, heard: Heard, ahead: Prepared, face: _TalkingFace | None
    ) -> int | None:
        if heard.channel is not None:
            return self._dialogue.speaker(f"line {heard.channel}")
        assert ahead.voice is not None
        voice = self._identify.guess(ahead.voice.speaker, None if face is None else face.track)
        return self._dialogue.speaker(f"voice {voice}")

    def _enrol(self, heard: Heard) -> None:
        self._enrolment.append(heard.segment.speech)
        length = sum(len(part) for part in self._enrolment)
        if length < ENROLMENT_SECONDS * SAMPLE_RATE:
            return
        # Each stretch by itself: of what is longer only the middle would be listened to.
        listen = self._models.encode_voice.listen
        voices = [listen(part).speaker * len(part) for part in self._enrolment]
        voice = self._identify.enrol(np.sum(voices, axis=0) / length)
        self._dialogue.meet(f"voice {voice}", heard.segment.end, self._enrolling.popleft())
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


@dataclass(frozen=True, slots=True)
class _TalkingFace:
    """A face that was talking during an utterance, and what it showed meanwhile."""

    track: int
    summary: TrackSummary
