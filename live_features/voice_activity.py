"""How likely somebody is speaking, frame by frame: Silero VAD on ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE
from live_features.weights import Weights

FRAME = 512
"""Samples the detector reads at a time, 32 ms."""

_CONTEXT = 64


class VoiceActivityDetector:
    """A recurrent detector; one instance follows one stream."""

    def __init__(self, weights: Weights) -> None:
        options = onnxruntime.SessionOptions()
        # A frame is far too little work to share between threads.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(weights.folder / "silero_vad.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._rate = np.array(SAMPLE_RATE, dtype=np.int64)
        self._state: NDArray[np.float32]
        self._context: NDArray[np.float32]
        self.reset()

    def __call__(self, frame: NDArray[np.float32]) -> float:
        """Probability of speech in the next :data:`FRAME` mono samples."""
        signal = np.concatenate([self._context, frame])[None]  # (1, 64 + 512)
        probability, self._state = self._session.run(
            None, {"input": signal, "state": self._state, "sr": self._rate}
        )
        self._context = frame[-_CONTEXT:]
        return float(probability[0, 0])

    def reset(self) -> None:
        """Forget the stream, as before its first frame."""
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)
