"""Weights on their way from the hub: how far they are, and how to give up on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_MEGABYTE = 1e6
# Xet tells of bytes from the network apart from those that it makes the files of.
_NOT_FILES = "Downloading bytes"


@dataclass(frozen=True, slots=True)
class Fetching:
    """``done`` bytes of a model are here; ``total`` is None while nobody knows, and may grow."""

    model: str
    done: int = 0
    total: int | None = None

    @property
    def share(self) -> float | None:
        """How much of it is here, None while nobody knows."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def sentence(self) -> str:
        if not self.total:
            return f"{self.model} is being fetched from the Hugging Face hub, once."
        return (
            f"{self.model} is being fetched from the Hugging Face hub, once: "
            f"{self.done / _MEGABYTE:.0f} of {self.total / _MEGABYTE:.0f} MB."
        )


Progress = Callable[[Fetching], None]
"""Is told, from any thread, how far a fetch is; what it raises ends the fetch."""


def bar_that_tells(model: str, tell: Progress) -> Any:
    """A ``tqdm_class`` for ``huggingface_hub`` that draws nothing, and tells ``tell`` instead."""
    from tqdm.auto import tqdm  # noqa: PLC0415

    lock = threading.Lock()

    class Bar(tqdm):
        monitor_interval = 0  # nothing to draw again, so no thread that does it

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            self._counts_bytes = kwargs.get("unit") == "B" and kwargs.get("desc") != _NOT_FILES

        def update(self, n: float | None = 1) -> None:
            if not self._counts_bytes:
                return
            with lock:
                self.n += n or 0
                now = Fetching(model, round(self.n), round(self.total) if self.total else None)
            tell(now)

    return Bar
