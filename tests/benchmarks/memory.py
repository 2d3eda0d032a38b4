"""How much memory this process holds."""

from __future__ import annotations

import psutil


def resident_megabytes() -> int:
    """Megabytes of memory now in use by this process."""
    return round(psutil.Process().memory_info().rss / 1e6)
