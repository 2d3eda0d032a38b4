"""Opens what is to be read, loads the models, and reads it. No Qt, no terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from app.events import Event
from app.logs import log_event
from app.options import LiveOptions, RunOptions
from app.preview import LatestFrame
from app.session.exports import export
from app.session.log import EventLog
from app.state import SessionState
from live_features.clocks import RealClock, VirtualClock
from live_features.media import Clock, MediaSource
from live_features.sources.recording import RecordingSource


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that can be read, and the log of its events where there is to be an export."""

    run: RunOptions
    clock: Clock
    source: MediaSource
    log: EventLog | None


@contextmanager
def opened(run: RunOptions) -> Iterator[Opened]:
    """Open all that belongs to one reading.

    Raises:
        UserFacingError: the recording cannot be read, the microphone not be opened, or the export
            folder not be written.
    """
    with ExitStack() as stack:
        if isinstance(run.medium, LiveOptions):
            clock: Clock = RealClock()
            source: MediaSource = _live_source(run.medium)
        else:
            clock = VirtualClock() if run.speed is None else RealClock(run.speed)
            source = RecordingSource(run.medium, clock)
        stack.enter_context(closing(source))
        log = None if run.export is None else stack.enter_context(EventLog(run.export))
        yield Opened(run, clock, source, log)


def _live_source(live: LiveOptions) -> MediaSource:
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
    stop: threading.Event | None = None,
    sinks: Sequence[Callable[[Event], None]] = (),
) -> None:
    """Load the models, read to the end, write the export.

    ``report`` is told in words what is being done, ``progress`` the media time, and ``sinks`` every
    event. Setting ``stop`` ends early, with everything heard so far labelled and exported.

    Raises:
        UserFacingError: the medium or the models are at fault.
    """
    report("Loading the models")
    # Importing them takes seconds, which a window should not wait for.
    from app.engine import LiveEngine  # noqa: PLC0415
    from app.models import load_models  # noqa: PLC0415

    models = load_models(session.run.models)
    report("Reading")
    engine = LiveEngine(
        session.source,
        session.clock,
        models,
        [state, log_event, *([] if session.log is None else [session.log]), *sinks],
        preview=preview,
        progress=progress,
        speakers=session.run.speakers,
        enrol=session.run.enrol,
        stopping=stop,
    )
    try:
        engine.run()
    finally:
        if session.run.export is not None:
            export(state.snapshot(), session.run.export)
