"""The public feature files of IEMOCAP and MELD, read without trusting the pickles they are.

A pickle is a program: it names callables and has them called. The reader here knows the few names
that such a file needs, and answers each numpy one with a stand-in of its own, so that neither code
nor a crafted array state from the file ever reaches numpy.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.dialogues import Dialogue
from sdt_model.errors import SDTError
from sdt_model.presets import PRESETS

_CORPORA = {12: "iemocap", 13: "meld"}
"""Which corpus a file with so many fields is."""

_FIELDS = {"speakers": 1, "labels": 2, "text": 3, "audio": 7, "visual": 8}
_TRAIN, _TEST = 10, 11
_SEXES = {"M": 0, "F": 1}

_CODE = re.compile(r"[<>|=]?([biuf][1248]|[SU][1-9]\d{0,5})")
"""The numpy types that features, labels, speakers and sentences have: numbers and text."""


@dataclass(frozen=True, slots=True, eq=False)
class PublicCorpus:
    """The dialogues of a public feature file, not standardised, as the released code takes them.

    ``name`` is ``iemocap`` or ``meld``; ``feature_sizes`` are those found, in modality order.
    """

    name: str
    train: tuple[Dialogue, ...]
    test: tuple[Dialogue, ...]
    feature_sizes: tuple[int, int, int]

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions in the order of the labels."""
        return PRESETS[self.name].config.classes

    @property
    def speakers(self) -> int:
        """How many people a dialogue may have."""
        return PRESETS[self.name].config.speakers

    @property
    def config(self) -> SDTConfig:
        """The corpus's preset, for the feature sizes found."""
        text, audio, visual = self.feature_sizes
        preset = PRESETS[self.name].config
        return replace(preset, text_dim=text, audio_dim=audio, visual_dim=visual)


def read_public_pickle(path: Path) -> PublicCorpus:
    """Read the IEMOCAP (12 fields) or MELD (13 fields) feature pickle.

    The fields are utterance ids, speakers, labels, text, roberta2, roberta3, roberta4, audio,
    visual, sentences, train ids, test ids and, on MELD, one more. The first ten each map a
    dialogue id to a sequence over its utterances. Text features are the fourth field alone, as in
    the released code; roberta2 to roberta4 are neither used nor averaged in. Speakers are 'M' and
    'F', numbered 0 and 1, on IEMOCAP; on MELD the largest entry of nine. Ids that come as a set
    are sorted, for a set of strings has another order in every run.

    Python 2 and Python 3 pickles are read, but only numbers, strings, containers and plain numpy
    arrays in them. Raises :class:`SDTError` when the file asks for anything else (nothing is run),
    is cut short, or when its contents do not make labelled dialogues with one set of feature sizes.
    """
    content = _unpickle(path)
    if not isinstance(content, tuple | list) or len(content) not in _CORPORA:
        raise SDTError(
            f"{path} is no public feature file, which has 12 fields (IEMOCAP) or 13 (MELD): "
            "choose the multimodal features published with SDT"
        )
    name = _CORPORA[len(content)]
    fields = {field: content[position] for field, position in _FIELDS.items()}
    for field, values in fields.items():
        if not isinstance(values, Mapping):
            raise SDTError(
                f"{path} has a {field} field that is not a table by dialogue: download it again"
            )
    train_ids = _ids(content[_TRAIN], path, "train")
    test_ids = _ids(content[_TEST], path, "test")
    if shared := set(train_ids) & set(test_ids):
        raise SDTError(
            f"{path} has dialogue {min(map(str, shared))!r} in both train and test, which makes "
            "every test figure too good: download it again"
        )
    train = tuple(_dialogue(key, fields, name, path) for key in train_ids)
    test = tuple(_dialogue(key, fields, name, path) for key in test_ids)
    sizes = train[0].feature_sizes
    for dialogue in (*train, *test):
        for modality, size, found in zip(MODALITIES, sizes, dialogue.feature_sizes, strict=True):
            if found != size:
                raise SDTError(
                    f"{path} has {modality} features of {found} values in dialogue "
                    f"{dialogue.id!r} and of {size} in {train[0].id!r}: download it again"
                )
    text, audio, visual = sizes
    return PublicCorpus(name, train, test, (text, audio, visual))


