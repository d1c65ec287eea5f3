import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from llmpso.data.images.classes_and_parts import parse_groups
from llmpso.data.images.load import load_images
from llmpso.data.images.textures import load_textures
from llmpso.errors import DataError, SpaceError, SpecError
from llmpso.objectives.base import (
    DescribedObjective,
    SavableModel,
    SupportsBaselines,
    SupportsHoldOut,
    SupportsReport,
)
from llmpso.objectives.classification_records import macro_f1
from llmpso.objectives.classifier import Classifier, _load_pyfunc
from llmpso.objectives.cnn import TUNABLES, CNNObjective
from llmpso.objectives.cnn_network import CNNArchitecture, CNNetwork, augment
from llmpso.pages.model_charts import model_charts
from llmpso.space import Float, SearchSpace

WIDE = TUNABLES.named("wide")
PARAMS = {
    "layers": 2,
    "filters": 6,
    "learning_rate": 0.01,
    "dropout": 0.3,
    "kernel": 3,
    "weight_decay": 0.001,
    "augmentation": 0.5,
}


@pytest.fixture(scope="module")
def objective(images) -> CNNObjective:
    return CNNObjective(images, max_epochs=3, device="cpu", space=WIDE)


def test_it_describes_itself(objective, images):
    assert isinstance(objective, DescribedObjective)
    assert isinstance(objective, SupportsBaselines)
    assert objective.name == "cnn-stripes"
    assert objective.metric == "validation error (share of images)"
    assert list(CNNObjective(images).space) == ["layers", "filters", "learning_rate", "dropout"]
    for fact in ("lying, standing apart", "160 images of 12 × 12 pixels", "80 validation"):
        assert fact in objective.description


def test_figures_fit_each_other(objective):
    evaluation = objective.evaluate(PARAMS, fidelity=1.0, seed=0)
    curve, metrics = evaluation.curves["validation_error"], evaluation.metrics
    assert len(curve) == len(evaluation.curves["train_loss"]) == metrics["epochs"] == 3
    assert evaluation.value == min(curve) == curve[int(metrics["best_epoch"]) - 1]
    assert metrics["validation_accuracy"] == 1 - evaluation.value
    assert metrics["parameters"] == 6 * (3 * 9 + 2) + 6 * (6 * 9 + 2) + (6 + 1) * 2
    confusion = evaluation.artifacts["confusion.json"]
    assert confusion["classes"] == ["lying", "standing"]
    for part, n_images in (("validation", 80), ("test", 60)):
        counts = np.array(confusion[part])
        assert counts.sum(axis=1).tolist() == [n_images / 2] * 2
        assert metrics[f"{part}_accuracy"] == pytest.approx(np.trace(counts) / n_images)


def test_the_model_reproduces_the_figures_from_raw_images(objective, images):
    evaluation = objective.evaluate(PARAMS, fidelity=1.0, seed=0)
    predicted = evaluation.model.predict(images.test.pixels)
    assert list(predicted.columns) == ["lying", "standing"]
    assert np.allclose(predicted.sum(axis=1), 1.0)
    guesses = predicted.to_numpy().argmax(axis=1)
    right = float(np.mean(guesses == images.test.labels))
    assert right == pytest.approx(evaluation.metrics["test_accuracy"])
    assert isinstance(objective, SupportsHoldOut)
    assert objective.held_out(evaluation.model).error == pytest.approx(1 - right)


def test_the_mistakes_shown_are_those_of_the_confusion_matrix(objective):
    evaluation = objective.evaluate(PARAMS, fidelity=1.0, seed=0)
    assert isinstance(objective, SupportsReport)
    records = json.loads(json.dumps(objective.records(evaluation.model)))
    counts = np.array(records["confusion.json"]["test"])
    assert counts.tolist() == evaluation.artifacts["confusion.json"]["test"]
    wrong = records["mistakes.json"]
    assert wrong["total"] == counts.sum() - counts.trace()
    assert len(wrong["images"]) == min(12, wrong["total"])
    assert all(image["true"] != image["predicted"] for image in wrong["images"])
    assert "confusion" in {chart.name for chart in model_charts(records)}


