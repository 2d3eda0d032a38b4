"""A session that goes on in a thread of its own while a window looks on. No Qt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from app.corrections import Requests
from app.options import LiveOptions, RunOptions
from app.preview import LatestFrame
from app.reading import Opened, opened, read
from app.session.logged import LoggedSession, Notes
from app.state import SessionState
from live_features.errors import UserFacingError
from live_features.fetching import Fetching


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
        self.state = SessionState()
        self.preview = LatestFrame()
        self.requests = Requests()
        self.ending = threading.Event()
        self.stopping = threading.Event()
        self.exit_code = 0
        self.notes = Notes()
        self._work = work or Conversation._read
        self._files = ExitStack()
        self._opened: Opened | None = None
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
        return self.notes.session(self.state.snapshot())

    def open(self) -> None:
        """Open what is to be read now; otherwise the session does so when it begins.

        Raises:
            UserFacingError: it cannot be read, or a folder that was asked for not be written.
        """
        self._opened = self._files.enter_context(opened(self.options))

    def begin(self) -> None:
        """Start the session, unless it has been closed before."""
        if not self.stopping.is_set():
            self._thread.start()

    def end(self) -> None:
        """Hear no more: what was heard is still labelled. Returns at once, from any thread."""
        self.ending.set()

    def close(self) -> None:
        """End the session, and all that can be done with it. Returns at once, from any thread."""
        self.stopping.set()
        self.ending.set()
        if self._thread.ident is None:
            self._files.close()

    def join(self, seconds: float) -> bool:
        """Whether the session is over, or never began, after at most so many seconds."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _read(self) -> None:
        if self._opened is None:
            self.open()
        assert self._opened is not None
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
