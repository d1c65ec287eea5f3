"""Read a study of another tool into MLflow, where later studies find it: `llmpso import`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from flows.command_line import new_app, run_module
from llmpso.errors import DataError, SpecError
from llmpso.goals import Goals
from llmpso.memory.csv_study import read_csv_study
from llmpso.memory.finished import trials_of
from llmpso.memory.mapping import LEAST_COMPLETE, mapped
from llmpso.memory.optuna_study import read_optuna_study
from llmpso.memory.past_study import PastStudy, goals_of
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import DataOptions, SpaceName
from llmpso.space import SearchSpace
from llmpso.space.space_file import load_space
from llmpso.text import brief, one_line, plural, short
from llmpso.urls import masked_url
from tasks.earlier_studies.foreign import store_study
from tasks.store.experiment import open_experiment
from tasks.store.names import experiment_name

APP = new_app("import")


@dataclass(frozen=True, slots=True)
class Described:
    """What the study is said to have tuned."""

    name: str
    """Of the objective."""
    metric: str
    """Empty if that of the study counts."""
    space: SearchSpace | None
    """None if that of the study counts."""


@APP.default
def import_study(
    source: str,
    *,
    objective: str | None = None,
    space: SpaceName = "standard",
    space_file: str | None = None,
    metric: str | None = None,
    value: str = "value",
    maximize: bool = False,
    study_name: str | None = None,
    experiment: str | None = None,
) -> None:
    """Read a study from a CSV file or from Optuna, so that later studies begin from it.

    A study is used where hyperparameters have the same names, and the metric has.

    Args:
        source: CSV file with a column for each hyperparameter and one for the value, or the
            address of a storage of Optuna's, such as sqlite:///optuna.db.
        objective: What was tuned, as `tune` has it: it gives hyperparameters and metric.
        space: Space of a network.
        space_file: Space of a plain function, or of a CSV file without an objective.
        metric: Name of the value where no objective gives it.
        value: Column of the value in a CSV file.
        maximize: More is better in the CSV file; of Optuna's studies that is known.
        study_name: Study of the storage, if it holds several.
        experiment: MLflow experiment; the objective's name if not given.
    """
    described = _described(objective, space, space_file, metric)
    past, tried = _read(source, described, value, study_name, maximize=maximize)
    past = past.model_copy(update={"metric": described.metric or past.metric})
    _check(past, described.space)
    place = open_experiment(experiment_name(experiment, described.name), past.metric)
    tags = {"objective": described.name, "metric": past.metric, "imported": masked_url(source)}
    study = store_study(place, past, tried, tags)
    print(f"{_counted(past)}\nMLflow run {study.run_id}")


def _counted(past: PastStudy) -> str:
    """How many trials it has, how they ended, and the best value or the front of its goals."""
    counts = Counter(str(trial.state) for trial in past.trials)
    states = ", ".join(f"{n} {state}" for state, n in counts.most_common())
    best = f"best {past.metric}: {short(past.best.value)}" if past.best else "no value"
    if goals := Goals(goals_of(past.trials)):
        n_best = len(goals.front(trials_of(past.trials)))
        best = f"front of {' and '.join(map(brief, goals.names))}: {plural(n_best, 'trial')}"
    return f"{past.name}: {plural(len(past.trials), 'trial')} ({states}), {best}"


def _described(
    objective: str | None,
    space: SpaceName,
    space_file: str | None,
    metric: str | None,
) -> Described:
    if objective is None:
        found = None if space_file is None else load_space(space_file)
        return Described("imported", metric or "", found)
    data = DataOptions(space=space, space_file=space_file)
    built = build_objective(ObjectiveSpec(objective, data))
    return Described(built.name, metric or built.metric, built.space)


def _read(
    source: str, described: Described, value: str, study_name: str | None, *, maximize: bool
) -> tuple[PastStudy, SearchSpace]:
    """The study, and the space that it searched."""
    if "://" in source:
        return read_optuna_study(source, study_name)
    if described.space is None:
        raise SpecError("a CSV file does not say what was tuned; add --objective or --space-file")
    past = read_csv_study(Path(source), described.space, value, maximize=maximize)
    return past, described.space


def _check(past: PastStudy, space: SearchSpace | None) -> None:
    """Refuse a study that no later one could use.

    Args:
        past: The study.
        space: That of later ones; None if it is not known. Optuna's own does not say of what a
            hyperparameter depends, so that hardly a trial need be inside it.
    """
    if not past.metric:
        raise SpecError("metric is missing: name it as your objective does, or add --objective")
    if space is None:
        _check_number(past)
        return
    found = mapped(space, past)
    if isinstance(found, str):
        raise DataError(one_line(found))
    if found.note:
        print(f"note: {found.note}")


def _check_number(past: PastStudy) -> None:
    n_complete = sum(trial.has_value for trial in past.trials)
    if n_complete < LEAST_COMPLETE:
        are = "is" if n_complete == 1 else "are"
        raise DataError(
            f"{past.name}: {n_complete} of its {plural(len(past.trials), 'trial')} {are} "
            f"complete; at least {LEAST_COMPLETE} are needed"
        )


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.import_study"))