def held_out_dialogues(
    train: Sequence[Dialogue], share: float = 0.1, seed: int = 0
) -> tuple[list[Dialogue], list[Dialogue]]:
    """Split training dialogues into those to train on and those to select the epoch with.

    The draw depends on nothing but the number of dialogues and ``seed``; at least one dialogue
    lands on each side, and both keep their order. Raises :class:`SDTError` when that is impossible.
    """
    if not 0 < share < 1:
        raise SDTError(f"the held-out share is {share}: it must be above 0 and below 1")
    if len(train) < 2:
        raise SDTError("there are fewer than two training dialogues: none can be held out")
    count = min(max(round(share * len(train)), 1), len(train) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(train))[:count].tolist())
    kept = [dialogue for i, dialogue in enumerate(train) if i not in chosen]
    return kept, [train[i] for i in sorted(chosen)]


def _ids(values: object, path: Path, split: str) -> list[Any]:
    ids = list(values) if isinstance(values, set | frozenset) else _listed(values)
    if ids is None or not all(isinstance(key, str) or _is_whole(key) for key in ids):
        raise SDTError(f"{path} has no list of {split} dialogues: download it again")
    if isinstance(values, set | frozenset):
        ids.sort(key=lambda key: (isinstance(key, str), key))
    if not ids:
        raise SDTError(f"{path} has no {split} dialogues: use a file with both splits")
    return ids


def _dialogue(key: Any, fields: Mapping[str, Any], corpus: str, path: Path) -> Dialogue:
    where = f"{path}, dialogue {str(key)!r}"
    for field, table in fields.items():
        if key not in table:
            raise SDTError(f"{where}: there is no {field} field for it, download the file again")
    labels = _labels(fields["labels"][key], len(PRESETS[corpus].config.classes), where)
    count = len(labels)
    read = _sexes if corpus == "iemocap" else _one_hot
    speakers = read(fields["speakers"][key], where)
    if len(speakers) != count:
        raise SDTError(
            f"{where}: {len(speakers)} speakers for {count} labels, download the file again"
        )
    features = {}
    for modality in MODALITIES:
        rows = _rows(fields[modality][key], f"{where}: the {modality} features")
        if len(rows) != count:
            raise SDTError(
                f"{where}: {len(rows)} rows of {modality} features for {count} labels, "
                "download the file again"
            )
        if not np.isfinite(rows).all():
            raise SDTError(
                f"{where}: {modality} features that are not finite, download or extract them again"
            )
        features[modality] = rows
    return Dialogue(
        id=str(key),
        present=np.ones((count, len(MODALITIES)), bool),
        speakers=np.asarray(speakers, np.int64),
        labels=labels,
        **features,
    )


def _labels(values: object, classes: int, where: str) -> NDArray[np.int64]:
    labels = _listed(values)
    if labels is None or not all(_is_whole(label) for label in labels):
        raise SDTError(f"{where}: labels that are no list of whole numbers, download it again")
    if not labels:
        raise SDTError(f"{where}: it has no utterances, leave it out of the file")
    for label in labels:
        if not 0 <= label < classes:
            raise SDTError(
                f"{where}: the label {label} is none of the {classes} classes "
                f"(0 to {classes - 1}), correct it or leave the dialogue out"
            )
    return np.asarray(labels, np.int64)


def _sexes(values: object, where: str) -> list[int]:
    letters = _listed(values)
    if letters is None or not all(isinstance(v, str) and v in _SEXES for v in letters):
        raise SDTError(f"{where}: speakers other than 'M' and 'F', download the file again")
    return [_SEXES[letter] for letter in letters]


def _one_hot(values: object, where: str) -> list[int]:
    rows = _rows(values, f"{where}: the speakers")
    width = PRESETS["meld"].config.speakers
    if rows.shape[1:] != (width,) and len(rows):
        raise SDTError(
            f"{where}: speakers marked in {rows.shape[1]} places instead of {width}, "
            "download the file again"
        )
    return [int(row.argmax()) for row in rows]


