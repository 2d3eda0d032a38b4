"""A session that can be looked at as it stood at any moment: its events, and where to fold from."""

from __future__ import annotations

import threading
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from app.events import (
    CorrectionRefused,
    Event,
    HistoryChanged,
    MarkerPlaced,
    MarkerRemoved,
    ModalitySwitched,
    SessionEnded,
    SessionStarted,
    SpeakerColoured,
    SpeakerFound,
    SpeakerLeft,
    SpeakerRenamed,
    UtteranceCorrected,
    UtteranceReassigned,
    UtteranceRevised,
)
from app.state import LabelledUtterance, SessionState, Snapshot

_KEY_EVERY = 256
"""Events between two states that are kept: a look at any moment folds no more than these."""

_MADE_BY_A_PERSON = (
    *(SpeakerRenamed, SpeakerColoured, SpeakerFound, SpeakerLeft),
    *(UtteranceCorrected, UtteranceReassigned, ModalitySwitched, MarkerPlaced, MarkerRemoved),
)
"""What a correction may consist of, beside the revisions that follow from it."""

_CORRECTED = (
    *("utterances", "speakers", "colours", "left", "on", "marks"),
    *("undo", "redo", "refused", "refusals", "problems"),
)
"""The fields of a snapshot that what comes after the end of a session may change."""

_LATEST = 10.0
"""Seconds after what an event is about up to which its own clock is believed."""


class Timeline:
    """A sink for events; :meth:`at` tells, for any thread, how the session stood at a moment.

    An event is there from the moment at which it came out, on the clock of the session: of a
    recording that was read on the virtual clock, as soon as the medium had got so far. Corrections
    that a person makes while looking at the recording concern all of it: they hold at every moment,
    as if they had always been known. So do all that come after the session has ended. With
    ``as_recorded``, corrections before its end have a moment of their own, like everything else.
    """

    def __init__(self, *, as_recorded: bool = False) -> None:
        self.as_recorded = as_recorded
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._times: list[float] = []
        self._keys = [SessionState()]
        self._newest = SessionState()
        self._cursor = _Cursor(0, SessionState())
        self._corrections: list[int] = []
        self._corrected: _Corrected | None = None
        self._speed: float | None = None
        self._ended = False
        self._judged_again = 0

    def __call__(self, event: Event) -> None:
        """Add the next event.

        Raises:
            IndexError: it is about a person or an utterance that nobody was told of.
        """
        with self._lock:
            judged = isinstance(event, UtteranceRevised) and self._only_judges(event)
            self._newest(event)
            if isinstance(event, SessionStarted):
                self._speed = event.speed
            self._events.append(event)
            # A session gets no longer by what is corrected afterwards.
            moment = self.told if self._ended else max(self.told, self._moment(event))
            if self._ended or (isinstance(event, CorrectionRefused) and not self.as_recorded):
                self._corrections.append(len(self._events) - 1)
            elif isinstance(event, HistoryChanged) and not self.as_recorded:
                self._corrections += self._last_correction()
            self._judged_again = self._judged_again + 1 if judged else 0
            self._ended = self._ended or isinstance(event, SessionEnded)
            self._times.append(moment)
            if len(self._events) % _KEY_EVERY == 0:
                self._keys.append(self._newest.copy())

    def finish(self) -> None:
        """Nothing more will come but corrections, though nobody told of the end."""
        self._ended = True

    @property
    def told(self) -> float:
        """Seconds of the session that events have told of."""
        return self._times[-1] if self._times else 0.0

    @property
    def begun(self) -> bool:
        """Whether anything has been told."""
        return bool(self._events)

    @property
    def ended(self) -> bool:
        """Whether the session is over; corrections may still come."""
        return self._ended

    @property
    def newest(self) -> Snapshot:
        """All that is known, at whatever moment."""
        return self._newest.snapshot()

    def at(self, time: float) -> Snapshot:
        """How the session stood ``time`` seconds after it began.

        The same object as long as nothing has changed in between, and utterances that are the same
        are the same objects.
        """
        with self._lock:
            count = bisect_right(self._times, time)
            cursor = self._cursor
            key = count // _KEY_EVERY
            if not key * _KEY_EVERY <= cursor.count <= count:
                cursor = self._cursor = _Cursor(key * _KEY_EVERY, self._keys[key].copy())
            while cursor.count < count:
                cursor.state(self._events[cursor.count])
                cursor.count += 1
            later = self._corrections[bisect_right(self._corrections, count - 1) :]
            return self._with(later, cursor) if later else cursor.state.snapshot()

    def _moment(self, event: Event) -> float:
        if not self._speed:
            return event.media_time
        told = min(event.emitted_at * self._speed, event.media_time + _LATEST)
        return max(event.media_time, told)

    def _only_judges(self, event: UtteranceRevised) -> bool:
        """Whether an answer is only called unsure, or sure, that was known as it is."""
        utterances = self._newest.snapshot().utterances
        if not 0 <= event.index < len(utterances):
            return False
        before = utterances[event.index].reading
        return replace(before, unsure=event.reading.unsure) == event.reading

    def _last_correction(self) -> range:
        """The events that came with the newest one, which concludes a correction.

        What only became unsure, or sure, did so because somebody wanted it.
        """
        first = end = len(self._events)
        for position in range(end - 2, -1, -1):
            if isinstance(self._events[position], _MADE_BY_A_PERSON):
                first = position
            elif not isinstance(self._events[position], UtteranceRevised):
                break
        return range(min(first, end - 1 - self._judged_again), end)

    def _with(self, later: list[int], cursor: _Cursor) -> Snapshot:
        """The state at the cursor as it would have been with later corrections."""
        now = cursor.state.snapshot()
        known = self._corrected
        if known is not None and known.by == (later[0], len(later)):
            if known.plain is now:
                return known.snapshot
            if all(getattr(known.plain, name) is getattr(now, name) for name in _CORRECTED):
                snapshot = replace(now, **known.changes)
                self._corrected = replace(known, plain=now, snapshot=snapshot)
                return snapshot
        state = cursor.state.copy()
        for position in later:
            with suppress(IndexError):  # what it is about has not been said yet
                state(self._events[position])
        after = state.snapshot()
        before = () if known is None else known.snapshot.utterances
        utterances = _the_same_where_equal(before, after.utterances)
        people = max((u.speaker + 1 for u in utterances), default=0)
        people = max(people, len(after.speakers))
        newest = self.newest
        changes = {
            field.name: getattr(after, field.name)
            for field in fields(Snapshot)
            if getattr(after, field.name) is not getattr(now, field.name)
        }
        changes |= {
            "utterances": utterances,
            "speakers": newest.speakers[:people],
            "colours": newest.colours[:people],
        }
        for name in ("version", "phase", "position"):
            changes.pop(name, None)
        snapshot = replace(now, **changes)
        self._corrected = _Corrected((later[0], len(later)), now, snapshot, changes)
        return snapshot


class _Cursor:
    """A state and how many events have gone into it."""

    def __init__(self, count: int, state: SessionState) -> None:
        self.count = count
        self.state = state


@dataclass(frozen=True, slots=True)
class _Corrected:
    """The last snapshot that was corrected, and by what, so that playing on costs nothing."""

    by: tuple[int, int]
    plain: Snapshot
    snapshot: Snapshot
    changes: dict[str, Any]


def _the_same_where_equal(
    before: tuple[LabelledUtterance, ...], now: tuple[LabelledUtterance, ...]
) -> tuple[LabelledUtterance, ...]:
    shared = min(len(before), len(now))
    same = (old if old == new else new for old, new in zip(before, now, strict=False))
    return (*same, *now[shared:])
