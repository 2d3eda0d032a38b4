"""The event log: one JSON object a line, in the system's hands as soon as an event has come."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from app.events import Event
from app.session.files import OpenFile, open_raw, write_all
from live_features.errors import UserFacingError

EVENTS = "events.jsonl"


class EventLog:
    """A sink that appends every event to ``events.jsonl`` of a folder.

    What it was called with survives the end of the process, and after :meth:`sync` that of the
    system.
    """

    def __init__(self, folder: Path, *, open_file: OpenFile = open_raw) -> None:
        """Start an empty log in an existing folder, or go on with one that ``open_file`` opens.

        Raises:
            OSError: the folder cannot be written.
        """
        self._file = open_file(folder / EVENTS)

    @classmethod
    def for_export(cls, folder: Path) -> Self:
        """Create the folder if need be and start an empty log.

        Raises:
            UserFacingError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(folder)
        except OSError as error:
            raise UserFacingError(
                f"The export folder {folder} cannot be written ({error.strerror}): choose another."
            ) from error

    def __call__(self, event: Event) -> None:
        # File names may hold what is no Unicode.
        write_all(self._file, (event.to_json() + "\n").encode("utf-8", "replace"))

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
