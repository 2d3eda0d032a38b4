"""Wires a source to the models and tells the story as events. No Qt.

    source -> listener (endpoints) ----> recogniser (words, features, speaker, SDT) -> events
         \\--> watcher (faces) ---------/

On a real clock each of the three has a thread: sound is never dropped, pictures drop the oldest,
utterances wait. On the virtual clock the same three work in the caller's thread, item by item, so
the same recording always gives the same events.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

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
from app.models import Models
from app.preview import LatestFrame
from app.workers import InlineStage, Stage, ThreadStage
from live_features.endpointing import Endpointer, SpeechDropped, SpeechSegment, SpeechStart
from live_features.errors import UserFacingError
from live_features.faces import FaceAnalyser, FaceTimeline
from live_features.media import AudioBlock, Clock, MediaSource, VideoFrame
from live_features.speakers import SpeakerTracker
from live_features.voice_activity import VoiceActivityDetector
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.incremental import IncrementalSDT, UtteranceEmotion

ANALYSIS_RATE = 5.0
"""Faces are analysed this often, in Hz of media time."""

_AUDIO_BLOCKS = 256
_FRAMES = 8
_UTTERANCES = 64
_REVISION = 0.02
"""A revision is told when a probability has moved at least this far since it was last told."""

Sink = Callable[[Event], None]
T = TypeVar("T")


class Narrator:
    """Stamps events and hands them to every sink, one at a time."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def __call__(self, event: Event) -> None:
        with self._lock:
            stamped = replace(event, emitted_at=time.monotonic() - self._started)
            for sink in self._sinks:
                sink(stamped)


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment of speech and the line it came over, None for a shared one."""

    segment: SpeechSegment
    channel: int | None


class Listener:
    """Sound to segments of speech; with two channels each is one person's line."""

    def __init__(
        self,
        new_voice_activity: Callable[[], VoiceActivityDetector],
        channels: int,
        tell: Sink,
        hand_on: Callable[[Heard], None],
    ) -> None:
        self._lines: dict[int | None, Endpointer] = {
            channel: Endpointer(new_voice_activity())
            for channel in (range(channels) if channels > 1 else (None,))
        }
        self._tell = tell
        self._hand_on = hand_on

    def __call__(self, block: AudioBlock) -> None:
        for channel, endpointer in self._lines.items():
            samples = block.samples[:, channel or 0]
            for event in endpointer.push(samples):
                self._handle(event, channel)

    def flush(self) -> None:
        """No more sound will come."""
        for channel, endpointer in self._lines.items():
            for event in endpointer.flush():
                self._handle(event, channel)

    def _handle(
        self, event: SpeechStart | SpeechSegment | SpeechDropped, channel: int | None
    ) -> None:
        match event:
            case SpeechStart(time=start):
                self._tell(SpeechStarted(media_time=start, channel=channel))
            case SpeechSegment(start=start, end=end, reason=reason):
                self._end(channel, start, end, reason)
                self._hand_on(Heard(event, channel))
            case SpeechDropped(start=start, end=end, reason=reason):
                self._end(channel, start, end, reason)
                self._tell(UtteranceDropped(media_time=end, start=start, end=end, reason=reason))

    def _end(self, channel: int | None, start: float, end: float, reason: str) -> None:
        self._tell(
            SpeechEnded(media_time=end, channel=channel, start=start, end=end, reason=reason)
        )


class Watcher:
    """Pictures to faces at a fixed rate of media time."""

    def __init__(
        self,
        analyse: FaceAnalyser,
        timeline: FaceTimeline,
        owner: Callable[[int], int | None],
        tell: Sink,
    ) -> None:
        self._analyse = analyse
        self._timeline = timeline
        self._owner = owner
        self._tell = tell

    def __call__(self, frame: VideoFrame) -> None:
        seen = self._analyse(frame)
        self._timeline.add(seen)
        faces = tuple(
            FaceSeen(
                track=face.track,
                box=face.box,
                confidence=face.confidence,
                expression=face.expression,
                speaker=self._owner(face.track),
            )
            for face in seen.faces
        )
        self._tell(FacesSeen(media_time=frame.time, faces=faces))


