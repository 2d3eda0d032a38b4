"""How the report looks: the window's colours and faces, without Qt, as CSS and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from live_features.emotions import EMOTIONS, MODALITIES


@dataclass(frozen=True, slots=True)
class Colours:
    """One set of colours, as ``#RRGGBB``, equal to those of the theme of that name in the window.

    ``emotions`` are in MELD order, ``modalities`` in order text, audio, visual. Any two emotions
    differ under the common kinds of colour blindness as well; see ``app.ui.theme``.
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


LIGHT = Colours(
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

DARK = Colours(
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

_SPEAKER_COLOURS = len(LIGHT.speakers)


def speaker_classes(speaker: int) -> str:
    """What gives a speaker's name its colour: the theme's, and before that the chosen one."""
    return f"s-{speaker % _SPEAKER_COLOURS} p-{speaker}"


def ink_on(fill: str) -> str:
    """Near-black or white, whichever reads better on ``fill`` (relative luminance, WCAG 2)."""

    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(fill[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#10151C" if luminance > 0.2 else "#FFFFFF"


def style_sheet(chosen: Sequence[str | None] = ()) -> str:
    """The whole style of the report; light, dark where the reader's system is, light on paper.

    ``chosen`` are the colours that people gave to speakers, None for those of the theme.
    """
    people = "\n".join(
        f".p-{speaker}{{--c:{colour};--i:{ink_on(colour)}}}"
        for speaker, colour in enumerate(chosen)
        if colour is not None
    )
    return (
        f"{_variables(LIGHT)}\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n{_variables(DARK)}\n}}\n"
        f"{people}\n{_RULES}"
    )


def face_symbols() -> str:
    """The emotions' faces, to be placed with :func:`face`; each is 2 wide around the origin."""
    symbols = "".join(
        f'<symbol id="face-{emotion}" viewBox="-1 -1 2 2">'
        '<circle class="disc" r="0.96"/>'
        f'<path class="strokes" d="{_STROKES[emotion]}"/>'
        f'<g class="solids">{_ellipses(_SOLIDS[emotion])}</g></symbol>'
        for emotion in EMOTIONS
    )
    return f'<svg class="symbols" width="0" height="0" aria-hidden="true">{symbols}</svg>'


def face(emotion: str, size: float, x: float = 0.0, y: float = 0.0) -> str:
    """The face of ``emotion`` inside a drawing, its top left corner at (x, y)."""
    return (
        f'<use href="#face-{emotion}" class="e-{emotion}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{size:g}" height="{size:g}"/>'
    )


def inline_face(emotion: str, size: int = 20) -> str:
    """The face of ``emotion`` inside text."""
    return (
        f'<svg class="face" width="{size}" height="{size}" viewBox="0 0 {size} {size}" '
        f'aria-hidden="true">{face(emotion, size)}</svg>'
    )


def _variables(colours: Colours) -> str:
    plain = "".join(
        f"--{name}:{getattr(colours, name)};"
        for name in (
            "window",
            "panel",
            "edge",
            "well",
            "text",
            "muted",
            "grid",
            "accent",
            "warning",
        )
    )
    filled = [
        *zip((f"e-{emotion}" for emotion in EMOTIONS), colours.emotions, strict=True),
        *zip((f"m-{modality}" for modality in MODALITIES), colours.modalities, strict=True),
        *((f"s-{n}", colour) for n, colour in enumerate(colours.speakers)),
    ]
    classes = "\n".join(f".{name}{{--c:{c};--i:{ink_on(c)}}}" for name, c in filled)
    return f":root{{color-scheme:{colours.name};{plain}}}\n{classes}"


def _ellipses(discs: tuple[tuple[float, float, float, float], ...]) -> str:
    return "".join(
        f'<ellipse cx="{x:g}" cy="{y:g}" rx="{rx:g}" ry="{ry:g}"/>' for x, y, rx, ry in discs
    )


_STROKES = {
    "neutral": "M-.36 .42H.36",
    "surprise": "M-.58-.5Q-.38-.74-.18-.5M.18-.5Q.38-.74 .58-.5",
    "fear": "M-.62-.4Q-.4-.62-.16-.66M.16-.66Q.4-.62 .62-.4"
    "M-.46 .5Q-.34 .26-.23 .42Q-.11 .62 0 .42Q.11 .26 .23 .42Q.34 .62 .46 .38",
    "sadness": "M-.62-.34Q-.4-.44-.2-.6M.2-.6Q.4-.44 .62-.34M-.4 .6Q0 .16 .4 .6",
    "joy": "M-.5 .22Q0 .92 .5 .22",
    "disgust": "M-.54-.3Q-.38-.16-.2-.16M-.54-.02Q-.38-.16-.2-.16"
    "M.54-.3Q.38-.16 .2-.16M.54-.02Q.38-.16 .2-.16M-.46 .5Q0 .18 .46 .36",
    "anger": "M-.64-.58Q-.4-.5-.14-.34M.14-.34Q.4-.5 .64-.58M-.4 .58Q0 .22 .4 .58",
}

_EYES = ((-0.36, -0.16, 0.13, 0.15), (0.36, -0.16, 0.13, 0.15))

_SOLIDS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "neutral": _EYES,
    "surprise": (*_EYES, (0.0, 0.44, 0.19, 0.25)),
    "fear": _EYES,
    "sadness": _EYES,
    "joy": _EYES,
    "disgust": ((0.16, 0.52, 0.15, 0.2),),
    "anger": ((-0.34, -0.1, 0.12, 0.13), (0.34, -0.1, 0.12, 0.13)),
}

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--window);color:var(--text);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
  font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:56px 24px 96px}
h1{font-size:2.4rem;line-height:1.15;letter-spacing:-.02em;margin:.1em 0 .25em;
  overflow-wrap:anywhere}
h2{font-size:1.35rem;line-height:1.25;letter-spacing:-.01em;margin:0 0 4px}
h3{font-size:1rem;margin:0}
p{margin:0 0 12px;max-width:72ch}
section>:last-child{margin-bottom:0}
a{color:var(--accent)}
.eyebrow{color:var(--accent);font-size:.8rem;font-weight:650;letter-spacing:.09em;
  text-transform:uppercase;margin:0}
.lead,.muted,.note{color:var(--muted)}
.lead{font-size:1.1rem;margin:0}
.note{font-size:.9rem;margin-bottom:20px}
section{background:var(--panel);border:1px solid var(--edge);border-radius:16px;
  padding:28px 32px 30px;margin-top:24px}
.symbols{position:absolute}
.face{vertical-align:-.28em;flex:none}
.disc{fill:var(--c)}
.strokes{fill:none;stroke:var(--i);stroke-width:.17;stroke-linecap:round;stroke-linejoin:round}
.solids{fill:var(--i)}
.callout{border:1px solid var(--warning);border-left-width:6px;border-radius:12px;
  background:var(--panel);padding:16px 20px;margin:28px 0 0}
.callout p{margin:0}
.callout p+p{margin-top:6px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:16px;
  margin:24px 0 0;padding:0}
.tiles div{background:var(--panel);border:1px solid var(--edge);border-radius:14px;
  padding:16px 20px}
.tiles dt{color:var(--muted);font-size:.85rem}
.tiles dd{margin:0;font-size:1.6rem;font-weight:650;letter-spacing:-.01em;line-height:1.3}
.legend{display:flex;flex-wrap:wrap;gap:8px 20px;list-style:none;margin:0 0 18px;padding:0;
  font-size:.9rem}
.legend li{display:flex;align-items:center;gap:7px}
.key{width:14px;height:14px;flex:none}
.fill{fill:var(--c)}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.system{display:block;width:100%;min-width:760px;height:auto;margin:0 0 22px;
  font-size:11px;font-family:inherit}
.system:last-child{margin-bottom:0}
.system text{fill:var(--muted)}
.system .name{font-size:12.5px;font-weight:650;fill:var(--i)}
.system .strip{font-size:12px;fill:var(--text)}
.system .said{fill:var(--text)}
.system .share{fill:var(--i);font-size:10px}
.system .rest{opacity:.5}
.system .frame{fill:none;stroke:var(--text);stroke-opacity:.28}
.system .ground{stroke:var(--edge)}
.system .grid{stroke:var(--grid)}
.system line.mark{stroke:var(--text);stroke-dasharray:5 3}
.system text.mark{fill:var(--text);font-weight:600}
.system .third{stroke:var(--text);stroke-opacity:.4;stroke-dasharray:1.5 2.5}
.system .shift{fill:var(--text)}
.system a:hover .frame,.system a:focus .frame{stroke:var(--accent);stroke-opacity:1;
  stroke-width:2}
.people{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:20px;
  margin-top:20px}
.person{border:1px solid var(--edge);border-radius:14px;padding:20px 22px}
.chip{display:inline-block;background:var(--c);color:var(--i);border-radius:99px;
  padding:1px 12px;font-weight:650;font-size:.9rem;max-width:14em;overflow:hidden;
  text-overflow:ellipsis;white-space:nowrap;vertical-align:bottom}
.person p{margin:10px 0 14px}
.bar{display:block;width:100%;height:18px;border-radius:6px;margin-bottom:14px}
.shares{list-style:none;margin:0;padding:0;display:grid;gap:6px}
.shares li{display:flex;align-items:center;gap:9px}
.shares b{margin-left:auto;font-weight:600}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th{color:var(--muted);font-size:.8rem;font-weight:600;text-align:left;
  border-bottom:1px solid var(--edge);padding:8px 12px 8px 0}
td{border-bottom:1px solid var(--edge);padding:12px 12px 12px 0;vertical-align:top}
table.figures{font-size:.9rem}
.figures td{padding:8px 12px 8px 0}
.figures td,.figures th{white-space:nowrap}
tr:last-child td{border-bottom:0}
.number{text-align:right}
th.number:last-child,td.number:last-child{padding-right:0}
.time{color:var(--muted);white-space:nowrap}
.words{overflow-wrap:anywhere;min-width:16ch}
tr:target td{background:var(--well)}
.badge{white-space:nowrap;font-weight:600}
.was{display:block;color:var(--muted);font-size:.85rem;white-space:nowrap}
.opinions{color:var(--muted);font-size:.85rem}
.opinions span{white-space:nowrap;display:block}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:8px 24px;margin:16px 0 0}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
.after{margin-top:28px}
ul.plain{margin:12px 0 0;padding-left:1.2em;max-width:72ch}
ul.plain li{margin-bottom:8px}
footer{color:var(--muted);font-size:.85rem;margin-top:32px}
@media (max-width:700px){
  body{font-size:15px}
  main{padding:28px 14px 56px}
  h1{font-size:1.8rem}
  section{padding:20px 16px 22px;border-radius:12px}
  .facts{grid-template-columns:1fr;gap:2px}
  .facts dd{margin-bottom:10px}
  .transcript thead{display:none}
  .transcript tr{display:block;padding:12px 0;border-bottom:1px solid var(--edge)}
  .transcript tr:last-child{border-bottom:0}
  .transcript td{display:inline-block;border:0;padding:0 8px 0 0}
  .transcript td.words{display:block;padding:6px 0;font-size:1.05em}
  .transcript td.opinions{display:block;padding-top:4px}
  .opinions span{display:inline-block;margin-right:12px}
}
@media print{
  body{background:#fff;font-size:10.5pt;-webkit-print-color-adjust:exact;
    print-color-adjust:exact}
  main{max-width:none;padding:0}
  section{border:0;border-radius:0;padding:0;margin-top:28px}
  .system,.person,tr,.callout,.tiles div{break-inside:avoid}
  h2,h3{break-after:avoid}
  .system{min-width:0}
  a{color:inherit;text-decoration:none}
}
"""
