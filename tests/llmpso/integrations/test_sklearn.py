"""The search in the manner of scikit-learn: its own checks, and what a user of it expects."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_supervised_y_2d, parametrize_with_checks

from llmpso import Categorical, Float, Integer, SearchSpace
from llmpso.errors import SpecError
from llmpso.integrations.sklearn import LLMPSOSearchCV

NOT_OURS = "Ridge fits a column of targets without a warning, and so does GridSearchCV with it"
SPACE = {"C": Float(0.01, 100.0, log=True)}
SVM = {
    "svc__C": Float(0.01, 100.0, log=True),
    "svc__kernel": Categorical(["linear", "rbf"]),
    "svc__gamma": Float(1e-4, 1.0, log=True, when={"svc__kernel": "rbf"}),
    "pca__n_components": Integer(2, 20),
}


def expected_failures(search: LLMPSOSearchCV) -> dict[str, str]:
    is_ridge = isinstance(search.estimator, Ridge)
    return {"check_supervised_y_2d": NOT_OURS} if is_ridge else {}


@parametrize_with_checks(
    [
        # No method is faster.
        LLMPSOSearchCV(LogisticRegression(), SPACE, evaluations=2, cv=2, method="pso"),
        LLMPSOSearchCV(Ridge(), {"alpha": Float(0.1, 10.0)}, evaluations=2, cv=2, method="pso"),
    ],
    expected_failed_checks=expected_failures,
)
def test_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)


def test_what_fails_of_them_fails_for_a_grid_search_too() -> None:
    with pytest.raises(AssertionError, match="expected 1 DataConversionWarning"):
        check_supervised_y_2d("GridSearchCV", GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2))


def test_a_pipeline_is_searched() -> None:
    inputs, labels = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), PCA(random_state=0), SVC())
    search = LLMPSOSearchCV(
        pipeline, SearchSpace(SVM), evaluations=12, cv=3, batch=2, random_state=1
    )
    search.fit(inputs[:400], labels[:400])
    assert search.best_score_ > 0.95
    assert search.score(inputs[400:], labels[400:]) > 0.9
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_estimator_.named_steps["pca"].n_components_ <= 20
    # What does not count is left as the estimator has it.
    kernels = search.cv_results_["param_svc__kernel"]
    assert list(search.cv_results_["param_svc__gamma"].mask) == [k == "linear" for k in kernels]
    trials = search.study_.trials
    scores = search.cv_results_["mean_test_score"]
    assert [-trial.value for trial in trials] == scores.tolist()
    assert search.study_.best.value == -search.best_score_
    assert len(search.study_.to_frame()) == 12
    again = clone(search).fit(inputs[:400], labels[:400])
    assert [trial.params for trial in again.study_.trials] == [trial.params for trial in trials]


def test_several_metrics_and_folds_in_parallel_and_within_another_search() -> None:
    inputs, labels = load_iris(return_X_y=True)
    search = LLMPSOSearchCV(
        LogisticRegression(),
        SPACE,
        evaluations=3,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        n_jobs=2,
        random_state=0,
        start=[{"C": 1.0}],
        return_train_score=True,
    )
    # Threads, because processes take half a minute to start on a busy machine.
    with parallel_config("threading"):
        outer = cross_val_score(search, inputs, labels, cv=2, scoring="accuracy")
        search.fit(inputs, labels)
    assert np.min(outer) > 0.8
    losses = search.cv_results_["mean_test_neg_log_loss"]
    assert search.best_score_ == losses.max() == -search.study_.best.value
    assert search.study_.metric == "negative neg_log_loss"
    assert search.cv_results_["params"][0] == {"C": 1.0}
    assert "mean_train_accuracy" in search.cv_results_


def test_several_metrics_with_none_to_search_by_are_refused() -> None:
    inputs, labels = load_iris(return_X_y=True)

    class Untouched(LogisticRegression):
        def fit(self, *_, **__) -> None:
            raise AssertionError("it was fitted before the refusal")

    listed = LLMPSOSearchCV(Untouched(), SPACE, refit=False, scoring=["accuracy", "f1_macro"])
    listed.set_params(error_score="raise")
    with pytest.raises(SpecError, match="refit is False; of several metrics it must name"):
        listed.fit(inputs, labels)

    def scores(fitted, inputs, labels) -> dict[str, float]:
        return {"accuracy": fitted.score(inputs, labels), "other": 0.0}

    called = LLMPSOSearchCV(LogisticRegression(), SPACE, refit=False, scoring=scores)
    with pytest.raises(SpecError, match="refit is False; of several metrics it must name"):
        called.fit(inputs, labels)


def test_a_configuration_that_cannot_be_fitted_is_a_failed_trial() -> None:
    inputs, labels = load_iris(return_X_y=True)
    space = {"n_components": Integer(2, 9)}  # there are four columns

    class Scored(PCA):
        def score(self, inputs, labels=None) -> float:
            return float(self.explained_variance_ratio_.sum())

    search = LLMPSOSearchCV(Scored(), space, evaluations=6, random_state=0, cv=2)
    search.fit(inputs)
    assert {str(trial.state) for trial in search.study_.trials} == {"complete", "failed"}
    assert search.best_params_["n_components"] == 4
    (why,) = {trial.failure.message for trial in search.study_.trials if trial.failure}
    assert why in ("no score in 2 of 2 folds: nan, or the fit failed there", "fits failed")
    hopeless = {"n_components": Integer(7, 9)}
    with pytest.raises(ValueError, match="fits failed"):
        clone(search).set_params(param_space=hopeless).fit(inputs)
    with pytest.raises(ValueError, match="n_components"):
        clone(search).set_params(param_space=hopeless, error_score="raise").fit(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"param_space": {"c": Float(0.1, 1.0)}}, "'c', which is no parameter of Logistic"),
        ({"param_space": {"C": [1, 2]}}, "it must be a Float, an Integer"),
        ({"param_space": 3}, "The 'param_space' parameter of LLMPSOSearchCV must be"),
        ({"evaluations": 0}, "evaluations is 0; it must be at least 1"),
        ({"method": "grid"}, "method is 'grid'"),
        ({"advisor": "oracle"}, "advisor is 'oracle'; .*embedded, none$"),
    ],
)
def test_a_mistake_is_one_line(options, message) -> None:
    search = LLMPSOSearchCV(LogisticRegression(), SPACE).set_params(**options)
    with pytest.raises(ValueError, match=message) as raised:
        search.fit(*load_iris(return_X_y=True))
    assert "\n" not in str(raised.value)
