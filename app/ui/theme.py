"""Colours, type sizes and the emotion faces.

The seven emotion colours follow Okabe and Ito's palette in the places Plutchik's wheel gives them
(joy yellow, anger vermilion, sadness blue, ...), nudged so that any two differ by at least ΔE 24
(CIE76) for normal sight and under simulated protanopia, deuteranopia and tritanopia (Machado,
Oliveira and Fernandes 2009). Colour never stands alone: each emotion also has a face and a word.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPainterPath, QPalette, QPen

from live_features.emotions import EMOTIONS, MODALITIES


@dataclass(frozen=True, slots=True)
class Theme:
    """One set of colours, as ``#RRGGBB``; ``emotions`` in MELD order, ``modalities`` t, a, v.

    ``chosen`` are the colours that people gave to speakers, None for those of the theme.
    """

    name: str
    window: str
    panel: str
    edge: str
    well: str
    text: str
    muted: str
    grid: str
    accent: str
    warning: str
    emotions: tuple[str, ...]
    modalities: tuple[str, ...]
    speakers: tuple[str, ...]
    chosen: tuple[str | None, ...] = ()

    def emotion(self, emotion: str) -> QColor:
        return QColor(self.emotions[EMOTIONS.index(emotion)])

    def modality(self, modality: str) -> QColor:
        return QColor(self.modalities[MODALITIES.index(modality)])

    def speaker(self, speaker: int | None) -> QColor:
        """A speaker's colour; grey for a face whose speaker is not known."""
        if speaker is None:
            return QColor("#9AA3AF")
        if speaker < len(self.chosen) and (chosen := self.chosen[speaker]) is not None:
            return QColor(chosen)
        return QColor(self.speakers[speaker % len(self.speakers)])


LIGHT = Theme(
    name="light",
    window="#F1F3F6",
    panel="#FFFFFF",
    edge="#DFE3E9",
    well="#F5F7F9",
    text="#1A2330",
    muted="#586374",
    grid="#E4E8EE",
    accent="#2A62B8",
    warning="#B54708",
    emotions=("#CDD5E0", "#4CC4F5", "#00905E", "#1A4FA8", "#F2C94C", "#B565A7", "#D5500A"),
    modalities=("#33485C", "#7D97AD", "#C6D3DE"),
    speakers=("#7148C8", "#97601F", "#0F7A84", "#B2397A", "#5A7212", "#42526B"),
)

DARK = Theme(
    name="dark",
    window="#12151A",
    panel="#1B1F26",
    edge="#2B313B",
    well="#15191F",
    text="#E7EAF0",
    muted="#9BA5B4",
    grid="#2A303A",
    accent="#7FB2FF",
    warning="#F5A34A",
    emotions=("#525B69", "#8FE0FA", "#14A668", "#2C61DE", "#FDD03B", "#BA6FC7", "#D86A1C"),
    modalities=("#DCE6EF", "#8CA6BC", "#48596A"),
    speakers=("#B497F6", "#DDA868", "#55C6CF", "#F090C0", "#B4CC66", "#A3B6D0"),
)


def ink_on(fill: QColor) -> QColor:
    """Near-black or white, whichever reads better on ``fill`` (relative luminance, WCAG 2)."""

    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    luminance = (
        0.2126 * linear(fill.redF())
        + 0.7152 * linear(fill.greenF())
        + 0.0722 * linear(fill.blueF())
    )
    return QColor("#10151C") if luminance > 0.2 else QColor("#FFFFFF")


def blend(over: QColor, under: QColor, share: float) -> QColor:
    """``over`` laid on ``under`` with the opacity ``share``, as an opaque colour."""
    return QColor.fromRgbF(
        share * over.redF() + (1 - share) * under.redF(),
        share * over.greenF() + (1 - share) * under.greenF(),
        share * over.blueF() + (1 - share) * under.blueF(),
    )


def scaled_font(font: QFont, factor: float, *, bold: bool = False) -> QFont:
    """``font`` enlarged by ``factor``, never below 8.5 points."""
    scaled = QFont(font)
    scaled.setPointSizeF(max(8.5, font.pointSizeF() * factor))
    scaled.setBold(bold)
    return scaled


def palette(theme: Theme) -> QPalette:
    """The colours of Qt's own widgets."""
    roles = QPalette.ColorRole
    colours = QPalette()
    # Fusion's outlines are darker than the window, which shows nothing where that is dark.
    base = theme.edge if theme is DARK else theme.panel
    for role, colour in (
        (roles.Window, theme.window),
        (roles.WindowText, theme.text),
        (roles.Base, base),
        (roles.AlternateBase, theme.well),
        (roles.Text, theme.text),
        (roles.Button, theme.panel),
        (roles.ButtonText, theme.text),
        (roles.ToolTipBase, theme.panel),
        (roles.ToolTipText, theme.text),
        (roles.PlaceholderText, theme.muted),
        (roles.Highlight, theme.accent),
        (roles.HighlightedText, ink_on(QColor(theme.accent)).name()),
    ):
        colours.setColor(role, QColor(colour))
    return colours


