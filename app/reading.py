"""Opens what is to be read, loads the models, and reads it. No Qt, no terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.corrections import Requests
from app.events import Event
from app.logs import log_event
from app.options import LiveOptions, RunOptions
from app.preview import LatestFrame
from app.session.card import SessionCard
from app.session.exports import export
from app.session.log import EventLog
from app.session.reader import RecordedSession, is_session
from app.session.recorder import Recorder
from app.session.space import Space, space_for
from app.state import SessionState
from live_features.clocks import RealClock, VirtualClock
from live_features.errors import UserFacingError
from live_features.fetching import Progress
from live_features.media import Clock, MediaInfo, MediaSource
from live_features.sources.pausing import LiveInput, PausableSource
from live_features.sources.recording import RecordingSource
from live_features.weights import sha256_of

if TYPE_CHECKING:  # PyTorch takes seconds to import, which a window should not wait for
    from sdt_model.dialogues import UtteranceFeatures


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that can be read, the log of its events where there is to be an export, and what
    records it where that was asked for.

    ``run`` is what was asked for, completed by what a recorded session says about itself.
    ``recording`` is the source where it is no live one, which may be read from anywhere meanwhile;
    ``live`` the one that can be paused.
    """

    run: RunOptions
    clock: Clock
    source: MediaSource
    log: EventLog | None
    recorder: Recorder | None
    recording: RecordingSource | None
    live: PausableSource | None = None


@contextmanager
def opened(run: RunOptions) -> Iterator[Opened]:
    """Open all that belongs to one reading.

    Raises:
        UserFacingError: the recording cannot be read, the microphone not be opened, the export
            folder not be written or is a session, there is something where a recording should go,
            or people are to introduce themselves who have a channel each.
    """
    asked = run.enrol
    with ExitStack() as stack:
        recording: RecordingSource | None = None
        live: PausableSource | None = None
        if isinstance(run.medium, LiveOptions):
            clock: Clock = RealClock()
            live = PausableSource(_live_source(run.medium))
            source: MediaSource = live
        else:
            clock = VirtualClock() if run.speed is None else RealClock(run.speed)
            session = RecordedSession(run.medium) if is_session(run.medium) else None
            if session is None:
                source = recording = RecordingSource(run.medium, clock)
            else:
                source = recording = session.media(clock)
                run = _completed(run, session)
        stack.enter_context(closing(source))
        if source.info.channels > 1:
            if asked:
                raise UserFacingError(
                    f"{source.info.name} has a channel for each person, so nobody needs to "
                    "introduce themselves: leave out --enrol."
                )
            run = replace(run, enrol=())
        log = None if run.export is None else stack.enter_context(_export_log(run.export))
        recorder = None
        if run.record is not None:
            recorder = Recorder(
                run.record, _card(run, source.info), source.info, patient=clock.speed is None
            )
            source = recorder.tee(source)
        yield Opened(run, clock, source, log, recorder, recording, live)


def _export_log(folder: Path) -> EventLog:
    """An empty log in ``folder``, unless that holds the only log of a session.

    Raises:
        UserFacingError: the folder is a recorded session, or cannot be written.
    """
    if is_session(folder):
        raise UserFacingError(
            f"{folder} is a recorded session, whose events an export would overwrite: give "
            "--export another folder."
        )
    return EventLog.for_export(folder)


def _completed(run: RunOptions, session: RecordedSession) -> RunOptions:
    """Who talks, and who introduced themselves first, is as it was unless it is said anew."""
    return replace(
        run,
        speakers=run.speakers or session.card.speakers,
        enrol=run.enrol or session.card.enrol,
    )


def _card(run: RunOptions, info: MediaInfo) -> SessionCard:
    models = run.models
    weights = models.checkpoint / "weights.safetensors"
    return SessionCard(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        source=info.name,
        channels=info.channels,
        has_video=info.has_video,
        speakers=run.speakers,
        enrol=run.enrol,
        models={
            "whisper": models.whisper,
            "text_encoder": models.text_encoder,
            "checkpoint": models.checkpoint.name,
            "device": models.device,
        },
        checkpoint_sha256=sha256_of(weights) if weights.is_file() else "",
    )


