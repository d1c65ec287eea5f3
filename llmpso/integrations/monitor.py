"""What the callbacks share: the one figure that is reported, and a library that may be missing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llmpso.errors import SpecError
from llmpso.text import did_you_mean
from llmpso.user_code.calls import number_of


@dataclass(frozen=True, slots=True)
class Monitor:
    """Which figure of a training is reported."""

    name: str
    maximise: bool = False
    """Whether higher is better: it is reported with the opposite sign."""

    def of(self, figures: Mapping[str, Any]) -> float:
        """The value to report.

        Raises:
            SpecError: The training has no such figure.
        """
        if self.name not in figures:
            known = did_you_mean(self.name, sorted(figures))
            raise SpecError(f"monitor is {self.name!r}, which the training does not have; {known}")
        value = number_of(figures[self.name])
        return -value if self.maximise else value


@contextmanager
def library(name: str) -> Iterator[None]:
    """Around the imports of a callback: say in one line which package is missing.

    Raises:
        SpecError: It, or one that it needs, is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        raise SpecError(
            f"the callback for {name} needs {missing}, which is not installed: "
            f"pip install {missing}"
        ) from error
