"""The state of a training as a file: tensors and plain values, never code."""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from llmpso.text import one_line

logger = logging.getLogger(__name__)


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
    """Read a state onto the CPU, from where it is copied to its device.

    Returns:
        The state; None if there is none, or if it is damaged: it is then set aside, and said in
        the log, and the training starts from the beginning.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - damaged bytes fail in any way
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        logger.warning(
            "%s is damaged (%s): training from the beginning", aside, one_line(error, 150)
        )
        return None
    return state
