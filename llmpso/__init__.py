"""Hyperparameter tuning by particle swarm optimisation guided by a large language model.

Each public name is imported when it is first used: a command that prints its help needs none.
"""

from importlib import import_module

# Known to type checkers by its name; to import `typing` takes longer than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmpso.advisor import Advisor, Task
    from llmpso.backends.base import Backend
    from llmpso.backends.choose import choose_backend
    from llmpso.errors import LLMPSOError, TrainingStoppedError
    from llmpso.fidelity.report import checkpoint, report
    from llmpso.fidelity.reporter import Reporter
    from llmpso.objectives.base import Objective
    from llmpso.objectives.dataset import Dataset
    from llmpso.objectives.held_out import HeldOut
    from llmpso.options import SearchOptions, StopOptions
    from llmpso.pages.live_plot import LivePlot
    from llmpso.search.llm_pso import LLMPSO
    from llmpso.search.pso import PSO
    from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
    from llmpso.space import Categorical, Fixed, Float, Integer, Ordinal, SearchSpace
    from llmpso.study.minimize import minimize
    from llmpso.study.result import StudyResult
    from llmpso.study.spec import StudySpec
    from llmpso.study.stopping import StopReason
    from llmpso.trial import Evaluation, Trial

__version__ = "0.1.0"

__all__ = [
    "LLMPSO",
    "PSO",
    "Advisor",
    "Backend",
    "Categorical",
    "Dataset",
    "Evaluation",
    "Fixed",
    "Float",
    "HeldOut",
    "Integer",
    "LLMPSOError",
    "LivePlot",
    "Objective",
    "Ordinal",
    "Reporter",
    "SearchOptions",
    "SearchSpace",
    "StopOptions",
    "StopReason",
    "StudyResult",
    "StudySpec",
    "SurrogateAssistedSearch",
    "Task",
    "TrainingStoppedError",
    "Trial",
    "__version__",
    "checkpoint",
    "choose_backend",
    "minimize",
    "report",
]

_NAMES = {
    "advisor": ("Advisor", "Task"),
    "backends.base": ("Backend",),
    "backends.choose": ("choose_backend",),
    "errors": ("LLMPSOError", "TrainingStoppedError"),
    "fidelity.report": ("checkpoint", "report"),
    "fidelity.reporter": ("Reporter",),
    "objectives.base": ("Objective",),
    "objectives.dataset": ("Dataset",),
    "objectives.held_out": ("HeldOut",),
    "options": ("SearchOptions", "StopOptions"),
    "pages.live_plot": ("LivePlot",),
    "search.surrogate_assisted": ("SurrogateAssistedSearch",),
    "search.llm_pso": ("LLMPSO",),
    "search.pso": ("PSO",),
    "space": ("Categorical", "Fixed", "Float", "Integer", "Ordinal", "SearchSpace"),
    "study.minimize": ("minimize",),
    "study.result": ("StudyResult",),
    "study.spec": ("StudySpec",),
    "study.stopping": ("StopReason",),
    "trial": ("Evaluation", "Trial"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
