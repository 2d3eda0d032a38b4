"""``sdt-train``: from corpora to checkpoints."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.assets import ASSETS
from app.default_training import train_default
from live_features.errors import UserFacingError
from sdt_model.errors import SDTError


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 2 after one sentence on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    console = Console()
    try:
        card = train_default(
            options.data,
            options.out,
            options.cache,
            seed=options.seed,
            command=shlex.join(["uv", "run", "sdt-train", *given]),
            report=console.log,
        )
    except (UserFacingError, SDTError) as error:
        print(f"sdt-train: {error}", file=sys.stderr)
        return 2
    table = Table("figures", "classifier", "weighted F1", "accuracy")
    for where, scores in card["figures"].items():
        for who, score in scores.items():
            table.add_row(where, who, f"{score['weighted_f1']:.4f}", f"{score['accuracy']:.4f}")
    console.print(table)
    return 0


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
    return parser


if __name__ == "__main__":
    sys.exit(main())
