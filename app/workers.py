"""Stages of the engine: on threads of their own, or taking turns in the order of what came in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
U = TypeVar("U")
T_contra = TypeVar("T_contra", contravariant=True)

_LOOK_AGAIN = 0.1


class Stage(Protocol[T_contra]):
    """Takes items in order; after :meth:`finish` it takes none."""

    def put(self, item: T_contra) -> None:
        """Hand over an item that has to be handled."""

    def finish(self) -> None:
        """Handle what was put, and come to rest."""


class ThreadStage(Generic[T]):
    """Handles items on a thread; what an item's handler raises comes out of the next call.

    With ``lossy`` a full queue loses its oldest item; otherwise :meth:`put` waits for room. Of what
    is offered only the newest item of each urgency is kept; it is handled once the queue is empty,
    the highest urgency first. ``between`` is called before the next item after each :meth:`nudge`,
    ``begin`` in the thread before anything else.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[T], None],
        *,
        size: int,
        lossy: bool = False,
        between: Callable[[], object] | None = None,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self._handle = handle
        self._begin = begin
        self._between = between
        self._nudged = False
        self._size = size
        self._lossy = lossy
        self._queue: deque[T] = deque()
        self._offered: dict[int, T] = {}
        self._changed = threading.Condition()
        self._finishing = False
        self._error: Exception | None = None
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; the stage's own thread, which alone makes room, never waits for it."""
        own = threading.current_thread() is self._thread
        with self._changed:
            while (
                not own
                and not self._lossy
                and len(self._queue) >= self._size
                and self._error is None
            ):
                self._changed.wait(_LOOK_AGAIN)
            self._raise_error()
            while self._lossy and len(self._queue) >= self._size:
                self._queue.popleft()
                self.lost += 1
            self._queue.append(item)
            self._changed.notify_all()

    def offer(self, item: T, urgency: int = 0) -> None:
        """Hand over an item that is worth handling only while there is nothing else to do."""
        with self._changed:
            self._raise_error()
            self._offered[urgency] = item
            self._changed.notify_all()

    def nudge(self) -> None:
        """Have ``between`` called soon; never waits, and does nothing after :meth:`finish`."""
        with self._changed:
            self._nudged = self._between is not None
            self._changed.notify_all()

    def finish(self) -> None:
        """Handle what was put, leave what was offered, and end the thread."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        self._thread.join()
        self._raise_error()

    def _run(self) -> None:
        try:
            if self._begin is not None:
                self._begin()
            while True:
                if self._nudged:
                    self._nudged = False
                    assert self._between is not None
                    self._between()
                with self._changed:
                    while not (self._queue or self._offered or self._finishing or self._nudged):
                        self._changed.wait()
                    if self._nudged:
                        continue
                    if self._queue:
                        item = self._queue.popleft()
                    elif self._finishing:
                        return
                    else:
                        item = self._offered.pop(max(self._offered))
                    self._changed.notify_all()
                self._handle(item)
        except Exception as error:  # noqa: BLE001 - handed to the engine's thread, which raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


class Turns(ThreadStage[Callable[[], object]]):
    """Does one thing after the other, in the order in which they were put."""

    def __init__(
        self,
        name: str,
        *,
        size: int,
        between: Callable[[], object] | None = None,
        begin: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(name, self._do, size=size, between=between, begin=begin)

    @staticmethod
    def _do(act: Callable[[], object]) -> None:
        act()


class AheadStage(Generic[T, U]):
    """Works on items at once, on a thread of its own, and tells the outcome in its turn."""

    def __init__(
        self,
        name: str,
        turns: Turns,
        work: Callable[[T], U],
        tell: Callable[[U], object],
        *,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self._turns = turns
        self._work = work
        self._tell = tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=begin)

    def put(self, item: T) -> None:
        outcome = self._thread.submit(self._work, item)
        self._turns.put(lambda: self._tell(outcome.result()))

    def finish(self) -> None:
        self._thread.shutdown()
