"""A trained model as it is stored first: its weights and its kind, on disk in milliseconds.

MLflow takes a second to describe the first model of a process, in which a kill would lose it: that
follows when the model is recorded; see `tasks.models.model_files`.
"""

import errno
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema

from llmpso.errors import ModelError
from llmpso.extras import is_of, loaded
from llmpso.objectives.base import ReadsColumns, SavableModel
from llmpso.objectives.state_dict import WEIGHTS, is_state_dict
from llmpso.user_code.calls import described

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "model"
"""Folder of the model, among the pending records and among the artifacts of its run."""

DATA, TORCH_WEIGHTS, ESTIMATOR = "data/model", "data/model.pth", "model.pkl"
"""Where MLflow has the weights, in that folder."""

DEVICE = "device"
"""In the metadata of a module, the kind of device that it was on; it is stored for any."""

KIND, EXAMPLE = "model-kind.json", "model-example.pickle"
"""Beside the folder: what MLflow must know of the model."""


def store_model(model: object, folder: Path) -> None:
    """Write a model's weights into `MODEL` of a folder, and besides it what kind of model it is.

    Args:
        model: A `torch.nn.Module` or an estimator of scikit-learn, which are pickled; a state
            dict, or a `SavableModel`.
        folder: An existing folder without a model.

    Raises:
        ModelError: The model is none of these, or refuses to be written.
        OSError: There is no room.
    """
    (folder / MODEL / DATA).parent.mkdir(parents=True)
    kind = _written(model, folder)
    (folder / KIND).write_text(json.dumps(kind), encoding="utf-8")


def _written(model: object, folder: Path) -> dict[str, Any]:
    """Write a model's weights; its kind."""
    if isinstance(model, SavableModel):
        return _write_savable(model, folder)
    if is_of("torch.nn", "Module", model):
        (folder / MODEL / TORCH_WEIGHTS).write_bytes(_pickled(model))
        # As torch itself says it, with what it was built for: MLflow compares that at loading.
        version = str(loaded("torch").__version__)
        return {"kind": "torch", "version": version, "device": _device_of(model)}
    if is_state_dict(model):
        content = _saved(model)
        (folder / MODEL / DATA).mkdir()
        (folder / MODEL / DATA / WEIGHTS).write_bytes(content)
        return {"kind": "state dict"}
    if is_of("sklearn.base", "BaseEstimator", model):
        with _refusal():
            content = cloudpickle.dumps(model)
        (folder / MODEL / ESTIMATOR).write_bytes(content)
        return {"kind": "estimator", "predicts": hasattr(model, "predict")}
    raise ModelError(
        f"a {type(model).__name__} is no torch.nn.Module, state dict or estimator of "
        "scikit-learn, and has no save, predict, example and loader_module"
    )


def _write_savable(model: SavableModel, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        with _refusal():
            model.save(Path(scratch))
            example = model.example
            signature, pickled = _signature(model, example).to_dict(), pickle.dumps(example)
        shutil.copytree(scratch, folder / MODEL / DATA)
    (folder / EXAMPLE).write_bytes(pickled)
    return {"kind": "savable", "loader_module": model.loader_module, "signature": signature}


def _signature(model: SavableModel, example: Any) -> ModelSignature:
    """The types of what a model takes and gives; any type for columns that it reads itself."""
    if not isinstance(model, ReadsColumns) or not model.untyped:
        return infer_signature(example, model.predict(example))
    typed = infer_signature(example.drop(columns=list(model.untyped)), model.predict(example))
    untyped = [ColSpec(AnyType(), name) for name in model.untyped]
    return ModelSignature(Schema([*untyped, *typed.inputs.inputs]), typed.outputs)


# On a full disk torch raises errors of its own: the caller must see what the system says.


def _pickled(model: object) -> bytes:
    """A module; one that is on a GPU as if it were not, so that it can be read without one."""
    content = _torch_saved(model)
    return content if _device_of(model) == "cpu" else _torch_saved(_on_cpu(content))


def _device_of(model: Any) -> str:
    """The kind of device that holds a module's first weights; `cpu` if it has none."""
    tensors = chain(model.parameters(), model.buffers())
    return next((str(tensor.device.type) for tensor in tensors), "cpu")


def _on_cpu(content: bytes) -> object:
    """A saved module on the CPU: to move the module itself would take it from its owner."""
    import torch

    with _refusal():
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)


def _torch_saved(model: object) -> bytes:
    import torch

    content = io.BytesIO()
    with _refusal():
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, content)
        else:
            torch.save(model, content, pickle_module=cloudpickle)
    return content.getvalue()


def _saved(weights: Mapping[str, "Tensor"]) -> bytes:
    import torch

    content = io.BytesIO()
    with _refusal():
        torch.save(dict(weights), content)
    return content.getvalue()


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
