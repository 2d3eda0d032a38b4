"""The face expression network as shipped, its crops, and how it is trained."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from live_features import expression_training
from live_features.emotions import EMOTIONS
from live_features.errors import UserFacingError
from live_features.expression import (
    EMBEDDING_SIZE,
    ExpressionEncoder,
    ExpressionNetwork,
    NetworkConfig,
    config_from_json,
    config_to_json,
    face_crop,
    normalise,
)
from live_features.expression_training import (
    Faces,
    held_out,
    learnable,
    main,
    read_faces,
    train_expression,
)

SHIPPED = Path(__file__).parents[2] / "assets" / "expression"


@pytest.fixture(scope="module")
def encoder() -> ExpressionEncoder:
    return ExpressionEncoder.load(SHIPPED)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "expression"))


def some_crops(count: int) -> NDArray[np.uint8]:
    """Smooth random pictures: what the network says of them is of no interest here."""
    coarse = np.random.default_rng(3).integers(40, 200, (count, 12, 12), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def test_encoder_gives_an_embedding_and_probabilities_for_every_crop(
    encoder: ExpressionEncoder,
) -> None:
    embeddings, probabilities = encoder(some_crops(5))
    assert embeddings.shape == (5, EMBEDDING_SIZE)
    assert probabilities.shape == (5, len(EMOTIONS))
    assert embeddings.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (embeddings >= 0).all()
    assert 0.01 < embeddings.mean() < 5


def test_the_encoder_is_its_network_to_rounding() -> None:
    torch.manual_seed(0)
    network = ExpressionNetwork()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as training leaves it
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.bias, std=0.1)
    faces = normalise(torch.from_numpy(some_crops(3)).float())
    found = ExpressionEncoder(network)(some_crops(3))[0]
    with torch.inference_mode():
        network.eval()
        expected = network.embed(faces)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_encoder_takes_no_crops_and_more_than_a_batch(encoder: ExpressionEncoder) -> None:
    embeddings, probabilities = encoder(np.zeros((0, 48, 48), np.uint8))
    assert embeddings.shape == (0, EMBEDDING_SIZE)
    assert probabilities.shape == (0, 7)
    crops = some_crops(130)
    together = encoder(crops)[1]
    assert together.shape == (130, 7)
    np.testing.assert_allclose(together[-2:], encoder(crops[-2:])[1], atol=1e-4)


def test_dimmer_light_changes_little(encoder: ExpressionEncoder) -> None:
    crops = some_crops(4)
    np.testing.assert_allclose(encoder(crops)[1], encoder(crops // 2)[1], atol=0.1)


def test_a_crop_without_contrast_still_gives_numbers(encoder: ExpressionEncoder) -> None:
    embeddings, probabilities = encoder(np.full((1, 48, 48), 90, np.uint8))
    assert np.isfinite(embeddings).all()
    assert np.isfinite(probabilities).all()


def test_shipped_network_is_small_and_its_card_says_how_good_it_is() -> None:
    weights = (SHIPPED / "weights.safetensors").read_bytes()
    card = json.loads((SHIPPED / "card.json").read_text("utf-8"))
    assert len(weights) <= 3_000_000
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    assert tuple(card["classes"]) == EMOTIONS
    assert card["public_test"]["faces"] == 3589
    assert card["public_test"]["accuracy"] >= 0.67
    assert set(card["public_test"]["recall"]) == set(EMOTIONS)
    assert "held_out" in card["data"]["held_out_rule"]


@pytest.mark.parametrize("missing", ["weights.safetensors", "card.json"])
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(UserFacingError, match=missing.replace(".", r"\.")):
        ExpressionEncoder.load(copy)


@pytest.mark.parametrize("harm", ["flipped", "truncated", "empty"])
def test_damaged_weights_are_refused(copy: Path, harm: str) -> None:
    path = copy / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {"flipped": bytes(content), "truncated": bytes(content[:5000]), "empty": b""}
    path.write_bytes(harmed[harm])
    with pytest.raises(UserFacingError, match="damaged"):
        ExpressionEncoder.load(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "0", "network": {}}', "\x00\xff"])
def test_a_damaged_card_is_refused(copy: Path, text: str) -> None:
    (copy / "card.json").write_text(text, "utf-8")
    with pytest.raises(UserFacingError, match="card"):
        ExpressionEncoder.load(copy)


def test_weights_of_another_network_are_refused(copy: Path) -> None:
    card = json.loads((copy / "card.json").read_text("utf-8"))
    card["network"]["stem"] = [8, 48]
    (copy / "card.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(UserFacingError, match="damaged"):
        ExpressionEncoder.load(copy)


def test_network_widths_must_end_in_the_embedding() -> None:
    config = NetworkConfig()
    assert config_from_json(json.loads(json.dumps(config_to_json(config)))) == config
    with pytest.raises(ValueError, match="342"):
        ExpressionNetwork(NetworkConfig(growth=(48, 48, 50)))


def ramp(height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """An RGB picture that brightens by one grey level a column."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))


