"""Speech that is played faster or slower and keeps its pitch."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from live_features.media import SAMPLE_RATE

SLOWEST, FASTEST = 0.5, 4.0
"""Beyond these speech is noise."""

_AT_ONCE = 2.0  # a faster filter leaves sound out instead of blending it


class Tempo:
    """Sound at ``speed`` times its pace, by FFmpeg's ``atempo``, which overlaps and adds.

    Raises ``ValueError`` for a speed below :data:`SLOWEST` or above :data:`FASTEST`.
    """

    def __init__(self, speed: float, channels: int) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"a speed of {speed} is not between {SLOWEST} and {FASTEST}")
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._taken = 0
        self._graph: Any = None
        if speed != 1.0:
            self._graph = self._made(speed)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What can be told already of ``samples``, both float32 of shape (n, channels)."""
        if self._graph is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout=self._layout
        )
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = self._taken
        self._taken += len(samples)
        self._graph.push(frame)
        return self._made_of_it()

    def finish(self) -> NDArray[np.float32]:
        """What was kept back for want of what comes next; nothing may follow."""
        if self._graph is None or not self._taken:
            return np.zeros((0, self._channels), np.float32)
        self._graph.push(None)
        return self._made_of_it()

    def _made_of_it(self) -> NDArray[np.float32]:
        parts = [np.zeros((0, self._channels), np.float32)]
        while True:
            try:
                heard = self._graph.pull().to_ndarray()
            except (av.BlockingIOError, av.EOFError):
                return np.concatenate(parts)
            parts.append(heard.reshape(-1, self._channels))

    def _made(self, speed: float) -> Any:
        graph = av.filter.Graph()
        nodes = [
            graph.add_abuffer(
                sample_rate=SAMPLE_RATE,
                format="flt",
                layout=self._layout,
                time_base=Fraction(1, SAMPLE_RATE),
            )
        ]
        rest = speed
        while rest > _AT_ONCE:
            nodes.append(graph.add("atempo", str(_AT_ONCE)))
            rest /= _AT_ONCE
        nodes.append(graph.add("atempo", str(rest)))
        nodes.append(graph.add("aformat", f"sample_fmts=flt:channel_layouts={self._layout}"))
        nodes.append(graph.add("abuffersink"))
        graph.link_nodes(*nodes)
        graph.configure()
        return graph
