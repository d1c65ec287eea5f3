"""A stored model in MLflow's own format, written in a few milliseconds.

MLflow looks up packages, and tries the example, for each model again: 20 to 70 ms. The models of a
study differ in their weights, so MLflow writes what they share once, and it is copied from there.
"""

import json
import pickle
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import Model, ModelSignature

from llmpso.objectives import state_dict
from tasks.models.stored_models import DATA, DEVICE, ESTIMATOR, EXAMPLE, KIND, MODEL, TORCH_WEIGHTS

MODEL_REQUIREMENTS = [
    f"{name}=={version(name)}" for name in ("torch", "numpy", "pandas") if find_spec(name)
]
"""What loading a model needs; named, because inferring it takes seconds per model."""

ESTIMATOR_REQUIREMENTS = [f"{name}=={version(name)}" for name in ("scikit-learn", "cloudpickle")]

_DESCRIPTION = "MLmodel"

_UNPICKLER = "mlflow.pytorch.pickle_module"
"""By its name `mlflow.pytorch` finds what reads the weights."""

_once = threading.Lock()
"""Two threads with a first model of one kind would both ask MLflow for it."""


def write_description(folder: Path, target: Path) -> None:
    """Write the files that make stored weights a model of MLflow's.

    Args:
        folder: What `store_model` was given.
        target: Gets all but the weights; with them, `mlflow.pyfunc.load_model` reads it, where
            the model can predict.
    """
    with _once:
        shared = _shared(folder)
    own = {_DESCRIPTION: _description(shared, folder / MODEL).encode()}
    for name, content in (shared | own).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)


def _shared(folder: Path) -> dict[str, bytes]:
    """The files that a model shares with others of its kind."""
    kind = json.loads((folder / KIND).read_text(encoding="utf-8"))
    match kind["kind"]:
        case "torch":
            # What was stored before an upgrade, and is not recorded yet, names no device.
            return _shared_by_torch(kind["version"], kind.get("device", "cpu"))
        case "state dict":
            return _shared_by_state_dict()
        case "estimator":
            return _shared_by_estimators(kind["predicts"])
    example, signature = (folder / EXAMPLE).read_bytes(), json.dumps(kind["signature"])
    return _shared_by_savable(kind["loader_module"], signature, example)


@lru_cache(maxsize=64)
def _shared_by_savable(loader_module: str, signature: str, example: bytes) -> dict[str, bytes]:
    """All files but the weights, for one kind of model and one example."""
    return _loaded_by(
        loader_module,
        signature=ModelSignature.from_dict(json.loads(signature)),
        input_example=pickle.loads(example),
    )


@lru_cache(maxsize=8)
def _shared_by_torch(torch_version: str, device: str) -> dict[str, bytes]:
    """All files but the weights, for any `torch.nn.Module`, as `mlflow.pytorch` writes them.

    That module imports Lightning, and what Lightning imports, wherever it is installed: that
    takes seconds of each process.
    """
    folder = str(Path(TORCH_WEIGHTS).parent)
    model = Model(metadata={DEVICE: device})
    model.add_flavor("pytorch", model_data=folder, pytorch_version=torch_version, code=None)
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="mlflow.pytorch",
        data=folder,
        pickle_module_name=_UNPICKLER,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"device": None},
    )
    own = {_DESCRIPTION: model.to_yaml(), f"{folder}/pickle_module_info.txt": _UNPICKLER}
    return _shared_by_state_dict() | {name: text.encode() for name, text in own.items()}


@lru_cache(maxsize=1)
def _shared_by_state_dict() -> dict[str, bytes]:
    """All files but the weights, for any state dict."""
    return _loaded_by(state_dict.__name__)


@lru_cache(maxsize=2)
def _shared_by_estimators(predicts: bool) -> dict[str, bytes]:
    """All files but the estimator itself, for any that predicts, or that does not."""
    from sklearn.base import BaseEstimator
    from sklearn.dummy import DummyRegressor

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        mlflow.sklearn.save_model(
            DummyRegressor() if predicts else BaseEstimator(),
            folder,
            serialization_format="cloudpickle",
            pip_requirements=[*MODEL_REQUIREMENTS, *ESTIMATOR_REQUIREMENTS],
        )
        (folder / ESTIMATOR).unlink()
        return _files(folder)


def _loaded_by(loader_module: str, **options: Any) -> dict[str, bytes]:
    """All files but the weights, of a model that a module of its own reads."""
    with tempfile.TemporaryDirectory() as scratch:
        # MLflow puts a folder under its own name into `data`.
        data, folder = Path(scratch, Path(DATA).name), Path(scratch, "whole")
        data.mkdir()
        mlflow.pyfunc.save_model(
            folder,
            loader_module=loader_module,
            data_path=str(data),
            pip_requirements=MODEL_REQUIREMENTS,
            **options,
        )
        return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _description(shared: Mapping[str, bytes], folder: Path) -> str:
    """What MLflow wrote for another model of the kind, with this one's identity."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    size += sum(map(len, shared.values()))
    own = {
        "model_size_bytes": size,
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": str(datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)),
    }
    lines = shared[_DESCRIPTION].decode().splitlines()
    others = [line for line in lines if line.partition(":")[0] not in own]
    # JSON is YAML.
    identity = [f"{name}: {json.dumps(value)}" for name, value in own.items()]
    return "\n".join([*others, *identity, ""])
