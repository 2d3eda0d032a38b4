"""What a face shows: a small dense network on 48x48 grey faces, its embedding and seven classes.

The network is densely connected (Huang et al. 2017: every layer reads the concatenation of all
earlier feature maps of its block, eq. 2 there) and its penultimate layer has 342 entries, as the
DenseNet features of SDT's paper have. An expression is not a feeling: these are the classes people
gave to photographs.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError

FACE_SIZE = 48
"""Pixels on a side of the grey crop the network reads."""
EMBEDDING_SIZE = 342

WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"

Box: TypeAlias = tuple[float, float, float, float]
"""(left, top, width, height) as fractions of the frame's width and height."""

# Below this standard deviation (grey levels) a crop holds noise rather than a face, and stretching
# it to unit contrast would show the network nothing but that noise.
_LEAST_CONTRAST = 4.0
_BATCH = 128

# Where FER2013's frame lies around the face box MTCNN finds in its pictures (medians over 221 of
# them): a square whose side follows the box's area, its centre a little above the box's.
_CROP_SCALE = 1.09
_CROP_RISE = 0.027


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Widths of the network: of the two convolutions before the dense blocks, then per block the
    growth and number of layers.

    ``transitions`` are the widths after the 1x1 convolutions between blocks; the last block's width
    (its transition plus growth x layers) is the size of the embedding.
    """

    stem: tuple[int, int] = (16, 48)
    growth: tuple[int, ...] = (64, 96, 73)
    layers: tuple[int, ...] = (2, 3, 2)
    transitions: tuple[int, ...] = (96, 196)
    dropout: float = 0.3


@dataclass(frozen=True, slots=True)
class VisualFeatures:
    """The face of one utterance.

    ``embedding`` (342,) and ``expression`` (7,), in MELD order, are float32 means over the
    ``frames`` analysed frames of face ``track``.
    """

    embedding: NDArray[np.float32]
    expression: NDArray[np.float32]
    frames: int
    track: int


class DenseBlock(nn.Module):
    """Layers that each append ``growth`` feature maps to all maps before them."""

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _convolution(width + growth * index, growth, kernel=3) for index in range(layers)
        )
        self.width = width + growth * layers

    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.layers:
            maps = torch.cat((maps, layer(maps)), dim=1)
        return maps


class ChannelAttention(nn.Module):
    """Weighs every feature map by what all maps show on average (Hu et al. 2018, eq. 2-4)."""

    _REDUCTION = 8

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, width // self._REDUCTION)
        self.excite = nn.Linear(width // self._REDUCTION, width)

    def forward(self, maps: Tensor) -> Tensor:
        weights = self.excite(torch.relu(self.squeeze(maps.mean(dim=(2, 3))))).sigmoid()
        return maps * weights[:, :, None, None]


class ExpressionNetwork(nn.Module):
    """(n, 1, 48, 48) normalised faces to 7 logits; every embedding entry is a mean of ReLU maps.

    Maps are weighed by :class:`ChannelAttention` after every dense block but the first, whose maps
    are large and local.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        fine, width = self.config.stem
        stages: list[nn.Module] = [
            _convolution(1, fine, kernel=3),
            _convolution(fine, width, kernel=3, stride=2),
        ]
        for index, (growth, layers) in enumerate(
            zip(self.config.growth, self.config.layers, strict=True)
        ):
            if index:
                narrowed = self.config.transitions[index - 1]
                stages += [_convolution(width, narrowed, kernel=1), nn.AvgPool2d(2)]
                width = narrowed
            block = DenseBlock(width, growth, layers)
            stages.append(block)
            width = block.width
            if index:
                stages.append(ChannelAttention(width))
        if width != EMBEDDING_SIZE:
            raise ValueError(f"these widths give an embedding of {width}, not {EMBEDDING_SIZE}")
        self.features = nn.Sequential(*stages)
        self.dropout = nn.Dropout(self.config.dropout)
        self.classifier = nn.Linear(width, len(EMOTIONS))

    def embed(self, faces: Tensor) -> Tensor:
        """(n, 1, 48, 48) to the embedding (n, 342)."""
        return self.features(faces).mean(dim=(2, 3))

    def forward(self, faces: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.embed(faces)))


