"""A stand-in for ``huggingface_hub.snapshot_download``, which fetches from nowhere.

    hub = StandInHub(tmp_path, {"model.safetensors": 12_000_000}, monkeypatch)

Like the real one (2.4) it makes one bar of bytes for all files and one that counts files, from the
class it is given, and adds to them from threads of its own.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

CHUNK = 1_000_000


class StandInHub:
    """Holds ``files``, name to size in bytes, for whatever repository is asked for.

    Fetching stops half-way through until ``may_go_on`` is set. ``offline`` is a machine without a
    network.
    """

    def __init__(
        self, folder: Path, files: dict[str, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.files = files
        self.offline = False
        self.may_go_on = threading.Event()
        self.half_way = threading.Event()
        self.asked: list[str] = []
        monkeypatch.setattr("huggingface_hub.snapshot_download", self)

    def __call__(
        self, repo_id: str, *, local_files_only: bool = False, tqdm_class: Any = None, **_: Any
    ) -> str:
        place = self.folder / repo_id.replace("/", "--")
        if all((place / name).is_file() for name in self.files):
            return str(place)
        if local_files_only:
            raise LocalEntryNotFoundError("nothing in the cache")
        self.asked.append(repo_id)
        if self.offline:
            raise LocalEntryNotFoundError("Cannot reach the hub")
        with (
            tqdm_class(total=0, unit="B", unit_scale=True, desc="Reconstructing") as of_bytes,
            tqdm_class(total=len(self.files), desc="Fetching files") as of_files,
            ThreadPoolExecutor(2) as pool,
        ):
            jobs = [
                pool.submit(self._fetch, place / name, size, of_bytes)
                for name, size in self.files.items()
            ]
            for job in jobs:
                job.result()
                of_files.update(1)
        return str(place)

    def _fetch(self, file: Path, size: int, bar: Any) -> None:
        bar.total = (bar.total or 0) + size
        bar.refresh()
        for chunk in range(size // CHUNK):
            if chunk == size // CHUNK // 2:
                self.half_way.set()
                while not self.may_go_on.wait(0.01):
                    bar.update(0)
            bar.update(CHUNK)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
