"""Files that hold everything they were given, also when the process is killed the next moment."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_PIECE = 65_536


class RawFile(Protocol):
    """An unbuffered file: what :meth:`write` has returned for is in the system's hands."""

    def write(self, data: bytes, /) -> int | None: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


OpenFile = Callable[[Path], RawFile]
"""Creates a file and opens it for writing; raises ``OSError``."""


def open_raw(path: Path) -> RawFile:
    """Create a file, or empty one, for unbuffered writing."""
    return path.open("wb", buffering=0)


def open_to_append(path: Path) -> RawFile:
    """Open a file of lines, or create one, to go on with it; half a line at its end is cut off.

    Raises:
        OSError: it may not be written, or is a link or something else than a plain file.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is a link or no file at all", str(path))
    file = path.open("r+b" if path.exists() else "x+b", buffering=0)
    end = file.seek(0, os.SEEK_END)
    whole = end
    while whole > 0:
        start = max(0, whole - _PIECE)
        file.seek(start)
        newline = (file.read(whole - start) or b"").rfind(b"\n")
        if newline >= 0:
            whole = start + newline + 1
            break
        whole = start
    if whole < end:
        file.truncate(whole)
    file.seek(whole)
    return file


def write_all(file: RawFile, data: bytes) -> None:
    """Write all of ``data``; an unbuffered file may take it in parts."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(bytes(rest)) or 0 :]


def write_whole(path: Path, data: bytes, open_file: OpenFile) -> None:
    """A small file that is there as a whole or not at all, whatever happens meanwhile."""
    beside = path.with_name(path.name + ".part")
    file = open_file(beside)
    try:
        write_all(file, data)
        os.fsync(file.fileno())
    finally:
        file.close()
    beside.replace(path)
