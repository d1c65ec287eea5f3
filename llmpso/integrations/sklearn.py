"""scikit-learn: `LLMPSOSearchCV(estimator, space).fit(X, y)`, in the place of a grid search."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from llmpso.advisor import Advisor, Task
from llmpso.backends.choose import choose_backend
from llmpso.errors import SpecError
from llmpso.extras import needed_by
from llmpso.space import Dimension, SearchSpace
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.loop import run_study
from llmpso.study.spec import StudySpec, study_spec
from llmpso.study.workers import Batches
from llmpso.text import did_you_mean, one_line, plural
from llmpso.trial import Evaluation, Failure, FailureKind, Trial

with needed_by("LLMPSOSearchCV", "sklearn"):
    from sklearn.base import BaseEstimator
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.utils import check_random_state

ADVISORS = ("auto", "openai", "ollama", "embedded", "none")

Results = Mapping[str, Any]
EvaluateCandidates = Callable[[list[dict[str, Any]]], Results]
"""scikit-learn's: cross-validates configurations, and returns the results of all so far."""


class LLMPSOSearchCV(BaseSearchCV):
    """Searches the hyperparameters of an estimator with cross-validation.

    What is not explained here is as in scikit-learn's `RandomizedSearchCV`; the attributes after
    `fit`, too: `cv_results_`, `best_estimator_`, `best_params_`, `best_score_`, ...

    Args:
        estimator: An estimator, or a pipeline.
        param_space: Dimensions by the names of the estimator's parameters, `step__name` in a
            pipeline, or a `SearchSpace`. A parameter that does not count in a configuration is
            left as the estimator has it.
        evaluations: Configurations to cross-validate.
        method: As in `minimize`.
        batch: Configurations that are cross-validated together: with `n_jobs` they share the
            cores. One at a time needs the fewest of them.
        start: Known configurations to evaluate first.
        patience: Configurations in a row without a better score that end the search.
        max_seconds: Wall time after which nothing new is begun.
        advisor: Language model that is asked: `openai`, `ollama`, `embedded`, `auto` or `none`.
        llm_model: Its name, or a GGUF file.
        scoring: As in scikit-learn; of several metrics, the search follows the one that `refit`
            names.
        n_jobs: As in scikit-learn.
        refit: As in scikit-learn.
        cv: As in scikit-learn.
        verbose: As in scikit-learn.
        pre_dispatch: As in scikit-learn.
        random_state: Seed of the search.
        error_score: As in scikit-learn; a configuration of which a fit fails is then a failed
            trial. Where no fit of those that are cross-validated together succeeds, they stand in
            `study_` only.
        return_train_score: As in scikit-learn.

    Attributes:
        study_: The search as `minimize` returns it; its values are negative scores.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from llmpso import Integer
        >>> from llmpso.integrations.sklearn import LLMPSOSearchCV
        >>> space = {"n_neighbors": Integer(1, 30)}
        >>> search = LLMPSOSearchCV(KNeighborsClassifier(), space, evaluations=8, random_state=0)
        >>> bool(search.fit(*load_iris(return_X_y=True)).best_score_ > 0.97)
        True
    """

    _parameter_constraints = {**BaseSearchCV._parameter_constraints, "param_space": [Mapping]}

    def __init__(
        self,
        estimator: BaseEstimator,
        param_space: Mapping[str, Dimension],
        *,
        evaluations: int = 30,
        method: str = "guided",
        batch: int | None = None,
        start: Sequence[Mapping[str, Any]] = (),
        patience: int | str | None = None,
        max_seconds: float | None = None,
        advisor: str = "none",
        llm_model: str | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[Results], int] = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: int | np.random.RandomState | None = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_space = param_space
        self.evaluations = evaluations
        self.method = method
        self.batch = batch
        self.start = start
        self.patience = patience
        self.max_seconds = max_seconds
        self.advisor = advisor
        self.llm_model = llm_model
        self.random_state = random_state

    def _run_search(self, evaluate_candidates: EvaluateCandidates) -> None:
        """What scikit-learn calls within `fit`.

        Raises:
            SpecError: An option is out of range, or the estimator lacks a parameter.
            ValueError: No configuration could be fitted.
        """
        space, spec = self._space(), self._spec()
        has_one_metric = self.scoring is None or isinstance(self.scoring, str)
        if not (has_one_metric or callable(self.scoring) or isinstance(self.refit, str)):
            raise _unguided(self.refit)
        scored = _CrossValidation(evaluate_candidates, self.refit, self.error_score)
        advisor = self._advisor(spec)
        with nullcontext() if advisor is None else closing(advisor.backend):
            optimizer = build_optimizer(spec, space, advisor)
            workers = Batches(scored)
            result = run_study(optimizer, workers, self.evaluations, advisor, spec.stop)
        scored.raise_if_none_succeeded()
        self.study_ = replace(result, space=space, metric=f"negative {scored.metric}")

    def _space(self) -> SearchSpace:
        space = self.param_space
        space = space if isinstance(space, SearchSpace) else SearchSpace(space)
        known = self.estimator.get_params()
        for name in space:
            if name not in known:
                kind = type(self.estimator).__name__
                raise SpecError(
                    f"param_space has {name!r}, which is no parameter of {kind}; "
                    f"{did_you_mean(name, sorted(known))}"
                )
        return space

    def _spec(self) -> StudySpec:
        return study_spec(
            evaluations=self.evaluations,
            method=self.method,
            batch=self.batch,
            start=self.start,
            patience=self.patience,
            max_seconds=self.max_seconds,
            seed=int(check_random_state(self.random_state).randint(2**31)),
        )

    def _advisor(self, spec: StudySpec) -> Advisor | None:
        if self.advisor not in ADVISORS:
            known = ", ".join(ADVISORS)
            raise SpecError(f"advisor is {self.advisor!r}; it must be one of: {known}")
        if self.advisor == "none":
            return None
        backend = choose_backend(self.advisor, self.llm_model).backend
        task = Task(f"Hyperparameters of {one_line(self.estimator, 300)}.", "negative score")
        return Advisor(backend, task, seed=spec.search.seed)


