"""``sdt-evaluate``: what a checkpoint makes of labelled dialogues."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from app.assets import ASSETS
from app.confusion_picture import confusion_png
from app.models import resolve_device
from app.options import DEVICES, INTERRUPTED
from live_features.errors import UserFacingError
from sdt_model.checkpoints import Checkpoint, load_checkpoint
from sdt_model.config import MODALITIES
from sdt_model.corpora import read_public_pickle
from sdt_model.dialogues import Dialogue, load_classes, load_dialogues
from sdt_model.errors import SDTError
from sdt_model.evaluation import (
    Context,
    Distribution,
    Evaluation,
    GateReport,
    Interval,
    Intervals,
    Scores,
    Stability,
    gate_report,
    predict,
    prefix_stability,
)
from sdt_model.files import write_atomically

_CLASSIFIERS = ("fused", "text", "audio", "visual")
_CONTEXTS: dict[str, tuple[Context, ...]] = {
    "full": ("full",),
    "prefix": ("prefix",),
    "both": ("full", "prefix"),
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """The figures in one context; intervals stand in the order of the classifiers."""

    evaluation: Evaluation
    intervals: tuple[Intervals | None, ...]

    def rows(self) -> list[tuple[str, Scores, Intervals]]:
        """The classifiers that have a score, by name."""
        rows = []
        for name, intervals in zip(_CLASSIFIERS, self.intervals, strict=True):
            scores = getattr(self.evaluation, name)
            if scores is not None and intervals is not None:
                rows.append((name, scores, intervals))
        return rows


@dataclass(frozen=True, slots=True)
class _Report:
    """All that was asked for: stability comes with prefixes, gates with full context."""

    readings: tuple[_Reading, ...]
    stability: Stability | None
    gates: GateReport | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or after one sentence on standard error 2, 130 when
    interrupted.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console()
    try:
        if options.card is not None:
            return _check_card(options.card, options.cache, console)
        if options.checkpoint is None or options.features is None:
            parser.error("give a checkpoint and features, or --card with the data folder")
        checkpoint = load_checkpoint(options.checkpoint)
        dialogues = [
            checkpoint.statistics.standardise_dialogue(dialogue)
            for dialogue in _read(options.features, checkpoint.config.classes)
        ]
        with console.status("Evaluating"):
            report = _evaluate(
                checkpoint, dialogues, _CONTEXTS[options.context], resolve_device(options.device)
            )
        # Shown before anything is written, so that a bad place for it does not cost the figures.
        _print(report, checkpoint.config.classes, console)
        if options.json:
            text = json.dumps(_as_json(report, checkpoint, options), indent=2, ensure_ascii=False)
            # The features may lie in a file whose name is no UTF-8.
            write_atomically(options.json, f"{text}\n".encode("utf-8", "replace"))
        if options.confusion:
            first = report.readings[0].evaluation
            title = f"Fused classifier, {first.context} context"
            classes = checkpoint.config.classes
            picture = confusion_png(first.fused.confusion, classes, title)
            write_atomically(options.confusion, picture)
    except (UserFacingError, SDTError) as error:
        print(f"sdt-evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdt-evaluate: stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _check_card(data: Path, cache: Path, console: Console) -> int:
    """Say where the shipped card differs from what the data say; 1 where it does."""
    # Everything else here does without the extractors, which take seconds to load.
    from app.default_training import compare_card  # noqa: PLC0415

    compared, different = compare_card(data, ASSETS, cache, console.log)
    if not different:
        console.print(f"All {compared} figures of {ASSETS / 'sdt' / 'card.json'} hold.")
        return 0
    table = _table("figure", "card", "today")
    for difference in different:
        table.add_row(difference.figure, f"{difference.card:.4f}", f"{difference.today:.4f}")
    console.print(table)
    console.print(f"{len(different)} of {compared} figures differ from the card.")
    return 1


def _read(path: Path, classes: Sequence[str]) -> Sequence[Dialogue]:
    """The dialogues of a store, or the test split of a public file, labelled by ``classes``.

    Raises:
        SDTError: the file cannot be read.
        UserFacingError: its labels are of other classes.
    """
    dialogues: Sequence[Dialogue]
    if path.suffix.lower() in (".pkl", ".pickle"):
        corpus = read_public_pickle(path)
        dialogues, named = corpus.test, corpus.classes
    else:
        dialogues, named = load_dialogues(path), load_classes(path) or tuple(classes)
    if named != tuple(classes):
        raise UserFacingError(
            f"The labels in {path} are {', '.join(named)}, those of the checkpoint "
            f"{', '.join(classes)}: choose a checkpoint that was trained on the same classes."
        )
    return dialogues


def _evaluate(
    checkpoint: Checkpoint, dialogues: Sequence[Dialogue], contexts: Sequence[Context], device: str
) -> _Report:
    model = checkpoint.model
    readings = []
    for context in contexts:
        predictions = predict(model, dialogues, context, device)
        readings.append(_Reading(predictions.evaluation(), predictions.intervals()))
    return _Report(
        readings=tuple(readings),
        stability=prefix_stability(model, dialogues, device) if "prefix" in contexts else None,
        gates=gate_report(model, dialogues, device) if "full" in contexts else None,
    )


def _as_json(
    report: _Report, checkpoint: Checkpoint, options: argparse.Namespace
) -> dict[str, Any]:
    return {
        "checkpoint": {"folder": str(options.checkpoint), "sha256": checkpoint.card["sha256"]},
        "features": str(options.features),
        "classes": list(checkpoint.config.classes),
        "context": {
            reading.evaluation.context: {
                name: asdict(scores) | {"interval_95": asdict(intervals)}
                for name, scores, intervals in reading.rows()
            }
            for reading in report.readings
        },
        "stability": None if report.stability is None else asdict(report.stability),
        "gates": None if report.gates is None else asdict(report.gates),
    }


def _print(report: _Report, classes: Sequence[str], console: Console) -> None:
    columns = [
        (reading.evaluation.context, name, scores, intervals)
        for reading in report.readings
        for name, scores, intervals in reading.rows()
    ]
    table = _table("context", "classifier", "weighted F1 (95 %)", "accuracy (95 %)", "ECE", "of")
    for context, name, scores, intervals in columns:
        table.add_row(
            context,
            name,
            _figure(scores.weighted_f1, intervals.weighted_f1),
            _figure(scores.accuracy, intervals.accuracy),
            f"{scores.calibration_error:.3f}",
            str(scores.utterances),
        )
    console.print(table)

    per_class = _table("F1", *(f"{context}\n{name}" for context, name, *_ in columns))
    for i, emotion in enumerate(classes):
        per_class.add_row(emotion, *(f"{scores.f1[i]:.3f}" for _, _, scores, _ in columns))
    console.print(per_class)

    if (stability := report.stability) is not None:
        console.print(
            f"As dialogues go on, {stability.ever_flipped:.1%} of utterances ever change their "
            f"label ({stability.flips:.2f} changes an utterance); a label is final after "
            f"{stability.mean_until_final:.1f} later utterances on average "
            f"(median {stability.median_until_final:g})."
        )
    if report.gates is not None:
        _print_gates(report.gates, console)


def _print_gates(gates: GateReport, console: Console) -> None:
    table = _table("modality", "mean gate", "share", "drop", "r gate", "r share")
    for modality in MODALITIES:
        if (figures := getattr(gates, modality)) is not None:
            table.add_row(
                modality,
                _spread(figures.gate),
                _spread(figures.contribution),
                _spread(figures.drop),
                _correlation(figures.gate_agreement),
                _correlation(figures.contribution_agreement),
            )
    table.caption = (
        "mean ± sd, 5 % to 95 % · share: of the contributions, gate times representation · drop: "
        "what the answer's probability loses without the modality · r: rank correlation with drop"
    )
    console.print(table)


def _table(*headers: str) -> Table:
    """Columns that fit 80 characters without a cell being broken."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=True)
    return table


def _figure(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def _spread(values: Distribution) -> str:
    return f"{values.mean:.3f} ± {values.sd:.3f}\n{values.p5:.3f} to {values.p95:.3f}"


def _correlation(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdt-evaluate", description="Scores an SDT checkpoint on labelled dialogues."
    )
    parser.add_argument("--checkpoint", type=Path, help="the checkpoint's folder")
    parser.add_argument(
        "--features",
        type=Path,
        help="a store of dialogues, or a public .pkl file for its test split",
    )
    parser.add_argument(
        "--context",
        choices=tuple(_CONTEXTS),
        default="full",
        help="label with the whole dialogue, with only the past as live, or both (default: full)",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="DATA",
        help="instead, measure the checkpoint that ships on the folder with meld, ravdess and "
        "fer2013 again, and say where its card differs",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".runs"), help="features kept by sdt-train default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--confusion", type=Path, metavar="PNG", help="draw the fused confusion matrix there"
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help=f"{', '.join(DEVICES)} (default: auto)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
