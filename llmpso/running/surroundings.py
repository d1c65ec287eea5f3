"""What all trainings of a process share, put back after each: a training may change it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The working directory, and torch's default type of number."""

    folder: str
    dtype: Any = None

    @classmethod
    def found(cls) -> Self:
        """As they are now."""
        torch = sys.modules.get("torch")  # what is not loaded cannot have been changed
        return cls(os.getcwd(), torch.get_default_dtype() if torch else None)

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
            with suppress(FileNotFoundError):
                os.chdir(self.folder)
            torch = sys.modules.get("torch")
            if torch is not None:
                torch.set_default_dtype(self.dtype or torch.float32)
                torch.set_grad_enabled(has_grad)
