from __future__ import annotations

import collections
import functools
import importlib
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from public_pickles import Corpus, write_public_pickle

from sdt_model.config import SDTConfig
from sdt_model.corpora import held_out_dialogues, read_public_pickle
from sdt_model.errors import SDTError
from sdt_model.evaluation import evaluate
from sdt_model.model import SDT
from sdt_model.presets import PRESETS
from sdt_model.training import TrainingOptions, fit

SPEAKERS, LABELS, TEXT, AUDIO, VISUAL, TRAIN, TEST = 1, 2, 3, 7, 8, 10, 11


def same_corpus(left: Path, right: Path) -> bool:
    a, b = read_public_pickle(left), read_public_pickle(right)
    pairs = list(zip((*a.train, *a.test), (*b.train, *b.test), strict=True))
    return all(
        x.id == y.id
        and all(map(np.array_equal, x.features, y.features))
        and np.array_equal(x.speakers, y.speakers)
        and np.array_equal(x.labels, y.labels)
        for x, y in pairs
    )


@pytest.mark.parametrize(("corpus", "classes", "speakers"), [("iemocap", 6, 2), ("meld", 7, 9)])
def test_both_public_formats_become_dialogues(
    corpus: Corpus, classes: int, speakers: int, tmp_path: Path
) -> None:
    path = tmp_path / "features.pkl"
    kept: list[Any] = []
    write_public_pickle(path, corpus, train=5, test=3, change=kept.extend)

    found = read_public_pickle(path)

    assert found.name == corpus
    assert (len(found.train), len(found.test)) == (5, 3)
    assert found.feature_sizes == (12, 10, 8)
    assert (len(found.classes), found.speakers) == (classes, speakers)
    assert found.config == replace(PRESETS[corpus].config, text_dim=12, audio_dim=10, visual_dim=8)
    for key, dialogue in zip(kept[TRAIN] + kept[TEST], (*found.train, *found.test), strict=True):
        dialogue.check(found.config)
        assert dialogue.id == str(key)
        assert dialogue.present.all()
        for field, values in zip((TEXT, AUDIO, VISUAL), dialogue.features, strict=True):
            np.testing.assert_array_equal(values, kept[field][key])
        assert dialogue.labels is not None
        assert dialogue.labels.tolist() == kept[LABELS][key]
        named = kept[SPEAKERS][key]
        numbers = ["MF".index(s) if isinstance(s, str) else s.index(1.0) for s in named]
        assert dialogue.speakers.tolist() == numbers


@pytest.mark.parametrize("corpus", ["iemocap", "meld"])
@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_gives_the_same_corpus(
    corpus: Corpus, protocol: int, tmp_path: Path
) -> None:
    write_public_pickle(tmp_path / "a.pkl", corpus, train=3, test=2)
    write_public_pickle(tmp_path / "b.pkl", corpus, train=3, test=2, protocol=protocol)

    assert same_corpus(tmp_path / "a.pkl", tmp_path / "b.pkl")


@pytest.mark.parametrize("corpus", ["iemocap", "meld"])
def test_python_2_pickles_give_the_same_corpus(corpus: Corpus, tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "a.pkl", corpus, train=3, test=2)
    write_public_pickle(tmp_path / "b.pkl", corpus, train=3, test=2, python2=True)

    assert same_corpus(tmp_path / "a.pkl", tmp_path / "b.pkl")


def numpy_scalars(fields: list[Any]) -> None:
    fields[LABELS] = {key: [np.int64(v) for v in values] for key, values in fields[LABELS].items()}
    fields[AUDIO] = {
        key: [[np.float32(x) for x in row] for row in rows] for key, rows in fields[AUDIO].items()
    }


def arrays(fields: list[Any]) -> None:
    fields[LABELS] = {key: np.array(values) for key, values in fields[LABELS].items()}
    fields[SPEAKERS] = {key: np.array(values) for key, values in fields[SPEAKERS].items()}
    fields[TEXT] = {
        key: np.asfortranarray(np.stack(rows).astype(">f8")) for key, rows in fields[TEXT].items()
    }
    fields[TRAIN] = np.array(fields[TRAIN])


def containers(fields: list[Any]) -> None:
    fields[SPEAKERS] = collections.OrderedDict(fields[SPEAKERS])
    fields[LABELS] = collections.defaultdict(list, fields[LABELS])
    fields[AUDIO] = {k: tuple(row.tolist() for row in rows) for k, rows in fields[AUDIO].items()}
    fields[TRAIN] = set(fields[TRAIN])
    fields[TEST] = tuple(fields[TEST])


