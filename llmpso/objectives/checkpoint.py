"""The state of a training as a file: tensors and plain values, never code."""

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state, whole or not at all; it is on the disk when this returns.

    Raises:
        OSError: There is no room.
    """
    half = path.with_suffix(".half")
    with half.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a state onto the CPU, from where it is copied to its device; None if there is none."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state
