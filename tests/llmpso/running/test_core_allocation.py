"""How many trainings at once, and cores for each, is measured and not assumed."""

import sys

import pytest
import torch

from llmpso.cores import usable_cores
from llmpso.running import core_allocation
from llmpso.running.core_allocation import CoreAllocation as Cores
from llmpso.running.core_allocation import measured_threads, measured_workers


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine with so many cores, on which layouts do so many steps a second."""

    def build(n_cores: int, steps: dict[Cores, float]) -> list[Cores]:
        tried: list[Cores] = []

        def trained(candidate: Cores) -> float:
            tried.append(candidate)
            return steps[candidate]

        monkeypatch.setattr(core_allocation, "usable_cores", lambda: n_cores)
        monkeypatch.setattr(core_allocation, "_trained", trained)
        return tried

    return build


def test_all_cores_train_one_each_where_that_is_best(machine) -> None:
    tried = machine(2, {Cores(2, 1): 180.0, Cores(1, 1): 100.0})
    assert (measured_workers(), measured_threads(2)) == (2, 1)
    assert tried == [Cores(2, 1), Cores(1, 1)]


def test_fewer_trainings_where_more_stand_in_each_others_way(machine) -> None:
    steps = {
        Cores(4, 1): 50.0,
        Cores(2, 1): 90.0,
        Cores(1, 1): 60.0,
        Cores(2, 2): 80.0,
    }
    machine(4, steps)
    assert (measured_workers(), measured_threads(2)) == (2, 1)


def test_idle_cores_help_the_trainings_that_there_are(machine) -> None:
    machine(8, {Cores(2, 1): 200.0, Cores(2, 4): 500.0})
    assert measured_threads(2) == 4


def test_threads_that_gain_little_are_not_used(machine) -> None:
    machine(8, {Cores(2, 1): 200.0, Cores(2, 4): 240.0})
    assert measured_threads(2) == 1


def test_what_leaves_no_choice_is_not_measured(machine) -> None:
    tried = machine(2, {})
    assert measured_threads(2) == 1
    assert tried == []


def test_nothing_is_measured_for_trainings_without_torch(machine, monkeypatch) -> None:
    tried = machine(8, {})
    monkeypatch.delitem(sys.modules, "torch")
    assert (measured_workers(), measured_threads(2)) == (8, 1)
    assert tried == []


def test_this_machine_is_measured() -> None:
    assert torch.get_num_threads() > 0  # Without torch nothing would be measured.
    n_workers, n_threads = measured_workers(), measured_threads(2)
    assert 1 <= n_workers <= usable_cores()
    assert 1 <= n_threads <= usable_cores()
    assert core_allocation._trained(Cores(n_workers, n_threads)) > 0
