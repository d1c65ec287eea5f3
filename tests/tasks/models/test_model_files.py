"""Models as they are kept, and in MLflow's format, which MLflow writes once for each kind."""

import errno
import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from llmpso import Evaluation, Trial
from llmpso.errors import ModelError
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.outcome import Outcome
from llmpso.running.pending_records import PendingRecords
from llmpso.trial import Source
from tasks.models.artifacts import load_model
from tasks.models.model_files import MODEL_REQUIREMENTS, write_description
from tasks.models.stored_models import KIND, MODEL, store_model
from tasks.records.trial_runs import save_files


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


def write_model(model: object, folder: Path) -> None:
    """Keep a model, and let it become one of MLflow's, as its record does."""
    kept = folder.with_name(f"{folder.name}-kept")
    store_model(model, kept)
    write_description(kept, kept / MODEL)
    (kept / MODEL).rename(folder)


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


def test_a_network_is_described_as_mlflow_describes_it(tmp_path):
    network = torch.nn.Linear(2, 1)
    write_model(network, tmp_path / "ours")
    mlflow.pytorch.save_model(
        network,
        tmp_path / "theirs",
        pip_requirements=MODEL_REQUIREMENTS,
        serialization_format="pickle",
    )
    ours, theirs = (
        {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert ours.keys() == theirs.keys()
    differ = {str(n) for n in ours if ours[n].read_bytes() != theirs[n].read_bytes()}
    assert differ <= {"MLmodel", "data/model.pth"}
    flavors = [description(tmp_path / name).flavors for name in ("ours", "theirs")]
    assert flavors[0] == flavors[1]


def test_a_network_that_was_stored_before_an_upgrade_is_recorded(tmp_path):
    store_model(torch.nn.Linear(2, 1), tmp_path)
    kind = json.loads((tmp_path / KIND).read_text())
    del kind["device"]
    (tmp_path / KIND).write_text(json.dumps(kind))
    write_description(tmp_path, tmp_path / MODEL)
    assert description(tmp_path / MODEL).metadata == {"device": "cpu"}


def test_lightning_is_not_imported_to_store_a_network(tmp_path):
    """`mlflow.pytorch` imports it wherever it is installed, for seconds of every process."""
    program = """
import sys
from pathlib import Path
import torch
from tasks.models.model_files import MODEL_REQUIREMENTS, write_description
from tasks.models.stored_models import store_model
folder = Path(sys.argv[1])
store_model(torch.nn.Linear(2, 1), folder)
write_description(folder, folder / "model")
assert not {"pytorch_lightning", "mlflow.pytorch", "transformers"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_a_scripted_model_is_saved(tmp_path):
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


def test_a_network_with_a_lambda_is_saved(tmp_path):
    network = torch.nn.Linear(2, 1)
    network.scale = lambda value: 2 * value
    write_model(network, tmp_path / "network")
    assert mlflow.pytorch.load_model(str(tmp_path / "network")).scale(3) == 6


def test_an_estimator_is_saved_and_predicts(tmp_path):
    inputs, values = np.eye(3), np.array([1.0, 2.0, 3.0])
    model = make_pipeline(FunctionTransformer(lambda x: 2 * x), Ridge(alpha=0.5))
    write_model(model.fit(inputs, values), tmp_path / "ridge")
    for load in (mlflow.sklearn.load_model, mlflow.pyfunc.load_model, bare(tmp_path)):
        predicted = load(str(tmp_path / "ridge")).predict(inputs)
        np.testing.assert_array_equal(predicted, model.predict(inputs))


def test_an_estimator_that_does_not_predict_is_saved_too(tmp_path):
    write_model(StandardScaler().fit(np.eye(2)), tmp_path / "scaler")
    loaded = bare(tmp_path)(str(tmp_path / "scaler"))
    np.testing.assert_array_equal(loaded.mean_, [0.5, 0.5])


def test_weights_only_are_saved_without_pickle_and_say_what_they_are(tmp_path):
    network = torch.nn.Linear(2, 1)
    write_model(network.state_dict(), tmp_path / "weights")
    weights = bare(tmp_path)(str(tmp_path / "weights"))
    again = torch.nn.Linear(2, 1)
    again.load_state_dict(weights)
    assert torch.equal(again.weight, network.weight)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "weights"))
    assert loaded.get_raw_model().keys() == {"weight", "bias"}
    with pytest.raises(TypeError, match="these are weights alone; give them to your network"):
        loaded.predict(np.ones((1, 2)))


def bare(folder: Path):
    """How the registry loads a model: as its objective knows it."""
    return lambda address: load_model(f"sqlite:///{folder}/mlflow.db", address, objective=None)


class Refuses:
    loader_module, example = __name__, np.ones(1)

    def save(self, directory: Path) -> None:
        (directory / "weights").write_text("1")

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        raise AttributeError("not fitted")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({}, "a dict is no torch.nn.Module, state dict or estimator of scikit-learn, and has no "),
        ({"weight": 1.0}, "a dict is no torch.nn.Module, state dict or estimator"),
        (object(), "a object is no torch.nn.Module, state dict or estimator"),
        (FunctionTransformer(threading.Lock()), "TypeError: cannot pickle '_thread.lock' object"),
        (Refuses(), "AttributeError: not fitted"),
    ],
)
def test_what_cannot_be_saved_is_refused_with_its_reason(tmp_path, model, reason):
    with pytest.raises(ModelError) as caught:
        write_model(model, tmp_path / "model")
    assert str(caught.value).startswith(reason)


def test_a_full_disk_is_not_the_fault_of_a_model(tmp_path):
    class Full(Refuses):
        def save(self, directory: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write_model(Full(), tmp_path / "model")


def test_a_model_that_cannot_be_saved_is_a_warning_on_its_trial(tmp_path):
    params = {"x": 0.5, "sizes": (64, (3, None))}
    trial = Trial(0, params, Source.SWARM, iteration=0, particle=0, seed=1)
    network = torch.nn.Linear(2, 1)
    network.lock = threading.Lock()
    evaluation = Evaluation(0.5, model=network, artifacts={"a.json": {"b": 1}})
    outcome = Outcome(trial.measured(evaluation, 1.0), evaluation)
    entry = PendingRecords(tmp_path).put("address", outcome, partial(save_files, outcome))
    assert entry.trial.warnings == (
        "its model is not saved: TypeError: cannot pickle '_thread.lock' object",
    )
    assert (entry.trial.value, entry.trial.params) == (0.5, params)
    assert not (entry.folder / MODEL).exists()
    assert json.loads((entry.folder / "records" / "a.json").read_text()) == {"b": 1}


def test_the_traceback_of_a_training_is_saved(tmp_path):
    trial = Trial(0, {"x": 0.5}, Source.SWARM, iteration=0, particle=0, seed=1)

    class Fails:
        def evaluate(self, params, *, fidelity, seed):
            return params["rat"]

    outcome = evaluate_trial(Fails(), trial)
    entry = PendingRecords(tmp_path).put("address", outcome, partial(save_files, outcome))
    text = (entry.folder / "records" / "traceback.txt").read_text()
    assert text == entry.trial.failure.traceback
    assert text.startswith("Traceback") and text.endswith("KeyError: 'rat'\n")


def test_a_model_is_saved_without_mlflow(tmp_path, monkeypatch):
    """What MLflow adds takes it a second at first, in which a kill would lose the model."""

    def called(*args, **kwargs):
        raise AssertionError("MLflow was asked")

    monkeypatch.setattr(mlflow.pytorch, "save_model", called)
    monkeypatch.setattr(mlflow.pyfunc, "save_model", called)
    store_model(torch.nn.Linear(2, 1), tmp_path / "torch")
    store_model(Scaled(2.0, 3), tmp_path / "savable")
    assert (tmp_path / "torch" / MODEL / "data/model.pth").stat().st_size > 0
    assert (tmp_path / "savable" / MODEL / "data/model/factor").read_text() == "2.0"
