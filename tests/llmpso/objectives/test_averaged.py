"""An average of models is called, stored and read back as each of its members."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import DataError, ModelError
from llmpso.objectives.averaged import (
    _load_pyfunc,
    average,
    single_or_averaged,
    weighted_mean,
)
from llmpso.objectives.base import ReadsColumns, SavableModel, SupportsEnsemble
from llmpso.objectives.cnn import CNNObjective
from llmpso.objectives.forecaster import Forecaster
from llmpso.objectives.lstm import TUNABLES, LSTMObjective

PARAMS = {"layers": 1, "hidden_units": 8, "learning_rate": 0.01, "dropout": 0.1, "batch_size": 64}


@pytest.fixture(scope="module")
def objective():
    space, taiwan = TUNABLES.named("wide"), load_taiwan()
    return LSTMObjective(taiwan, max_epochs=1, device="cpu", space=space)


@pytest.fixture(scope="module")
def members(objective):
    params = [PARAMS | {"window": window} for window in (6, 12)]
    return [objective.evaluate(each, fidelity=1.0, seed=0) for each in params]


def test_forecasters_of_other_windows_are_averaged_where_both_predict(
    objective, members, tmp_path
):
    models = [evaluation.model for evaluation in members]
    ensemble = average(models, [0.25, 0.75])
    assert isinstance(ensemble, SavableModel)
    assert isinstance(ensemble, ReadsColumns)
    assert ensemble.untyped == models[0].untyped
    frame = ensemble.example
    assert len(frame) == 12
    found = ensemble.predict(frame)
    short, long = (model.predict(frame) for model in models)
    expected = 0.25 * short.iloc[-1:] + 0.75 * long
    pd.testing.assert_series_equal(found, expected)

    ensemble.save(tmp_path)
    read = single_or_averaged(tmp_path, Forecaster.load)
    for loaded in (read, _load_pyfunc(str(tmp_path))):
        pd.testing.assert_series_equal(loaded.predict(frame), found, check_exact=True)
    (tmp_path / "1" / "weights.pt").unlink()
    with pytest.raises(DataError, match="holds no forecaster: weights.pt is missing"):
        objective.read_model(tmp_path)
    (tmp_path / "ensemble.json").write_text("{")
    with pytest.raises(DataError, match="ensemble.json"):
        objective.read_model(tmp_path)


def test_what_a_forecaster_predicts_of_the_validation_data_has_its_value(objective, members):
    assert isinstance(objective, SupportsEnsemble)
    forecasts, truth = objective.validated(members[1].model)
    assert np.sqrt(np.square(forecasts - truth).mean()) == pytest.approx(members[1].value)


def test_classifiers_are_averaged_by_their_probabilities(images, tmp_path):
    objective = CNNObjective(images, max_epochs=1, device="cpu")
    params = {"layers": 1, "filters": 4, "learning_rate": 0.01, "dropout": 0.0}
    evaluations = [objective.evaluate(params, fidelity=1.0, seed=seed) for seed in (0, 1)]
    models = [evaluation.model for evaluation in evaluations]
    ensemble = average(models, [0.5, 0.5])
    shares, labels = objective.validated(ensemble)
    assert shares.sum(axis=1) == pytest.approx(1)
    single, _ = objective.validated(models[0])
    assert (single.argmax(axis=1) != labels).mean() == pytest.approx(evaluations[0].value)
    found = ensemble.predict(ensemble.example)
    assert found.dtypes.equals(models[0].predict(ensemble.example).dtypes)
    ensemble.save(tmp_path)
    pd.testing.assert_frame_equal(objective.read_model(tmp_path).predict(ensemble.example), found)
    assert json.loads((tmp_path / "ensemble.json").read_text())["weights"] == [0.5, 0.5]
    assert objective.held_out(ensemble).losses.shape == objective.held_out(models[0]).losses.shape


def test_models_of_other_rows_are_no_ensemble():
    first = pd.Series([1.0, 2.0], index=[0, 1])
    with pytest.raises(DataError, match="predict different rows"):
        weighted_mean([first, replaced_index(first)], [0.5, 0.5])
    with pytest.raises(DataError, match="predict different rows"):
        weighted_mean([np.zeros(2), np.zeros(3)], [0.5, 0.5])


def replaced_index(series):
    return series.set_axis([5, 6])


def test_networks_and_estimators_of_a_user_are_averaged_as_what_they_are():
    networks = [torch.nn.Linear(2, 1) for _ in range(2)]
    inputs = torch.ones(3, 2)
    mean = 0.5 * networks[0](inputs) + 0.5 * networks[1](inputs)
    assert torch.allclose(average(networks, [0.5, 0.5])(inputs), mean)

    rows = np.random.default_rng(0).normal(size=(40, 2))
    regressors = [LinearRegression().fit(rows, rows.sum(axis=1) + shift) for shift in (0, 1)]
    assert average(regressors, [0.25, 0.75]).predict(rows) == pytest.approx(
        rows.sum(axis=1) + 0.75
    )

    labels = np.where(rows[:, 0] > 0, "right", "left")
    classifiers = [LogisticRegression(C=c).fit(rows, labels) for c in (0.1, 10)]
    both = average(classifiers, [0.5, 0.5])
    shares = [model.predict_proba(rows) for model in (*classifiers, both)]
    assert shares[2] == pytest.approx((shares[0] + shares[1]) / 2)
    assert set(both.predict(rows)) == {"left", "right"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"weight": torch.zeros(1)}, "a state dict cannot predict, so it cannot be averaged"),
        (RidgeClassifier().fit([[0], [1]], [0, 1]), "without predict_proba cannot be averaged"),
        ("text", "a str cannot predict"),
    ],
)
def test_what_cannot_predict_cannot_be_averaged(model, message):
    with pytest.raises(ModelError, match=message):
        average([model, model], [0.5, 0.5])
