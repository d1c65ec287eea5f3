"""Hyperparameter tuning by particle swarm optimisation guided by a large language model."""

from llmpso.advisor import Advisor, Task
from llmpso.errors import LLMPSOError
from llmpso.limits import Limits, StopReason
from llmpso.objectives.base import Objective
from llmpso.pages.live import LivePlot
from llmpso.search.paper import PaperPSO
from llmpso.search.pso import PSO
from llmpso.space import Categorical, Float, Integer, SearchSpace
from llmpso.study import StudyResult, StudySpec, minimize
from llmpso.trial import Evaluation, Trial

__all__ = [
    "PSO",
    "Advisor",
    "Categorical",
    "Evaluation",
    "Float",
    "Integer",
    "LLMPSOError",
    "Limits",
    "LivePlot",
    "Objective",
    "PaperPSO",
    "SearchSpace",
    "StopReason",
    "StudyResult",
    "StudySpec",
    "Task",
    "Trial",
    "minimize",
]
