"""Reading and writing safetensors files whole, so that a file is either the old or the new one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from sdt_model.errors import SDTError


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step: a reader, or a crash, never meets half a file.

    Raises :class:`SDTError` when the file cannot be written.
    """
    if not path.name:
        raise SDTError(f"{path} is a folder: name a file")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise SDTError(
            f"{path} cannot be written ({error.strerror}): check free space and permissions"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file; the SHA-256 of its bytes, in hexadecimal, comes back."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(contiguous, dict(metadata))
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """The tensors, the metadata and the SHA-256 of a safetensors file.

    The file is read whole rather than mapped: on Windows a mapped file cannot be replaced. Raises
    :class:`SDTError` when it cannot be read or is not a safetensors file.
    """
    data = read_bytes(path)
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise SDTError(
            f"{path} is damaged or not a safetensors file: copy or make it again"
        ) from error
    # A safetensors file opens with the length of its JSON header, in eight bytes.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__", {}), hashlib.sha256(data).hexdigest()


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises :class:`SDTError` when there are none to be had."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SDTError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise SDTError(
            f"{path} cannot be read ({error.strerror}): check the path and permissions"
        ) from error
