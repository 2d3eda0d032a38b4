"""What the live framing of faces costs the expression network.

    uv run python -m tests.benchmarks.framing [--data ../shared/data]

Pictures of FER2013's public test are put into a camera's picture, four times as large as they are,
found there by the detector and cropped as live faces are. The network reads these crops beside the
pictures in FER2013's own frame. The difference of the two accuracies is the cost; both are over the
pictures in which a face is found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from app.assets import ASSETS
from live_features.expression import FACE_SIZE, ExpressionEncoder, face_crop
from live_features.expression_training import read_faces
from live_features.faces import FaceDetector

_ENLARGED = 4
_CAMERA = (360, 640)


def in_a_camera(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """An RGB picture (360, 640, 3) with a grey face (48, 48) somewhere in it."""
    side = FACE_SIZE * _ENLARGED
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    picture = np.full(_CAMERA, int(face.mean()), np.uint8)
    top, left = (int(rng.integers(0, length - side)) for length in _CAMERA)
    picture[top : top + side, left : left + side] = large
    return np.repeat(picture[:, :, None], 3, axis=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.framing")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pictures", type=int, default=500)
    options = parser.parse_args(arguments)
    test = read_faces(options.data / "fer2013" / "public_test.npz")
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(test.labels), options.pictures, replace=False)
    detect = FaceDetector()
    own, live, labels = [], [], []
    for i in chosen:
        picture = in_a_camera(test.images[i], rng)
        if found := detect(picture):
            largest = max(found, key=lambda face: face.box[2] * face.box[3])
            own.append(test.images[i])
            live.append(face_crop(picture, largest.box))
            labels.append(test.labels[i])
    encode = ExpressionEncoder.load(ASSETS / "expression")
    answers = [encode(np.stack(crops))[1].argmax(axis=1) for crops in (own, live)]
    right = [answer == np.array(labels) for answer in answers]
    interval = 1.96 * (right[0].astype(float) - right[1]).std() / len(labels) ** 0.5
    Console().print(
        f"{len(labels)} of {options.pictures} faces found. Right in FER2013's frame: "
        f"{right[0].mean():.1%}, in the live frame: {right[1].mean():.1%} (95 % interval of the "
        f"difference: ± {interval:.1%}). The same answer in both: "
        f"{(answers[0] == answers[1]).mean():.1%}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
