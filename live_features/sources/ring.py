"""A bounded line of samples from an audio callback to whoever reads them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Gap:
    """Sound is missing here: ``frames`` of it, as far as that is known."""

    frames: int


class SampleRing:
    """One thread writes and one reads; neither ever waits for the other.

    When the ring is full what does not fit is left out, and a :class:`Gap` of that length stands
    in its place.
    """

    def __init__(self, frames: int, channels: int) -> None:
        """Room for ``frames`` samples of each channel, taken at once."""
        self._samples = np.zeros((frames, channels), np.float32)
        self._gaps: deque[tuple[int, int]] = deque()
        # Each is set by one side alone.
        self._written = self._missing = 0
        self._read = self._skipped = 0
        self._waiting: int | None = None

    @property
    def heard(self) -> int:
        """Frames written so far, with those that are missing; for the writer."""
        return self._written + self._missing

    @property
    def taken(self) -> int:
        """Frames read so far, with those that are missing; for the reader."""
        return self._read + self._skipped

    def write(self, samples: NDArray[np.float32]) -> None:
        """``samples`` has the shape (n, channels)."""
        size = len(self._samples)
        kept = samples[: size - (self._written - self._read)]
        if len(kept):
            self.settle()
            start = self._written % size
            first = kept[: size - start]
            self._samples[start : start + len(first)] = first
            self._samples[: len(kept) - len(first)] = kept[len(first) :]
            self._written += len(kept)
        if len(kept) < len(samples):
            self.skip(len(samples) - len(kept))

    def skip(self, frames: int) -> None:
        """``frames``, 0 where their number is not known, were lost before they came here."""
        self._missing += frames
        self._waiting = (self._waiting or 0) + frames

    def settle(self) -> None:
        """Let a gap be read that nothing has been written after; for the writer."""
        if self._waiting is not None:
            self._gaps.append((self._written, self._waiting))
            self._waiting = None

    def read(self, most: int) -> NDArray[np.float32] | Gap | None:
        """What comes next, up to ``most`` frames of it, or None for nothing yet."""
        end = self._written
        if self._gaps:
            at, frames = self._gaps[0]
            if at == self._read:
                if frames > most:
                    # The writer only appends, so the first is the reader's own.
                    self._gaps[0] = (at, frames - most)
                else:
                    self._gaps.popleft()
                self._skipped += min(frames, most)
                return Gap(min(frames, most))
            end = min(end, at)
        count = min(end - self._read, most)
        if count <= 0:
            return None
        places = np.arange(self._read, self._read + count) % len(self._samples)
        samples = self._samples[places]
        self._read += count
        return samples
