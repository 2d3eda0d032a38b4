"""What is left out while the machine cannot keep up, and when it comes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work is done; ``without`` says in words what is left out."""

    partials: bool = True
    analysis_rate: float = 5.0
    beam_size: int | None = None
    without: tuple[str, ...] = ()

    def next_analysis(self, now: float) -> float:
        """After ``now``, the next of the evenly spaced times at which a picture is looked at."""
        return (int(now * self.analysis_rate + 1e-9) + 1) / self.analysis_rate


FULL = Effort()
"""Faces are analysed ``analysis_rate`` times a second of media time; None is the usual beam."""

_STEPS = (
    FULL,
    Effort(partials=False, without=("provisional labels",)),
    Effort(partials=False, analysis_rate=2.0, without=("provisional labels", "most face frames")),
    Effort(
        partials=False,
        analysis_rate=2.0,
        beam_size=1,
        without=("provisional labels", "most face frames", "the wider search for words"),
    ),
)
_BEYOND = (0.0, 3.0, 6.0, 12.0)
"""Seconds of waiting speech from which on each step is taken."""
_EASED = 0.5
"""A step is taken back once the backlog has fallen to this share of its threshold."""


class Pressure:
    """The effort that the backlog allows; its steps are taken one way and back again."""

    def __init__(self) -> None:
        self._step = 0

    @property
    def effort(self) -> Effort:
        return _STEPS[self._step]

    def update(self, backlog: float) -> bool:
        """Take note of the seconds of speech that wait; whether the effort has changed."""
        step = self._step
        while step + 1 < len(_STEPS) and backlog >= _BEYOND[step + 1]:
            step += 1
        while step > 0 and backlog < _EASED * _BEYOND[step]:
            step -= 1
        changed = step != self._step
        self._step = step
        return changed