class _CrossValidation:
    """Cross-validates batches of trials by what scikit-learn offers within `fit`."""

    def __init__(self, evaluate: EvaluateCandidates, refit: object, error_score: object) -> None:
        self._evaluate = evaluate
        self._refit, self._error_score = refit, error_score
        self._refusal: ValueError | None = None
        self.metric = ""
        """Name of the score that the search follows; empty before the first one."""

    def __call__(self, trials: Sequence[Trial]) -> list[Trial]:
        """Evaluate a batch."""
        began, started_at = time.perf_counter(), time.time()
        trials = [replace(trial, started_at=started_at) for trial in trials]
        try:
            results = self._evaluate([dict(trial.params) for trial in trials])
        except ValueError as error:
            # scikit-learn's, where all fits of a batch failed; there is no other kind for it.
            if self._error_score == "raise" or "fits failed" not in str(error):
                raise
            self._refusal = error
            failure = Failure(FailureKind.EXCEPTION, one_line(error))
            return [trial.failed(failure, time.perf_counter() - began) for trial in trials]
        self.metric = self._metric(results)
        means = results[f"mean_test_{self.metric}"][-len(trials) :]
        of_fold = re.compile(rf"split\d+_test_{re.escape(self.metric)}")
        folds = [results[name][-len(trials) :] for name in results if of_fold.fullmatch(name)]
        seconds = (time.perf_counter() - began) / len(trials)
        return [
            trial.failed(self._no_mean(scores), seconds)
            if np.isnan(mean)
            else trial.completed(Evaluation(-float(mean)), seconds)
            for trial, mean, *scores in zip(trials, means, *folds, strict=True)
        ]

    def _no_mean(self, scores: Sequence[float]) -> Failure:
        """Why a configuration has no score."""
        n_failed = int(np.isnan(scores).sum())
        where = f"in {n_failed} of {plural(len(scores), 'fold')}"
        return Failure(FailureKind.NAN, f"no {self.metric} {where}: nan, or the fit failed there")

    def raise_if_none_succeeded(self) -> None:
        """Raise why no configuration could be fitted, as a grid search would."""
        if not self.metric and self._refusal is not None:
            raise self._refusal

    def _metric(self, results: Results) -> str:
        if "mean_test_score" in results:
            return "score"
        if f"mean_test_{self._refit}" in results:
            return str(self._refit)
        raise _unguided(self._refit)


def _unguided(refit: object) -> SpecError:
    return SpecError(f"refit is {refit!r}; of several metrics it must name the one to search by")
