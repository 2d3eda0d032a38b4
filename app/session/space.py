"""How much room a recording takes, and how much there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from app.session.media_writer import SOUND_BYTES
from live_features.media import SAMPLE_RATE, MediaInfo

_EVENT_BYTES = 3_000  # a second: five analysed pictures, a word or two, revised labels
_PIXEL_BITS = 0.12  # a pixel of H.264 as it is written here, people talking in a room


@dataclass(frozen=True, slots=True)
class Space:
    """``per_minute`` is an estimate in bytes; ``free`` bytes are there, None where nobody knows."""

    per_minute: int
    free: int | None

    @property
    def minutes(self) -> float | None:
        """How long a recording may become."""
        return None if self.free is None else self.free / self.per_minute

    def __str__(self) -> str:
        need = f"about {self.per_minute / 1e6:.0f} MB a minute"
        if self.free is None or self.minutes is None:
            return need
        hours = self.minutes / 60
        room = f"{hours:.0f} hours" if hours >= 2 else f"{self.minutes:.0f} minutes"
        return f"{need}, {self.free / 1e9:.1f} GB are free, which is enough for {room}"


def space_for(info: MediaInfo, folder: Path) -> Space:
    """What recording a source of this kind into ``folder``, which need not exist yet, takes."""
    sound = info.channels * SAMPLE_RATE * SOUND_BYTES
    pictures = info.width * info.height * info.frame_rate * _PIXEL_BITS / 8
    return Space(round(60 * (sound + pictures + _EVENT_BYTES)), _free(folder))


def _free(folder: Path) -> int | None:
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