def _listed(values: object) -> list[Any] | None:
    if isinstance(values, _Array):
        return values.values.tolist() if values.values.ndim == 1 else None
    return list(values) if isinstance(values, list | tuple) else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def _rows(values: object, what: str) -> NDArray[np.float32]:
    """(N, D) from an array, or from a list of N vectors, each an array or a list of numbers."""
    refusal = SDTError(f"{what} are no table of numbers, one row an utterance: extract them again")
    # The file's lists may hold each other many times over: numpy must only see flat ones.
    if isinstance(values, _Array):
        rows = values.values
    elif isinstance(values, list | tuple):
        vectors = [vector for value in values if (vector := _vector(value)) is not None]
        if len(vectors) != len(values):
            raise refusal
        if len({len(vector) for vector in vectors}) > 1:
            raise SDTError(f"{what} differ in length between utterances: extract them again")
        rows = np.stack(vectors) if vectors else np.zeros((0, 0))
    else:
        raise refusal
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise refusal
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return rows.astype(np.float32)


def _vector(value: object) -> NDArray[Any] | None:
    if isinstance(value, _Array):
        vector = value.values
        return vector if vector.ndim == 1 and vector.dtype.kind in "biuf" else None
    if isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
        try:
            return np.asarray(value, np.float64)
        except OverflowError:  # Python's whole numbers have no limit
            return None
    return None


class _StandIn:
    """What a pickle gets in place of a callable.

    Without a ``__setstate__`` here, a pickle could set attributes of these classes themselves.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("state for something that has none")


class _DType(_StandIn):
    """``numpy.dtype``, of numbers and strings only."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, align: object = False, copy: object = False) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise SDTError(
                "the file has an array of something other than numbers and text, and nothing in "
                "it was run: use the feature file as published"
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])  # the rest describes records and dates


class _Array(_StandIn):
    """``numpy.ndarray``, and its reconstruction: empty first, filled by its state."""

    __slots__ = ("values",)
    values: NDArray[Any]

    def __new__(cls, *_: object) -> _Array:
        array = super().__new__(cls)
        array.values = np.zeros(0)
        return array

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, raw = state
        self.fill(raw, kind, shape, "F" if by_columns else "C")

    def fill(self, raw: Any, kind: Any, shape: Any, order: Any) -> None:
        if not isinstance(kind, _DType) or order not in ("C", "F"):
            raise pickle.UnpicklingError("an array without a type")
        data = raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))
        self.values = np.ndarray(shape, kind.dtype, buffer=data, order=order)
        if self.values.nbytes != len(data):
            raise pickle.UnpicklingError("an array of another size than its bytes")


class _ArrayFromBuffer(_StandIn):
    """``_frombuffer``, how arrays are rebuilt since pickle protocol 5."""

    __slots__ = ()

    def __new__(cls, raw: Any, kind: Any, shape: Any, order: Any) -> Any:
        array = _Array()
        array.fill(raw, kind, shape, order)
        return array


class _Scalar(_StandIn):
    """``scalar``: a numpy number, read as Python's."""

    __slots__ = ()

    def __new__(cls, kind: Any, raw: Any) -> Any:
        array = _Array()
        array.fill(raw, kind, (), "C")
        return array.values.item()


class _Latin1(_StandIn):
    """``_codecs.encode`` and ``bytes``, the two ways to write bytes in a protocol that has none."""

    __slots__ = ()

    def __new__(cls, text: Any = "", encoding: Any = "latin1") -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("bytes in another encoding")
        return text.encode("latin1")


_ALLOWED: Mapping[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Latin1,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _Scalar),
            ("numeric", "_frombuffer", _ArrayFromBuffer),
        )
    },
    **{
        (builtins, kind.__name__): kind
        for builtins in ("builtins", "__builtin__")
        for kind in (list, dict, set, frozenset, int, float)
    },
    ("builtins", "bytes"): _Latin1,
    ("__builtin__", "bytes"): _Latin1,
}
"""Everything a feature file may name; the other names of a pickle are refused."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise SDTError(
                f"the file asks to run {f'{module}.{name}'[:80]!r}, which no feature file needs, "
                "and nothing in it was run: do not use it, download the published features instead"
            )
        return _ALLOWED[module, name]


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except SDTError as error:
        raise SDTError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise SDTError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise SDTError(
            f"{path} cannot be read ({error.strerror}): check the path and permissions"
        ) from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        OverflowError,
        MemoryError,
    ) as error:
        raise SDTError(f"{path} is cut short, damaged or no pickle: download it again") from error
