from __future__ import annotations

import pytest
import torch

from sdt_model.config import SDTConfig
from sdt_model.model import SDT
from sdt_model.presets import PRESETS

FREQUENCIES = (0.086747, 0.144406, 0.227883, 0.160585, 0.127711, 0.252668)


def released_parameters(config: SDTConfig, *, trained_only: bool = False) -> int:
    """Parameters of the published model; ours has learned vectors for missing modalities on top."""
    with torch.device("meta"):
        model = SDT(config)
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not name.startswith("missing.") and (parameter.requires_grad or not trained_only)
    )


def formula(config: SDTConfig) -> int:
    d, classes = config.hidden, len(config.classes)
    encoder = 6 * (d * d + d) + 2 * 2 * d
    shared = (config.speakers + 1) * d + sum(config.feature_sizes) * d + 3 * (3 * d * d + d)
    gates = 9 * d * d + d * d
    return 9 * encoder + shared + gates + 4 * (d * classes + classes)


@pytest.mark.parametrize(
    ("name", "audio", "speakers", "classes", "temperature", "trainable"),
    [("iemocap", 1582, 2, 6, 1.0, True), ("meld", 300, 9, 7, 8.0, False)],
)
def test_the_models_are_those_of_the_paper(
    name: str, audio: int, speakers: int, classes: int, temperature: float, trainable: bool
) -> None:
    config = PRESETS[name].config

    assert config.feature_sizes == (1024, audio, 342)
    assert (config.hidden, config.heads, config.layers) == (1024, 8, 1)
    assert (config.speakers, len(config.classes)) == (speakers, classes)
    assert (config.dropout, config.temperature) == (0.5, temperature)
    assert config.trainable_unimodal_gates is trainable


@pytest.mark.parametrize(
    ("name", "rate", "batch", "epochs"), [("iemocap", 1e-4, 16, 150), ("meld", 5e-6, 8, 50)]
)
def test_they_are_trained_as_in_the_paper(name: str, rate: float, batch: int, epochs: int) -> None:
    options = PRESETS[name].options

    assert (options.learning_rate, options.batch_size, options.epochs) == (rate, batch, epochs)
    assert options.l2 == 1e-5
    assert options.gammas == (1.0, 1.0, 1.0)
    assert options.patience is None
    assert options.modality_dropout == options.prefix_probability == 0.0
    assert not options.permute_speakers


def test_iemocap_weighs_its_classes_by_their_rarity_and_meld_does_not() -> None:
    weights = PRESETS["iemocap"].options.class_weights

    assert weights == pytest.approx([1 / share for share in FREQUENCIES])
    assert PRESETS["meld"].options.class_weights is None


def test_the_class_names_follow_the_label_numbers_of_the_public_features() -> None:
    assert PRESETS["iemocap"].config.classes == (
        *("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    )
    assert PRESETS["meld"].config.classes == (
        *("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    )


@pytest.mark.parametrize(("name", "millions"), [("iemocap", 79.69), ("meld", 78.39)])
def test_the_models_have_the_size_of_the_released_ones(name: str, millions: float) -> None:
    count = released_parameters(PRESETS[name].config)

    assert count == formula(PRESETS[name].config)
    assert round(count / 1e6, 2) == millions


def test_on_meld_the_unimodal_gates_are_not_trained() -> None:
    assert round(released_parameters(PRESETS["meld"].config, trained_only=True) / 1e6, 2) == 68.95


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["meld"]  # type: ignore[index]
