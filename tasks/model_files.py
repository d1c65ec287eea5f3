"""A trained model as a folder in MLflow's own format, written in a few milliseconds.

MLflow looks up packages, and tries the example, for each model anew: 20 to 70 ms. The models of a
study differ in their weights, so MLflow writes what they share once, and it is copied from there.
"""

import io
import json
import pickle
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import torch
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema

from llmpso.objectives.base import ReadsColumns, SavableModel

MODEL_REQUIREMENTS = [f"{name}=={version(name)}" for name in ("torch", "numpy", "pandas")]
"""What loading a model needs; named, because inferring it takes seconds per model."""

_DESCRIPTION, _WEIGHTS, _TORCH_WEIGHTS = "MLmodel", "data/model", "data/model.pth"

_once = threading.Lock()
"""Two threads with a first model of one kind would both ask MLflow for it."""


def write_model(model: object, folder: Path) -> None:
    """Write a model into a folder that is not there yet.

    Args:
        model: A `torch.nn.Module`, which is pickled, or a `SavableModel`.
        folder: Made; `mlflow.pyfunc.load_model` reads it.

    Raises:
        TypeError: The model is neither.
    """
    (folder / _WEIGHTS).parent.mkdir(parents=True)
    shared = _written(model, folder)
    for name, content in shared.items():
        (folder / name).write_bytes(content)
    (folder / _DESCRIPTION).write_text(_description(shared, folder), encoding="utf-8")


def _written(model: object, folder: Path) -> Mapping[str, bytes]:
    """Write a model's weights; the files that it shares with others of its kind."""
    if isinstance(model, SavableModel):
        _copy_weights(model, folder / _WEIGHTS)
        example = model.example
        kept = json.dumps(_signature(model, example).to_dict()), pickle.dumps(example)
        with _once:
            return _shared_by_savable(model.loader_module, *kept)
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"the objective's model is a {type(model).__name__}; it must be a torch.nn.Module, or "
            "have save, predict, example and loader_module"
        )
    (folder / _TORCH_WEIGHTS).write_bytes(_pickled(model))
    with _once:
        return _shared_by_torch()


def _signature(model: SavableModel, example: Any) -> ModelSignature:
    """The types of what a model takes and gives; any type for columns that it reads itself."""
    if not isinstance(model, ReadsColumns) or not model.untyped:
        return infer_signature(example, model.predict(example))
    typed = infer_signature(example.drop(columns=list(model.untyped)), model.predict(example))
    untyped = [ColSpec(AnyType(), name) for name in model.untyped]
    return ModelSignature(Schema([*untyped, *typed.inputs.inputs]), typed.outputs)


# On a full disk torch raises errors of its own: the spool must see what the system says.


def _copy_weights(model: SavableModel, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model.save(Path(scratch))
        shutil.copytree(scratch, folder)


def _pickled(model: torch.nn.Module) -> bytes:
    content = io.BytesIO()
    if isinstance(model, torch.jit.ScriptModule):
        torch.jit.save(model, content)
    else:
        torch.save(model, content, pickle_module=mlflow.pytorch.pickle_module)
    return content.getvalue()


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
