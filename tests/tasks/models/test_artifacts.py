"""Models come back from MLflow without obeying what lies beside their weights."""

import gc
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.utils.file_utils import local_file_uri_to_path
from sklearn.linear_model import LinearRegression

from llmpso.data.series.time_series import TimeSeries
from llmpso.errors import RegistryError
from llmpso.objectives.averaged import average
from llmpso.objectives.lstm import LSTMObjective
from tasks.models import stored_models
from tasks.models.artifacts import check_model, load_member, load_model, load_predictor
from tasks.models.model_files import write_description
from tasks.models.stored_models import MODEL, store_model


class Own:
    """An objective of a user's own."""


@pytest.fixture(scope="module")
def objective() -> LSTMObjective:
    rows = pd.date_range("2024-01-01", periods=300, freq="h")
    frame = pd.DataFrame({"load": np.sin(np.arange(300) / 7)}, index=rows)
    series = TimeSeries(frame, "load", (), "waves", "Waves.", "made up", "m")
    return LSTMObjective(series, horizon=2, max_epochs=1)


@pytest.fixture(scope="module")
def forecaster(objective):
    params = objective.space.decode(np.full(len(objective.space), 0.2))
    return objective.evaluate(params, fidelity=1.0, seed=0).model


def artifact(model: object, store: str, tmp_path: Path) -> tuple[str, Path]:
    """A model as a study keeps it: its address, and its folder in the store."""
    kept = tmp_path / "kept"
    kept.mkdir()
    store_model(model, kept)
    write_description(kept, kept / MODEL)
    client = mlflow.MlflowClient(store)
    run = client.create_run("0")
    client.log_artifacts(run.info.run_id, str(kept / MODEL), "model")
    folder = Path(local_file_uri_to_path(run.info.artifact_uri), "model")
    return f"runs:/{run.info.run_id}/model", folder


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the module `trap_module` was run."""
    sprung = tmp_path / "sprung"
    code = f"open({str(sprung)!r}, 'w')\n\ndef _load_pyfunc(path):\n    return None\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "trap_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield sprung
    sys.modules.pop("trap_module", None)


EDITS = {
    "another loader": (
        "loader_module: llmpso.objectives.forecaster",
        "loader_module: trap_module",
    ),
    "a flavor that unpickles": (
        "flavors:\n",
        "flavors:\n  pytorch:\n    model_data: data\n    pytorch_version: 2.0\n    code: code\n",
    ),
    "code of its own": ("    data: data\n", "    data: data\n    code: code\n"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edited_description_runs_nothing(
    mlflow_store, objective, forecaster, tmp_path, trap, edit
) -> None:
    address, folder = artifact(forecaster, mlflow_store, tmp_path)
    text = (folder / "MLmodel").read_text()
    assert edit[0] in text or edit[0].startswith("    data")
    (folder / "MLmodel").write_text(text.replace(*edit))
    (folder / "code").mkdir()
    (folder / "code" / "llmpso.py").write_text(f"open({str(trap)!r}, 'w')")
    (folder / "data" / "pickle_module_info.txt").write_text("trap_module")
    check_model(mlflow_store, address)
    loaded = load_model(mlflow_store, address, objective)
    assert not trap.exists()
    pd.testing.assert_series_equal(
        loaded.predict(forecaster.example), forecaster.predict(forecaster.example)
    )


def test_weights_that_are_a_pickle_run_nothing(
    mlflow_store, objective, forecaster, tmp_path, trap
) -> None:
    class Bomb:
        def __reduce__(self):
            return exec, (f"open({str(trap)!r}, 'w')",)

    address, folder = artifact(forecaster, mlflow_store, tmp_path)
    torch.save({"weight": Bomb()}, folder / "data" / "model" / "weights.pt")
    for read in (check_model, lambda *where: load_model(*where, objective)):
        with pytest.raises(RegistryError, match=r"weights.pt .* is damaged"):
            read(mlflow_store, address)
    assert not trap.exists()


DAMAGE = {
    "empty": lambda content: b"",
    "halved": lambda content: content[: len(content) // 2],
    "NUL": lambda content: bytes(len(content)),
    "other bytes": lambda content: b"\x80\x05garbage" * 100,
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", ["weights.pt", "model.json"])
def test_a_damaged_file_is_named_in_one_line(
    mlflow_store, objective, forecaster, tmp_path, spoil, name
) -> None:
    address, folder = artifact(forecaster, mlflow_store, tmp_path)
    file = folder / "data" / "model" / name
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(RegistryError, match=f"{name} .* is damaged .*llmpso rollback") as caught:
        load_model(mlflow_store, address, objective)
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(RegistryError, match=f"{name} is missing"):
        load_model(mlflow_store, address, objective)


def test_an_ensemble_is_checked_by_all_its_members_and_its_loader_runs_nothing(
    mlflow_store, objective, forecaster, tmp_path, trap
) -> None:
    ensemble = average([forecaster, forecaster], [0.5, 0.5])
    address, folder = artifact(ensemble, mlflow_store, tmp_path)
    description = folder / "data/model/ensemble.json"
    description.write_text(
        description.read_text().replace("llmpso.objectives.forecaster", "trap_module")
    )
    check_model(mlflow_store, address)
    loaded = load_member(mlflow_store, address, objective)
    frame = forecaster.example
    pd.testing.assert_series_equal(loaded.predict(frame), forecaster.predict(frame))
    assert not trap.exists()
    (folder / "data/model/1/weights.pt").unlink()
    with pytest.raises(RegistryError, match="weights.pt is missing"):
        check_model(mlflow_store, address)


def test_weights_of_another_network_are_refused(
    mlflow_store, objective, forecaster, tmp_path
) -> None:
    address, folder = artifact(forecaster, mlflow_store, tmp_path)
    torch.save({"weight": torch.zeros(3)}, folder / "data" / "model" / "weights.pt")
    with pytest.raises(RegistryError, match="model.json .* is damaged .*state_dict"):
        load_model(mlflow_store, address, objective)


@pytest.mark.parametrize("spoil", [DAMAGE["empty"], DAMAGE["halved"], DAMAGE["NUL"]])
def test_a_damaged_torch_model_of_a_users_own_is_one_line(mlflow_store, tmp_path, spoil) -> None:
    address, folder = artifact(torch.nn.Linear(2, 1), mlflow_store, tmp_path)
    assert load_model(mlflow_store, address, Own()).in_features == 2
    check_model(mlflow_store, address)
    file = folder / "data" / "model.pth"
    file.write_bytes(spoil(file.read_bytes()))
    for read in (check_model, lambda *where: load_model(*where, Own())):
        with pytest.raises(RegistryError, match="cannot be loaded") as caught:
            read(mlflow_store, address)
        assert "\n" not in str(caught.value)


def test_an_artifact_that_is_gone_is_one_line(mlflow_store, objective) -> None:
    run = mlflow.MlflowClient(mlflow_store).create_run("0").info.run_id
    for read in (check_model, lambda *where: load_model(*where, objective)):
        with pytest.raises(RegistryError, match=f"runs:/{run}/model cannot be loaded"):
            read(mlflow_store, f"runs:/{run}/model")


MODELS = {
    "torch": torch.nn.Linear(2, 1),
    "scikit-learn": LinearRegression().fit([[0.0, 1.0]], [1.0]),
    "weights": {"weight": torch.ones(2)},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.usefixtures("quick_collections")
def test_a_model_that_is_used_no_more_leaves_no_file_behind(
    mlflow_store, tmp_path, monkeypatch, model
) -> None:
    address, _ = artifact(model, mlflow_store, tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for load in (load_predictor, lambda *where: load_model(*where, Own())):
        used = load(mlflow_store, address)
        assert used is not None
        del used
        gc.collect()
        assert list(scratch.iterdir()) == []


def test_a_network_of_a_machine_with_a_gpu_is_read_on_one_without(
    mlflow_store, tmp_path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        address, _ = artifact(torch.nn.Linear(2, 1), mlflow_store, tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    loaded = load_model(mlflow_store, address, Own())
    assert {weights.device.type for weights in loaded.parameters()} == {"cpu"}


@pytest.fixture
def on_gpu(monkeypatch):
    """Lets torch save the weights of a network as it saves those on a GPU."""

    def place(network: torch.nn.Module) -> torch.nn.Module:
        own = {weights.untyped_storage()._cdata for weights in network.parameters()}
        monkeypatch.setattr(stored_models, "_device_of", lambda model: "cuda")
        monkeypatch.setattr(
            "torch.serialization.location_tag",
            lambda storage: "cuda:0" if storage._cdata in own else "cpu",
        )
        return network

    return place


def test_a_network_that_was_trained_on_a_gpu_predicts_on_a_machine_without(
    mlflow_store, tmp_path, on_gpu
) -> None:
    network = on_gpu(torch.nn.Linear(2, 1))
    address, _ = artifact(network, mlflow_store, tmp_path)
    inputs = np.ones((1, 2), dtype=np.float32)
    expected = network(torch.from_numpy(inputs)).detach().numpy()
    assert load_predictor(mlflow_store, address).predict(inputs) == expected


def test_a_network_that_was_trained_on_a_gpu_goes_on_there(
    mlflow_store, tmp_path, on_gpu, monkeypatch
) -> None:
    address, _ = artifact(on_gpu(torch.nn.Linear(2, 1)), mlflow_store, tmp_path)
    moved: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moved.append(device) or self)
    assert load_model(mlflow_store, address, Own()) is not None
    assert moved == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert load_model(mlflow_store, address, Own()) is not None
    assert moved == ["cuda"]


LAZY = '''
from pathlib import Path

import pandas as pd


class Lazy:
    """Looks a rate up in its files when it predicts; nothing can refer to it weakly."""

    __slots__ = ("folder",)
    loader_module = "lazy_model"
    example = pd.DataFrame({"a": [1.0]})

    def __init__(self, folder):
        self.folder = Path(folder)

    def save(self, directory):
        (directory / "rate").write_text((self.folder / "rate").read_text())

    def predict(self, inputs):
        return float((self.folder / "rate").read_text()) * inputs["a"]


_load_pyfunc = Lazy
'''


def test_a_member_of_an_ensemble_keeps_the_files_that_it_reads_when_it_predicts(
    mlflow_store, tmp_path, monkeypatch
) -> None:
    (tmp_path / "lazy_model.py").write_text(LAZY)
    monkeypatch.syspath_prepend(tmp_path)
    from lazy_model import Lazy

    (tmp_path / "rate").write_text("2.5")
    address, _ = artifact(Lazy(tmp_path), mlflow_store, tmp_path)
    members = [load_member(mlflow_store, address, Own()) for _ in range(2)]
    averaged = average(members, [0.5, 0.5])
    assert averaged.predict(pd.DataFrame({"a": [2.0]})).tolist() == [5.0]
    (tmp_path / "saved").mkdir()
    averaged.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "1" / "rate").read_text() == "2.5"