@pytest.mark.parametrize("change", [numpy_scalars, arrays, containers])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_containers_hold_the_same(
    change: Callable[[list[Any]], None], protocol: int, tmp_path: Path
) -> None:
    write_public_pickle(tmp_path / "a.pkl", train=3, test=2)
    write_public_pickle(tmp_path / "b.pkl", train=3, test=2, change=change, protocol=protocol)

    assert same_corpus(tmp_path / "a.pkl", tmp_path / "b.pkl")


def test_a_model_trained_on_the_synthetic_corpus_reaches_its_best_score(tmp_path: Path) -> None:
    best = write_public_pickle(tmp_path / "features.pkl", train=60, test=20)
    corpus = read_public_pickle(tmp_path / "features.pkl")
    torch.manual_seed(0)
    model = SDT(replace(corpus.config, hidden=32, heads=4, dropout=0.1))
    options = TrainingOptions(epochs=15, learning_rate=3e-3, batch_size=8)

    fit(model, *held_out_dialogues(corpus.train), options)
    scores = evaluate(model, corpus.test).fused

    assert 0.5 < best.weighted_f1 < 0.95
    assert scores.accuracy == pytest.approx(best.accuracy, abs=0.02)
    assert scores.weighted_f1 == pytest.approx(best.weighted_f1, abs=0.02)


