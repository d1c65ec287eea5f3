"""Hyperparameter tuning by particle swarm optimisation guided by a large language model."""

from llmpso.advisor import Advisor, Task
from llmpso.backends.choose import choose_backend
from llmpso.errors import LLMPSOError
from llmpso.objectives.base import Objective
from llmpso.options import SearchOptions, StopOptions
from llmpso.pages.live import LivePlot
from llmpso.search.llm_pso import LLMPSO
from llmpso.search.pso import PSO
from llmpso.space import Categorical, Float, Integer, SearchSpace
from llmpso.stopping import StopReason
from llmpso.study import StudyResult, StudySpec, minimize
from llmpso.trial import Evaluation, Trial

__version__ = "0.1.0"

__all__ = [
    "PSO",
    "Advisor",
    "Categorical",
    "Evaluation",
    "Float",
    "Integer",
    "LLMPSOError",
    "LivePlot",
    "Objective",
    "LLMPSO",
    "SearchOptions",
    "SearchSpace",
    "StopOptions",
    "StopReason",
    "StudyResult",
    "StudySpec",
    "Task",
    "Trial",
    "__version__",
    "choose_backend",
    "minimize",
]