def space_needed(run: RunOptions, source: MediaSource) -> Space | None:
    """What the recording that was asked for takes, None where none was."""
    return None if run.record is None else space_for(source.info, run.record)


def _live_source(live: LiveOptions) -> LiveInput:
    # Only live input needs what opens devices: reading a recording works without PortAudio.
    from live_features.sources.live import LiveSource  # noqa: PLC0415
    from live_features.sources.microphone import Microphone  # noqa: PLC0415
    from live_features.sources.webcam import Webcam  # noqa: PLC0415

    microphone = Microphone(live.microphone, channels=live.channels)
    camera = None if live.camera is None else Webcam(live.camera, offset=live.camera_delay)
    return LiveSource(microphone, camera)


def read(
    session: Opened,
    state: SessionState,
    *,
    report: Callable[[str], None],
    progress: Callable[[float], None],
    preview: LatestFrame | None = None,
    end: threading.Event | None = None,
    stop: threading.Event | None = None,
    sinks: Sequence[Callable[[Event], None]] = (),
    requests: Requests | None = None,
    provisional: Callable[[], bool] | None = None,
    background: bool = False,
    fetching: Progress | None = None,
) -> None:
    """Load the models, read to the end, write the recording and the export.

    With ``requests`` the dialogue can be corrected meanwhile and afterwards, until ``stop`` is set;
    recording and export then hold the corrections, too.

    ``report`` is told in words what is being done, ``progress`` the media time, ``sinks`` every
    event, and ``fetching`` how far a model is that has to be fetched first. Setting ``end``, or
    ``stop`` where there is no ``end``, ends early, with everything heard so far labelled and
    exported. Of what is still being spoken in a recording readings are made while ``provisional``
    says so; with ``background`` a recording is read only while the program's other threads leave
    time for it.

    Raises:
        UserFacingError: the medium or the models are at fault.
    """
    report("Loading the models")
    # Importing them takes seconds, which a window should not wait for.
    from app.engine import LiveEngine  # noqa: PLC0415
    from app.models import load_models  # noqa: PLC0415

    models = load_models(session.run.models, fetching)
    report("Reading")
    recorder = session.recorder
    # What is shown has been kept: files come before all other sinks.
    kept: list[Callable[[Event], None]] = [
        *([] if recorder is None else [recorder.keep]),
        *([] if session.log is None else [session.log]),
    ]
    engine = LiveEngine(
        session.source,
        session.clock,
        models,
        [*kept, state, log_event, *sinks],
        preview=preview,
        progress=progress,
        speakers=session.run.speakers,
        enrol=session.run.enrol,
        stopping=end or stop,
        requests=requests,
        answer=lambda attention: state.show(attention=attention),
        keep=None if recorder is None else _features_to(recorder),
        provisional=provisional,
        background=background,
    )
    if recorder is not None:
        recorder.begin(engine.note_problem)
    try:
        engine.run()
        if requests is not None and stop is not None:
            if recorder is not None:
                recorder.finish_media()
            if session.run.export is not None:
                export(state.snapshot(), session.run.export)
            engine.serve(stop)
    finally:
        if recorder is not None:
            recorder.finish()
        if session.run.export is not None:
            export(state.snapshot(), session.run.export)


def _features_to(recorder: Recorder) -> Callable[[int, UtteranceFeatures], None]:
    return lambda index, features: recorder.keep_features(index, features.vectors)


def read_as_recorded(run: RunOptions, state: SessionState) -> tuple[str, ...]:
    """Let ``state`` hear the events of a recorded session once more, and write the export.

    No model is loaded and no media are played. Returns sentences on what was left out.

    Raises:
        UserFacingError: the medium is no session or damaged, or the export folder is a session.
    """
    if isinstance(run.medium, LiveOptions) or not is_session(run.medium):
        raise UserFacingError(
            f"{run.name} is no recorded session; give --as-recorded a folder that --record wrote."
        )
    session = RecordedSession(run.medium)
    with ExitStack() as stack:
        sinks: list[Callable[[Event], None]] = [state]
        if run.export is not None:
            sinks.append(stack.enter_context(_export_log(run.export)))
        for event in session.events():
            for sink in sinks:
                sink(event)
    if run.export is not None:
        export(state.snapshot(), run.export)
    return tuple(session.notes)
