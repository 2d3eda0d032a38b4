"""Antialiased shapes, soft strokes and colours, on a sheet measured in face units.

Face coordinates have their origin between the eyes, x to the right and y down, in units of half a
face width: the chin is near y = 1.5.
"""

from __future__ import annotations

import cv2
import numpy as np
from expressions import Pose
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Points = NDArray[np.float64]

OVERSAMPLE = 2
"""Everything is painted this many times larger than it will be seen, and averaged down."""
UNIT = 84.0 * OVERSAMPLE
"""Pixels of a sheet to a face unit."""

_SUBPIXEL = 4
_SHARP = 1.2


class Sheet:
    """Knows where a head in a given pose lies on a sheet of ``size`` (width, height) pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.origin = np.array([size[0] / 2, size[1] * 0.47])

    def grid(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The face coordinates x and y of every pixel, for a head at rest."""
        y, x = np.mgrid[0 : self.size[1], 0 : self.size[0]].astype(np.float32)
        return (x - self.origin[0]) / UNIT, (y - self.origin[1]) / UNIT

    def place(self, points: Points, pose: Pose, depth: float = 0.0) -> Points:
        """Face units to canvas pixels; ``depth`` is how far a part stands out of the head."""
        turned = points + np.array([pose.yaw * 0.16, pose.pitch * 0.12]) * depth
        angle = np.deg2rad(pose.roll)
        pivot = np.array([0.0, 1.9])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = (turned - pivot) @ rotation.T + pivot + np.array([pose.x, pose.y])
        return np.asarray(moved * UNIT + self.origin)

    def mask(self, outline: Points, blur: float = _SHARP) -> NDArray[np.float32]:
        """Coverage in [0, 1] of the filled ``outline`` (pixels), softened by ``blur`` pixels."""
        return _coverage(outline, self.size, blur)

    def fill(
        self,
        picture: Image,
        outline: Points,
        paint: Image | Colour,
        blur: float,
        pose: Pose,
        depth: float = 0.0,
        opacity: float = 1.0,
        inside: NDArray[np.float32] | None = None,
    ) -> None:
        """Paint ``outline`` (face units) onto ``picture``, only its bounding box being touched."""
        if opacity < 0.01:
            return
        placed = self.place(outline, pose, depth)
        margin = int(3 * blur) + 3
        left, top = np.maximum(np.floor(placed.min(axis=0)).astype(int) - margin, 0)
        right, bottom = np.minimum(
            np.ceil(placed.max(axis=0)).astype(int) + margin, np.array(self.size)
        )
        if right - left < 2 or bottom - top < 2:
            return
        cover = _coverage(placed - (left, top), (right - left, bottom - top), blur) * np.float32(
            opacity
        )
        if inside is not None:
            cover = cover * inside[top:bottom, left:right]
        region = picture[top:bottom, left:right]
        if isinstance(paint, tuple):
            source = np.full(region.shape, paint, np.uint8)
        else:
            source = np.ascontiguousarray(paint[top:bottom, left:right])
        under = np.ascontiguousarray(region)
        region[...] = cv2.blendLinear(under, source, 1.0 - cover, cover)

    def line(
        self,
        picture: Image,
        path: Points,
        width: float | NDArray[np.float64],
        paint: Colour,
        blur: float,
        pose: Pose,
        depth: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """A brush stroke along ``path``; ``width`` (face units) may vary along it."""
        self.fill(picture, ribbon(path, width), paint, blur, pose, depth, opacity)


def smooth(points: object, closed: bool = True, steps: int = 10) -> Points:
    """A Catmull-Rom curve through ``points``."""
    knots = np.asarray(points, np.float64)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        cubic = (3 * b - a - 3 * c + d) * t**3 + (2 * a - 5 * b + 4 * c - d) * t**2
        pieces.append(b + 0.5 * (cubic + (c - a) * t))
    curve = np.concatenate(pieces)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def ribbon(path: Points, width: float | NDArray[np.float64]) -> Points:
    """Outline of a brush stroke of ``width`` along ``path``."""
    along = np.linspace(0, 1, len(path))
    profile = np.atleast_1d(np.asarray(width, np.float64))
    half = 0.5 * np.interp(along, np.linspace(0, 1, len(profile)), profile)[:, None]
    direction = np.gradient(path, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    return np.concatenate([path + half * normal, (path - half * normal)[::-1]])


def _coverage(outline: Points, size: tuple[int, int], blur: float) -> NDArray[np.float32]:
    """How far each pixel of a (width, height) picture lies inside ``outline``, in [0, 1]."""
    shrink = 4 if blur >= 5 else 1  # a wide blur looks the same at a quarter of the resolution
    width, height = (-(-side // shrink) for side in size)
    mask = np.zeros((height, width), np.uint8)
    corners = np.round(outline / shrink * 2**_SUBPIXEL).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SUBPIXEL)
    soft = cv2.GaussianBlur(mask, (0, 0), blur / shrink)
    if shrink > 1:
        soft = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft, np.float32) / 255.0


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def darker(colour: Colour, by: float) -> Colour:
    red, green, blue = colour
    return int(red * by), int(green * by**1.15), int(blue * by**1.2)


def warmer(colour: Colour) -> Colour:
    red, green, blue = colour
    return min(red + 12, 255), green - 6, blue - 10


def lighter(colour: Colour, by: float) -> Colour:
    red, green, blue = (int(c + (255 - c) * by) for c in colour)
    return red, green, blue
