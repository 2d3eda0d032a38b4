"""Small models and made-up dialogues for the tests of ``sdt_model``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sdt_model.config import SDTConfig
from sdt_model.dialogues import Dialogue, UtteranceFeatures
from sdt_model.model import SDT

SIZES = (6, 10, 4)
CLASSES = ("calm", "glad", "cross")


def small_config(**changes: object) -> SDTConfig:
    settings: dict[str, object] = {
        "text_dim": SIZES[0],
        "audio_dim": SIZES[1],
        "visual_dim": SIZES[2],
        "hidden": 16,
        "heads": 4,
        "classes": CLASSES,
        "speakers": 3,
        "dropout": 0.3,
    }
    return SDTConfig(**(settings | changes))  # type: ignore[arg-type]


def small_model(seed: int = 0, **changes: object) -> SDT:
    """A model whose learned vectors for missing modalities are not at their initial zero."""
    torch.manual_seed(seed)
    model = SDT(small_config(**changes)).eval()
    for vector in model.missing.values():
        torch.nn.init.normal_(vector)
    return model


def random_dialogue(
    length: int, seed: int = 0, *, missing: float = 0.0, speakers: int = 3, name: str = "d"
) -> Dialogue:
    rng = np.random.default_rng(seed)
    text, audio, visual = (rng.normal(size=(length, size)).astype(np.float32) for size in SIZES)
    return Dialogue(
        id=name,
        text=text,
        audio=audio,
        visual=visual,
        present=rng.random((length, 3)) >= missing,
        speakers=rng.integers(speakers, size=length),
        labels=rng.integers(len(CLASSES), size=length),
    )


def telling_dialogues(count: int, seed: int = 0) -> list[Dialogue]:
    """Dialogues whose features give their labels away through a little noise."""
    signs = [np.random.default_rng(99).normal(size=(len(CLASSES), size)) for size in SIZES]
    rng = np.random.default_rng(seed)
    dialogues = []
    for number in range(count):
        length = int(rng.integers(3, 9))
        labels = rng.integers(len(CLASSES), size=length)
        text, audio, visual = (
            sign[labels] + 0.3 * rng.normal(size=(length, sign.shape[1])) for sign in signs
        )
        dialogues.append(
            Dialogue(
                id=f"telling-{number}",
                text=text.astype(np.float32),
                audio=audio.astype(np.float32),
                visual=visual.astype(np.float32),
                present=np.ones((length, 3), bool),
                speakers=rng.integers(3, size=length),
                labels=labels,
            )
        )
    return dialogues


def utterances_of(dialogue: Dialogue) -> list[UtteranceFeatures]:
    """The dialogue as a live session would hand it over, one utterance after another."""
    return [UtteranceFeatures(*_vectors(dialogue, row)) for row in range(len(dialogue))]


def _vectors(dialogue: Dialogue, row: int) -> Sequence[np.ndarray | None]:
    return [
        values[row] if there else None
        for values, there in zip(dialogue.features, dialogue.present[row], strict=True)
    ]
