"""``sdt-train``: from corpora to checkpoints."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich
from rich.console import Console
from rich.table import Table

from app.assets import ASSETS
from app.default_training import CONFIG, OPTIONS, train_default
from app.feature_training import (
    PAPER_PROTOCOL,
    VALIDATION_SELECTED,
    public_material,
    stored_material,
    train_on_features,
)
from app.models import resolve_device
from app.options import DEVICES, INTERRUPTED
from live_features.errors import UserFacingError
from sdt_model.config import FUSIONS, MODALITIES, SDTConfig
from sdt_model.errors import SDTError
from sdt_model.presets import PRESETS, Preset
from sdt_model.training import TrainingOptions

_HIGHEST_SEED = 2**32 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or after one sentence on standard error 2, 130 when
    interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    train = _train_default if options.recipe == "default" else _train_on_features
    try:
        train(options, shlex.join(["uv", "run", "sdt-train", *given]))
    except (UserFacingError, SDTError) as error:
        print(f"sdt-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sdt-train: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
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
    if options.recipe == "store":
        material = stored_material(options.features)
        # An average over steps wants more of them than small corpora give.
        preset = Preset(CONFIG, replace(OPTIONS, text_alone=0.0, average_decay=None))
    else:
        material = public_material(options.features, options.recipe)
        preset = PRESETS[options.recipe]
    card = train_on_features(
        material,
        _config(preset.config, options),
        _options(preset.options, options),
        options.out,
        options.resume_dir,
        seeds=list(dict.fromkeys(options.seeds)),
        device=resolve_device(options.device),
        command=command,
        report=console.log,
        variant=_variant(options),
        tensorboard=options.tensorboard,
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


def _config(preset: SDTConfig, options: argparse.Namespace) -> SDTConfig:
    return replace(
        preset,
        unimodal_gates="unimodal-gates" not in options.without,
        fusion=options.fusion,
        modalities=tuple(m for m in MODALITIES if m in options.modalities),
        hidden=preset.hidden if options.hidden is None else options.hidden,
    )


def _options(preset: TrainingOptions, options: argparse.Namespace) -> TrainingOptions:
    task, students, divergence = preset.gammas
    given = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "prefix_probability": options.prefix_probability,
    }
    return replace(
        preset,
        gammas=(
            task,
            0.0 if "ce" in options.without else students,
            0.0 if "kl" in options.without else divergence,
        ),
        mixed_precision=options.mixed_precision,
        **{name: value for name, value in given.items() if value is not None},
    )


def _variant(options: argparse.Namespace) -> str:
    """What tells one variation of a recipe from another in the names of unfinished trainings."""
    parts = [f"without-{what}" for what in sorted(options.without)]
    if options.fusion != "gate":
        parts.append(options.fusion)
    if len(options.modalities) < len(MODALITIES):
        parts += [m for m in MODALITIES if m in options.modalities]
    if options.prefix_probability is not None:
        parts.append(f"prefixes-{options.prefix_probability:g}")
    return "-".join(parts)


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
    default.add_argument("--seed", type=_seed, default=0)
    for name in PRESETS:
        paper = recipes.add_parser(name, help=f"the paper's model on the public {name} features")
        paper.add_argument("--features", type=Path, required=True, help="the public feature file")
        _add_training(paper, "the paper's")
    store = recipes.add_parser("store", help="a model like the one that ships, on your features")
    store.add_argument(
        "--features",
        type=Path,
        required=True,
        help="the folder with train.safetensors, dev.safetensors and test.safetensors",
    )
    _add_training(store, "as for the weights that ship")
    return parser


def _add_training(parser: argparse.ArgumentParser, usual: str) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--seeds", type=_seed, nargs="+", default=[0], help="one training each")
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help=f"{', '.join(DEVICES)} (default: auto)"
    )
    parser.add_argument(
        "--mixed-precision", action="store_true", help="run the model in bfloat16, for a GPU"
    )
    parser.add_argument(
        "--resume-dir", type=Path, default=Path(".runs"), help="unfinished trainings"
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="draw the curves of every seed there"
    )
    settings = parser.add_argument_group(f"settings (default: {usual})")
    settings.add_argument("--epochs", type=int)
    settings.add_argument("--learning-rate", type=float)
    settings.add_argument("--hidden", type=int, help="the paper's d")
    settings.add_argument(
        "--prefix-probability",
        type=float,
        metavar="P",
        help="how often a dialogue is cut after a random utterance, as a live one is",
    )
    ablations = parser.add_argument_group("ablations")
    ablations.add_argument(
        "--without",
        nargs="+",
        choices=("ce", "kl", "unimodal-gates"),
        default=(),
        help="self-distillation's hard labels (ce), its soft labels (kl), the unimodal gates",
    )
    ablations.add_argument(
        "--fusion",
        choices=FUSIONS,
        default="gate",
        help="the multimodal gate, or concatenation or addition in its place (default: gate)",
    )
    ablations.add_argument(
        "--modalities",
        nargs="+",
        choices=MODALITIES,
        default=MODALITIES,
        help="use these alone (default: all)",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    if int(text) > _HIGHEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is above the highest seed, {_HIGHEST_SEED}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