def test_face_crop_is_a_square_around_the_box() -> None:
    crop = face_crop(np.ascontiguousarray(ramp()), (0.375, 0.3, 0.25, 0.4))
    assert crop.shape == (48, 48)
    assert crop.dtype == np.uint8
    # Centre at column 80; the side is 1.09 x sqrt(40 x 48) = 48 columns.
    assert abs(float(crop.mean()) - 79.5) <= 1
    assert abs(int(crop[0, -1]) - int(crop[0, 0]) - 47) <= 2


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-0.4, 0.3, 0.3, 0.4), 0),
        ((1.1, 0.3, 0.3, 0.4), 159),
        ((5.0, 5.0, 0.3, 0.4), 159),
        ((-9.0, -9.0, 0.2, 0.2), 0),
    ],
)
def test_face_crop_beyond_the_edge_repeats_the_edge(
    box: tuple[float, float, float, float], expected: int
) -> None:
    crop = face_crop(np.ascontiguousarray(ramp()), box)
    assert np.abs(crop.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 1.0, 1.0), (-0.2, -0.1, 0.4, 0.4), (0.9, 0.8, 0.3, 0.3), (0.5, 0.5, 0, 0)]
)
@pytest.mark.parametrize("shape", [(120, 160), (5, 7), (1, 1)])
def test_face_crop_takes_any_box_on_any_picture(
    box: tuple[float, float, float, float], shape: tuple[int, int]
) -> None:
    crop = face_crop(np.ascontiguousarray(ramp(*shape)), box)
    assert crop.shape == (48, 48)