def style_sheet(theme: Theme) -> str:
    """What the palette cannot say: cards, flat buttons, quiet splitters."""
    pressed = blend(QColor(theme.accent), QColor(theme.panel), 0.18).name()
    hover = blend(QColor(theme.text), QColor(theme.panel), 0.07).name()
    line = blend(QColor(theme.muted), QColor(theme.panel), 0.45).name()
    return f"""
    QMainWindow, QSplitter {{ background: {theme.window}; }}
    QSplitter::handle {{ background: transparent; }}
    QFrame#card {{ background: {theme.panel}; border: 1px solid {theme.edge};
                   border-radius: 10px; }}
    QLabel {{ color: {theme.text}; background: transparent; }}
    QLabel#muted, QStatusBar QLabel {{ color: {theme.muted}; }}
    QLabel#title {{ font-weight: 600; }}
    QLabel#warning, QStatusBar QLabel#warning {{ color: {theme.warning}; font-weight: 600; }}
    QLabel#banner {{ background: {blend(QColor(theme.warning), QColor(theme.panel), 0.16).name()};
                     border: 1px solid {theme.warning}; border-radius: 8px; padding: 7px 12px; }}
    QToolButton {{ color: {theme.text}; background: transparent; border: 1px solid {theme.edge};
                   border-radius: 6px; padding: 3px 10px; }}
    QToolButton:hover {{ background: {hover}; }}
    QToolButton:checked {{ background: {pressed}; border-color: {theme.accent}; }}
    QToolButton:focus {{ border-color: {theme.accent}; }}
    QPushButton {{ color: {theme.text}; background: {theme.panel};
                   border: 1px solid {theme.edge}; border-radius: 7px; padding: 6px 16px; }}
    QPushButton:hover {{ background: {hover}; }}
    QPushButton:pressed {{ background: {pressed}; }}
    QPushButton:focus {{ border-color: {theme.accent}; }}
    QPushButton:disabled {{ color: {theme.muted}; }}
    QPushButton#primary {{ background: {theme.accent}; border-color: {theme.accent};
                           color: {ink_on(QColor(theme.accent)).name()}; font-weight: 600; }}
    QPushButton#primary:focus {{ border: 2px solid {theme.text}; }}
    QPushButton#link {{ background: transparent; border: 1px solid transparent; text-align: left;
                        padding: 4px 8px; }}
    QPushButton#link:hover {{ background: {hover}; }}
    QPushButton#link:focus {{ border-color: {theme.accent}; }}
    QCheckBox {{ color: {theme.text}; spacing: 8px; padding: 2px; }}
    QDialog, QMessageBox {{ background: {theme.window}; }}
    QScrollArea, QScrollArea > QWidget > QWidget {{ background: {theme.window}; }}
    QLabel#recording {{ color: {theme.warning}; font-weight: 600; }}
    QMenuBar {{ background: {theme.window}; color: {theme.text}; }}
    QMenuBar::item {{ padding: 4px 10px; border-radius: 5px; background: transparent; }}
    QMenuBar::item:selected {{ background: {hover}; }}
    QMenu {{ background: {theme.panel}; color: {theme.text}; border: 1px solid {theme.edge};
             padding: 4px; }}
    QMenu::item {{ padding: 5px 24px 5px 26px; border-radius: 5px; }}
    QMenu::item:selected {{ background: {pressed}; }}
    QMenu::separator {{ height: 1px; background: {theme.edge}; margin: 4px 8px; }}
    QToolTip {{ background: {theme.panel}; color: {theme.text}; border: 1px solid {theme.edge};
                padding: 6px; }}
    QStatusBar {{ background: {theme.window}; color: {theme.muted}; }}
    QStatusBar::item {{ border: none; }}
    QStatusBar QLabel {{ padding: 0 7px; }}
    QProgressBar {{ background: {theme.edge}; border: none; border-radius: 3px; }}
    QProgressBar::chunk {{ background: {theme.accent}; border-radius: 3px; }}
    QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; border: none; }}
    QLineEdit {{ background: {theme.panel}; color: {theme.text}; border: 1px solid {line};
                 border-radius: 6px; padding: 4px 8px; }}
    QLineEdit:focus {{ border-color: {theme.accent}; }}
    QComboBox QLineEdit, QAbstractSpinBox QLineEdit {{ background: transparent; border: none;
                                                       padding: 0; }}
    InlineEditor {{ border: 2px solid {theme.accent}; padding: 1px 6px; }}
    QListView {{ background: {theme.panel}; border: none; outline: none; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {theme.edge}; border-radius: 5px;
                                   min-height: 28px; }}
    QScrollBar::handle:vertical:hover {{ background: {theme.muted}; }}
    QScrollBar::add-line:vertical, QScrollBar::sub-line:vertical {{ height: 0; }}
    QScrollBar::add-page:vertical, QScrollBar::sub-page:vertical {{ background: none; }}
    """


