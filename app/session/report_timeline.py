"""The conversation over time, drawn as SVG: a lane a speaker, and the weights under them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.session.logged import LoggedSession
from app.session.report_style import face, speaker_classes
from app.session.summary import shifts, speaker_name
from app.state import LabelledUtterance, Snapshot, emotion_of
from live_features.emotions import EMOTIONS, MODALITIES

_SYSTEM = 120.0  # seconds that one system shows; a longer session goes on below, as music does
_WIDTH, _GUTTER, _RIGHT = 1056.0, 128.0, 8.0
_HEAD, _BAR, _FOOT = 20.0, 64.0, 26.0  # of a lane: what it was, the probabilities, the label
_STRIP, _GAP, _AXIS = 54.0, 14.0, 22.0
_FACE, _SMALL_FACE = 18.0, 13.0
_UNFIT = frozenset({"Cc", "Cs"})
_LETTER = 6.2  # about as wide as a letter of a label is, which only the reader's font knows


@dataclass(frozen=True, slots=True)
class _System:
    """The part of the session from ``start`` to ``end`` seconds, drawn over the full width."""

    start: float
    end: float
    is_last: bool

    def x(self, time: float) -> float:
        share = (min(max(time, self.start), self.end) - self.start) / (self.end - self.start)
        return _GUTTER + share * (_WIDTH - _GUTTER - _RIGHT)

    def shows(self, u: LabelledUtterance) -> bool:
        return u.start < self.end and u.end > self.start

    def holds(self, time: float) -> bool:
        return self.start <= time < self.end or (self.is_last and time == self.end)


def timeline(session: LoggedSession) -> str:
    """A drawing for every two minutes; an utterance links to its row ``u-INDEX``."""
    snapshot = session.snapshot
    lanes = sorted({u.speaker for u in snapshot.utterances})
    changed = shifts(snapshot.utterances)
    return "".join(_drawing(system, snapshot, lanes, changed) for system in _systems(session))


def clock(seconds: float) -> str:
    """``m:ss``, with hours when there are any."""
    hours, rest = divmod(max(0, int(seconds)), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def escaped(text: str) -> str:
    """``text`` for a page, without the control characters that HTML forbids."""
    return escape("".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNFIT))


def percent(share: float) -> str:
    return f"{100 * share:.0f}\u2009%"


def opinion(probabilities: Sequence[float] | None) -> str:
    """A classifier's class and its probability, or that it had nothing to go by."""
    if probabilities is None:
        return "missing"
    best = max(range(len(EMOTIONS)), key=probabilities.__getitem__)
    return f"{EMOTIONS[best]} {percent(probabilities[best])}"


def _systems(session: LoggedSession) -> list[_System]:
    shown = session.eventful
    if shown <= _SYSTEM:
        return [_System(0.0, max(10.0, 10.0 * math.ceil(shown / 10.0)), is_last=True)]
    count = math.ceil(shown / _SYSTEM)
    return [_System(_SYSTEM * n, _SYSTEM * (n + 1), n == count - 1) for n in range(count)]


def _drawing(
    system: _System, snapshot: Snapshot, lanes: Sequence[int], changed: dict[int, str]
) -> str:
    lane_height = _HEAD + _BAR + _FOOT
    gates_top = len(lanes) * lane_height + _GAP
    shares_top = gates_top + _STRIP + _GAP
    bottom = shares_top + _STRIP
    shown = [u for u in snapshot.utterances if system.shows(u)]
    parts = [_time_axis(system, bottom)]
    for lane, speaker in enumerate(lanes):
        parts.append(_lane_head(snapshot, speaker, lane * lane_height))
    for lane, speaker in enumerate(lanes):
        said = [u for u in shown if u.speaker == speaker]
        for u, room in zip(said, _rooms(system, said), strict=True):
            parts.append(
                _utterance(system, u, lane * lane_height, room, snapshot, changed.get(u.index))
            )
    parts.append(_strip(system, "gate weights", gates_top, [(u, u.reading.gates) for u in shown]))
    parts.append(
        _strip(system, "contributions", shares_top, [(u, u.reading.contributions) for u in shown])
    )
    parts += (
        _mark(system.x(mark.time), mark.note, bottom)
        for mark in snapshot.marks
        if system.holds(mark.time)
    )
    parts += (
        _mark(system.x(time), "paused", bottom) for time in snapshot.pauses if system.holds(time)
    )
    return (
        f'<svg class="system" viewBox="0 0 {_WIDTH:g} {bottom + _AXIS:g}" role="group" '
        f'aria-label="From {clock(system.start)} to {clock(system.end)}">{"".join(parts)}</svg>'
    )


