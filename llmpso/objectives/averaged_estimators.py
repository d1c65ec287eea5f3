"""Fitted estimators of scikit-learn as one, which is one of scikit-learn's own."""

from collections.abc import Sequence
from typing import Any

from sklearn.base import is_classifier
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.preprocessing import LabelEncoder

from llmpso.errors import ModelError


def averaged_estimator(members: Sequence[Any], weights: Sequence[float]) -> Any:
    """The mean of fitted regressors, or of the probabilities of fitted classifiers.

    Raises:
        ModelError: Classifiers have no `predict_proba`.
    """
    named = [(str(number), member) for number, member in enumerate(members)]
    if not is_classifier(members[0]):
        voting = VotingRegressor(named, weights=list(weights))
    elif not hasattr(members[0], "predict_proba"):
        raise ModelError("a classifier without predict_proba cannot be averaged")
    else:
        voting = VotingClassifier(named, voting="soft", weights=list(weights))
        # They expect classes by index, and their own labels come from here.
        voting.le_ = LabelEncoder().fit(members[0].classes_)
        voting.classes_ = voting.le_.classes_
    voting.estimators_ = list(members)
    return voting
