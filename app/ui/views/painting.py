"""Shapes and sentences that several views draw the same way."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from app.events import Reading
from app.state import LabelledUtterance, OpenUtterance
from app.ui.theme import Theme, blend, draw_face, ink_on
from live_features.emotions import EMOTIONS, MODALITIES

_USUAL_TYPE = 10.0  # points


def clock(seconds: float) -> str:
    """``m:ss``, with hours when there are any."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def enlargement(font: QFont) -> float:
    """How much larger than usual type is, and so what goes with it; at least 1."""
    return max(1.0, font.pointSizeF() / _USUAL_TYPE)


def percent(share: float) -> str:
    return f"{100 * share:.0f}\u2009%"


def speaker_name(speakers: tuple[str, ...], speaker: int | None) -> str:
    if speaker is None:
        return "Unknown"
    return speakers[speaker] if speaker < len(speakers) else f"Speaker {speaker + 1}"


def opinion(probabilities: tuple[float, ...] | None) -> tuple[str, float] | None:
    """A classifier's class and its probability; None where its modality is missing."""
    if probabilities is None:
        return None
    best = max(range(len(EMOTIONS)), key=probabilities.__getitem__)
    return EMOTIONS[best], probabilities[best]


def students(reading: Reading) -> tuple[tuple[str, tuple[float, ...] | None], ...]:
    """The modalities by name with what their students think, in order text, audio, visual."""
    return tuple(zip(MODALITIES, (reading.text, reading.audio, reading.visual), strict=True))


def chip_width(font: QFont, text: str) -> float:
    metrics = QFontMetricsF(font)
    return metrics.horizontalAdvance(text) + 1.2 * metrics.height()


def draw_chip(painter: QPainter, box: QRectF, text: str, fill: QColor) -> None:
    """A speaker's name on his colour, elided to ``box``."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(fill)
    painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
    painter.setPen(ink_on(fill))
    metrics = QFontMetricsF(painter.font())
    inner = box.adjusted(metrics.height() * 0.5, 0, -metrics.height() * 0.5, 0)
    label = metrics.elidedText(text, Qt.TextElideMode.ElideRight, inner.width() + 1)
    painter.drawText(inner, Qt.AlignmentFlag.AlignCenter, label)
    painter.restore()


def draw_modality(painter: QPainter, box: QRectF, modality: str, theme: Theme) -> None:
    """A square in the modality's colour and its name, at the left of ``box``."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.modality(modality))
    painter.drawRoundedRect(QRectF(box.left(), box.center().y() - 6, 12, 12), 3, 3)
    painter.setPen(QColor(theme.text))
    align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
    painter.drawText(box.adjusted(19, 0, 0, 0), align, modality)
    painter.restore()


def badge_width(font: QFont, text: str) -> float:
    metrics = QFontMetricsF(font)
    return metrics.horizontalAdvance(text) + 2.1 * metrics.height()


def verdict(utterance: LabelledUtterance | OpenUtterance) -> str:
    """The emotion and how likely it is, or that this is not likely enough to say."""
    if utterance.unsure:
        return "unsure"
    return f"{utterance.emotion} {percent(utterance.confidence)}"


def draw_badge(
    painter: QPainter,
    box: QRectF,
    utterance: LabelledUtterance | OpenUtterance,
    text: str,
    theme: Theme,
) -> None:
    """The emotion's face followed by ``text``, on a wash of its colour, or of none where unsure."""
    emotion = utterance.emotion
    colour = QColor(theme.muted) if utterance.unsure else theme.emotion(emotion)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(blend(colour, QColor(theme.text), 0.8), 1))
    painter.setBrush(blend(colour, QColor(theme.panel), 0.25))
    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), box.height() / 2, box.height() / 2)
    face = QRectF(box.left() + 3, box.top() + 3, box.height() - 6, box.height() - 6)
    draw_face(painter, face, emotion, colour)
    painter.setPen(QColor(theme.text))
    inner = QRectF(face.right() + 5, box.top(), box.right() - face.right() - 10, box.height())
    align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
    painter.drawText(inner, align, text)
    painter.restore()


def numbers_html(utterance: LabelledUtterance, name: str, theme: Theme) -> str:
    """All there is to know about an utterance, for a tooltip."""
    reading = utterance.reading
    columns = (reading.fused, reading.text, reading.audio, reading.visual)
    head = "".join(f"<th align='right'>&nbsp;&nbsp;{m}</th>" for m in ("fused", *MODALITIES))
    rows = [f"<tr><th></th>{head}</tr>"]
    for position, emotion in enumerate(EMOTIONS):
        cells = "".join(
            f"<td align='right'>{'–' if column is None else percent(column[position])}</td>"
            for column in columns
        )
        weight = "b" if emotion == utterance.emotion else "span"
        square = f"<span style='color:{theme.emotion(emotion).name()}'>■</span>"
        rows.append(f"<tr><td>{square} <{weight}>{emotion}</{weight}></td>{cells}</tr>")
    for label, shares in (("gates", reading.gates), ("contribution", reading.contributions)):
        cells = "".join(f"<td align='right'>{percent(share)}</td>" for share in shares)
        rows.append(f"<tr><td>{label}</td><td></td>{cells}</tr>")
    times = f"{clock(utterance.start)} – {clock(utterance.end)}"
    changed = ""
    if utterance.was is not None:
        before = percent(max(utterance.first.fused))
        now = f"{utterance.emotion} {percent(utterance.confidence)}"
        changed = f"<p>was {utterance.was} {before}, now {now}</p>"
    doubt = "<p>too unlikely to be an answer: unsure</p>" if utterance.unsure else ""
    missing = [m for m, probabilities in students(reading) if probabilities is None]
    absent = f"<p>missing: {', '.join(missing)}</p>" if missing else ""
    return (
        f"<p><b>{escape(name)}</b> &nbsp;{times}<br><i>{escape(utterance.text)}</i></p>"
        f"<table cellspacing='0' cellpadding='1'>{''.join(rows)}</table>{doubt}{changed}{absent}"
    )
