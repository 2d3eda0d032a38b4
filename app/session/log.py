"""The event log: one JSON object a line, written and flushed as events come."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from app.events import Event
from live_features.errors import UserFacingError


class EventLog:
    """A sink that appends every event to ``events.jsonl`` of a folder."""

    def __init__(self, folder: Path) -> None:
        """Create the folder if need be and start an empty log.

        Raises:
            UserFacingError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "events.jsonl").open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise UserFacingError(
                f"The export folder {folder} cannot be written ({error.strerror}): choose another."
            ) from error

    def __call__(self, event: Event) -> None:
        self._file.write(event.to_json() + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
