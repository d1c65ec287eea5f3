"""The problems of the benchmarks on learning curves, and what their values mean."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from llmpso.benchmark.epoch_meter import Curves
from llmpso.benchmark.lcbench import LCBench
from llmpso.benchmark.learning_curves import CurveObjective
from llmpso.benchmark.lookup_table import Scale
from llmpso.benchmark.taskset import TaskSet
from llmpso.space import Floats

TOP_SHARE = {"own": 0.03, "LCBench": 0.01, "TaskSet": 0.01}
"""Share of all configurations that counts as the target; 3% where there are about a hundred."""


@dataclass(frozen=True, slots=True)
class CurveProblem:
    """A set of learning curves by its name: `lstm`, `cnn`, a data set or a task."""

    name: str
    source: Literal["own", "LCBench", "TaskSet"] = "own"
    folder: str = ""
    """That of the source, if it is no part of this library."""

    @property
    def family(self) -> str:
        """Whose table it is in: its source's, or its own."""
        return self.name if self.source == "own" else self.source


@lru_cache(maxsize=64)
def curves_of(problem: CurveProblem) -> tuple[Curves, Scale]:
    """The learning curves of a problem, and its scale.

    Raises:
        DataError: The folder is not that of its source.
        SpecError: There is no such problem, or onnxruntime is missing.
    """
    share = TOP_SHARE[problem.source]
    if problem.source == "own":
        own = CurveObjective(problem.name)
        return own, scale_of(np.array(own.values), share)
    kind = LCBench if problem.source == "LCBench" else TaskSet
    curves = kind(Path(problem.folder), problem.name)
    return curves, scale_of(curves.reference, share)


def scale_of(values: Floats, share: float) -> Scale:
    """What the rising values of all configurations mean, if a share of them is the target."""
    target = values[max(1, round(share * len(values))) - 1]
    return Scale(float(values[0]), float(np.median(values)), float(target))
