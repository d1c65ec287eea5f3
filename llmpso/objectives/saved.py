"""A trained network on disk: its weights and a description, neither of which is code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llmpso.errors import DataError

WEIGHTS, DESCRIPTION = "weights.pt", "model.json"


def save_network(directory: Path, network: nn.Module, description: Mapping[str, Any]) -> None:
    """Write weights, and a description that JSON can hold, into an existing directory."""
    torch.save(network.state_dict(), directory / WEIGHTS)
    text = json.dumps(dict(description), indent=1)
    (directory / DESCRIPTION).write_text(text, encoding="utf-8")


def load_network(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and weights, on the CPU, of what `save_network` wrote.

    Raises:
        DataError: The directory holds no such model.
    """
    try:
        description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
        weights = torch.load(directory / WEIGHTS, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        raise DataError(f"{str(directory)!r} holds no {kind}: {error}") from error
    return description, weights