def draw_face(painter: QPainter, box: QRectF, emotion: str, fill: QColor) -> None:
    """Draw the emotion's face: a disc of ``fill`` with eyes, brows and a mouth, inside ``box``."""
    ink = ink_on(fill)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(box.center())
    radius = min(box.width(), box.height()) / 2
    painter.scale(radius, radius)
    painter.setPen(QPen(QColor(ink.red(), ink.green(), ink.blue(), 70), 0.08))
    painter.setBrush(fill)
    painter.drawEllipse(QRectF(-0.96, -0.96, 1.92, 1.92))
    pen = QPen(ink, 0.17)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(_FEATURES[emotion])
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ink)
    painter.drawPath(_SOLIDS[emotion])
    painter.restore()


def _strokes(*curves: tuple[float, ...]) -> QPainterPath:
    """Each curve is x0, y0, control x, control y, x1, y1 in a disc of radius 1, y downwards."""
    path = QPainterPath()
    for x0, y0, cx, cy, x1, y1 in curves:
        path.moveTo(x0, y0)
        path.quadTo(cx, cy, x1, y1)
    return path


def _discs(*discs: tuple[float, float, float, float]) -> QPainterPath:
    path = QPainterPath()
    for x, y, rx, ry in discs:
        path.addEllipse(QPointF(x, y), rx, ry)
    return path


_EYES = ((-0.36, -0.16, 0.13, 0.15), (0.36, -0.16, 0.13, 0.15))

_FEATURES = {
    "neutral": _strokes((-0.36, 0.42, 0.0, 0.42, 0.36, 0.42)),
    "surprise": _strokes(
        (-0.58, -0.5, -0.38, -0.74, -0.18, -0.5), (0.18, -0.5, 0.38, -0.74, 0.58, -0.5)
    ),
    "fear": _strokes(
        (-0.62, -0.4, -0.4, -0.62, -0.16, -0.66),
        (0.16, -0.66, 0.4, -0.62, 0.62, -0.4),
        (-0.46, 0.5, -0.34, 0.26, -0.23, 0.42),
        (-0.23, 0.42, -0.11, 0.62, 0.0, 0.42),
        (0.0, 0.42, 0.11, 0.26, 0.23, 0.42),
        (0.23, 0.42, 0.34, 0.62, 0.46, 0.38),
    ),
    "sadness": _strokes(
        (-0.62, -0.34, -0.4, -0.44, -0.2, -0.6),
        (0.2, -0.6, 0.4, -0.44, 0.62, -0.34),
        (-0.4, 0.6, 0.0, 0.16, 0.4, 0.6),
    ),
    "joy": _strokes((-0.5, 0.22, 0.0, 0.92, 0.5, 0.22)),
    "disgust": _strokes(
        (-0.54, -0.3, -0.38, -0.16, -0.2, -0.16),
        (-0.54, -0.02, -0.38, -0.16, -0.2, -0.16),
        (0.54, -0.3, 0.38, -0.16, 0.2, -0.16),
        (0.54, -0.02, 0.38, -0.16, 0.2, -0.16),
        (-0.46, 0.5, 0.0, 0.18, 0.46, 0.36),
    ),
    "anger": _strokes(
        (-0.64, -0.58, -0.4, -0.5, -0.14, -0.34),
        (0.14, -0.34, 0.4, -0.5, 0.64, -0.58),
        (-0.4, 0.58, 0.0, 0.22, 0.4, 0.58),
    ),
}

_SOLIDS = {
    "neutral": _discs(*_EYES),
    "surprise": _discs(*_EYES, (0.0, 0.44, 0.19, 0.25)),
    "fear": _discs(*_EYES),
    "sadness": _discs(*_EYES),
    "joy": _discs(*_EYES),
    "disgust": _discs((0.16, 0.52, 0.15, 0.2)),
    "anger": _discs((-0.34, -0.1, 0.12, 0.13), (0.34, -0.1, 0.12, 0.13)),
}