class Recogniser:
    """Segments of speech to labelled utterances; owns the dialogue."""

    def __init__(
        self, models: Models, timeline: FaceTimeline, tell: Sink, *, speakers: int | None
    ) -> None:
        self._models = models
        self._timeline = timeline
        self._tell = tell
        self._identify = SpeakerTracker(
            known_number=speakers, at_most=models.checkpoint.config.speakers
        )
        self._dialogue = IncrementalSDT(models.checkpoint.model)
        self._told: list[UtteranceLabelled] = []
        self._slots: dict[str, int] = {}
        self._votes: dict[int, Counter[int]] = {}
        self._owners: dict[int, int] = {}

    @property
    def utterances(self) -> int:
        """How many have been labelled."""
        return len(self._told)

    def owner(self, track: int) -> int | None:
        """The speaker during whose utterances the face ``track`` has mostly been talking."""
        return self._owners.get(track)

    def __call__(self, heard: Heard) -> None:
        segment, models, index = heard.segment, self._models, len(self._told)
        transcript = models.transcribe(segment.samples)
        self._finished("transcription", segment, index)
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
        speaker = self._speaker(heard)
        features = UtteranceFeatures(
            text=models.encode_text([transcript.text])[0],
            audio=models.extract_acoustic(segment.speech),
            visual=self._visual(segment, speaker),
        )
        self._finished("features", segment, index)
        emotions = self._dialogue.append(
            models.checkpoint.statistics.standardise(features), speaker
        )
        utterance = UtteranceLabelled(
            media_time=segment.end,
            index=index,
            start=segment.start,
            end=segment.end,
            speaker=speaker,
            text=transcript.text,
            reading=_reading(emotions.newest),
        )
        self._told.append(utterance)
        self._tell(utterance)
        self._finished("emotion", segment, index)
        self._revise()

    def _finished(self, stage: str, segment: SpeechSegment, index: int) -> None:
        self._tell(StageFinished(media_time=segment.end, index=index, stage=stage))

    def _speaker(self, heard: Heard) -> int:
        segment = heard.segment
        if heard.channel is None:
            embedding = self._models.encode_voice.embed(segment.speech)
            person = f"voice {self._identify(embedding, segment.end - segment.start)}"
        else:
            person = f"line {heard.channel}"
        if person not in self._slots:
            slot = self._slots[person] = len(self._slots)
            self._tell(
                SpeakerFound(media_time=segment.start, speaker=slot, name=f"Speaker {slot + 1}")
            )
        return self._slots[person]

    def _visual(self, segment: SpeechSegment, speaker: int) -> NDArray[np.float32] | None:
        """The face whose mouth moved most while the words were spoken, averaged over them."""
        tracks = self._timeline.tracks(segment.start, segment.end)
        if not tracks:
            return None
        talking = max(tracks, key=lambda track: (tracks[track].mouth_motion, -track))
        self._votes.setdefault(talking, Counter())[speaker] += 1
        # Replaced whole, because the watcher's thread reads it.
        self._owners = {track: votes.most_common(1)[0][0] for track, votes in self._votes.items()}
        return tracks[talking].features.embedding

    def _revise(self) -> None:
        past = self._dialogue.refresh().utterances
        for index, (told, emotion) in enumerate(zip(self._told, past, strict=True)):
            reading = _reading(emotion)
            moved = max(abs(a - b) for a, b in zip(reading.fused, told.reading.fused, strict=True))
            if moved >= _REVISION:
                self._told[index] = replace(told, reading=reading)
                self._tell(UtteranceRevised(media_time=told.end, index=index, reading=reading))


