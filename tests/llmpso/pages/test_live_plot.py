"""A search watched in a notebook, with a display that notes what it is shown."""

import time

import pytest

from llmpso import Float, LivePlot, SearchSpace, minimize
from llmpso.pages import live_plot

SPACE = SearchSpace({"x": Float(-5.0, 5.0)})


class Display:
    """What IPython's `display` does, without a notebook."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []

    def __call__(self, plot: LivePlot, *, display_id: bool) -> "Display":
        self.update(plot)
        return self

    def update(self, plot: LivePlot) -> None:
        self.shown.append(plot._repr_png_())


def test_the_plot_moves_with_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    monkeypatch.setattr(live_plot, "_display", lambda: display)
    monkeypatch.setattr(live_plot, "PAUSE_SECONDS", 0.0)
    plot = LivePlot(SPACE)
    minimize(lambda params: params["x"] ** 2, SPACE, evaluations=8, on_trial=plot, n_workers=2)
    assert len(display.shown) == 8
    assert len(set(display.shown)) == 8
    assert all(png.startswith(b"\x89PNG") for png in display.shown)


def test_the_plot_of_a_quick_function_ends_with_all_of_its_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = Display()
    monkeypatch.setattr(live_plot, "_display", lambda: display)
    plot = LivePlot(SPACE)
    minimize(lambda params: params["x"] ** 2, SPACE, evaluations=8, on_trial=plot)
    until, whole = time.monotonic() + 30, plot.png()
    while display.shown[-1] != whole and time.monotonic() < until:
        time.sleep(0.05)
    assert display.shown[-1] == whole
    assert len(display.shown) < 8


def test_without_a_notebook_it_only_collects() -> None:
    plot = LivePlot(SPACE)
    assert plot._repr_png_() is None
    with pytest.raises(ValueError, match="no trial was completed yet"):
        plot.png()
    minimize(lambda params: params["x"] ** 2, SPACE, evaluations=4, on_trial=plot)
    assert len(plot.trials) == 4
