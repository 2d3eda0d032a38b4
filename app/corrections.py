"""What a person may ask of a dialogue: corrections to it, and where an utterance looked.

They are asked for from the window's thread and done by the recogniser, while the session runs or
after it has ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from live_features.emotions import MODALITIES

_MOST_WAITING = 64

SENSES = dict(zip(MODALITIES, ("words", "voice", "face"), strict=True))
"""What people call a modality."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a person a name."""

    speaker: int
    name: str

    @property
    def title(self) -> str:
        return "rename"


@dataclass(frozen=True, slots=True)
class Recolour:
    """Give a person a colour, ``#RRGGBB``; None is the theme's."""

    speaker: int
    colour: str | None

    @property
    def title(self) -> str:
        return "colour"


@dataclass(frozen=True, slots=True)
class Merge:
    """Two speakers are one person: in all that was said, and from now on."""

    speaker: int
    into: int

    @property
    def title(self) -> str:
        return "merge"


@dataclass(frozen=True, slots=True)
class Split:
    """All that the speaker of utterance ``index`` says from there on is a new person's."""

    index: int

    @property
    def title(self) -> str:
        return "new speaker"


@dataclass(frozen=True, slots=True)
class Reassign:
    """Somebody else said utterance ``index``."""

    index: int
    speaker: int

    @property
    def title(self) -> str:
        return "reassign"


@dataclass(frozen=True, slots=True)
class CorrectWords:
    """What was really said in utterance ``index``."""

    index: int
    text: str

    @property
    def title(self) -> str:
        return "words"


@dataclass(frozen=True, slots=True)
class Switch:
    """Read the whole dialogue without a modality, or with it again."""

    modality: str
    on: bool

    @property
    def title(self) -> str:
        return f"{SENSES[self.modality]} {'on' if self.on else 'off'}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Remember second ``time`` of the session with a short note."""

    time: float
    note: str

    @property
    def title(self) -> str:
        return "marker"


@dataclass(frozen=True, slots=True)
class Unmark:
    """Take marker number ``marker`` away."""

    marker: int

    @property
    def title(self) -> str:
        return "removal of a marker"


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back the last correction."""


@dataclass(frozen=True, slots=True)
class Redo:
    """Make the correction again that was taken back last."""


@dataclass(frozen=True, slots=True)
class LookBack:
    """Ask where utterance ``index`` looked; see :class:`Attention`."""

    index: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """Call answers unsure that are less likely than ``below``; None leaves it to the model."""

    below: float | None


Correction = Rename | Recolour | Merge | Split | Reassign | CorrectWords | Switch | Mark | Unmark
Request = Correction | Undo | Redo | LookBack | Doubt


@dataclass(frozen=True, slots=True)
class Attention:
    """Where utterance ``index`` looked when it was last read.

    ``weights`` holds a row for each of ``pairs`` (source_to_target modality), the shares of all
    utterances of the dialogue in order; a row sums to 1. It is how much of each utterance went into
    this one in the attention layer, its heads averaged. Residuals, gates and classifiers come
    after, so it says where the model looked and not why it answered as it did.
    """

    index: int
    pairs: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> tuple[float, ...]:
        """The shares of all utterances, averaged over the pairs."""
        return tuple(sum(column) / len(column) for column in zip(*self.weights, strict=True))


class Requests:
    """A bounded queue in which nobody ever waits; for any threads."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._wake: Callable[[], object] | None = None

    def put(self, request: Request) -> bool:
        """Ask for something; False when too much is being waited for already.

        Of questions where an utterance looked only the newest is kept.
        """
        with self._changed:
            if isinstance(request, LookBack):
                kept = [r for r in self._waiting if not isinstance(r, LookBack)]
                self._waiting = deque(kept)
            if len(self._waiting) >= _MOST_WAITING:
                return False
            self._waiting.append(request)
            self._changed.notify_all()
            wake = self._wake
        if wake is not None:
            wake()
        return True

    def take(self) -> Request | None:
        """The request that has waited longest."""
        with self._changed:
            return self._waiting.popleft() if self._waiting else None

    def wait(self, seconds: float) -> None:
        """Return when something has been asked for, or after so long."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(seconds)

    def call(self, wake: Callable[[], object] | None) -> None:
        """Call ``wake`` after each request from now on, and now for those that wait."""
        with self._changed:
            self._wake = wake
            waiting = bool(self._waiting)
        if wake is not None and waiting:
            wake()