def _time_axis(system: _System, bottom: float) -> str:
    marks = []
    for time in range(int(system.start), int(system.end) + 1, 10):
        x = system.x(time)
        anchor = "end" if time == system.end else "middle"
        marks.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom:g}"/>'
            f'<text x="{x:.1f}" y="{bottom + 16:g}" text-anchor="{anchor}">{clock(time)}</text>'
        )
    return "".join(marks)


def _mark(x: float, note: str, bottom: float) -> str:
    """Something that somebody marked."""
    anchor, beside = ("end", x - 4) if x > _WIDTH * 0.75 else ("start", x + 4)
    return (
        f'<g><title>{escaped(note)}</title><line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" '
        f'y2="{bottom:g}"/><text class="mark" x="{beside:.1f}" y="11" '
        f'text-anchor="{anchor}">{escaped(note[:40])}</text></g>'
    )


def _lane_head(snapshot: Snapshot, speaker: int, top: float) -> str:
    """The speaker's name on their colour, as much of it as there is room for."""
    name = speaker_name(snapshot, speaker)
    room = int((_GUTTER - 40) / 7.4)
    short = name if len(name) <= room else f"{name[: room - 1]}…"
    width = _GUTTER - 22
    middle = top + _HEAD + _BAR / 2
    ground = top + _HEAD + _BAR
    return (
        f'<line class="ground" x1="{_GUTTER:g}" x2="{_WIDTH - _RIGHT:g}" y1="{ground:g}" '
        f'y2="{ground:g}"/>'
        f'<g class="{speaker_classes(speaker)}"><title>{escaped(name)}</title>'
        f'<rect class="fill" x="0" y="{middle - 12:g}" width="{width:g}" height="24" rx="12"/>'
        f'<text class="name" x="{width / 2:g}" y="{middle + 4.5:g}" text-anchor="middle">'
        f"{escaped(short)}</text></g>"
    )


def _rooms(system: _System, said: Sequence[LabelledUtterance]) -> list[float]:
    """How wide a label centred under each utterance of a lane may be, clear of its neighbours."""
    ends = [_GUTTER - 18, *(system.x(u.end) for u in said)]
    starts = [*(system.x(u.start) for u in said), _WIDTH]
    bounds = [(end + start) / 2 for end, start in zip(ends, starts, strict=True)]
    bounds[0], bounds[-1] = ends[0], starts[-1]
    middles = [(start + end) / 2 for start, end in zip(starts, ends[1:], strict=False)]
    return [
        2 * min(middle - left, right - middle)
        for left, middle, right in zip(bounds, middles, bounds[1:], strict=False)
    ]


def _utterance(
    system: _System,
    u: LabelledUtterance,
    top: float,
    room: float,
    snapshot: Snapshot,
    shifted_from: str | None,
) -> str:
    left = system.x(u.start)
    width = max(3.0, system.x(u.end) - left - 1.0)
    bar_top = top + _HEAD
    ground = bar_top + _BAR
    parts = [_probabilities(u, left, width, bar_top)]
    if u.was is not None:
        parts.append(_was(u.was, left, width, top))
    if shifted_from is not None and u.start >= system.start:
        parts.append(f'<path class="shift" d="M{left:.1f} {ground + 2:g}h7l-7 8z"/>')
    centre = left + width / 2
    # Where not even two letters fit, they would run into others; the row below has the word.
    label = next(
        (w for w in (u.emotion, u.emotion[:2].capitalize()) if len(w) * _LETTER <= room), ""
    )
    parts.append(
        f'<text class="said" x="{centre:.1f}" y="{ground + 20:g}" text-anchor="middle">'
        f"{label}</text>"
    )
    return (
        f'<a href="#u-{u.index}"><title>{escaped(_numbers(u, snapshot, shifted_from))}</title>'
        f"{''.join(parts)}</a>"
    )


