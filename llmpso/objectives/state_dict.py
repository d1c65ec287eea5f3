"""Only the weights of a network, as a model that MLflow can load without running code."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from llmpso.extras import loaded

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.pt"


class StateDict(dict[str, "Tensor"]):
    """Weights by name: what `network.load_state_dict` takes."""

    def predict(self, inputs: Any, params: Any = None) -> NoReturn:
        """Raise `TypeError`: weights predict nothing, but MLflow asks for the method."""
        raise TypeError(
            "these are weights alone; give them to your network: "
            "network.load_state_dict(model.get_raw_model())"
        )

    def get_raw_model(self) -> "StateDict":
        """The weights, behind MLflow's model."""
        return self


def is_state_dict(model: object) -> TypeGuard[dict[str, "Tensor"]]:
    """Whether an object is a dict of tensors by name."""
    torch = loaded("torch")  # If it is not imported, there is no tensor.
    return (
        torch is not None
        and isinstance(model, dict)
        and len(model) > 0
        and all(isinstance(name, str) and isinstance(w, torch.Tensor) for name, w in model.items())
    )


def _load_pyfunc(path: str) -> StateDict:
    """What MLflow calls to read the weights back."""
    import torch

    return StateDict(torch.load(Path(path, WEIGHTS), weights_only=True, map_location="cpu"))