class ExpressionEncoder:
    """A trained network, ready for crops; calling it changes nothing, so any thread may.

    Normalisations are folded into the convolutions before them, which saves time and changes what
    is said by rounding alone.
    """

    def __init__(self, network: ExpressionNetwork) -> None:
        """``network`` is copied and stays as it is."""
        network = copy.deepcopy(network).eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, nn.Sequential) and isinstance(module[1], nn.BatchNorm2d):
                module[0] = fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), module[1])
                module[1] = nn.Identity()
        self._network = network.to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, folder: Path) -> ExpressionEncoder:
        """Read ``weights.safetensors`` as described by ``card.json`` in ``folder``.

        Raises :class:`UserFacingError` where either is missing, or the weights are not those the
        card was written for.
        """
        card = _read(folder / CARD_FILE)
        weights = _read(folder / WEIGHTS_FILE)
        try:
            described = json.loads(card)
            expected = described["sha256"]
            config = config_from_json(described["network"])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(folder / CARD_FILE) from error
        if hashlib.sha256(weights).hexdigest() != expected:
            raise _damaged(folder / WEIGHTS_FILE)
        try:
            network = ExpressionNetwork(config)
            network.load_state_dict({name: t.float() for name, t in load(weights).items()})
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise _damaged(folder / WEIGHTS_FILE) from error
        return cls(network)

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Grey uint8 crops (n, 48, 48) to embeddings (n, 342) and probabilities (n, 7)."""
        embeddings = np.zeros((len(crops), EMBEDDING_SIZE), np.float32)
        probabilities = np.zeros((len(crops), len(EMOTIONS)), np.float32)
        with torch.inference_mode():
            for part in _slices(len(crops)):
                faces = normalise(torch.from_numpy(crops[part]).float())
                embedded = self._network.embed(faces.to(memory_format=torch.channels_last))
                embeddings[part] = embedded.numpy()
                probabilities[part] = self._network.classifier(embedded).softmax(dim=1).numpy()
        return embeddings, probabilities


def face_crop(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The grey face (48, 48) of ``box`` in ``image`` (uint8 RGB), framed as FER2013 frames faces.

    Where the frame reaches past the picture's edge the nearest pixels are repeated.
    """
    rows, columns = image.shape[:2]
    left, top, width, height = (
        side * length for side, length in zip(box, (columns, rows, columns, rows), strict=True)
    )
    side = max(2, round(_CROP_SCALE * float(np.sqrt(max(width * height, 0.0)))))
    x, y = left + width / 2, top + height * (0.5 - _CROP_RISE)
    # The rows and columns the crop can touch, at least one of each, so that a large picture is not
    # turned grey as a whole for one small face.
    first_row, last_row = _span(y, side, rows)
    first_column, last_column = _span(x, side, columns)
    grey = cv2.cvtColor(image[first_row:last_row, first_column:last_column], cv2.COLOR_RGB2GRAY)
    centre = (x - first_column - 0.5, y - first_row - 0.5)
    face = cv2.getRectSubPix(grey, (side, side), centre)
    shrinking = side > FACE_SIZE
    return cv2.resize(
        face,
        (FACE_SIZE, FACE_SIZE),
        interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR,
    )


def normalise(faces: Tensor) -> Tensor:
    """Grey levels (n, 48, 48) in 0..255 to (n, 1, 48, 48) of zero mean and unit contrast each."""
    mean = faces.mean(dim=(1, 2), keepdim=True)
    spread = faces.std(dim=(1, 2), keepdim=True).clamp_min(_LEAST_CONTRAST)
    return ((faces - mean) / spread).unsqueeze(1)


def config_to_json(config: NetworkConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in NetworkConfig.__slots__}


def config_from_json(fields: dict[str, Any]) -> NetworkConfig:
    """Undo :func:`config_to_json`; raises KeyError or TypeError for anything else."""
    return NetworkConfig(
        stem=(int(fields["stem"][0]), int(fields["stem"][1])),
        growth=tuple(map(int, fields["growth"])),
        layers=tuple(map(int, fields["layers"])),
        transitions=tuple(map(int, fields["transitions"])),
        dropout=float(fields["dropout"]),
    )


def _convolution(width: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


def _span(centre: float, side: int, length: int) -> tuple[int, int]:
    first = min(max(int(centre - side / 2) - 2, 0), length - 1)
    last = min(max(int(centre + side / 2) + 3, first + 1), length)
    return first, last


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _BATCH):
        yield slice(start, min(start + _BATCH, count))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserFacingError(
            f"The face expression network needs {path}, which cannot be read "
            f"({error.strerror}); install sdt-live again."
        ) from error


def _damaged(path: Path) -> UserFacingError:
    return UserFacingError(
        f"The face expression network's {path} is damaged or not the file its card describes; "
        "install sdt-live again."
    )
