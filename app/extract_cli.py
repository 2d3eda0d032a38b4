"""``sdt-extract``: from a corpus's own release to the dialogues that ``sdt-train store`` reads."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rich
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.assets import WRITTEN_ADAPTER
from app.corpus_features import MeasuredCorpus, Skipped
from app.models import resolve_device, text_adapter
from app.options import INTERRUPTED
from live_features import weights
from live_features.corpora import read_iemocap, read_meld
from live_features.errors import UserFacingError
from live_features.text import TextEncoder
from live_features.weights import DEFAULT_TEXT_ENCODER
from sdt_model.dialogues import Dialogue, save_dialogues
from sdt_model.errors import SDTError
from sdt_model.files import write_atomically

_READERS = {"meld": read_meld, "iemocap": read_iemocap}
_WORK = "work"
_SKIPPED = "skipped.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status.

    0, or 2 after one sentence on standard error, or 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    console = rich.get_console()
    try:
        _extract(options, console)
    except (UserFacingError, SDTError) as error:
        print(f"sdt-extract: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdt-extract: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def _extract(options: argparse.Namespace, console: Console) -> None:
    corpus = _READERS[options.corpus](options.folder)
    measured = MeasuredCorpus(corpus, options.out / _WORK)
    # Before the hours of work, so that what is wrong with it is said at once.
    text_weights = weights.text_encoder(options.text_encoder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        seen = progress.add_task("Voices and faces", total=len(corpus.recordings))
        skipped = measured.measure(options.processes, lambda n: progress.advance(seen, n))
        count = sum(len(dialogues) for dialogues in corpus.splits.values())
        read = progress.add_task("Words", total=count)
        # A release has its words as they were written down by people.
        adapter = text_adapter(options.text_encoder, WRITTEN_ADAPTER)
        encode = TextEncoder(text_weights, resolve_device("auto"), adapter=adapter)
        splits = measured.dialogues(encode, lambda n: progress.advance(read, n))
    for split, dialogues in splits.items():
        save_dialogues(options.out / f"{split}.safetensors", dialogues, corpus.classes)
    write_atomically(options.out / _SKIPPED, _csv(skipped).encode())
    console.print(_counts(splits))
    if skipped:
        console.print(
            f"{len(skipped)} recordings could not be read: their utterances have words alone. "
            f"See {options.out / _SKIPPED}.",
            markup=False,
        )


def _csv(skipped: Sequence[Skipped]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("clip", "reason"))
    table.writerows((one.recording, one.reason) for one in skipped)
    return text.getvalue()


def _counts(splits: dict[str, list[Dialogue]]) -> Table:
    table = Table("split", "dialogues", "utterances", "with words", "with voice", "with face")
    for split in ("train", "dev", "test"):
        dialogues = splits[split]
        present = [int(sum(d.present[:, i].sum() for d in dialogues)) for i in range(3)]
        table.add_row(split, *map(str, (len(dialogues), sum(len(d) for d in dialogues), *present)))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdt-extract",
        description="Turns a corpus's release into features for sdt-train store, as sdt-live makes "
        "them.",
    )
    corpora = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    folders = {"meld": "MELD.Raw", "iemocap": "IEMOCAP_full_release"}
    for name, folder in folders.items():
        corpus = corpora.add_parser(name, help=f"the folder {folder}")
        corpus.add_argument("folder", type=Path, metavar="DIR", help=f"{folder}, unpacked")
        corpus.add_argument(
            "--out",
            type=Path,
            required=True,
            metavar="STORE_DIR",
            help="for train, dev and test.safetensors, skipped.csv and unfinished work",
        )
        corpus.add_argument(
            "--processes",
            type=_count,
            default=os.cpu_count() or 1,
            metavar="N",
            help="how many recordings are measured at a time (default: one a core)",
        )
        corpus.add_argument(
            "--text-encoder",
            default=DEFAULT_TEXT_ENCODER,
            metavar="NAME|DIR",
            help="as for sdt-live, which needs the same one (default: %(default)s)",
        )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
