"""``sdt-live``: read a conversation from the command line or in the window."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.assets import DEFAULT_CHECKPOINT, DEMO_MEDIA
from app.options import DEVICES, ModelOptions, RunOptions
from app.preview import LatestFrame
from app.session.exports import export
from app.session.log import EventLog
from app.state import SessionState, Snapshot
from live_features.clocks import RealClock, VirtualClock
from live_features.errors import UserFacingError
from live_features.media import Clock
from live_features.sources.recording import RecordingSource
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 2 after one sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except UserFacingError as error:
        print(f"sdt-live: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdt-live",
        description="Reads each speaker's emotion from a recorded conversation. Nothing that is "
        "seen or heard leaves this machine.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--demo", action="store_true", help="replay the conversation that ships")
    what.add_argument("--replay", metavar="PATH", type=Path, help="read any audio or video file")
    parser.add_argument(
        "--headless", action="store_true", help="no window: a progress bar and a table"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="N",
        help="how fast to replay: 1, 2, 0.5 … or max (default: 1 in the window, max headless)",
    )
    parser.add_argument(
        "--export", metavar="DIR", type=Path, help="write events, subtitles and a table there"
    )
    parser.add_argument(
        "--speakers", type=_count, metavar="N", help="how many people talk, where that is known"
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help=f"{', '.join(DEVICES)} (default: auto)"
    )
    parser.add_argument(
        "--whisper",
        default=DEFAULT_WHISPER,
        metavar="NAME",
        help="a faster-whisper size, Hugging Face name or folder (default: %(default)s)",
    )
    parser.add_argument(
        "--text-encoder",
        default=DEFAULT_TEXT_ENCODER,
        metavar="NAME",
        help="a Hugging Face text encoder or folder (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=DEFAULT_CHECKPOINT,
        metavar="DIR",
        help="an SDT checkpoint folder (default: the one that ships)",
    )
    parser.add_argument("--offline", action="store_true", help="never fetch weights")
    return parser


def _run(options: argparse.Namespace) -> int:
    headless, why = _headless(options.headless)
    run = RunOptions(
        media=DEMO_MEDIA if options.demo else options.replay,
        speed=_resolve_speed(options.speed, headless=headless),
        speakers=options.speakers,
        export=options.export,
        models=ModelOptions(
            whisper=options.whisper,
            text_encoder=options.text_encoder,
            checkpoint=options.checkpoint,
            device=options.device,
            offline=options.offline,
        ),
    )
    if why:
        print(f"sdt-live: {why}", file=sys.stderr)
    return run_headless(run) if headless else run_windowed(run)


@dataclass(frozen=True, slots=True)
class Opened:
    """A recording that can be read, and the log of its events where there is to be an export."""

    run: RunOptions
    clock: Clock
    source: RecordingSource
    log: EventLog | None


@contextmanager
def opened(run: RunOptions) -> Iterator[Opened]:
    """Open all that belongs to one reading.

    Raises:
        UserFacingError: the recording cannot be read, or the export folder not be written.
    """
    with ExitStack() as stack:
        clock = VirtualClock() if run.speed is None else RealClock(run.speed)
        source = stack.enter_context(closing(RecordingSource(run.media, clock)))
        log = None if run.export is None else stack.enter_context(EventLog(run.export))
        yield Opened(run, clock, source, log)


def read(
    session: Opened,
    state: SessionState,
    *,
    report: Callable[[str], None],
    progress: Callable[[float], None],
    preview: LatestFrame | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Load the models, read to the end, write the export.

    ``report`` is told in words what is being done, ``progress`` the media time. Setting ``stop``
    ends early, with everything heard so far labelled and exported.

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
        [state] if session.log is None else [state, session.log],
        preview=preview,
        progress=progress,
        speakers=session.run.speakers,
        stopping=stop,
    )
    try:
        engine.run()
    finally:
        if session.run.export is not None:
            export(state.snapshot(), session.run.export)


def run_headless(run: RunOptions) -> int:
    """Read the whole recording with a progress bar, then print what was found."""
    console = Console()
    state = SessionState()
    with (
        opened(run) as session,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
        ) as bar,
    ):
        task = bar.add_task("Opening", total=session.source.info.duration)
        read(
            session,
            state,
            report=lambda doing: bar.update(task, description=doing),
            progress=lambda time: bar.update(task, completed=time),
        )
        bar.update(task, description="Read", total=1.0, completed=1.0)
    print_results(state.snapshot(), console)
    if run.export is not None:
        console.print(
            f"Wrote events.jsonl, transcript.srt and emotions.csv to {escape(str(run.export))}",
            soft_wrap=True,
        )
    return 0


def run_windowed(run: RunOptions, *, screenshot_at: tuple[float, Path] | None = None) -> int:
    """Show the window at once, load the models behind it, and follow the replay.

    With ``screenshot_at`` the window saves a picture of itself at that media time, and closes when
    the replay has ended.
    """
    from app.ui.run import run_window  # noqa: PLC0415 - Qt only where a window is wanted

    state, preview = SessionState(), LatestFrame()
    with opened(run) as session:

        def work(stop: threading.Event) -> None:
            read(
                session,
                state,
                report=lambda doing: state.show(message=doing),
                progress=lambda time: state.show(position=time),
                preview=preview,
                stop=stop,
            )

        return run_window(
            state,
            preview,
            title=f"{run.media.name} - sdt-live",
            work=work,
            close_when_ended=screenshot_at is not None,
            screenshot_at=screenshot_at,
        )


def print_results(snapshot: Snapshot, console: Console) -> None:
    """A table of the utterances, or the sentence that there are none."""
    if not snapshot.utterances:
        console.print(f"No speech was found in {escape(snapshot.source)}: nothing to label.")
        return
    table = Table(caption="t/a/v: share of the text, audio and visual gate, in percent")
    for column in ("time", "speaker"):
        table.add_column(column, no_wrap=True)
    table.add_column("text", overflow="fold")
    table.add_column("emotion", no_wrap=True)
    table.add_column("t/a/v", no_wrap=True, justify="right")
    for u in snapshot.utterances:
        changed = f" (was {u.was})" if u.was else ""
        table.add_row(
            _clock_time(u.start),
            escape(snapshot.speakers[u.speaker]),
            escape(u.text),
            f"{u.emotion} {u.confidence:.0%}{changed}",
            "/".join(f"{gate:.0%}".rstrip("%") for gate in u.reading.gates),
        )
    console.print(table)


def _headless(asked: bool) -> tuple[bool, str | None]:
    """Whether to run without a window, and the sentence that says why if nobody asked."""
    if asked:
        return True, None
    from app.ui.availability import has_display, qt_unavailable  # noqa: PLC0415

    if not has_display():
        return True, "there is no display, so this runs headless."
    if missing := qt_unavailable():
        return True, f"{missing} Running headless."
    return False, None


def _speed(text: str) -> float | str:
    if text == "max":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 64.0:
        raise argparse.ArgumentTypeError(f"'{text}' is no speed: give a number up to 64, or max")
    return speed


def _resolve_speed(asked: float | str | None, *, headless: bool) -> float | None:
    if asked is None:
        return None if headless else 1.0
    return asked if isinstance(asked, float) else None


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 9:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of speakers: give 1 to 9")
    return int(text)


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


if __name__ == "__main__":
    sys.exit(main())