def drawn_faces(per_class: int, seed: int) -> Faces:
    """Pictures whose class shows as a bright bar at a height of its own."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(EMOTIONS)), per_class)
    coarse = generator.integers(20, 190, (len(labels), 8, 8), np.uint8)
    images = coarse.repeat(6, axis=1).repeat(6, axis=2)
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 1 : 6 * label + 6] = 230
    return Faces(images, labels)


def save_faces(path: Path, faces: Faces, classes: tuple[str, ...] = EMOTIONS) -> None:
    np.savez(path, images=faces.images, labels=faces.labels, classes=np.array(classes))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "fer"
    folder.mkdir()
    save_faces(folder / "train.npz", drawn_faces(20, 0))
    save_faces(folder / "public_test.npz", drawn_faces(3, 1))
    return folder


def test_held_out_faces_are_a_reproducible_share_of_every_class() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 2000)
    apart = held_out(labels, seed=1)
    np.testing.assert_array_equal(apart, held_out(labels, seed=1))
    assert not np.array_equal(apart, held_out(labels, seed=2))
    assert (np.diff(apart) > 0).all()
    share = np.bincount(labels[apart]) / np.bincount(labels)
    np.testing.assert_allclose(share, 0.1, atol=0.005)


def test_nothing_held_out_or_tested_is_learned_from() -> None:
    faces, test = drawn_faces(20, 0), drawn_faces(3, 1)
    apart = held_out(faces.labels, seed=4)
    free = np.setdiff1d(np.arange(len(faces.labels)), apart)
    faces.images[free[0]] = faces.images[apart[0]]
    faces.images[free[1]] = test.images[0]
    faces.images[free[2]] = 128
    # Mirrored and brighter, and a little blurred, it is still the same picture.
    faces.images[free[3]] = test.images[1][:, ::-1] // 2 + 60
    faces.images[free[4]] = cv2.GaussianBlur(test.images[2], (3, 3), 0.6)
    np.testing.assert_array_equal(learnable(faces, test, seed=4), free[5:])


def test_training_ends_in_files_the_encoder_loads(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    card = train_expression(data, out, seed=5, epochs=1, batch_size=16)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "weights.safetensors"]
    assert json.loads((out / "card.json").read_text("utf-8"))["sha256"] == card["sha256"]
    assert "--seed 5 --epochs 1" in card["command"]
    assert card["public_test"]["faces"] == 21
    assert ExpressionEncoder.load(out)(some_crops(1))[1].shape == (1, 7)


def interrupt_in_second_epoch(
    monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, settings: dict[str, Any]
) -> None:
    """Begin a training and break it off before its second epoch has been kept."""
    evaluate = expression_training.evaluate
    finished = 0

    def interrupted(*arguments: Any) -> object:
        nonlocal finished
        finished += 1
        if finished == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(expression_training, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_expression(data, out, **settings)
    monkeypatch.undo()


def test_an_interrupted_training_goes_on_where_it_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_expression(data, tmp_path / "whole", seed=2, epochs=2, batch_size=16)

    settings = {"seed": 2, "epochs": 2, "batch_size": 16}
    interrupt_in_second_epoch(monkeypatch, data, tmp_path / "out", settings)
    with pytest.raises(UserFacingError, match="other settings"):
        train_expression(data, tmp_path / "out", seed=3, epochs=2, batch_size=16)
    resumed = train_expression(data, tmp_path / "out", seed=2, epochs=2, batch_size=16)
    assert resumed["sha256"] == whole["sha256"]


def test_a_training_can_be_wound_down_while_it_runs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"seed": 2, "epochs": 9, "batch_size": 16}
    whole = train_expression(data, tmp_path / "whole", wind_down=(1, 3), **settings)
    assert whole["best_epoch"] <= 3
    assert "--epochs 9" in whole["command"]
    assert "--wind-down 1 3" in whole["command"]

    interrupt_in_second_epoch(monkeypatch, data, tmp_path / "out", settings)
    resumed = train_expression(data, tmp_path / "out", wind_down=(1, 3), **settings)
    assert resumed["sha256"] == whole["sha256"]


def test_unsuitable_data_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserFacingError, match=r"absent\.npz"):
        read_faces(data / "absent.npz")
    (data / "text.npz").write_text("no archive")
    with pytest.raises(UserFacingError, match=r"text\.npz"):
        read_faces(data / "text.npz")
    save_faces(data / "other.npz", drawn_faces(1, 0), classes=EMOTIONS[::-1])
    with pytest.raises(UserFacingError, match="in this order"):
        read_faces(data / "other.npz")
    assert main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert "train.npz" in capsys.readouterr().err


def test_a_second_generation_starts_from_its_teacher_and_goes_on_where_it_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_expression(data, tmp_path / "first", seed=2, epochs=2, batch_size=16)
    settings = {"seed": 2, "epochs": 2, "batch_size": 16, "teacher": tmp_path / "first"}
    whole = train_expression(data, tmp_path / "whole", **settings)
    assert whole["sha256"] != first["sha256"]
    assert "--teacher FIRST --seed 2 --epochs 2" in whole["command"]
    assert whole["teacher"]["command"] == first["command"]
    assert whole["settings"]["teacher"] == whole["teacher"]["sha256"] == first["sha256"]
    # At no learning rate to speak of it says what its teacher says.
    still = tmp_path / "still"
    train_expression(data, still, learning_rate=1e-9, **settings)
    faces = drawn_faces(2, 7).images
    taught, teacher = (ExpressionEncoder.load(f)(faces)[0] for f in (still, tmp_path / "first"))
    assert np.corrcoef(taught.ravel(), teacher.ravel())[0, 1] > 0.9

    interrupt_in_second_epoch(monkeypatch, data, tmp_path / "out", settings)
    resumed = train_expression(data, tmp_path / "out", **settings)
    assert resumed["sha256"] == whole["sha256"]


def test_a_teacher_of_another_seed_is_refused(data: Path, tmp_path: Path) -> None:
    train_expression(data, tmp_path / "first", seed=2, epochs=1, batch_size=16)
    with pytest.raises(UserFacingError, match="held out"):
        train_expression(data, tmp_path / "out", seed=3, epochs=1, teacher=tmp_path / "first")
    with pytest.raises(UserFacingError, match=r"card\.json"):
        train_expression(data, tmp_path / "out", epochs=1, teacher=tmp_path / "nowhere")
