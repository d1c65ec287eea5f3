"""A trained model as a folder in MLflow's own format, written in a few milliseconds.

MLflow looks up packages, and tries the example, for each model anew: 20 to 70 ms. The models of a
study differ in their weights, so MLflow writes what they share once, and it is copied from there.
"""

import errno
import io
import json
import pickle
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cloudpickle
import mlflow
import torch
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema

from llmpso.errors import ModelError
from llmpso.objectives import state_dict
from llmpso.objectives.base import ReadsColumns, SavableModel
from llmpso.objectives.state_dict import WEIGHTS, is_state_dict
from llmpso.user_code import described

MODEL_REQUIREMENTS = [f"{name}=={version(name)}" for name in ("torch", "numpy", "pandas")]
"""What loading a model needs; named, because inferring it takes seconds per model."""

ESTIMATOR_REQUIREMENTS = [f"{name}=={version(name)}" for name in ("scikit-learn", "cloudpickle")]

_DESCRIPTION, _WEIGHTS, _TORCH_WEIGHTS = "MLmodel", "data/model", "data/model.pth"
_ESTIMATOR = "model.pkl"

_once = threading.Lock()
"""Two threads with a first model of one kind would both ask MLflow for it."""


def write_model(model: object, folder: Path) -> None:
    """Write a model into a folder that is not there yet.

    Args:
        model: A `torch.nn.Module` or an estimator of scikit-learn, which are pickled; a state
            dict, or a `SavableModel`.
        folder: Made; `mlflow.pyfunc.load_model` reads it, where the model can predict.

    Raises:
        ModelError: The model is none of these, or refuses to be written.
        OSError: There is no room.
    """
    (folder / _WEIGHTS).parent.mkdir(parents=True)
    shared = _written(model, folder)
    for name, content in shared.items():
        (folder / name).write_bytes(content)
    (folder / _DESCRIPTION).write_text(_description(shared, folder), encoding="utf-8")


def _written(model: object, folder: Path) -> Mapping[str, bytes]:
    """Write a model's weights; the files that it shares with others of its kind."""
    if isinstance(model, SavableModel):
        return _write_savable(model, folder)
    if isinstance(model, torch.nn.Module):
        content, shared = _pickled(model), _shared_by_torch
        (folder / _TORCH_WEIGHTS).write_bytes(content)
    elif is_state_dict(model):
        content, shared = _saved(model), _shared_by_state_dict
        (folder / _WEIGHTS).mkdir()
        (folder / _WEIGHTS / WEIGHTS).write_bytes(content)
    elif _is_estimator(model):
        with _refusal():
            content = cloudpickle.dumps(model)
        shared = partial(_shared_by_estimators, hasattr(model, "predict"))
        (folder / _ESTIMATOR).write_bytes(content)
    else:
        raise ModelError(
            f"a {type(model).__name__} is no torch.nn.Module, state dict or estimator of "
            "scikit-learn, and has no save, predict, example and loader_module"
        )
    with _once:
        return shared()


def _write_savable(model: SavableModel, folder: Path) -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        with _refusal():
            model.save(Path(scratch))
            example = model.example
            kept = json.dumps(_signature(model, example).to_dict()), pickle.dumps(example)
        shutil.copytree(scratch, folder / _WEIGHTS)
    with _once:
        return _shared_by_savable(model.loader_module, *kept)


def _signature(model: SavableModel, example: Any) -> ModelSignature:
    """The types of what a model takes and gives; any type for columns that it reads itself."""
    if not isinstance(model, ReadsColumns) or not model.untyped:
        return infer_signature(example, model.predict(example))
    typed = infer_signature(example.drop(columns=list(model.untyped)), model.predict(example))
    untyped = [ColSpec(AnyType(), name) for name in model.untyped]
    return ModelSignature(Schema([*untyped, *typed.inputs.inputs]), typed.outputs)


# On a full disk torch raises errors of its own: the spool must see what the system says.


def _pickled(model: torch.nn.Module) -> bytes:
    content = io.BytesIO()
    with _refusal():
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, content)
        else:
            torch.save(model, content, pickle_module=mlflow.pytorch.pickle_module)
    return content.getvalue()


def _saved(weights: Mapping[str, torch.Tensor]) -> bytes:
    content = io.BytesIO()
    with _refusal():
        torch.save(dict(weights), content)
    return content.getvalue()


def _is_estimator(model: object) -> bool:
    # An estimator has brought its library along; without one it need not be loaded.
    library = sys.modules.get("sklearn.base")
    return library is not None and isinstance(model, library.BaseEstimator)


@contextmanager
def _refusal() -> Iterator[None]:
    """What a user's model raises within the block is a `ModelError`; a full disk is not its fault.

    Raises:
        ModelError: The model refused.
        OSError: There is no room.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ModelError(described(error)) from error


@lru_cache(maxsize=64)
def _shared_by_savable(loader_module: str, signature: str, example: bytes) -> dict[str, bytes]:
    """All files but the weights, for one kind of model and one example."""
    with tempfile.TemporaryDirectory() as scratch:
        # MLflow puts a folder under its own name into `data`.
        data, folder = Path(scratch, Path(_WEIGHTS).name), Path(scratch, "whole")
        data.mkdir()
        mlflow.pyfunc.save_model(
            folder,
            loader_module=loader_module,
            data_path=str(data),
            signature=ModelSignature.from_dict(json.loads(signature)),
            input_example=pickle.loads(example),
            pip_requirements=MODEL_REQUIREMENTS,
        )
        return _files(folder)


@lru_cache(maxsize=1)
def _shared_by_torch() -> dict[str, bytes]:
    """All files but the weights, for any `torch.nn.Module`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        mlflow.pytorch.save_model(
            torch.nn.Identity(),
            folder,
            pip_requirements=MODEL_REQUIREMENTS,
            serialization_format="pickle",
        )
        (folder / _TORCH_WEIGHTS).unlink()
        return _files(folder)


@lru_cache(maxsize=1)
def _shared_by_state_dict() -> dict[str, bytes]:
    """All files but the weights, for any state dict."""
    with tempfile.TemporaryDirectory() as scratch:
        data, folder = Path(scratch, Path(_WEIGHTS).name), Path(scratch, "whole")
        data.mkdir()
        mlflow.pyfunc.save_model(
            folder,
            loader_module=state_dict.__name__,
            data_path=str(data),
            pip_requirements=MODEL_REQUIREMENTS,
        )
        return _files(folder)


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
        (folder / _ESTIMATOR).unlink()
        return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _description(shared: Mapping[str, bytes], folder: Path) -> str:
    """What MLflow wrote for another model of the kind, with this one's identity."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    own = {
        "model_size_bytes": size,
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": str(datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)),
    }
    lines = shared[_DESCRIPTION].decode().splitlines()
    kept = [line for line in lines if line.partition(":")[0] not in own]
    # JSON is YAML.
    identity = [f"{name}: {json.dumps(value)}" for name, value in own.items()]
    return "\n".join([*kept, *identity, ""])
