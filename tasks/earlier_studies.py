"""The trials of earlier studies of a model, as MLflow has them."""

from llmpso.retuning.earlier_studies import Known, known_outcomes
from llmpso.space import SearchSpace
from tasks.experiment import Experiment
from tasks.store import quoted
from tasks.trial_runs import trials_within

MODEL_TAG = "model"
"""On a study: the registered model that it was for."""

N_STUDIES = 3
"""Earlier studies that a new one learns from."""


def known_trials(experiment: Experiment, model: str, space: SearchSpace) -> list[list[Known]]:
    """The trials of the latest studies of a model, the newest study first.

    Those that are outside the space are left out; the others are as they ended.
    """
    studies = experiment.finished_studies(MODEL_TAG, quoted(model), N_STUDIES)
    return [known_outcomes(space, trials_within(study, space)) for study in studies]
