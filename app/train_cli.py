"""``sdt-train``: from corpora to checkpoints."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich
from rich.console import Console
from rich.table import Table

from app.assets import ASSETS
from app.default_training import train_default
from app.feature_training import PAPER_PROTOCOL, VALIDATION_SELECTED, train_on_features
from app.models import resolve_device
from app.options import DEVICES
from live_features.errors import UserFacingError
from sdt_model.errors import SDTError
from sdt_model.presets import PRESETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 2 after one sentence on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    train = _train_default if options.recipe == "default" else _train_on_features
    try:
        train(options, shlex.join(["uv", "run", "sdt-train", *given]))
    except (UserFacingError, SDTError) as error:
        print(f"sdt-train: {error}", file=sys.stderr)
        return 2
    return 0


def _train_default(options: argparse.Namespace, command: str) -> None:
    console = Console()
    card = train_default(
        options.data,
        options.out,
        options.cache,
        seed=options.seed,
        command=command,
        report=console.log,
    )
    table = Table("figures", "classifier", "weighted F1", "accuracy")
    for where, scores in card["figures"].items():
        for who, score in scores.items():
            table.add_row(where, who, f"{score['weighted_f1']:.4f}", f"{score['accuracy']:.4f}")
    console.print(table)


def _train_on_features(options: argparse.Namespace, command: str) -> None:
    console = rich.get_console()  # the progress bar's: it keeps lines above the bar
    card = train_on_features(
        options.recipe,
        PRESETS[options.recipe],
        options.features,
        options.out,
        options.resume_dir,
        seeds=list(dict.fromkeys(options.seeds)),
        epochs=options.epochs,
        device=resolve_device(options.device),
        command=command,
        report=console.log,
        show_progress=True,
    )
    table = Table("test figures", "seed", "epoch", "weighted F1", "accuracy")
    for protocol in (PAPER_PROTOCOL, VALIDATION_SELECTED):
        for seed in card["seeds"]:
            figures = seed[protocol]
            table.add_row(
                protocol,
                str(seed["seed"]),
                str(figures["epoch"]),
                f"{figures['weighted_f1']:.4f}",
                f"{figures['accuracy']:.4f}",
            )
        if len(card["seeds"]) > 1:
            means = card["figures"][protocol]
            table.add_row(
                protocol, "mean ± sd", "", _mean(means["weighted_f1"]), _mean(means["accuracy"])
            )
    console.print(table)


def _mean(figure: dict[str, Any]) -> str:
    return f"{figure['mean']:.4f} ± {figure['sd']:.4f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sdt-train", description="Trains SDT checkpoints.")
    recipes = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    default = recipes.add_parser("default", help="the weights that ship with sdt-live")
    default.add_argument(
        "--data", type=Path, required=True, help="the folder with meld/, ravdess/ and fer2013/"
    )
    default.add_argument("--out", type=Path, default=ASSETS, help="default: the project's assets")
    default.add_argument(
        "--cache", type=Path, default=Path(".runs"), help="features and unfinished trainings"
    )
    default.add_argument("--seed", type=int, default=0)
    for name in PRESETS:
        paper = recipes.add_parser(name, help=f"the paper's model on the public {name} features")
        paper.add_argument("--features", type=Path, required=True, help="the public feature file")
        paper.add_argument("--out", type=Path, required=True, help="the checkpoint's folder")
        paper.add_argument("--seeds", type=_seed, nargs="+", default=[0], help="one training each")
        paper.add_argument("--epochs", type=int, help="default: the paper's")
        paper.add_argument(
            "--device",
            default="auto",
            metavar="NAME",
            help=f"{', '.join(DEVICES)} (default: auto)",
        )
        paper.add_argument(
            "--resume-dir", type=Path, default=Path(".runs"), help="unfinished trainings"
        )
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
