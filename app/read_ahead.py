"""On the virtual clock: what is heard is read before its turn comes.

Listening and reading depend on nothing but the sound, so they run on threads of their own, as far
ahead as they get. What comes of a piece of sound is told, and takes its place in the dialogue, in
the turn of that piece.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from app.events import Event
from app.listening import Heard, Partial, Sink, Speculation
from app.recogniser import Prepared, Recogniser

_READERS = 2

Outcome = list[Callable[[], object]]
"""What is to be done in turn."""


class ReadAhead:
    """Gathers what a listener makes known, and has utterances read meanwhile.

    :meth:`outcome` is for whoever lets the listener listen, the other methods are what the listener
    calls; all on one thread.
    """

    def __init__(
        self, recogniser: Recogniser, tell: Sink, *, begin: Callable[[], object] | None = None
    ) -> None:
        """``begin`` is called in each of the threads that read, first of all."""
        self._recogniser = recogniser
        self._tell = tell
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="reader", initializer=begin)
        self._outcome: Outcome = []
        self._paused: dict[int | None, Prepared] = {}

    def outcome(self, listen: Callable[[], object]) -> Outcome:
        """What comes of listening."""
        listen()
        outcome, self._outcome = self._outcome, []
        return outcome

    def close(self) -> None:
        """End the threads once everything has been read."""
        self._readers.shutdown()

    def say(self, event: Event) -> None:
        """Something that was noticed."""
        self._outcome.append(partial(self._tell, event))

    def hand_on(self, heard: Heard) -> None:
        """An utterance that is over."""
        place = self._recogniser.place
        paused = self._paused.pop(heard.channel, None)
        if paused is not None and paused.fits(heard.segment):
            self._outcome.append(partial(place, heard, paused))
        else:
            reading = self._readers.submit(self._recogniser.read, heard)
            self._outcome.append(lambda: place(heard, reading.result()))

    def preview(self, beginning: Partial) -> None:
        """An utterance that goes on, to be read as if it ended there."""
        self._outcome.append(partial(self._recogniser, beginning))

    def settle(self, speculation: Speculation) -> bool:
        """Whether an utterance that has paused reads finished."""
        heard = speculation.heard
        read = self._paused[heard.channel] = self._recogniser.read(heard)
        return read.reads_finished


def do(outcome: Outcome) -> None:
    """Let it happen; its turn has come."""
    for act in outcome:
        act()
