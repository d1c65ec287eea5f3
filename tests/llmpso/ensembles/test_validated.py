"""What a model predicts of the validation data is checked, and cut into two halves."""

import numpy as np
import pytest

from llmpso.ensembles.validated import Validated
from llmpso.errors import DataError


def test_numbers_are_halved_in_time_and_classes_within_each() -> None:
    selects, decides = Validated(np.zeros(21), np.zeros(21)).halves()
    assert (selects.tolist(), decides.tolist()) == ([*range(10)], [*range(10, 21)])
    labels = np.repeat([0.0, 1.0], [14, 10])
    halves = Validated(np.full((24, 2), 0.5), labels).halves()
    assert [np.bincount(labels[rows].astype(int)).tolist() for rows in halves] == [[7, 5]] * 2
    assert not set(halves[0]) & set(halves[1])


def test_classes_have_a_share_of_errors_and_log_loss_decides_between_equals() -> None:
    labels, rows = np.arange(20) % 2, np.arange(20)
    sure = np.eye(2)[labels] * 0.8 + 0.1
    unsure = np.eye(2)[labels] * 0.2 + 0.4
    loss = Validated(sure, labels.astype(float)).loss(rows)
    assert loss(sure)[0] == loss(unsure)[0] == 0 < loss(sure)[1] < loss(unsure)[1]
    assert loss(1 - sure)[0] == 1


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (3.0, "returned a float; it must return predictions and targets"),
        ((["a"] * 30, [0] * 30), "returned what is no array"),
        (([0.0] * 30, [0.0] * 29), r"shapes \(30,\) and \(29,\)"),
        (([float("nan")] * 30, [0.0] * 30), "is not finite"),
        (([[0.5, 0.5]] * 30, [2] * 30), "2 is no index of a class"),
        (([0.0] * 19, [0.0] * 19), "the validation data has 19 samples; an ensemble needs 20"),
    ],
)
def test_what_does_not_fit_is_refused(returned, message) -> None:
    with pytest.raises(DataError, match=message):
        Validated.of(returned)
