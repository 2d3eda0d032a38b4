"""Reading without a window: a progress bar or a running commentary, then a table."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.events import (
    DeviceChanged,
    EffortChanged,
    EnrolmentAsked,
    Event,
    ProblemOccurred,
    UtteranceLabelled,
)
from app.logs import log_file
from app.options import LiveOptions, RunOptions
from app.reading import Opened, opened, read, read_as_recorded, space_needed
from app.state import SessionState, Snapshot, emotion_of


def run_headless(run: RunOptions) -> int:
    """Read to the end, or until Ctrl-C, and print what was found; returns the exit status."""
    console = Console()
    state = SessionState()
    given_up = False
    with opened(run) as session, _interruptible() as stop:
        if run.record is not None:
            console.print(
                f"Recording to {escape(str(run.record))}: {space_needed(run, session.source)}.",
                highlight=False,
                soft_wrap=True,
            )
        if isinstance(run.medium, LiveOptions):
            _comment(session, state, console, stop)
        else:
            _follow(session, state, console, stop)
            given_up = stop.is_set()
    _conclude(run, state, console, given_up=given_up)
    return 0


def show_as_recorded(run: RunOptions) -> int:
    """Print what was made of a recorded session when it was recorded; returns the exit status."""
    console = Console()
    state = SessionState()
    for note in read_as_recorded(run, state):
        console.print(escape(note), soft_wrap=True)
    _conclude(run, state, console)
    return 0


def _conclude(
    run: RunOptions, state: SessionState, console: Console, *, given_up: bool = False
) -> None:
    print_results(state.snapshot(), console, given_up=given_up)
    if run.export is not None:
        console.print(
            f"Wrote events.jsonl, transcript.srt and emotions.csv to {escape(str(run.export))}",
            soft_wrap=True,
        )


def _follow(session: Opened, state: SessionState, console: Console, stop: threading.Event) -> None:
    """Read a recording behind a progress bar."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("Opening", total=session.source.info.duration)

        def say(event: Event) -> None:
            if isinstance(event, ProblemOccurred):
                bar.console.print(escape(event.message), soft_wrap=True)

        read(
            session,
            state,
            report=lambda doing: bar.update(task, description=doing),
            progress=lambda time: bar.update(task, completed=time),
            stop=stop,
            sinks=[say],
        )
        if stop.is_set():
            bar.update(task, description="Stopped")
        else:
            bar.update(task, description="Read", total=1.0, completed=1.0)


def _comment(session: Opened, state: SessionState, console: Console, stop: threading.Event) -> None:
    """Read what the devices deliver, a line an utterance, until told to stop."""

    def say(event: Event) -> None:
        match event:
            case UtteranceLabelled():
                name = state.snapshot().speakers[event.speaker]
                share = f"{max(event.reading.fused):.0%}"
                console.print(
                    f"[dim]{clock_time(event.start)}[/dim] {escape(name)}: {escape(event.text)} "
                    f"[bold]{emotion_of(event.reading)}[/bold] {share}",
                    highlight=False,
                )
            case EnrolmentAsked(name=name, seconds=seconds):
                console.print(f"{escape(name)}, please talk for about {seconds:.0f} seconds.")
            case DeviceChanged(message=message):
                console.print(escape(message))
                console.print(f"[dim]More in {escape(str(log_file()))}[/dim]", soft_wrap=True)
            case ProblemOccurred(message=message):
                console.print(escape(message), soft_wrap=True)
            case EffortChanged(without=without):
                left_out = ", ".join(without)
                console.print(
                    f"This machine cannot keep up: it goes on without {left_out}."
                    if without
                    else "This machine keeps up again: nothing is left out."
                )

    def report(doing: str) -> None:
        if doing != "Reading":
            console.print(f"{doing} ...")

    listening = threading.Event()

    def progress(time: float) -> None:
        # Only now is it known whether there is a microphone.
        if not listening.is_set():
            listening.set()
            console.print("Listening; Ctrl-C ends it.")

    read(session, state, report=report, progress=progress, stop=stop, sinks=[say])


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that what was heard is still labelled."""
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    # Only the main thread may say what a signal does.
    main = threading.current_thread() is threading.main_thread()
    if main:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def print_results(snapshot: Snapshot, console: Console, *, given_up: bool = False) -> None:
    """A table of the utterances, or the sentence that there are none.

    ``given_up`` says that the recording was not read to its end.
    """
    if given_up:
        console.print("Stopped before the end of the recording.")
        if not snapshot.utterances:
            return
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
        said = f"{u.emotion} {u.confidence:.0%}"
        changed = f" (was {u.was})" if u.was else ""
        table.add_row(
            clock_time(u.start),
            escape(snapshot.speakers[u.speaker]),
            escape(u.text),
            f"unsure ({said})" if u.unsure else f"{said}{changed}",
            "/".join(f"{gate:.0%}".rstrip("%") for gate in u.reading.gates),
        )
    console.print(table)


def clock_time(seconds: float) -> str:
    """Minutes and seconds, to a tenth."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes}:{tenths / 10:04.1f}"
