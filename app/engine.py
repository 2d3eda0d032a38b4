"""Wires a source to the models and tells the story as events. No Qt.

    source -> listener (endpoints) ----> recogniser (words, features, speaker, SDT) -> events
         \\--> watcher (faces) ---------/

On a real clock each of the three has a thread: sound is never dropped, pictures drop the oldest,
utterances wait, and those behind the first are read by others meanwhile. While somebody pauses, the
recogniser already works on what may turn out to be an utterance; while somebody speaks and it has
nothing else to do, it reads what has been said so far.
On the virtual clock nothing is left out and nothing guessed. Pictures are looked at, sound is
listened to and utterances are read as far ahead as there is time for, but what they lead to is told
strictly in the order of the recording, so the same recording always gives the same events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from app.corrections import Attention, LookBack, Requests
from app.events import (
    BacklogChanged,
    DeviceChanged,
    EffortChanged,
    Event,
    FaceSeen,
    FacesSeen,
    ProblemOccurred,
    SessionEnded,
    SessionPaused,
    SessionResumed,
    SessionStarted,
)
from app.listening import Heard, Listener, Partial, Sink, Speculation
from app.models import Models
from app.narrator import Narrator
from app.pressure import Pressure
from app.preview import LatestFrame
from app.priority import give_way
from app.read_ahead import Outcome, ReadAhead, do
from app.recogniser import BeingRead, Recogniser, Work
from app.workers import AheadStage, Stage, ThreadStage, Turns
from live_features.errors import UserFacingError
from live_features.faces import FaceAnalyser, FaceFrame, FaceTimeline
from live_features.media import (
    AudioBlock,
    CapturePaused,
    CaptureResumed,
    Clock,
    DeviceNotice,
    MediaSource,
    VideoFrame,
)
from sdt_model.dialogues import UtteranceFeatures

_AUDIO_BLOCKS = 256
_FRAMES = 8
_UTTERANCES = 64
_READERS = 2
"""Threads that read what has to wait."""
_TURNS, _TURNS_OF_SOUND = 128, 512
"""What a recording may be ahead of what has been told of it, on the virtual clock; pictures take
room."""
_SPECULATION, _PARTIAL = 2, 1  # urgencies
_LOOK_AGAIN = 0.2  # seconds after which it is looked whether a window is still open

_PROGRESS = 0.5  # seconds of media after which it is told, on the virtual clock, how far that is

_PATIENCE = 0.25
"""Seconds (wall) the listener waits to hear whether a pause follows a finished sentence."""


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
        self.tell(self.look(frame))

    def look(self, frame: VideoFrame) -> FaceFrame:
        """The faces of the next picture."""
        return self._analyse(frame)

    def tell(self, seen: FaceFrame) -> None:
        """Make known what a picture shows."""
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
        self._tell(FacesSeen(media_time=seen.time, faces=faces))


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
        enrol: Sequence[str] = (),
        stopping: threading.Event | None = None,
        ahead: bool = True,
        requests: Requests | None = None,
        answer: Callable[[Attention], None] | None = None,
        keep: Callable[[int, UtteranceFeatures], None] | None = None,
        provisional: Callable[[], bool] | None = None,
        background: bool = False,
    ) -> None:
        """``progress`` is told the media time; ``speakers`` fixes how many people there are.

        Those named in ``enrol`` talk first, one after the other, so that their voices are known.
        Without ``ahead`` nothing is done on an utterance before a long pause has ended it.
        Setting ``stopping`` from outside does what :meth:`stop` does, at the next item. What is put
        into ``requests`` is done while the session runs, and later by :meth:`serve`; ``answer``
        gets the answers. ``keep`` is handed the features of every utterance, by its index, before
        its label is told. On the virtual clock ``provisional``, if there is one, is asked whether
        there is time to read what is still being spoken, too; with ``background`` its threads then
        give way to all others of the program.
        """
        self._source = source
        self._clock = clock
        self._models = models
        self._preview = preview
        self._progress = progress
        self._stopping = stopping or threading.Event()
        self._ahead = ahead
        self._provisional = provisional
        self._begin = give_way if background else None
        self._position = self._progress_due = 0.0

        self._tell = Narrator(sinks)
        self._pressure = Pressure()
        self._timeline = FaceTimeline()
        self._recogniser = Recogniser(
            models,
            self._timeline,
            self._tell,
            speakers=speakers,
            enrol=enrol,
            effort=lambda: self._pressure.effort,
            answer=answer,
            keep=keep,
            begin=self._begin,
        )
        self._requests = requests or Requests()
        self._backlog = _Backlog(self._tell, self._pressure)
        self._turns: Turns | None = None

    def stop(self) -> None:
        """End early: what has been heard is still labelled. Safe from any thread."""
        self._stopping.set()
        self._clock.stop()
        self._source.close()

    def note_problem(self, sentence: str) -> None:
        """Tell of something beside the session that a person should know; from any thread."""
        self._tell(ProblemOccurred(media_time=self._position, message=sentence))

    def run(self) -> None:
        """Work until the medium ends or :meth:`stop` is called.

        Raises:
            UserFacingError: the medium broke off; what was heard before is labelled first.
        """
        info, models, tell, recogniser = (
            self._source.info,
            self._models,
            self._tell,
            self._recogniser,
        )
        models.analyse_faces.reset()
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
        for remark in models.remarks:
            tell(ProblemOccurred(media_time=0.0, message=remark))
        recogniser.begin()
        watcher = Watcher(models.analyse_faces, self._timeline, recogniser.owner, tell)
        reason = "end_of_media"
        try:
            with ExitStack() as stages:
                stages.callback(recogniser.close)
                if self._threaded:
                    listening, watching = self._side_by_side(stages, watcher)
                else:
                    listening, watching = self._in_turn(stages, watcher)
                self._pump(listening, watching)
            if self._stopping.is_set():
                reason = "stopped"
        except UserFacingError as error:
            reason = "medium_failed"
            tell(ProblemOccurred(media_time=self._position, message=str(error)))
            raise
        finally:
            self._turns = None
            tell(
                SessionEnded(
                    media_time=self._position, reason=reason, utterances=recogniser.utterances
                )
            )

    def serve(self, closing: threading.Event) -> None:
        """After :meth:`run`: do what is asked for until ``closing`` is set, and what was before."""
        while not closing.is_set():
            self._requests.wait(_LOOK_AGAIN)
            if (request := self._requests.take()) is not None:
                self._recogniser.correct(request)
        while (request := self._requests.take()) is not None:
            # Nobody is there any more to be told where an utterance looked.
            if not isinstance(request, LookBack):
                self._recogniser.correct(request)

    def _do_requests(self) -> None:
        while (request := self._requests.take()) is not None:
            self._recogniser.correct(request)

    @property
    def _threaded(self) -> bool:
        return self._clock.speed is not None

    def _side_by_side(
        self, stages: ExitStack, watcher: Watcher
    ) -> tuple[Stage[AudioBlock], Stage[VideoFrame]]:
        """The stages that hear and see; ``stages`` ends them, the first last."""
        readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader")
        stages.callback(readers.shutdown)
        recognising = ThreadStage(
            "recogniser", self._recognise, size=_UTTERANCES, between=self._do_requests
        )
        stages.callback(recognising.finish)
        self._requests.call(recognising.nudge)
        # Called before that, so that nothing is asked of a thread that is ending.
        stages.callback(self._requests.call, None)
        listener = self._listener(recognising, readers)
        stages.callback(listener.flush)
        listening = ThreadStage("listener", listener, size=_AUDIO_BLOCKS)
        stages.callback(listening.finish)
        watching = ThreadStage("watcher", watcher, size=_FRAMES, lossy=True)
        stages.callback(watching.finish)
        return listening, watching

    def _in_turn(
        self, stages: ExitStack, watcher: Watcher
    ) -> tuple[Stage[AudioBlock], Stage[VideoFrame]]:
        """The same, but what comes of it is told in the order of the recording."""
        begin = self._begin
        turns = self._turns = Turns(
            "recogniser",
            size=_TURNS if self._source.info.has_video else _TURNS_OF_SOUND,
            between=self._do_requests,
            begin=begin,
        )
        stages.callback(turns.finish)
        self._requests.call(turns.nudge)
        stages.callback(self._requests.call, None)
        ahead = ReadAhead(self._recogniser, self._tell, begin=begin)
        stages.callback(ahead.close)
        listener = self._listener_ahead(ahead)

        def hear(block: AudioBlock) -> Outcome:
            return ahead.outcome(partial(listener, block))

        stages.callback(lambda: turns.put(partial(do, ahead.outcome(listener.flush))))
        listening = AheadStage("listener", turns, hear, do, begin=begin)
        stages.callback(listening.finish)
        watching = AheadStage("watcher", turns, watcher.look, watcher.tell, begin=begin)
        stages.callback(watching.finish)
        return listening, watching

    def _say(self, event: Event) -> None:
        """Tell an event once all that came before it in the medium has been told."""
        if self._turns is None:
            self._tell(event)
        else:
            self._turns.put(partial(self._tell, event))

    def _listener(self, recognising: ThreadStage[Work], readers: ThreadPoolExecutor) -> Listener:
        def hand_on(heard: Heard) -> None:
            if self._backlog.waits(heard):
                recognising.put(BeingRead(heard, readers.submit(self._recogniser.read, heard)))
            else:
                recognising.put(heard)

        def speculate(speculation: Speculation) -> None:
            if self._ahead:
                recognising.offer(speculation, _SPECULATION)

        def offer_partial(beginning: Partial) -> None:
            if self._pressure.effort.partials:
                recognising.offer(beginning, _PARTIAL)

        return Listener(
            self._models.new_voice_activity,
            self._source.info.channels,
            self._tell,
            hand_on=hand_on,
            speculate=speculate,
            reads_finished=lambda speculation: self._ahead and speculation.wait(_PATIENCE),
            offer_partial=offer_partial if self._ahead else None,
            find_turns=self._models.new_turn_finder(),
        )

    def _listener_ahead(self, ahead: ReadAhead) -> Listener:
        provisional = self._provisional

        def offer_partial(beginning: Partial) -> None:
            if provisional is not None and provisional():
                ahead.preview(beginning)

        return Listener(
            self._models.new_voice_activity,
            self._source.info.channels,
            ahead.say,
            hand_on=ahead.hand_on,
            speculate=lambda speculation: None,
            reads_finished=lambda speculation: self._ahead and ahead.settle(speculation),
            offer_partial=None if provisional is None else offer_partial,
            find_turns=self._models.new_turn_finder(),
        )

    def _recognise(self, work: Work) -> None:
        self._recogniser(work)
        match work:
            case (Heard() as heard) | BeingRead(heard=heard):
                self._backlog.done(heard)

    def _pump(self, listening: Stage[AudioBlock], watching: Stage[VideoFrame]) -> None:
        analysed, begun, closed = 0.0, False, False
        if self._stopping.is_set():
            return  # before any device is opened
        for item in self._source:
            if self._stopping.is_set() and not closed:
                # Devices still hand over what they have heard.
                self._source.close()
                closed = True
            match item:
                case AudioBlock():
                    now = item.end
                    if not begun and self._threaded:
                        self._tell.begin(now / (self._clock.speed or 1.0))
                        begun = True
                    listening.put(item)
                case VideoFrame(time=now):
                    if self._preview is not None:
                        self._preview.put(item)
                    if now >= analysed:
                        analysed = self._pressure.effort.next_analysis(now)
                        watching.put(item)
                case DeviceNotice(time=now):
                    self._say(
                        DeviceChanged(
                            media_time=now,
                            device=item.device,
                            code=item.code,
                            message=item.message,
                            lost=item.lost,
                        )
                    )
                case CapturePaused(time=now):
                    self._say(SessionPaused(media_time=now))
                case CaptureResumed(time=now):
                    self._tell.begin(now / (self._clock.speed or 1.0))
                    self._say(SessionResumed(media_time=now))
            self._position = max(self._position, now)
            if self._progress is not None:
                self._note_progress(self._progress, now)

    def _note_progress(self, note: Callable[[float], None], now: float) -> None:
        if self._turns is None:
            note(now)
        elif now >= self._progress_due:
            # All that came before has been told by then.
            self._progress_due = now + _PROGRESS
            self._turns.put(partial(note, now))


class _Backlog:
    """Seconds of speech between the listener and a label, and the effort that they leave."""

    def __init__(self, tell: Sink, pressure: Pressure) -> None:
        self._tell = tell
        self._pressure = pressure
        self._seconds = 0.0
        self._utterances = 0
        self._lock = threading.Lock()

    def waits(self, heard: Heard) -> bool:
        """Note an utterance; whether others are before it."""
        return self._change(heard, 1) > 1

    def done(self, heard: Heard) -> None:
        self._change(heard, -1)

    def _change(self, heard: Heard, utterances: int) -> int:
        now = heard.segment.end
        with self._lock:
            self._utterances += utterances
            self._seconds = max(self._seconds + utterances * heard.seconds, 0.0)
            self._tell(BacklogChanged(media_time=now, seconds=self._seconds))
            if self._pressure.update(self._seconds):
                self._tell(EffortChanged(media_time=now, without=self._pressure.effort.without))
            return self._utterances
