"""One process of an extraction: loads the live blocks once, and stores what it measures.

Apart from what starts the processes, so that each imports no more than it needs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from app.extraction import Extractors, Measured
from live_features.corpora import CorpusRecording
from live_features.errors import UserFacingError
from live_features.expression import EMBEDDING_SIZE
from live_features.voices import ACOUSTIC_SIZE
from sdt_model.errors import SDTError
from sdt_model.files import read_tensors, write_tensors

_EXTRACTORS: ContextVar[Extractors] = ContextVar("extractors")
"""This process's own."""


def begin() -> None:
    """To be run in a new process before :func:`measure`; it ends with the one that started it."""
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # There is a process a core already.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _EXTRACTORS.set(Extractors())


def _end_with_parent() -> None:
    """A pool's idle worker does not notice by itself that the first process was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def measure(recording: CorpusRecording, path: Path, made_of: str) -> str | None:
    """Measure ``recording`` and store it at ``path``; the reason where it cannot be read.

    Raises:
        SDTError: ``path`` cannot be written.
    """
    try:
        measured = _EXTRACTORS.get()(recording)
    except (UserFacingError, av.FFmpegError, ValueError) as error:
        return str(error)
    present = np.array([[m.audio is not None, m.visual is not None] for m in measured])
    tensors = {
        "audio": torch.from_numpy(rows([m.audio for m in measured], ACOUSTIC_SIZE)),
        "visual": torch.from_numpy(rows([m.visual for m in measured], EMBEDDING_SIZE)),
        "present": torch.from_numpy(present),
    }
    write_tensors(path, tensors, {"made_of": made_of})
    return None


def load_measured(path: Path, made_of: str) -> tuple[Measured, ...] | None:
    """What :func:`measure` stored; None where missing, damaged or ``made_of`` something else."""
    if not path.exists():
        return None
    try:
        tensors, metadata, _ = read_tensors(path)
    except SDTError:
        return None
    if metadata.get("made_of") != made_of:
        return None
    audio, visual, present = (tensors[name].numpy() for name in ("audio", "visual", "present"))
    return tuple(
        Measured(a if heard else None, v if seen else None)
        for a, v, (heard, seen) in zip(audio, visual, present, strict=True)
    )


def rows(vectors: Sequence[NDArray[np.float32] | None], size: int) -> NDArray[np.float32]:
    """(N, size), with zeros where there is no vector."""
    return np.stack([np.zeros(size, np.float32) if v is None else v for v in vectors])
