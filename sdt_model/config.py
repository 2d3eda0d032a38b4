"""The shape of an SDT model, saved inside every checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdt_model.errors import SDTError

MODALITIES = ("text", "audio", "visual")
"""The order of every axis of three in this package."""

FUSIONS = ("gate", "concat", "add")
"""How the three representations can become one: the paper's gate, or its two ablations."""


@dataclass(frozen=True, slots=True)
class SDTConfig:
    """Everything needed to build the network.

    ``text_dim``, ``audio_dim`` and ``visual_dim`` are feature sizes; ``hidden`` is the paper's d,
    shared out among ``heads``; ``layers`` counts the layers of each of the nine encoders.
    ``classes`` names the emotions and ``speakers`` is the number of people a dialogue may have.
    ``trainable_unimodal_gates=False`` pins the unimodal gates' W to the identity, as the paper's
    MELD runs do. ``temperature`` is the T of the distillation.

    The rest are the paper's ablations. Without ``unimodal_gates`` the encoders' outputs pass as
    they are; ``fusion`` "concat" maps the three representations side by side to one by a linear
    layer and "add" sums them, in place of the multimodal gate; a modality that is not among
    ``modalities`` is missing from every utterance, whatever its features say.

    Raises :class:`SDTError` when a value cannot make a model.
    """

    text_dim: int
    audio_dim: int
    visual_dim: int
    hidden: int = 1024
    heads: int = 8
    layers: int = 1
    classes: tuple[str, ...] = (
        "neutral",
        "surprise",
        "fear",
        "sadness",
        "joy",
        "disgust",
        "anger",
    )
    speakers: int = 9
    dropout: float = 0.5
    trainable_unimodal_gates: bool = True
    temperature: float = 1.0
    unimodal_gates: bool = True
    fusion: str = "gate"
    modalities: tuple[str, ...] = MODALITIES

    def __post_init__(self) -> None:
        counts = ("text_dim", "audio_dim", "visual_dim", "hidden", "heads", "layers", "speakers")
        for name in counts:
            value = getattr(self, name)
            if not _is_integer(value) or value < 1:
                raise _invalid(name, value, "a whole number of at least 1")
        if self.hidden % self.heads:
            raise _invalid("hidden", self.hidden, f"a multiple of heads ({self.heads})")
        if self.hidden % 2:
            raise _invalid("hidden", self.hidden, "even, for pairs of sine and cosine positions")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise _invalid("dropout", self.dropout, "at least 0 and below 1")
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise _invalid("temperature", self.temperature, "a number above 0")
        for name in ("trainable_unimodal_gates", "unimodal_gates"):
            if not isinstance(getattr(self, name), bool):
                raise _invalid(name, getattr(self, name), "true or false")
        if self.fusion not in FUSIONS:
            raise _invalid("fusion", self.fusion, f"one of {', '.join(FUSIONS)}")
        used = self.modalities
        if not isinstance(used, tuple) or not used or any(m not in MODALITIES for m in used):
            raise _invalid("modalities", used, f"one or more of {', '.join(MODALITIES)}")
        names = self.classes
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise _invalid("classes", names, "a list of names")
        if len(names) < 2 or len(set(names)) != len(names):
            raise _invalid("classes", names, "two or more different names")

    @property
    def feature_sizes(self) -> tuple[int, int, int]:
        """Feature sizes in the order of :data:`MODALITIES`."""
        return self.text_dim, self.audio_dim, self.visual_dim

    def require_sizes(
        self, *, text: int | None = None, audio: int | None = None, visual: int | None = None
    ) -> None:
        """Raise :class:`SDTError` unless features of these sizes fit; None is not compared."""
        require_sizes(self.feature_sizes, (text, audio, visual))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values; :meth:`from_dict` reads them back."""
        lists = {"classes": list(self.classes), "modalities": list(self.modalities)}
        return dataclasses.asdict(self) | lists

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SDTConfig:
        """Build from :meth:`to_dict`; raises :class:`SDTError` naming what is wrong."""
        if not isinstance(values, Mapping):
            raise SDTError("the model settings are not a JSON object: save the checkpoint again")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise SDTError(
                f"unknown model settings {', '.join(unknown)}: they come from another version "
                "of this program, update it or use a checkpoint made with this one"
            )
        required = [n for n, field in fields.items() if field.default is dataclasses.MISSING]
        if missing := [name for name in required if name not in values]:
            raise SDTError(
                f"model settings without {', '.join(missing)}: use a complete checkpoint"
            )
        settings = dict(values)
        for name in ("classes", "modalities"):
            if isinstance(settings.get(name), list):
                settings[name] = tuple(settings[name])
        return cls(**settings)


def require_sizes(expected: Sequence[int], got: Sequence[int | None]) -> None:
    """Raise :class:`SDTError` unless feature sizes, in modality order, agree; None always does."""
    for modality, size, offered in zip(MODALITIES, expected, got, strict=True):
        if offered is not None and offered != size:
            raise SDTError(
                f"the checkpoint expects {modality} features of {size} values, the chosen "
                f"{modality} encoder gives {offered}: choose the encoder the checkpoint was "
                "trained with, or train a checkpoint on these features"
            )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invalid(name: str, value: object, rule: str) -> SDTError:
    return SDTError(f"the model setting {name} is {value!r}: it must be {rule}")