def test_a_saved_model_reads_back_to_the_last_bit(objective, images, tmp_path):
    model = objective.evaluate(PARAMS, fidelity=1.0, seed=0).model
    assert isinstance(model, SavableModel)
    assert model.predict(model.example).shape == (1, 2)
    model.save(tmp_path)
    again = _load_pyfunc(str(tmp_path))
    assert again.predict(images.test.pixels).equals(model.predict(images.test.pixels))
    with pytest.raises(DataError, match="holds no classifier"):
        Classifier.load(tmp_path / "nowhere")


def test_images_of_another_kind_are_refused(objective, images):
    model = objective.evaluate(PARAMS, fidelity=0.3, seed=0).model
    for wrong in (images.test.pixels[:, :8], images.test.pixels / 255, images.test.pixels[0]):
        with pytest.raises(DataError, match=r"this model needs uint8 of shape \(n, 12, 12, 3\)"):
            model.predict(wrong)


def test_it_learns_what_a_line_cannot(images):
    objective = CNNObjective(images, device="cpu", space=WIDE)
    evaluation = objective.evaluate(PARAMS | {"augmentation": 0.0}, fidelity=1.0, seed=0)
    baselines = objective.baselines()
    assert baselines["majority class"] == {"validation_accuracy": 0.5, "test_accuracy": 0.5}
    assert baselines["linear"]["test_accuracy"] < 0.75
    assert evaluation.metrics["test_accuracy"] > 0.9


def test_parameters_and_fidelity_are_checked_before_training(objective):
    with pytest.raises(SpaceError, match="layers is 9"):
        objective.evaluate(PARAMS | {"layers": 9}, fidelity=1.0, seed=0)
    with pytest.raises(SpecError, match="fidelity is 0"):
        objective.evaluate(PARAMS, fidelity=0, seed=0)


def test_training_that_diverges_gives_nan(images):
    space = SearchSpace(dict(WIDE) | {"learning_rate": Float(1e-4, 1e38, log=True)})
    objective = CNNObjective(images, max_epochs=3, device="cpu", space=space)
    evaluation = objective.evaluate(PARAMS | {"learning_rate": 1e38}, fidelity=1.0, seed=0)
    assert math.isnan(evaluation.value)
    assert evaluation.model is None
    assert evaluation.artifacts == {}


def test_fingerprint_follows_data_and_settings(objective, images, other_test_images):
    def fingerprint(data=images, **options):
        return CNNObjective(
            data, **({"max_epochs": 3, "device": "cpu", "space": WIDE} | options)
        ).fingerprint

    assert fingerprint() == fingerprint(replace(images, name="other")) == objective.fingerprint
    others = [
        fingerprint(max_epochs=4),
        fingerprint(batch_size=16),
        fingerprint(space=TUNABLES.named("paper")),
        fingerprint(replace(images, test=other_test_images)),
    ]
    assert len({objective.fingerprint, *others}) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"space": SearchSpace({"lr": Float(0, 1)})}, r"space names \['lr'\]; it must"),
    ],
)
def test_impossible_options_are_refused(images, options, message):
    with pytest.raises(SpecError, match=message):
        CNNObjective(images, **options)


