"""``features.jsonl``: what was measured of every utterance, so that it can be read again.

One JSON object a line: the index of the utterance, and for text, audio and visual the values as
little-endian float32 in base64, or null where the modality was missing. A line is written whole
before the label it led to is told, so whatever was shown has its features after the process was
killed. Where words were corrected a further line for the same utterance counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.session.files import OpenFile, open_raw, write_all
from live_features.emotions import MODALITIES

FEATURES = "features.jsonl"
MOST_BYTES = 1 << 30
"""No file of features is larger: 50,000 utterances, and many corrections."""

_MOST_VALUES = 16_384
_MOST_LINE_BYTES = 300_000
_VALUE = np.dtype("<f4")

Vectors = tuple[NDArray[np.float32] | None, ...]
"""Of text, audio and visual, float32 (D_m,); None where the modality is missing."""


class FeatureLog:
    """Appends the features of utterances to ``features.jsonl`` of a folder.

    What :meth:`add` returned for survives the end of the process, and after :meth:`sync` that of
    the system.
    """

    def __init__(self, folder: Path, *, open_file: OpenFile = open_raw) -> None:
        """Start an empty file in an existing folder, or go on with one that ``open_file`` opens.

        Raises:
            OSError: the folder cannot be written.
        """
        self._file = open_file(folder / FEATURES)

    def add(self, index: int, vectors: Vectors) -> None:
        """Keep what was measured of utterance ``index``.

        Raises:
            OSError: the disk does not take it.
        """
        values = {m: _packed(vector) for m, vector in zip(MODALITIES, vectors, strict=True)}
        line = json.dumps({"utterance": index, **values}) + "\n"
        write_all(self._file, line.encode("ascii"))

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_features(file: BinaryIO, utterances: int) -> Iterator[tuple[int, Vectors]]:
    """What :class:`FeatureLog` wrote, or a stranger in its place, of so many utterances.

    An incomplete last line is left out, and so is what led to a label that was never told.

    Raises:
        ValueError: a line is damaged; the message says in a few words how.
    """
    while line := file.readline(_MOST_LINE_BYTES + 1):
        if len(line) > _MOST_LINE_BYTES:
            raise ValueError("a line is too long")
        if not line.endswith(b"\n"):
            return
        try:
            told = json.loads(line)
        except RecursionError:
            raise ValueError("a line is nested too deeply") from None
        if not isinstance(told, dict) or told.keys() != {"utterance", *MODALITIES}:
            raise ValueError("a line does not have the promised form")
        index = told["utterance"]
        if type(index) is not int or index < 0:
            raise ValueError("there is no such utterance")
        vectors = tuple(_unpacked(told[modality]) for modality in MODALITIES)
        if index < utterances:
            yield index, vectors


def fit(vectors: Vectors, sizes: Sequence[int]) -> bool:
    """Whether each vector that is there has the size of its modality."""
    return all(v is None or v.shape == (size,) for v, size in zip(vectors, sizes, strict=True))


def _packed(vector: NDArray[np.float32] | None) -> str | None:
    if vector is None:
        return None
    return base64.b64encode(vector.astype(_VALUE).tobytes()).decode("ascii")


def _unpacked(value: Any) -> NDArray[np.float32] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("features are no text")
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("features are not base64") from None
    if len(data) % _VALUE.itemsize or not 0 < len(data) <= _MOST_VALUES * _VALUE.itemsize:
        raise ValueError("features have no sensible size")
    vector = np.frombuffer(data, _VALUE).astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("features are not finite")
    return vector