def _probabilities(u: LabelledUtterance, left: float, width: float, top: float) -> str:
    """All seven, the winner at the bottom so that heights compare."""
    winner = EMOTIONS.index(u.emotion)
    order = (winner, *(i for i in range(len(EMOTIONS)) if i != winner))
    total = sum(u.reading.fused) or 1.0
    parts = []
    below = top + _BAR
    for position in order:
        height = _BAR * u.reading.fused[position] / total
        below -= height
        rest = "" if position == winner else " rest"
        parts.append(
            f'<rect class="fill e-{EMOTIONS[position]}{rest}" x="{left:.1f}" y="{below:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}"/>'
        )
    crown = _BAR * u.reading.fused[winner] / total
    if width >= _FACE + 1 and crown >= _FACE + 1:
        middle = top + _BAR - crown / 2
        parts.append(face(u.emotion, _FACE, left + (width - _FACE) / 2, middle - _FACE / 2))
    parts.append(
        f'<rect class="frame" x="{left:.1f}" y="{top:g}" width="{width:.1f}" height="{_BAR:g}"/>'
    )
    return "".join(parts)


def _was(before: str, left: float, width: float, top: float) -> str:
    y = top + _HEAD - _SMALL_FACE - 3
    words = f"was {before}"
    room = width - _SMALL_FACE - 3
    short = next((w for w in (words, "was") if len(w) * _LETTER <= room), "")
    x = left + (width - _SMALL_FACE) / 2 if not short else left
    text = f'<text x="{left + _SMALL_FACE + 3:.1f}" y="{y + 10.5:g}">{short}</text>'
    return face(before, _SMALL_FACE, x, y) + (text if short else "")


def _strip(
    system: _System,
    name: str,
    top: float,
    shares: Sequence[tuple[LabelledUtterance, Sequence[float]]],
) -> str:
    """Stacked shares of text, audio and visual under each utterance, with lines at the thirds."""
    parts = [f'<text class="strip" x="0" y="{top + _STRIP / 2 + 4:g}">{name}</text>']
    for u, values in shares:
        left = system.x(u.start)
        width = max(3.0, system.x(u.end) - left - 1.0)
        total = sum(values) or 1.0
        y = top
        told = ", ".join(
            f"{modality} {percent(value)}"
            for modality, value in zip(MODALITIES, values, strict=True)
        )
        parts.append(f"<g><title>{clock(u.start)} {name}: {told}</title>")
        for modality, value in zip(MODALITIES, values, strict=True):
            height = _STRIP * value / total
            parts.append(
                f'<rect class="fill m-{modality}" x="{left:.1f}" y="{y:.1f}" '
                f'width="{width:.1f}" height="{height:.1f}"/>'
            )
            if width >= 24 and height >= 12:
                parts.append(
                    f'<text class="share m-{modality}" x="{left + width / 2:.1f}" '
                    f'y="{y + height / 2 + 3.5:.1f}" text-anchor="middle">{100 * value:.0f}</text>'
                )
            y += height
        parts.append("</g>")
    parts += (
        f'<line class="third" x1="{_GUTTER:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (top + _STRIP / 3, top + 2 * _STRIP / 3)
    )
    return "".join(parts)


def _numbers(u: LabelledUtterance, snapshot: Snapshot, shifted_from: str | None) -> str:
    """All there is to know about an utterance, for the pointer to rest on."""
    reading = u.reading
    lines = [f"{speaker_name(snapshot, u.speaker)}, {clock(u.start)} – {clock(u.end)}"]
    if u.text:
        lines.append(u.text)
    lines.append(
        "fused: "
        + ", ".join(f"{e} {percent(p)}" for e, p in zip(EMOTIONS, reading.fused, strict=True))
    )
    if u.was is not None:
        lines.append(f"was {u.was} {percent(max(u.first.fused))}, now {emotion_of(reading)}")
    if shifted_from is not None:
        lines.append(f"shift: {shifted_from} in the utterance before")
    students = (reading.text, reading.audio, reading.visual)
    for modality, student, gate, share in zip(
        MODALITIES, students, reading.gates, reading.contributions, strict=True
    ):
        lines.append(
            f"{modality} alone: {opinion(student)}; gate {percent(gate)}, "
            f"contribution {percent(share)}"
        )
    return "\n".join(lines)