class LiveEngine:
    """One session, from the first sound to the last label."""

    def __init__(
        self,
        source: MediaSource,
        clock: Clock,
        models: Models,
        sinks: Sequence[Sink],
        *,
        preview: LatestFrame | None = None,
        progress: Callable[[float], None] | None = None,
        speakers: int | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        """``progress`` is told the media time; ``speakers`` fixes how many people there are.

        Setting ``stopping`` from outside does what :meth:`stop` does, at the next item.
        """
        self._source = source
        self._clock = clock
        self._models = models
        self._sinks = sinks
        self._preview = preview
        self._progress = progress
        self._speakers = speakers
        self._stopping = stopping or threading.Event()
        self._position = 0.0

    def stop(self) -> None:
        """End early: what has been heard is still labelled. Safe from any thread."""
        self._stopping.set()
        self._clock.stop()

    def run(self) -> None:
        """Work until the medium ends or :meth:`stop` is called.

        Raises:
            UserFacingError: the medium broke off; what was heard before is labelled first.
        """
        info, models = self._source.info, self._models
        tell = Narrator(self._sinks)
        timeline = FaceTimeline()
        models.analyse_faces.reset()
        recogniser = Recogniser(models, timeline, tell, speakers=self._speakers)
        backlog = _Backlog(tell if self._threaded else None)
        tell(
            SessionStarted(
                media_time=0.0,
                source=info.name,
                duration=info.duration,
                has_audio=info.has_audio,
                has_video=info.has_video,
                device=models.device,
                weights=models.origins,
                speed=self._clock.speed,
            )
        )

        def recognise(heard: Heard) -> None:
            recogniser(heard)
            backlog.done(heard.segment)

        def hand_on(heard: Heard) -> None:
            backlog.waits(heard.segment)
            recognising.put(heard)

        listener = Listener(models.new_voice_activity, info.channels, tell, hand_on)
        watcher = Watcher(models.analyse_faces, timeline, recogniser.owner, tell)
        recognising = self._stage("recogniser", recognise, _UTTERANCES)
        listening = self._stage("listener", listener, _AUDIO_BLOCKS)
        watching = self._stage("watcher", watcher, _FRAMES, lossy=True)
        reason = "end_of_media"
        try:
            with ExitStack() as stages:
                stages.callback(recognising.finish)
                stages.callback(listener.flush)
                stages.callback(listening.finish)
                stages.callback(watching.finish)
                self._pump(listening, watching)
            if self._stopping.is_set():
                reason = "stopped"
        except UserFacingError as error:
            reason = "medium_failed"
            tell(ProblemOccurred(media_time=self._position, message=str(error)))
            raise
        finally:
            tell(
                SessionEnded(
                    media_time=self._position, reason=reason, utterances=recogniser.utterances
                )
            )

    @property
    def _threaded(self) -> bool:
        return self._clock.speed is not None

    def _stage(
        self, name: str, handle: Callable[[T], None], size: int, *, lossy: bool = False
    ) -> Stage[T]:
        if self._threaded:
            return ThreadStage(name, handle, size=size, lossy=lossy)
        return InlineStage(handle)

    def _pump(self, listening: Stage[AudioBlock], watching: Stage[VideoFrame]) -> None:
        analysed = -1
        for item in self._source:
            if self._stopping.is_set():
                break
            match item:
                case AudioBlock():
                    listening.put(item)
                    now = item.end
                case VideoFrame(time=now):
                    if self._preview is not None:
                        self._preview.put(item)
                    if (tick := int(now * ANALYSIS_RATE)) > analysed:
                        analysed = tick
                        watching.put(item)
            self._position = max(self._position, now)
            if self._progress is not None:
                self._progress(now)


class _Backlog:
    """Seconds of speech between the listener and a label."""

    def __init__(self, tell: Sink | None) -> None:
        """``tell`` is None where there is no waiting to speak of."""
        self._tell = tell
        self._seconds = 0.0
        self._lock = threading.Lock()

    def waits(self, segment: SpeechSegment) -> None:
        self._change(segment, segment.end - segment.start)

    def done(self, segment: SpeechSegment) -> None:
        self._change(segment, segment.start - segment.end)

    def _change(self, segment: SpeechSegment, seconds: float) -> None:
        if self._tell is None:
            return
        with self._lock:
            self._seconds = max(self._seconds + seconds, 0.0)
            self._tell(BacklogChanged(media_time=segment.end, seconds=self._seconds))


def _reading(emotion: UtteranceEmotion) -> Reading:
    return Reading(
        fused=_floats(emotion.fused),
        text=_floats(emotion.text),
        audio=_floats(emotion.audio),
        visual=_floats(emotion.visual),
        gates=_floats(emotion.gates),
        contributions=_floats(emotion.contributions),
    )


@overload
def _floats(values: NDArray[np.float32]) -> tuple[float, ...]: ...
@overload
def _floats(values: None) -> None: ...
def _floats(values: NDArray[np.float32] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
