"""A session that goes on in a thread of its own while a window looks on. No Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.corrections import Doubt, LookBack, Request, Requests
from app.events import CorrectionRefused, Event, HistoryChanged, ProblemOccurred
from app.options import LiveOptions, RunOptions
from app.preview import LatestFrame
from app.priority import give_way
from app.reading import Opened, opened, read
from app.session.logged import LoggedSession, Notes
from app.session.reader import RecordedSession, is_session
from app.session.replay import Reading, Replay
from app.session.timeline import Timeline
from app.state import SessionState, Snapshot
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.fetching import Fetching

if TYPE_CHECKING:
    from app.reopening import Reopened

_LOOK_AGAIN = 0.2  # seconds


class Conversation:
    """One session, live or of a recording, from its beginning to its end; it happens once.

    ``state`` and ``preview`` may be looked at from any thread at any time. What is put into
    ``requests`` is done while the session goes on, and after its end until it is closed.
    ``exit_code`` is 0, or 2 once the session failed for a reason that a person can mend (``state``
    then says which), or 1 once it broke on something else.
    """

    def __init__(
        self, options: RunOptions, work: Callable[[Conversation], None] | None = None
    ) -> None:
        """``work`` stands in for reading what ``options`` say; it should hear no more once
        ``ending`` is set, and return soon after ``stopping`` is."""
        self.options = options
        self.preview = LatestFrame()
        self.replay: Replay | None = None
        if work is None and not self.is_live:
            self.replay = Replay(self.preview, speed=options.speed)
        self.state: SessionState | Replay = self.replay or SessionState()
        self.requests = Requests()
        self.ending = threading.Event()
        self.stopping = threading.Event()
        self.exit_code = 0
        self.notes = Notes()
        self._notes_then = Notes()
        self._work = work or (Conversation._listen if self.is_live else Conversation._replay)
        self._files = ExitStack()
        self._opened: Opened | None = None
        self._session: RecordedSession | None = None
        self._read_anew = threading.Event()
        self._reads = threading.Event()
        self._unsure_below: float | None = None
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    @property
    def title(self) -> str:
        return f"{self.options.name} - sdt-live"

    @property
    def is_live(self) -> bool:
        return isinstance(self.options.medium, LiveOptions)

    @property
    def logged(self) -> LoggedSession | None:
        """What exports are made from, as it stands; None where there is nothing yet."""
        was = self.replay is not None and self.replay.showing is Reading.AS_IT_WAS
        return (self._notes_then if was else self.notes).session(self.newest)

    @property
    def newest(self) -> Snapshot:
        """All that is known, wherever the playhead of a recording is."""
        return self.state.snapshot() if self.replay is None else self.replay.newest

    def open(self) -> None:
        """Open what is to be read now; otherwise the session does so when it begins.

        Raises:
            UserFacingError: it cannot be read, or a folder that was asked for not be written.
        """
        if self.replay is None:
            self._opened = self._files.enter_context(opened(self.options))
        else:
            self._open_replay(self.replay)

    def begin(self) -> None:
        """Start the session, unless it has been closed before."""
        if not self.stopping.is_set():
            self._thread.start()

    def end(self) -> None:
        """Hear no more: what was heard is still labelled. Returns at once, from any thread."""
        self.ending.set()

    @property
    def paused(self) -> bool:
        """Whether nothing is to be heard or seen of live input just now."""
        return (
            self._opened is not None and self._opened.live is not None and self._opened.live.paused
        )

    def pause(self, on: bool) -> None:
        """Pause live input, or go on with it; returns at once, from any thread.

        Nothing that devices deliver meanwhile is read, shown or recorded.
        """
        if self._opened is not None and (live := self._opened.live) is not None:
            (live.pause if on else live.resume)()

    def doubt(self, below: float | None) -> None:
        """Call answers unsure that are less likely than ``below``; None leaves it to the model.

        It holds for all that is read now and from now on. What was made of a recorded session when
        it was recorded stays as it was.
        """
        self._unsure_below = below
        if self._reads.is_set():
            self.requests.put(Doubt(below))

    def _begin_reading(self) -> None:
        self._reads.set()
        if self._unsure_below is not None:
            self.requests.put(Doubt(self._unsure_below))

    def close(self) -> None:
        """End the session, and all that can be done with it. Returns at once, from any thread."""
        self.stopping.set()
        self.ending.set()
        if self.replay is not None:
            self.replay.close()
        if self._thread.ident is None:
            self._files.close()

    def join(self, seconds: float) -> bool:
        """Whether the session is over, or never began, after at most so many seconds."""
        if self.replay is not None and not self.replay.join(seconds):
            return False
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def can_be_read_anew(self) -> bool:
        """Whether this is a recorded session that shows what was made of it then, and no more."""
        return self._session is not None and not self._read_anew.is_set()

    def read_anew(self) -> None:
        """Read the media of a recorded session with the models of today, beside what was made of
        it then; returns at once."""
        self._read_anew.set()
        if self.replay is not None:
            self.replay.ask_anew(True)

    @property
    def can_be_corrected(self) -> bool:
        """Whether ``requests`` concern what is shown.

        Once a recorded session is read anew, they concern that reading, and no longer what was made
        of it then.
        """
        was = self.replay is not None and self.replay.showing is Reading.AS_IT_WAS
        return not (was and self._read_anew.is_set())

    def _listen(self) -> None:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        assert isinstance(self.state, SessionState)
        self._begin_reading()
        read(
            self._opened,
            self.state,
            report=lambda doing: self.state.show(message=doing),
            progress=lambda time: self.state.show(position=time),
            preview=self.preview,
            end=self.ending,
            stop=self.stopping,
            requests=self.requests,
            sinks=[self.notes],
            fetching=self._fetch,
        )

    def _fetch(self, fetching: Fetching) -> None:
        if self.stopping.is_set():
            raise UserFacingError(
                f"{fetching.model} was not fetched to the end; what is here of it is kept for the "
                "next time."
            )
        self.state.show(fetching=fetching)

    def _open_replay(self, replay: Replay) -> None:
        medium = self.options.medium
        assert isinstance(medium, Path)
        if is_session(medium):
            self._session = RecordedSession(medium)
            if self.options.export is not None or self.options.record is not None:
                self._read_anew.set()
            try:
                replay.open(self._session.media(VirtualClock()))
            except UserFacingError as error:
                if self._read_anew.is_set():
                    raise
                replay.open(None)
                self._session.notes.append(str(error))
        else:
            replay.open(self._open_files().recording)

    def _open_files(self) -> Opened:
        """What a reading needs; it goes as fast as it can, whatever the speed of the player."""
        self._opened = self._files.enter_context(opened(replace(self.options, speed=None)))
        return self._opened

    def _replay(self) -> None:
        replay = self.replay
        assert replay is not None
        if replay.player is None:
            self._open_replay(replay)
        replay.begin()
        if self._session is not None and not self._stay_as_it_was(replay, self._session):
            return
        self._begin_reading()
        # What plays and the window come first.
        give_way()
        read(
            self._opened or self._open_files(),
            replay.reading,
            report=lambda doing: replay.show(message=doing),
            progress=replay.note_progress,
            end=self.ending,
            stop=self.stopping,
            sinks=[replay.add(Reading.ANEW), self.notes],
            requests=self.requests,
            fetching=self._fetch,
            provisional=replay.has_time_for_provisional,
            background=True,
        )

    def _stay_as_it_was(self, replay: Replay, session: RecordedSession) -> bool:
        """Until the session is closed or its media are open to be read anew; whether they are."""
        timeline = self._show_as_it_was(replay, session)
        while timeline is not None:
            self._correct_as_it_was(replay, timeline)
            if self.stopping.is_set():
                break
            try:
                self._open_files()
            except UserFacingError as error:
                self.exit_code = 2
                replay.show(phase="failed", message=str(error))
                # What was made of it then can still be corrected.
                self._read_anew.clear()
                replay.ask_anew(False)
            else:
                self.exit_code = 0
                replay.show(phase="loading", message="")
                return True
        return False

    def _correct_as_it_was(self, replay: Replay, timeline: Timeline) -> None:
        """Do what is asked for before the session is to be read anew, or closed."""
        session = self._session
        assert session is not None

        def tell(event: Event) -> None:
            self._notes_then(event)
            timeline(event)

        if timeline.newest.undo is not None or timeline.newest.redo is not None:
            # What was corrected before today cannot be taken back.
            tell(HistoryChanged(media_time=timeline.told, undo=None, redo=None))
        reopened: Reopened | None = None

        def do(request: Request, files: ExitStack) -> None:
            nonlocal reopened
            if not session.has_features:
                if not isinstance(request, LookBack):
                    why = session.lacks_features
                    tell(CorrectionRefused(media_time=timeline.told, message=why))
                return
            try:
                if reopened is None:
                    # What it needs takes seconds to import.
                    replay.reading.show(busy="reading again …")
                    from app.reopening import Reopened  # noqa: PLC0415

                    reopened = files.enter_context(
                        Reopened(
                            session,
                            timeline.newest,
                            tell,
                            models=self.options.models,
                            answer=lambda attention: replay.reading.show(attention=attention),
                        )
                    )
                reopened(request)
            finally:
                if replay.reading.snapshot().busy:
                    replay.reading.show(busy="")

        with ExitStack() as files:
            while not (self._read_anew.is_set() or self.stopping.is_set()):
                self.requests.wait(_LOOK_AGAIN)
                if (request := self.requests.take()) is not None:
                    do(request, files)
            # What was asked for while the first of it had its models loaded is kept all the same.
            while (request := self.requests.take()) is not None:
                if not isinstance(request, LookBack):
                    do(request, files)

    def _show_as_it_was(self, replay: Replay, session: RecordedSession) -> Timeline | None:
        """All that its events tell; None where it was closed before."""
        timeline = replay.add(Reading.AS_IT_WAS)

        def say_what_is_missing() -> None:
            for note in session.notes:
                timeline(ProblemOccurred(media_time=timeline.told, message=note))
            session.notes.clear()

        for event in session.events():
            self._notes_then(event)
            timeline(event)
            say_what_is_missing()
            if self.stopping.is_set():
                return None
        say_what_is_missing()
        timeline.finish()
        return timeline

    def _run(self) -> None:
        broke = True
        try:
            with self._files:
                self._work(self)
            broke = False
        except UserFacingError as error:
            broke = False
            self.exit_code = 2
            self.state.show(phase="failed", message=str(error))
        finally:
            if broke:
                self.exit_code = 1
                self.state.show(
                    phase="failed",
                    message="The program broke off by a mistake of its own; "
                    "the terminal it was started from says where.",
                )
