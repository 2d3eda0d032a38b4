"""Two readings of the same media, utterance by utterance."""

from __future__ import annotations

from collections.abc import Sequence

from app.state import LabelledUtterance


def matched(
    these: Sequence[LabelledUtterance], those: Sequence[LabelledUtterance]
) -> dict[int, LabelledUtterance]:
    """The index of each of ``these`` that has a counterpart, with that of ``those``.

    A counterpart is the utterance that shares the most time with this one, at least half of the
    shorter of the two. Both are in order of time.
    """
    found: dict[int, LabelledUtterance] = {}
    first = 0
    for this in these:
        while first < len(those) and those[first].end <= this.start:
            first += 1
        best, most = None, 0.0
        for that in those[first:]:
            if that.start >= this.end:
                break
            shared = min(this.end, that.end) - max(this.start, that.start)
            if shared > most:
                best, most = that, shared
        if best is not None and most >= 0.5 * min(this.end - this.start, best.end - best.start):
            found[this.index] = best
    return found


def differing(
    these: Sequence[LabelledUtterance], those: Sequence[LabelledUtterance]
) -> dict[int, LabelledUtterance]:
    """Of the counterparts in :func:`matched` those that got another label."""
    labels = {this.index: _label(this) for this in these}
    return {
        index: that
        for index, that in matched(these, those).items()
        if _label(that) != labels[index]
    }


def _label(utterance: LabelledUtterance) -> str | None:
    """What is answered; None where it is unsure."""
    return None if utterance.unsure else utterance.emotion