def test_held_out_dialogues_are_drawn_once_and_for_all(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl", train=30, test=1)
    train = read_public_pickle(tmp_path / "features.pkl").train

    kept, held = held_out_dialogues(train)
    again, held_again = held_out_dialogues(train)
    _, others = held_out_dialogues(train, seed=1)

    assert (len(kept), len(held)) == (27, 3)
    assert {d.id for d in kept} | {d.id for d in held} == {d.id for d in train}
    assert [d.id for d in kept] == [d.id for d in again] == sorted(d.id for d in kept)
    assert [d.id for d in held] == [d.id for d in held_again] != [d.id for d in others]
    assert [len(part) for part in held_out_dialogues(train[:2], 0.01)] == [1, 1]
    assert [len(part) for part in held_out_dialogues(train[:2], 0.99)] == [1, 1]


def test_nothing_to_hold_out_is_told(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl", train=2, test=1)
    train = read_public_pickle(tmp_path / "features.pkl").train

    with pytest.raises(SDTError, match="fewer than two training dialogues"):
        held_out_dialogues(train[:1])
    with pytest.raises(SDTError, match="above 0 and below 1"):
        held_out_dialogues(train, share=1.0)


def alter(position: int, value: Callable[[Any], Any]) -> Callable[[list[Any]], None]:
    """Change what a field says about the first training dialogue."""

    def change(fields: list[Any]) -> None:
        key = fields[TRAIN][0]
        fields[position][key] = value(fields[position][key])

    return change


def put(position: int, value: Any) -> Callable[[list[Any]], None]:
    def change(fields: list[Any]) -> None:
        fields[position] = value

    return change


def both_splits(fields: list[Any]) -> None:
    fields[TEST].append(fields[TRAIN][1])


def unlisted(fields: list[Any]) -> None:
    fields[TEST].append("Ses999")


def nothing_said(fields: list[Any]) -> None:
    for table in fields[:TRAIN]:
        table[fields[TRAIN][0]] = []


def narrow(fields: list[Any]) -> None:
    fields[AUDIO][fields[TEST][1]] = [row[:7] for row in fields[AUDIO][fields[TEST][1]]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (alter(LABELS, lambda v: [*v[:-1], 6]), r"'Ses000': the label 6 is none of the 6 classes"),
        (alter(LABELS, lambda v: [-1, *v[1:]]), "the label -1 is none of the 6 classes"),
        (alter(LABELS, lambda v: [0.5, *v[1:]]), "labels that are no list of whole numbers"),
        (alter(LABELS, lambda v: [10**5000, *v[1:]]), "labels that are no list of whole numbers"),
        (nothing_said, "'Ses000': it has no utterances"),
        (alter(TEXT, lambda v: [v[0] * np.nan, *v[1:]]), "text features that are not finite"),
        (alter(VISUAL, lambda v: np.full_like(v, np.inf)), "visual features that are not finite"),
        (alter(AUDIO, lambda v: [[1e300] * 10 for _ in v]), "audio features that are not finite"),
        (alter(AUDIO, lambda v: [[10**400] * 10 for _ in v]), "audio features are no table"),
        (alter(AUDIO, lambda v: [v[0][:9], *v[1:]]), "audio features differ in length"),
        (narrow, r"audio features of 7 values in dialogue 'Ses004' and of 10 in 'Ses000'"),
        (alter(TEXT, lambda v: v[:-1]), r"rows of text features for \d labels"),
        (alter(TEXT, lambda v: ["words" for _ in v]), "text features are no table of numbers"),
        (alter(VISUAL, lambda v: v[0]), "visual features are no table of numbers"),
        (alter(SPEAKERS, lambda v: ["X", *v[1:]]), "speakers other than 'M' and 'F'"),
        (alter(SPEAKERS, lambda v: v[:-1]), r"speakers for \d labels"),
        (put(TRAIN, []), "no train dialogues"),
        (put(TEST, set()), "no test dialogues"),
        (put(TEST, 7), "no list of test dialogues"),
        (put(TEST, [10**5000]), "no list of test dialogues"),
        (put(TEST, {(1, 2)}), "no list of test dialogues"),
        (put(TEXT, []), "text field that is not a table"),
        (both_splits, "'Ses001' in both train and test"),
        (unlisted, "'Ses999': there is no speakers field"),
        (lambda fields: fields.pop(), "12 fields"),
    ],
)
def test_contents_that_make_no_corpus_are_told(
    change: Callable[[list[Any]], None], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "features.pkl"
    write_public_pickle(path, train=3, test=2, change=change)

    with pytest.raises(SDTError, match=sentence) as caught:
        read_public_pickle(path)
    assert str(path) in str(caught.value)


def test_meld_speakers_are_marked_in_nine_places(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    change = alter(SPEAKERS, lambda v: [row[:8] for row in v])
    write_public_pickle(path, "meld", train=3, test=2, change=change)

    with pytest.raises(SDTError, match="marked in 8 places instead of 9"):
        read_public_pickle(path)


def test_features_of_other_sizes_than_the_paper_do_not_fit_its_preset(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl", train=2, test=1)
    corpus = read_public_pickle(tmp_path / "features.pkl")

    with pytest.raises(SDTError, match="text features of 1024 values"):
        corpus.train[0].check(PRESETS["iemocap"].config)


def test_no_cut_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    write_public_pickle(path, train=2, test=1)
    data = path.read_bytes()

    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(SDTError, match="cut short, damaged or no pickle"):
            read_public_pickle(path)


def test_damaged_bytes_are_read_or_told_but_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    write_public_pickle(path, train=2, test=1, sizes=(2, 2, 2))
    data = path.read_bytes()
    rng = np.random.default_rng(0)

    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(len(data), size=3):
            # Not "r", the opcode that may have CPython take gigabytes for its memo.
            damaged[place] = rng.integers(ord("r"))
        path.write_bytes(damaged)
        with suppress(SDTError):
            read_public_pickle(path)


def test_other_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    with pytest.raises(SDTError, match="does not exist"):
        read_public_pickle(path)
    path.write_bytes(pickle.dumps({"text": []}))
    with pytest.raises(SDTError, match="no public feature file"):
        read_public_pickle(path)
    path.write_text("a web page that says the download limit is reached")
    with pytest.raises(SDTError, match="no pickle"):
        read_public_pickle(path)


class Call:
    """Pickles as a call of any callable."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def gadgets(trap: Path) -> dict[str, Any]:
    code = f"__import__('os').mkdir({str(trap)!r})"
    carrier = np.empty(1, object)
    carrier[0] = Call(os.mkdir, str(trap))
    return {
        "os.system": Call(os.system, f"mkdir {trap}"),
        "os.mkdir": Call(os.mkdir, str(trap)),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(trap), "w"),
        "getattr": Call(getattr, [], "append"),
        "import": Call(importlib.import_module, "antigravity"),
        "partial": functools.partial(os.mkdir, str(trap)),
        "map": map(os.mkdir, [str(trap)]),
        "memmap": Call(np.memmap, str(trap), "f4", "w+", 0, (4,)),
        "numpy.load": Call(np.load, str(trap)),
        "apply_along_axis": Call(np.apply_along_axis, eval, 0, [code]),
        "vectorize": Call(np.vectorize, eval),
        "object array": carrier,
        "torch": torch.zeros(2),
        "type": Call(type, "Made", (), {}),
        "bytearray": Call(bytearray, 10**15),
        "path": trap,
    }


@pytest.mark.parametrize("kind", sorted(gadgets(Path("trap"))))
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_is_refused_and_nothing_runs(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    trap, path = tmp_path / "trap", tmp_path / "features.pkl"
    gadget = gadgets(trap)[kind]

    def hide(fields: list[Any]) -> None:
        fields[9]["Ses000"] = gadget

    write_public_pickle(path, train=2, test=1, protocol=protocol, change=hide)

    with pytest.raises(SDTError, match="nothing in it was run"):
        read_public_pickle(path)
    assert not trap.exists()


def assembled(*opcodes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(opcodes) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(value)) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray.tofile"),
        ("numpy", "dtype.type"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("builtins", "dict.get"),
        # Written by name: where Qt is loaded, what stands there is Qt's own and cannot be pickled.
        ("builtins", "__import__"),
        ("sdt_model.corpora", "read_public_pickle"),
        ("sdt_model.corpora", "_Unpickler"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
    ],
)
def test_attribute_chains_and_imports_lead_nowhere(module: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    path.write_bytes(assembled(named(module, name)))

    with pytest.raises(SDTError, match="nothing in it was run"):
        read_public_pickle(path)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
        ("builtins", "dict"),
    ],
)
def test_a_pickle_cannot_rewrite_what_it_is_allowed_to_name(
    module: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "features.pkl"
    # BUILD with a pair of dictionaries sets the second one's entries as attributes of the target.
    state = b"}" + b"}" + text("__new__") + named("builtins", "list") + b"s" + b"\x86"
    path.write_bytes(assembled(named(module, name), state, b"b"))

    with pytest.raises(SDTError, match="damaged"):
        read_public_pickle(path)

    write_public_pickle(path, train=2, test=1, protocol=2)
    assert len(read_public_pickle(path).train) == 2


def test_an_array_may_not_claim_more_than_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    array = np.arange(6, dtype=np.float32)
    *made, (_, _, kind, order, raw) = array.__reduce__()
    for forged in ((10**12,), (7,), (5,), (2**62, 4), (6, 10**15, 0)):
        state = (1, forged, kind, order, raw)
        path.write_bytes(pickle.dumps(Forged(made, state)))
        with pytest.raises(SDTError, match="damaged"):
            read_public_pickle(path)


def test_an_array_that_was_never_filled_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    write_public_pickle(path, train=2, test=1, change=alter(TEXT, lambda v: "here"))
    unfilled = named("numpy", "ndarray") + b")\x81"
    data = path.read_bytes()
    assert data.count(text("here")) == 1
    path.write_bytes(unframed(data).replace(text("here"), unfilled))

    with pytest.raises(SDTError, match="text features are no table"):
        read_public_pickle(path)


def unframed(data: bytes) -> bytes:
    """A protocol 4 pickle without its one frame, so that its length may change."""
    assert data[2:3] == b"\x95"
    assert len(data) == 11 + struct.unpack("<Q", data[3:11])[0]
    return data[:2] + data[11:]


class Forged:
    def __init__(self, made: list[Any], state: tuple[Any, ...]) -> None:
        self.parts = (*made, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def test_records_whose_flags_lie_about_objects_are_refused(tmp_path: Path) -> None:
    # numpy itself would take the bytes of such an array for pointers.
    path = tmp_path / "features.pkl"
    record = np.zeros(1, [("a", object)])
    path.write_bytes(pickle.dumps(record.dtype))

    with pytest.raises(SDTError, match="nothing in it was run"):
        read_public_pickle(path)


def test_lists_that_hold_each_other_do_not_explode(tmp_path: Path) -> None:
    path = tmp_path / "features.pkl"
    bomb: list[Any] = [0.0]
    for _ in range(60):
        bomb = [bomb] * 10
    write_public_pickle(path, train=2, test=1, change=alter(TEXT, lambda v: [bomb for _ in v]))

    with pytest.raises(SDTError, match="text features are no table"):
        read_public_pickle(path)


def test_the_preset_of_the_corpus_builds_a_model_for_the_file(tmp_path: Path) -> None:
    write_public_pickle(tmp_path / "features.pkl", "meld", train=2, test=1)
    config = read_public_pickle(tmp_path / "features.pkl").config

    assert isinstance(config, SDTConfig)
    assert config.temperature == 8.0
    assert not config.trainable_unimodal_gates
