"""Who is drawn: two people, their rooms, their skin and their hair."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from brushes import OVERSAMPLE, Colour, Image, Sheet

_MIA_ROOM: tuple[tuple[tuple[float, float, float, float], Colour], ...] = (
    ((0.04, 0.05, 0.3, 0.5), (255, 250, 236)),
    ((0.165, 0.05, 0.175, 0.5), (214, 186, 150)),
    ((0.78, 0.12, 0.97, 0.36), (206, 120, 92)),
    ((0.81, 0.16, 0.94, 0.32), (246, 214, 170)),
    ((0.84, 0.55, 1.0, 0.9), (104, 140, 92)),
    ((0.0, 0.7, 0.2, 1.0), (176, 120, 84)),
)
_JOE_ROOM: tuple[tuple[tuple[float, float, float, float], Colour], ...] = (
    ((0.0, 0.26, 0.26, 0.29), (92, 72, 60)),
    ((0.02, 0.1, 0.06, 0.26), (180, 76, 64)),
    ((0.07, 0.13, 0.11, 0.26), (236, 208, 130)),
    ((0.12, 0.09, 0.17, 0.26), (72, 108, 92)),
    ((0.18, 0.15, 0.23, 0.26), (228, 228, 224)),
    ((0.74, 0.04, 1.0, 0.42), (238, 244, 250)),
    ((0.86, 0.04, 0.875, 0.42), (150, 164, 182)),
    ((0.8, 0.62, 1.0, 1.0), (72, 92, 120)),
)


@dataclass(frozen=True, slots=True)
class Look:
    """One person's colours (RGB) and build. ``jaw`` is the half width of the jaw in face units."""

    skin: Colour
    hair: Colour
    lips: Colour
    iris: Colour
    shirt: Colour
    wall: tuple[Colour, Colour]
    jaw: float
    brow: float
    lashes: float
    lip: float
    long_hair: bool
    stubble: float


LOOKS = {
    "Mia": Look(
        skin=(240, 198, 170), hair=(84, 46, 30), lips=(196, 88, 88), iris=(74, 122, 92),
        shirt=(46, 128, 132), wall=((250, 232, 206), (222, 180, 140)), jaw=0.72, brow=0.075,
        lashes=1.0, lip=1.0, long_hair=True, stubble=0.0,
    ),
    "Joe": Look(
        skin=(226, 176, 142), hair=(38, 32, 34), lips=(170, 98, 86), iris=(84, 66, 44),
        shirt=(196, 92, 58), wall=((196, 216, 232), (120, 152, 184)), jaw=0.84, brow=0.115,
        lashes=0.35, lip=0.72, long_hair=False, stubble=0.16,
    ),
}  # fmt: skip


def paint_room(look: Look, sheet: Sheet) -> Image:
    """The wall behind and what stands at it, out of focus."""
    width, height = sheet.size
    light, dark = (np.asarray(colour, np.float32) for colour in look.wall)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shade = np.clip(0.65 * x / width + 0.5 * y / height - 0.1, 0, 1)[..., None]
    room = light * (1 - shade) + dark * shade
    boxes = _MIA_ROOM if look.long_hair else _JOE_ROOM
    for (x0, y0, x1, y1), colour in boxes:
        a = (int(x0 * width), int(y0 * height))
        b = (int(x1 * width), int(y1 * height))
        cv2.rectangle(room, a, b, colour, -1)
    room = cv2.GaussianBlur(room, (0, 0), 9 * OVERSAMPLE)
    vignette = 1 - 0.22 * (((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2)
    return np.asarray(np.clip(room * vignette[..., None], 0, 255), np.uint8)


def paint_skin(look: Look, sheet: Sheet) -> Image:
    """Skin lit from the upper left, for the head at rest."""
    u, v = sheet.grid()
    light = 1.05 - 0.17 * np.clip((u + 0.12) ** 2, 0, 1.6) - 0.05 * u
    light -= 0.10 * np.clip((v - 0.25), 0, 2) ** 1.5
    light += 0.05 * np.exp(-((u + 0.15) ** 2 + (v + 0.65) ** 2) / 0.2)
    tint = np.stack([light**0.85, light, light**1.12], axis=-1)
    skin = np.asarray(look.skin, np.float32) * tint
    for side in (-1, 1):
        blush = np.exp(-((u - side * 0.58) ** 2 / 0.06 + (v - 0.55) ** 2 / 0.04))[..., None]
        skin += blush * np.array([6.0, -9.0, -9.0], np.float32)
    if look.stubble:
        beard = np.clip((v - 0.62) * 2.2, 0, 1) * (1 - np.exp(-((v - 1.0) ** 2 + u**2) / 0.03))
        grey = np.asarray((96, 84, 80), np.float32)
        skin += (grey - skin) * (beard * look.stubble)[..., None]
    return np.asarray(np.clip(skin, 0, 255), np.uint8)


def paint_strands(look: Look, sheet: Sheet) -> Image:
    """Hair with a soft sheen and streaks that run downwards."""
    width, height = sheet.size
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((height, width)).astype(np.float32)
    streaks = cv2.GaussianBlur(noise, (0, 0), sigmaX=2.2, sigmaY=60)
    streaks /= np.abs(streaks).max()
    u, v = sheet.grid()
    arc = np.hypot(u + 0.1, (v + 0.1) * 0.9)
    sheen = 0.55 * np.exp(-((arc - 1.1) ** 2) / 0.02) * np.exp(-((u + 0.35) ** 2) / 0.25)
    light = 1.0 + 0.5 * streaks + sheen - 0.12 * np.clip(v - 0.5, 0, 2)
    hair = np.asarray(look.hair, np.float32) * np.clip(light, 0.4, 2.4)[..., None]
    return np.asarray(np.clip(hair, 0, 255), np.uint8)
