"""Loads models from MLflow; pickles are loaded only for a user's own objective.

The weights of an objective of ours are read by the objective itself: anyone who can write to the
artifact store can change the answers of such a model, but cannot run code here. A model of a
user's own is read as its `MLmodel` says, by pickle or by a module of theirs: it is trusted as the
user's code is.
"""

import atexit
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel

from llmpso.errors import RegistryError
from llmpso.objectives import state_dict
from llmpso.objectives.averaged import member_folders
from llmpso.objectives.base import ReadsModels
from llmpso.objectives.network_files import WEIGHTS, load_weights
from llmpso.text import one_line
from tasks.models.stored_models import DEVICE

M = TypeVar("M")

DESCRIPTION, SAVED, PICKLED = "MLmodel", "data/model", "data/model.pth"
"""Files of an artifact: what MLflow obeys, what `SavableModel.save` wrote, a `torch.nn.Module`."""


def load_model(uri: str, address: str, objective: object) -> Any:
    """A model as its objective knows it: a torch module, an estimator, weights, or what predicts.

    Args:
        uri: The tracking store.
        address: `models:/name/version`, or `runs:/run/path`.
        objective: Whose model it is; reads the weights itself if it is a `ReadsModels`.

    Raises:
        RegistryError: There is no artifact at that address, or it cannot be read.
    """
    mlflow.set_tracking_uri(uri)
    with _explained(address):
        if isinstance(objective, ReadsModels):
            with _fetched(address) as folder:
                return objective.read_model(folder / SAVED)
        return _as_described(address)


def load_member(uri: str, address: str, objective: object) -> Any:
    """A model as its objective made it, to be averaged with others, and stored with them.

    Raises:
        RegistryError: There is no artifact at that address, or it cannot be read.
    """
    loaded = load_model(uri, address, objective)
    if not isinstance(loaded, PyFuncModel):
        return loaded
    # Behind MLflow's model is what the module of a `SavableModel` reads back.
    with _explained(address):
        read = import_module(_loader(loaded))._load_pyfunc
        return _loaded(address, lambda folder: read(str(Path(folder, SAVED))))


def load_predictor(uri: str, address: str) -> PyFuncModel:
    """A model as MLflow's own server loads it: from rows to predictions.

    Raises:
        RegistryError: There is no artifact at that address, or it cannot be read.
    """
    mlflow.set_tracking_uri(uri)
    with _explained(address):
        model: PyFuncModel = _loaded(address, mlflow.pyfunc.load_model)
        return model


def check_model(uri: str, address: str) -> None:
    """Check that a model exists and is complete, without running its code.

    Raises:
        RegistryError: It is not.
    """
    mlflow.set_tracking_uri(uri)
    with _explained(address), _fetched(address) as folder:
        Model.load(str(folder / DESCRIPTION))
        members = member_folders(folder / SAVED)
        if len(members) > 1 or (folder / SAVED / WEIGHTS).exists():
            for member in members:
                load_weights(member, "model")
        elif (folder / PICKLED).exists():
            with zipfile.ZipFile(folder / PICKLED) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"{damaged} in {PICKLED} is damaged")


def _as_described(address: str) -> Any:
    """A model of a user's own, by the loader that its `MLmodel` names."""
    model = _loaded(address, _by_flavor)
    is_weights = isinstance(model, PyFuncModel) and _loader(model) == state_dict.__name__
    return model.get_raw_model() if is_weights else model


def _by_flavor(folder: str) -> Any:
    flavors = Model.load(folder).flavors
    if "pytorch" in flavors:
        return _network(folder)
    return (mlflow.sklearn if "sklearn" in flavors else mlflow.pyfunc).load_model(folder)


def _network(folder: str) -> Any:
    """A torch module: on a GPU if it was on one and there is one, else on the CPU."""
    import torch

    has_gpu = torch.cuda.is_available()
    network = mlflow.pytorch.load_model(folder, map_location=None if has_gpu else "cpu")
    device = (Model.load(folder).metadata or {}).get(DEVICE, "cpu")
    return network.to(device) if has_gpu and device == "cuda" else network


def _loader(model: PyFuncModel) -> str:
    """The module that reads what a `SavableModel` saved."""
    name: str = model.metadata.flavors["python_function"]["loader_module"]
    return name


def _loaded(address: str, load: Callable[[str], M]) -> M:
    """A model, and a copy of its files for as long as it is in use.

    MLflow's own copies stay when it is not: a schedule would fill the disk.
    """
    with ExitStack() as stack:
        model = load(str(stack.enter_context(_fetched(address))))
        remove = stack.pop_all().close
        try:
            weakref.finalize(model, remove)
        except TypeError:  # a class of a user's own may refuse weak references
            atexit.register(remove)
        return model


@contextmanager
def _fetched(address: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(mlflow.artifacts.download_artifacts(address, dst_path=scratch))


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - damaged files and a user's pickles fail in any way
        reason = one_line(f"{type(error).__name__}: {error}", 300)
        raise RegistryError(
            f"the artifact of {address} cannot be loaded ({reason}); restore it in the "
            "artifact store, or let another version serve: llmpso rollback"
        ) from error
