"""How well what a voice is measured by tells emotions apart, beside the paper's measure.

    uv run python -m tests.benchmarks.acoustics [--data ../shared/data]

Every RAVDESS clip becomes what CAM++ hears of how a voice speaks (``live_features.voices``), and
the 1582 functionals of openSMILE's INTERSPEECH 2010 paralinguistic set (Schuller et al. 2010),
which the paper reads. A logistic regression learns either from actors 1 to 18, or from all but four
of them, and is asked about the actors it has not heard: unweighted average recall of seven
emotions. CAM++ also tells who speaks in the same pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import opensmile
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from app.assets import VOICE_NETWORK
from app.default_corpus import ravdess_clips, spoken
from live_features import weights
from live_features.endpointing import Endpointer
from live_features.media import SAMPLE_RATE
from live_features.voice_activity import VoiceActivityDetector
from live_features.voices import VoiceEncoder

FOLDS = (range(19, 23), range(1, 5), range(5, 9), range(9, 13), range(13, 17))
"""Actors that are asked about; the first fold is the one that the checkpoint is measured on."""

_STRENGTHS = (0.0003, 0.001, 0.003)
_LEVEL = 0.05  # RMS that speech is brought to for openSMILE
_FARTHEST = 5.0  # standard deviations


class IS10:
    """openSMILE's functionals of speech at one level, float32 (1582,)."""

    def __init__(self) -> None:
        config = Path(opensmile.__file__).parent / "core/config/is09-13/IS10_paraling_compat.conf"
        self._smile = opensmile.Smile(feature_set=str(config), feature_level="func")

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        levelled = np.clip(samples * (_LEVEL / np.sqrt(np.mean(np.square(samples)))), -0.99, 0.99)
        values = self._smile.process_signal(levelled, SAMPLE_RATE).to_numpy()[0]
        return np.nan_to_num(values, posinf=0.0, neginf=0.0).astype(np.float32)


def measured(
    measure: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    speech: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], float]:
    """The features of every clip (N, D), and the median milliseconds that one took."""
    rows, took = [], []
    for samples in track(speech, "Measuring"):
        began = time.perf_counter()
        rows.append(measure(samples))
        took.append(time.perf_counter() - began)
    return np.stack(rows), 1000 * float(np.median(took))


def recall(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: NDArray[np.bool_],
    strength: float,
) -> float:
    """Unweighted average recall over the clips that are ``asked``, learned from the others."""
    mean, deviation = features[~asked].mean(0), features[~asked].std(0) + 1e-9
    x = np.clip((features - mean) / deviation, -_FARTHEST, _FARTHEST)
    model = LogisticRegression(C=strength, max_iter=300, class_weight="balanced")
    model.fit(x[~asked], labels[~asked])
    return float(recall_score(labels[asked], model.predict(x[asked]), average="macro"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.acoustics")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    silero = weights.packaged(weights.SILERO)
    clips, labels, actors = ravdess_clips(options.data / "ravdess")
    speech = [
        spoken(clip, Endpointer(VoiceActivityDetector(silero))) for clip in track(clips, "Reading")
    ]
    encoder = VoiceEncoder(VOICE_NETWORK)

    def cam(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        acoustic = encoder.listen(samples).acoustic
        assert acoustic is not None
        return acoustic

    table = Table(
        "features", "values", "actors 19-22", f"mean of {len(FOLDS)} fours", "ms for a clip"
    )
    result = {}
    for name, measure in (("what CAM++ hears", cam), ("openSMILE IS10", IS10())):
        features, milliseconds = measured(measure, speech)
        # The strength that does best over the folds, for either.
        scores = max(
            (
                [recall(features, labels, np.isin(actors, fold), strength) for fold in FOLDS]
                for strength in _STRENGTHS
            ),
            key=np.mean,
        )
        result[name] = {
            "values": features.shape[1],
            "recall_19_22": round(scores[0], 4),
            "recall_mean": round(float(np.mean(scores)), 4),
            "ms": round(milliseconds, 1),
        }
        table.add_row(
            name,
            str(features.shape[1]),
            f"{scores[0]:.1%}",
            f"{np.mean(scores):.1%}",
            f"{milliseconds:.0f}",
        )
    Console().print(table)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
