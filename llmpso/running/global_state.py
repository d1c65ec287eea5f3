"""Global state that all trainings of a process share, restored after each: one may change it."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from llmpso.extras import loaded

Restore = Callable[[], object]
"""Restores one setting."""


@dataclass(frozen=True, slots=True)
class GlobalState:
    """Working directory, logs, warnings, and the settings of numpy, torch and matplotlib."""

    restore_steps: tuple[Restore, ...]

    @classmethod
    def captured(cls) -> Self:
        """As they are now."""
        return cls((_folder(), _logs(), _warnings(), _numpy(), _torch(), _matplotlib()))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Whatever the block does to them, they are as before when it ends.

        So is torch's grad mode, which belongs to the thread.
        """
        torch = loaded("torch")
        has_grad = torch is None or torch.is_grad_enabled()
        try:
            yield
        finally:
            for restore in self.restore_steps:
                restore()
            torch = loaded("torch")
            if torch is not None:
                torch.set_grad_enabled(has_grad)


def _folder() -> Restore:
    folder = os.getcwd()

    def restore() -> None:
        with suppress(FileNotFoundError):
            os.chdir(folder)

    return restore


def _logs() -> Restore:
    level = logging.root.manager.disable

    def restore() -> None:
        # Only if it was changed: each call makes all loggers look up their levels again.
        if logging.root.manager.disable != level:
            logging.disable(level)

    return restore


def _warnings() -> Restore:
    filters = list(warnings.filters)

    def restore() -> None:
        cast("list[object]", warnings.filters)[:] = filters

    return restore


def _numpy() -> Restore:
    errors = np.geterr()
    return lambda: np.seterr(**errors)


def _torch() -> Restore:
    torch = loaded("torch")  # what is not loaded cannot have been changed
    dtype = torch.get_default_dtype() if torch else None

    def restore() -> None:
        torch = loaded("torch")
        if torch is not None:
            torch.set_default_dtype(dtype or torch.float32)

    return restore


def _matplotlib() -> Restore:
    matplotlib = loaded("matplotlib")
    settings = dict(matplotlib.rcParams) if matplotlib else None

    def restore() -> None:
        matplotlib = loaded("matplotlib")
        if matplotlib is not None:
            # As a plain dict: matplotlib would check each value, and warn of old names.
            dict.update(matplotlib.rcParams, settings or matplotlib.rcParamsOrig)

    return restore
