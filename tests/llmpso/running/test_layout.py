"""How many trainings at once, and cores for each, is measured and not assumed."""

import pytest

from llmpso.running import layout
from llmpso.running.layout import Layout, measured_threads, measured_workers


def forget() -> None:
    for measured in (measured_workers, measured_threads):
        measured.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine with so many cores, on which layouts do so many steps a second."""

    def build(n_cores: int, steps: dict[Layout, float]) -> list[Layout]:
        tried: list[Layout] = []
        forget()

        def trained(candidate: Layout) -> float:
            tried.append(candidate)
            return steps[candidate]

        monkeypatch.setattr(layout, "usable_cores", lambda: n_cores)
        monkeypatch.setattr(layout, "_trained", trained)
        return tried

    yield build
    forget()


def test_all_cores_train_one_each_where_that_is_best(machine) -> None:
    tried = machine(2, {Layout(2, 1): 180.0, Layout(1, 1): 100.0})
    assert (measured_workers(), measured_threads(2)) == (2, 1)
    assert tried == [Layout(2, 1), Layout(1, 1)]


def test_fewer_trainings_where_more_stand_in_each_others_way(machine) -> None:
    steps = {Layout(4, 1): 50.0, Layout(2, 1): 90.0, Layout(1, 1): 60.0, Layout(2, 2): 80.0}
    machine(4, steps)
    assert (measured_workers(), measured_threads(2)) == (2, 1)


def test_idle_cores_help_the_trainings_that_there_are(machine) -> None:
    machine(8, {Layout(2, 1): 200.0, Layout(2, 4): 500.0})
    assert measured_threads(2) == 4


def test_threads_that_gain_little_are_not_used(machine) -> None:
    machine(8, {Layout(2, 1): 200.0, Layout(2, 4): 240.0})
    assert measured_threads(2) == 1


def test_what_leaves_no_choice_is_not_measured(machine) -> None:
    tried = machine(2, {})
    assert measured_threads(2) == 1
    assert tried == []


def test_this_machine_is_measured() -> None:
    forget()
    n_workers, n_threads = measured_workers(), measured_threads(2)
    assert 1 <= n_workers <= layout.usable_cores()
    assert 1 <= n_threads <= layout.usable_cores()
    assert layout._trained(Layout(n_workers, n_threads)) > 0
