"""Two drawn people: every frame is painted from an :class:`Expression` and a :class:`Pose`."""

from __future__ import annotations

import cv2
import numpy as np
from brushes import (
    OVERSAMPLE,
    Image,
    Points,
    Sheet,
    darker,
    ellipse,
    lighter,
    ribbon,
    smooth,
    warmer,
)
from expressions import Expression, Pose
from looks import Look, paint_room, paint_skin, paint_strands
from numpy.typing import NDArray


class Painter:
    """Paints one person on a panel of ``width`` x ``height`` pixels."""

    def __init__(self, look: Look, width: int, height: int) -> None:
        self._look = look
        self._size = (width, height)
        self._sheet = Sheet((width * OVERSAMPLE, height * OVERSAMPLE))
        self._room = paint_room(look, self._sheet)
        self._skin = paint_skin(look, self._sheet)
        self._strands = paint_strands(look, self._sheet)

    def paint(self, expression: Expression, pose: Pose) -> Image:
        """RGB of shape (height, width, 3)."""
        picture = self._room.copy()
        if self._look.long_hair:
            self._sheet.fill(picture, self._hair_behind(), self._strands, 2.0, pose)
        self._paint_body(picture, pose)
        self._paint_head(picture, expression, pose)
        small = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def _hair_behind(self) -> Points:
        return smooth(
            [(0, -1.66), (0.62, -1.52), (1.12, -0.95), (1.28, -0.1), (1.3, 0.9), (1.36, 1.75),
             (1.05, 2.25), (0.5, 2.3), (0, 2.2), (-0.5, 2.3), (-1.05, 2.25), (-1.36, 1.75),
             (-1.3, 0.9), (-1.28, -0.1), (-1.12, -0.95), (-0.62, -1.52)]
        )  # fmt: skip

    def _paint_body(self, picture: Image, pose: Pose) -> None:
        look = self._look
        still = Pose(x=pose.x * 0.3, y=pose.y * 0.3)
        broad = 1.75 if look.long_hair else 2.15
        slope = 2.25 if look.long_hair else 2.1
        shirt = smooth(
            [(0, 1.95), (0.55, 2.0), (broad * 0.75, slope), (broad, slope + 0.4),
             (broad + 0.3, 3.8), (0, 4.2), (-broad - 0.3, 3.8), (-broad, slope + 0.4),
             (-broad * 0.75, slope), (-0.55, 2.0)]
        )  # fmt: skip
        neck_width = 0.5 if look.long_hair else 0.62
        neck = smooth(
            [(-neck_width, 0.9), (-neck_width, 1.7), (-neck_width - 0.22, 2.08), (0, 2.6),
             (neck_width + 0.22, 2.08), (neck_width, 1.7), (neck_width, 0.9)]
        )  # fmt: skip
        self._sheet.fill(picture, shirt, look.shirt, 1.5, still)
        for side in (-1, 1):
            fold = np.array([(side * broad * 0.62, 2.5), (side * broad * 0.5, 3.6)])
            self._sheet.line(picture, fold, 0.25, darker(look.shirt, 0.75), 22, still, 0, 0.6)
        self._sheet.fill(picture, neck, darker(look.skin, 0.86), 1.5, pose)
        shadow = smooth([(-0.75, 1.2), (0, 1.5), (0.75, 1.2), (0.6, 1.72), (0, 1.95), (-0.6, 1.72)])
        inside = self._sheet.mask(self._sheet.place(neck, pose))
        self._sheet.fill(picture, shadow, darker(look.skin, 0.58), 16, pose, 0, 0.8, inside)
        base = neck_width + 0.22
        collar = smooth(
            [(-base - 0.04, 2.04), (-base * 0.62, 2.42), (0, 2.58), (base * 0.62, 2.42),
             (base + 0.04, 2.04)], closed=False,
        )  # fmt: skip
        self._sheet.line(
            picture, collar + np.array([0, 0.05]), 0.13, darker(look.shirt, 0.8), 2, still
        )

    # The head -----------------------------------------------------------------------------

    def _paint_head(self, picture: Image, e: Expression, pose: Pose) -> None:
        look = self._look
        for side in (-1, 1):
            self._paint_ear(picture, pose, side)
        drop = 0.2 * np.clip(e.open, 0, 1.2)
        outline = self._outline(drop)
        skin = self._moved_skin(pose)
        self._sheet.fill(picture, outline, skin, 1.5, pose)
        inside = self._sheet.mask(self._sheet.place(outline, pose))
        for side in (-1, 1):
            edge = np.array([(side * 1.02, -0.6), (side * 1.0, 0.5), (side * look.jaw, 1.2)])
            self._sheet.fill(
                picture, ribbon(smooth(edge, closed=False), 0.16), darker(look.skin, 0.66),
                16, pose, 0, 0.42, inside,
            )  # fmt: skip
        self._paint_creases(picture, e, pose)
        self._paint_nose(picture, e, pose)
        for side in (-1, 1):
            self._paint_eye(picture, e, pose, side)
            self._paint_brow(picture, e, pose, side)
        self._paint_mouth(picture, e, pose)
        self._paint_fringe(picture, pose, inside)

    def _moved_skin(self, pose: Pose) -> Image:
        corners = np.array([(-1.0, -1.0), (1.0, -1.0), (0.0, 1.5)])
        before = self._sheet.place(corners, Pose()).astype(np.float32)
        after = self._sheet.place(corners, pose, 0.6).astype(np.float32)
        matrix = cv2.getAffineTransform(before, after)
        moved = cv2.warpAffine(
            self._skin, matrix, self._sheet.size, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(moved, np.uint8)

    def _outline(self, drop: float) -> Points:
        jaw = self._look.jaw
        chin = 1.5 + drop
        right = [(0.55, -1.28), (0.93, -0.75), (1.0, -0.1), (0.96, 0.5), (jaw, 1.0 + drop * 0.6),
                 (jaw * 0.56, 1.36 + drop)]  # fmt: skip
        left = [(-x, y) for x, y in reversed(right)]
        return smooth([(0, -1.42), *right, (0, chin), *left])

    def _paint_ear(self, picture: Image, pose: Pose, side: int) -> None:
        ear = smooth(
            [(side * 0.94, -0.2), (side * 1.12, -0.26), (side * 1.16, 0.02), (side * 1.07, 0.36),
             (side * 0.95, 0.42)]
        )  # fmt: skip
        self._sheet.fill(picture, ear, darker(self._look.skin, 0.9), 1.5, pose, -0.4)
        groove = np.array([(side * 1.08, -0.15), (side * 1.1, 0.05), (side * 1.03, 0.25)])
        self._sheet.line(
            picture, smooth(groove, closed=False), 0.06, darker(self._look.skin, 0.6), 4, pose,
            -0.4, 0.7,
        )  # fmt: skip

    def _paint_creases(self, picture: Image, e: Expression, pose: Pose) -> None:
        dark = darker(self._look.skin, 0.55)
        glow = lighter(warmer(self._look.skin), 0.2)
        for side in (-1, 1):
            socket = ellipse(side * 0.42, -0.1, 0.3, 0.17)
            self._sheet.fill(picture, socket, dark, 13, pose, 0.3, 0.22 + 0.15 * e.squeeze)
            bag = np.array([(side * 0.2, 0.17), (side * 0.42, 0.24), (side * 0.62, 0.16)])
            self._sheet.line(
                picture, smooth(bag, closed=False), 0.03, dark, 3, pose, 0.4,
                0.14 + 0.38 * max(e.squint, e.pout * 0.7),
            )  # fmt: skip
            lift = 0.14 * e.cheeks
            cheek = ellipse(side * 0.6, 0.5 - lift, 0.24, 0.17)
            self._sheet.fill(picture, cheek, glow, 14, pose, 0.5, 0.2 + 0.45 * e.cheeks)
            reach = 0.46 + 0.12 * e.wide
            bow = 0.33 + 0.05 * e.cheeks
            fold = np.array(
                [(side * 0.2, 0.5), (side * bow, 0.66), (side * reach, 0.98 - 0.08 * e.corners)]
            )
            self._sheet.line(
                picture, smooth(fold, closed=False), np.array([0.015, 0.045, 0.01]), dark, 3.5,
                pose, 0.6, 0.1 + 0.6 * e.folds,
            )  # fmt: skip
            frown = np.array(
                [
                    (side * (0.1 - 0.03 * e.squeeze), -0.42),
                    (side * 0.07, -0.28),
                    (side * 0.1, -0.16),
                ]
            )
            self._sheet.line(
                picture, smooth(frown, closed=False), 0.035, dark, 3, pose, 0.5,
                0.75 * np.clip(e.squeeze, 0, 1),
            )  # fmt: skip
            for row in range(3):
                bridge = np.array(
                    [(side * 0.02, 0.02 + 0.09 * row), (side * 0.13, -0.05 + 0.09 * row)]
                )
                self._sheet.line(picture, bridge, 0.028, dark, 2.5, pose, 0.7, 0.7 * e.wrinkle)
        for row in range(3):
            y = -0.74 - 0.13 * row
            arch = 0.06 * e.outer
            path = smooth([(-0.5, y + 0.03), (-0.2, y - arch), (0.2, y - arch), (0.5, y + 0.03)],
                           closed=False)  # fmt: skip
            self._sheet.line(picture, path, 0.03, dark, 3, pose, 0.4, 0.5 * e.forehead)

    def _paint_nose(self, picture: Image, e: Expression, pose: Pose) -> None:
        dark, light = darker(self._look.skin, 0.58), lighter(self._look.skin, 0.5)
        lift = -0.06 * e.wrinkle - 0.03 * e.sneer
        flare = 1 + 0.18 * e.sneer + 0.12 * e.square
        bridge = np.array([(0.1, -0.12), (0.12, 0.2), (0.16, 0.5 + lift)])
        self._sheet.line(picture, smooth(bridge, closed=False), 0.09, dark, 9, pose, 0.8, 0.32)
        ridge = np.array([(-0.02, -0.1), (-0.02, 0.3), (-0.02, 0.5 + lift)])
        self._sheet.line(picture, ridge, 0.08, light, 8, pose, 0.9, 0.5)
        self._sheet.fill(picture, ellipse(-0.03, 0.54 + lift, 0.1, 0.07), light, 7, pose, 1.0, 0.55)
        for side in (-1, 1):
            wing = np.array(
                [(side * 0.17 * flare, 0.47 + lift), (side * 0.225 * flare, 0.58 + lift),
                 (side * 0.15, 0.66 + lift)]
            )  # fmt: skip
            self._sheet.line(picture, smooth(wing, closed=False), 0.035, dark, 3, pose, 0.9, 0.65)
            nostril = ellipse(side * 0.1 * flare, 0.655 + lift, 0.055 * flare, 0.028)
            self._sheet.fill(picture, nostril, darker(self._look.skin, 0.3), 2, pose, 0.9, 0.85)
        under = np.array([(-0.16, 0.7 + lift), (0, 0.725 + lift), (0.16, 0.7 + lift)])
        self._sheet.line(picture, smooth(under, closed=False), 0.05, dark, 5, pose, 0.9, 0.5)

    def _paint_eye(self, picture: Image, e: Expression, pose: Pose, side: int) -> None:
        look = self._look
        centre = np.array([side * 0.42, 0.0])
        half, tall = 0.225, 0.092
        t = np.linspace(-1, 1, 25)
        arc = np.sqrt(np.clip(1 - np.abs(t) ** 2.3, 0, 1))
        x = centre[0] + half * t
        tilt = -0.02 * t * side
        sad = 0.05 * np.clip(e.inner - e.outer, -1.5, 1.5) * t * side * (e.lids < 1.2)
        closed = 0.055
        upper_y = (
            closed + tilt - arc * (tall * e.lids * 1.1 + closed * min(e.lids, 1.0)) + sad * arc
        )
        lower_y = closed + tilt + arc * (0.05 + 0.03 * min(e.lids, 1.0) - 0.08 * e.squint)
        lower_y = np.maximum(lower_y, upper_y + 0.006)
        upper = np.stack([x, upper_y], axis=1)
        lower = np.stack([x, lower_y], axis=1)
        opening = np.concatenate([upper, lower[::-1]])
        self._sheet.fill(picture, opening, (232, 226, 222), 1.4, pose, 0.5)
        inside = self._sheet.mask(self._sheet.place(opening, pose, 0.5), 1.4)
        iris = centre + np.array([0.075 * (e.gaze_x + 0.5 * pose.yaw), -0.005 + 0.06 * e.gaze_y])
        radius = 0.108
        for scale, colour in (
            (1.0, darker(look.iris, 0.5)),
            (0.86, look.iris),
            (0.6, lighter(look.iris, 0.18)),
            (0.46, (14, 12, 14)),
        ):
            disc = ellipse(*iris, radius * scale, radius * scale)
            self._sheet.fill(picture, disc, colour, 1.6, pose, 0.5, 1.0, inside)
        glint = ellipse(iris[0] - 0.04, iris[1] - 0.045, 0.028, 0.028)
        self._sheet.fill(picture, glint, (255, 255, 255), 1.2, pose, 0.5, 0.95, inside)
        shade = ribbon(upper + np.array([0, 0.02]), 0.07)
        self._sheet.fill(picture, shade, (60, 44, 44), 5, pose, 0.5, 0.5, inside)
        lash = np.array([0.01, 0.03, 0.04, 0.045, 0.03]) * (0.6 + 0.5 * look.lashes)
        path = upper if side > 0 else upper[::-1]
        self._sheet.line(picture, path, lash, (34, 22, 22), 1.4, pose, 0.5, 0.95)
        if look.lashes > 0.8:
            tip = np.array([path[-3], path[-1] + (side * 0.05, -0.035)])
            self._sheet.line(
                picture, tip, np.array([0.035, 0.006]), (34, 22, 22), 1.3, pose, 0.5, 0.95
            )
        self._sheet.line(picture, lower, 0.014, darker(look.skin, 0.45), 1.6, pose, 0.5, 0.7)
        crease = upper + np.stack([0 * t, -0.05 - 0.02 * arc], axis=1)
        self._sheet.line(
            picture, crease[2:-2], 0.02, darker(look.skin, 0.5), 2, pose, 0.5,
            0.7 * np.clip(1.5 - e.lids * 0.6, 0, 1),
        )  # fmt: skip

    def _paint_brow(self, picture: Image, e: Expression, pose: Pose, side: int) -> None:
        look = self._look
        low = 0.03 if look.brow > 0.1 else 0.0
        path = np.array(
            [(side * (0.17 - 0.06 * e.squeeze), -0.26 + low - 0.17 * e.inner),
             (side * 0.36, -0.345 + low - 0.11 * e.inner - 0.07 * e.outer),
             (side * 0.55, -0.345 + low - 0.05 * e.inner - 0.14 * e.outer),
             (side * 0.72, -0.245 + low - 0.02 * e.inner - 0.16 * e.outer)]
        )  # fmt: skip
        thick = look.brow * np.array([0.8, 1.1, 1.0, 0.7, 0.25])
        dark = darker(look.hair, 0.8)
        self._sheet.line(picture, smooth(path, closed=False), thick, dark, 2.4, pose, 0.5, 0.92)

    def _paint_mouth(self, picture: Image, e: Expression, pose: Pose) -> None:
        look = self._look
        t = np.linspace(-1, 1, 41)
        half = 0.37 * (1 + 0.34 * e.wide - 0.08 * e.pout)
        x = half * t
        # Raised corners bend the whole line; the middle gives way a little the other way.
        rest = 1.03 - 0.04 * e.pout - 0.015 * e.sneer
        line = rest + 0.15 * e.corners * (0.35 - np.abs(t) ** 1.7)
        power = 0.62 - 0.37 * np.clip(e.square, 0, 1)
        gape = np.clip(1 - t**2, 0, 1) ** power
        opening = max(e.open, 0.0)
        sneer = 0.09 * e.sneer * np.exp(-(((np.abs(t) - 0.45) / 0.4) ** 2))
        upper_inner = line - gape * 0.1 * opening - sneer
        lower_inner = line + gape * 0.46 * opening + 0.2 * sneer
        bow = np.clip(1 - np.abs(t) ** 1.8, 0, 1) - 0.28 * np.exp(-((t / 0.16) ** 2))
        upper_outer = upper_inner - 0.085 * look.lip * bow * (1 - 0.35 * e.square)
        plump = np.clip(1 - t**2, 0, 1) ** 0.6 * (1 - 0.3 * e.square + 0.2 * e.pout)
        lower_outer = lower_inner + 0.125 * look.lip * plump
        depth = 0.9

        def between(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> Points:
            return np.concatenate([np.stack([x, top], axis=1), np.stack([x, bottom], axis=1)[::-1]])

        dark = darker(look.skin, 0.55)
        under = ellipse(0, float(lower_outer[20]) + 0.08, 0.2, 0.045)
        self._sheet.fill(picture, under, dark, 9, pose, depth, 0.4 + 0.25 * e.pout)
        groove = np.array([(0.0, 0.76), (0.0, float(upper_outer[20]) - 0.02)])
        self._sheet.line(picture, groove, 0.06, dark, 5, pose, depth, 0.22)
        if e.pout > 0.05:
            dimple = ellipse(0, 1.36, 0.16, 0.08)
            self._sheet.fill(picture, dimple, dark, 7, pose, depth, 0.4 * e.pout)
        cavity = between(upper_inner, lower_inner)
        self._sheet.fill(picture, between(upper_outer, lower_outer), look.lips, 1.8, pose, depth)
        self._sheet.fill(
            picture, between(upper_outer, upper_inner), darker(look.lips, 0.85), 1.6, pose, depth
        )
        shine = ellipse(-0.05, float(lower_inner[20] + lower_outer[20]) / 2, 0.13, 0.02)
        self._sheet.fill(picture, shine, lighter(look.lips, 0.5), 4, pose, depth, 0.5 * look.lip)
        if float((lower_inner - upper_inner).max()) > 0.02:
            self._sheet.fill(picture, cavity, (66, 22, 26), 1.5, pose, depth)
            inside = self._sheet.mask(self._sheet.place(cavity, pose, depth), 1.4)
            tongue = ellipse(0, float(lower_inner[20]) + 0.02, half * 0.62, 0.13 * opening + 0.02)
            self._sheet.fill(picture, tongue, (190, 92, 94), 5, pose, depth, 0.85, inside)
            shown = 0.3 + 0.7 * np.clip(e.teeth, 0, 1)
            edge = upper_inner + 0.115 * shown * np.clip(1 - t**4, 0, 1) ** 0.5
            self._sheet.fill(
                picture, between(upper_inner - 0.02, edge), (248, 245, 238), 1.5, pose, depth,
                min(1.0, 0.25 + e.teeth + 2 * opening), inside,
            )  # fmt: skip
            if e.square > 0.1:
                edge = lower_inner - 0.085 * e.square * np.clip(1 - t**4, 0, 1) ** 0.5
                self._sheet.fill(
                    picture, between(edge, lower_inner + 0.02), (238, 232, 222), 1.5, pose, depth,
                    np.clip(e.square, 0, 1), inside,
                )  # fmt: skip
        seam = np.stack([x, (upper_inner + lower_inner) / 2], axis=1)
        shut = np.clip(1 - 12 * opening - 6 * float(sneer.max()), 0, 1)
        self._sheet.line(
            picture, seam, 0.022, darker(look.lips, 0.42), 1.6, pose, depth, 0.85 * shut
        )
        for side in (0, -1):
            corner = ellipse(float(x[side]), float(line[side]), 0.045, 0.03)
            self._sheet.fill(picture, corner, darker(look.skin, 0.5), 4, pose, depth, 0.55)

    def _paint_fringe(self, picture: Image, pose: Pose, inside: NDArray[np.float32]) -> None:
        shadow = darker(self._look.skin, 0.6)
        if self._look.long_hair:
            part = [(-0.32, -1.2), (0.15, -0.98), (0.62, -0.72), (0.86, -0.3), (0.93, 0.35)]
            other = [(-0.32, -1.2), (-0.62, -0.92), (-0.85, -0.45), (-0.94, 0.35)]
            right = smooth(
                [*part, (0.98, 1.0), (1.12, 1.75), (1.3, 1.6), (1.27, 0.4), (1.22, -0.4),
                 (1.02, -1.1), (0.55, -1.55), (0.0, -1.66), (-0.3, -1.58)]
            )  # fmt: skip
            left = smooth(
                [*other, (-0.98, 1.0), (-1.12, 1.75), (-1.3, 1.6), (-1.27, 0.4), (-1.22, -0.4),
                 (-1.02, -1.1), (-0.62, -1.5), (-0.3, -1.58)]
            )  # fmt: skip
            locks = (right, left)
        else:
            locks = (
                smooth(
                    [(-0.97, -0.28), (-0.93, -0.62), (-0.72, -0.98), (-0.3, -0.92), (0.2, -1.02),
                     (0.68, -0.94), (0.92, -0.6), (0.97, -0.28), (1.07, -0.5), (1.06, -1.0),
                     (0.78, -1.5), (0.2, -1.74), (-0.45, -1.66), (-0.92, -1.32), (-1.08, -0.85),
                     (-1.06, -0.5)]
                ),
            )  # fmt: skip
        for lock in locks:
            self._sheet.fill(
                picture, lock + np.array([0, 0.07]), shadow, 10, pose, 0.2, 0.45, inside
            )
        for lock in locks:
            self._sheet.fill(picture, lock, self._strands, 2.0, pose, 0.2)
