"""What all trainings of a process share, put back after each: a training may change it."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

PutBack = Callable[[], object]
"""Puts one thing back as it was found."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Working directory, logs, warnings, and the settings of numpy, torch and matplotlib."""

    put_backs: tuple[PutBack, ...]

    @classmethod
    def found(cls) -> Self:
        """As they are now."""
        return cls((_folder(), _logs(), _warnings(), _numpy(), _torch(), _matplotlib()))

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Whatever the block does to them, they are as before when it ends.

        So is torch's grad mode, which belongs to the thread.
        """
        torch = sys.modules.get("torch")
        has_grad = torch is None or torch.is_grad_enabled()
        try:
            yield
        finally:
            for put_back in self.put_backs:
                put_back()
            torch = sys.modules.get("torch")
            if torch is not None:
                torch.set_grad_enabled(has_grad)


def _folder() -> PutBack:
    folder = os.getcwd()

    def put_back() -> None:
        with suppress(FileNotFoundError):
            os.chdir(folder)

    return put_back


def _logs() -> PutBack:
    level = logging.root.manager.disable
    return lambda: logging.disable(level)


def _warnings() -> PutBack:
    filters = list(warnings.filters)

    def put_back() -> None:
        cast("list[object]", warnings.filters)[:] = filters

    return put_back


def _numpy() -> PutBack:
    errors = np.geterr()
    return lambda: np.seterr(**errors)


def _torch() -> PutBack:
    loaded = sys.modules.get("torch")  # what is not loaded cannot have been changed
    dtype = loaded.get_default_dtype() if loaded else None

    def put_back() -> None:
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_default_dtype(dtype or torch.float32)

    return put_back


def _matplotlib() -> PutBack:
    loaded = sys.modules.get("matplotlib")
    settings = dict(loaded.rcParams) if loaded else None

    def put_back() -> None:
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is not None and hasattr(matplotlib, "rcParamsOrig"):  # wholly imported
            # As a plain dict: matplotlib would check each value, and warn of old names.
            dict.update(matplotlib.rcParams, settings or matplotlib.rcParamsOrig)

    return put_back
