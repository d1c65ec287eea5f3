"""A trained network on disk: its weights and a description, neither of which is code."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmpso.errors import DataError
from llmpso.text import one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS, DESCRIPTION = "weights.pt", "model.json"


def save_network(directory: Path, network: "nn.Module", description: Mapping[str, Any]) -> None:
    """Write weights, and a description that JSON can hold, into an existing directory."""
    import torch

    torch.save(network.state_dict(), directory / WEIGHTS)
    text = json.dumps(dict(description), indent=1)
    (directory / DESCRIPTION).write_text(text, encoding="utf-8")


def load_network(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, "Tensor"]]:
    """Description and weights, on the CPU, of what `save_network` wrote.

    Nothing in the files is run: the weights are tensors, the description is JSON.

    Raises:
        DataError: The directory holds no such model, or a file of it is damaged.
    """
    with damage_named(directory / DESCRIPTION, kind):
        description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
    return description, load_weights(directory, kind)


def load_weights(directory: Path, kind: str) -> dict[str, "Tensor"]:
    """Only the weights, on the CPU.

    Raises:
        DataError: There are none, or they are damaged.
    """
    import torch

    with damage_named(directory / WEIGHTS, kind):
        weights: dict[str, Tensor] = torch.load(
            directory / WEIGHTS, weights_only=True, map_location="cpu"
        )
    return weights


@contextmanager
def damage_named(file: Path, kind: str) -> Iterator[None]:
    """Say in one line which file of a model cannot be read.

    Raises:
        DataError: It is not there, or something went wrong within the block.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{str(file.parent)!r} holds no {kind}: {file.name} is missing") from error
    except Exception as error:  # noqa: BLE001 - damaged bytes fail in any way
        reason = one_line(f"{type(error).__name__}: {error}", 150)
        raise DataError(
            f"{file.name} of the {kind} in {str(file.parent)!r} is damaged ({reason}); restore "
            "it from a copy, or train the model again"
        ) from error
