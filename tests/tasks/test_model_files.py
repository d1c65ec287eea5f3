"""Models in MLflow's format, of which MLflow writes only the first of a kind."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from tasks.model_files import write_model


class Scaled:
    """Multiplies; reads itself back from its folder."""

    loader_module = __name__

    def __init__(self, factor: float, width: int) -> None:
        self.factor, self.width = factor, width

    def save(self, directory: Path) -> None:
        (directory / "factor").write_text(str(self.factor))

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return inputs * self.factor

    @property
    def example(self) -> np.ndarray:
        return np.ones((1, self.width))


def description(folder: Path) -> mlflow.models.Model:
    return mlflow.models.Model.load(str(folder))


def test_models_of_one_kind_differ_in_weights_and_identity(tmp_path):
    torch.manual_seed(0)
    models = [torch.nn.Linear(2, 1), torch.nn.Linear(3, 1)]
    for number, model in enumerate(models):
        write_model(model, tmp_path / str(number))
    for number, model in enumerate(models):
        loaded = mlflow.pytorch.load_model(str(tmp_path / str(number)))
        assert torch.equal(loaded.weight, model.weight)
    first, second = (description(tmp_path / str(number)) for number in range(2))
    assert first.model_uuid != second.model_uuid
    assert first.flavors == second.flavors


def test_a_scripted_model_is_kept(tmp_path):
    write_model(torch.jit.script(torch.nn.Linear(2, 1)), tmp_path / "scripted")
    assert mlflow.pytorch.load_model(str(tmp_path / "scripted"))(torch.ones(1, 2)).shape == (1, 1)


def test_a_savable_model_has_its_own_signature_and_example(tmp_path, monkeypatch):
    monkeypatch.setattr(Scaled, "loader_module", "llmpso.objectives.forecaster")
    for number, width in enumerate((2, 3, 2)):
        folder = tmp_path / str(number)
        write_model(Scaled(number + 0.5, width), folder)
        written = description(folder)
        assert written.signature.inputs.inputs[0].shape == (-1, width)
        assert written.load_input_example(str(folder)).shape == (1, width)
        data = folder / written.flavors["python_function"]["data"]
        assert (data / "factor").read_text() == str(number + 0.5)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match="model is a dict; it must be a torch.nn.Module, or have"):
        write_model({}, tmp_path / "model")