def test_augmentation_shifts_and_mirrors_within_its_strength():
    pixels = torch.arange(8 * 8, dtype=torch.uint8).reshape(1, 8, 8, 1).repeat(64, 1, 1, 1)
    everything, generator = torch.arange(64), torch.Generator().manual_seed(0)
    assert torch.equal(augment(pixels, everything, 0.0, generator), pixels)
    changed = augment(pixels, everything, 1.0, generator)
    rows, columns = changed[:, :, 3, 0] // 8, changed[:, 3, :, 0] % 8
    shifts = (rows.int() - torch.arange(8))[:, 3]
    assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}
    mirrored = columns[:, 0] > columns[:, -1]
    assert 16 < int(mirrored.sum()) < 48
    again = augment(pixels, everything, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(again, changed)


def test_the_network_scales_pixels_and_halves_what_it_can():
    network = CNNetwork(CNNArchitecture(32, 3, 4, layers=5, filters=8, kernel=5, dropout=0.0))
    network.initialise(torch.Generator().manual_seed(0), [10.0, 20.0, 30.0], [2.0, 2.0, 4.0])
    network.eval()
    seen = []
    network.body.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.body.register_forward_hook(lambda _, __, outputs: seen.append(outputs))
    pixels = torch.full((2, 32, 32, 3), 30, dtype=torch.uint8)
    assert network(pixels).shape == (2, 4)
    assert seen[0][0, :, 0, 0].tolist() == [10.0, 5.0, 0.0]
    assert seen[1].shape == (2, 8, 4, 4)


def test_macro_f1_counts_every_class_the_same():
    labels, guesses = np.repeat([0, 1], [90, 10]), np.zeros(100, dtype=np.int64)
    assert macro_f1(labels, guesses, "ab") == pytest.approx((2 * 90 / 190 + 0) / 2)
    assert macro_f1(np.arange(3), np.arange(3), "abc") == 1.0
    assert macro_f1(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64), "ab") == 0.5


@pytest.mark.slow
def test_textures_are_distinguished_far_better_than_by_a_line():
    objective = CNNObjective(load_textures(), device="cpu")
    params = {"layers": 3, "filters": 16, "learning_rate": 0.005, "dropout": 0.1}
    metrics = objective.evaluate(params, fidelity=1.0, seed=0).metrics
    linear = objective.baselines()["linear"]
    assert linear["test_accuracy"] < 0.6
    assert metrics["validation_accuracy"] > 0.96
    assert metrics["test_accuracy"] > 0.96


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "least"),
    [
        ("fibre=paper+cardboard,rest=glass+metal+plastic", 0.82),
        ("cardboard,glass,metal,paper,plastic,trash", 0.58),
    ],
)
def test_waste_of_trashnet_is_distinguished_better_than_by_a_line(shared_data, classes, least):
    path = shared_data / "trashnet" / "trashnet32_all2527.npz"
    objective = CNNObjective(load_images(path, groups=parse_groups(classes)), device="cpu")
    params = {"layers": 4, "filters": 16, "learning_rate": 0.005, "dropout": 0.1}
    metrics = objective.evaluate(params, fidelity=1.0, seed=0).metrics
    linear = objective.baselines()["linear"]
    assert metrics["validation_accuracy"] > linear["validation_accuracy"]
    assert metrics["test_accuracy"] > max(least, linear["test_accuracy"])


@pytest.mark.gpu
def test_cuda_gives_about_the_same(images):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on = {
        device: CNNObjective(images, device=device, space=WIDE).evaluate(
            PARAMS | {"dropout": 0.0, "augmentation": 0.0}, fidelity=1.0, seed=0
        )
        for device in ("cpu", "cuda")
    }
    assert on["cuda"].value == pytest.approx(on["cpu"].value, abs=0.1)
    assert next(on["cuda"].model.network.parameters()).device.type == "cpu"


def test_each_layer_may_have_filters_of_its_own(images, tmp_path):
    objective = CNNObjective(images, max_epochs=1, device="cpu", space=TUNABLES.named("layers"))
    assert "is a convolution with its own number of filters" in objective.description
    params = {"layers": 2, "filters_1": 5, "filters_2": 7, "learning_rate": 0.01, "dropout": 0.0}
    model = objective.evaluate(params, fidelity=1.0, seed=0).model
    assert [part.out_channels for part in model.network.body[::4]] == [5, 7]
    model.save(tmp_path)
    same = objective.read_model(tmp_path).predict(images.test.pixels)
    assert same.equals(model.predict(images.test.pixels))
