"""A search that can be watched in a notebook."""

import threading
import time
from typing import TYPE_CHECKING, Any

from llmpso.extras import needed_by
from llmpso.pages.study_charts import convergence
from llmpso.pages.trial_points import Points
from llmpso.space import SearchSpace
from llmpso.trial import Trial, TrialState

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

PAUSE_SECONDS = 0.5
"""Least time between two drawings, so that a quick function is not held up by its plot."""


class LivePlot:
    """Draws every trial and the best so far; give it to `minimize` as `on_trial`.

    In a notebook the plot moves while the search runs, and as the last line of a cell it shows
    the whole search. Elsewhere it only collects.

    Args:
        space: What is searched.
        metric: Name and unit of the value.

    Example:
        >>> from llmpso import Float, LivePlot, SearchSpace, minimize
        >>> space = SearchSpace({"x": Float(-5, 5)})
        >>> plot = LivePlot(space)
        >>> result = minimize(lambda p: p["x"] ** 2, space, evaluations=10, on_trial=plot)
        >>> len(plot.trials), plot.png()[1:4]
        (10, b'PNG')
    """

    def __init__(self, space: SearchSpace, metric: str = "value") -> None:
        self.space = space
        self.metric = metric
        self.trials: list[Trial] = []
        self._display = _display()
        self._handle: DisplayHandle | None = None
        self._next = 0.0
        self._later: threading.Timer | None = None
        self._lock = threading.Lock()

    def __call__(self, trial: Trial) -> None:
        """Add a finished trial; the workers' threads may call this concurrently."""
        if trial.state is TrialState.PENDING:
            return
        with self._lock:
            self.trials.append(trial)
            if self._display is None or not self._is_drawable:
                return
            pause = self._next - time.monotonic()
            if pause <= 0:
                self._show()
            elif self._later is None:
                # The last trials of a search may come within the pause.
                self._later = threading.Timer(pause, self._catch_up)
                self._later.daemon = True
                self._later.start()

    def png(self) -> bytes:
        """The plot as a PNG.

        Raises:
            SpecError: The drawing library is not installed.
            ValueError: No trial was completed yet.
        """
        # Here, because matplotlib takes a second to import.
        with needed_by("LivePlot", "plots"):
            from llmpso.pages.matplotlib_picture import picture
        if not self._is_drawable:
            raise ValueError("there is nothing to draw: no trial was completed yet")
        return picture(convergence(self.trials, Points.of(self.trials, self.space, self.metric)))

    def _repr_png_(self) -> bytes | None:
        return self.png() if self._is_drawable else None

    @property
    def _is_drawable(self) -> bool:
        return any(trial.value is not None for trial in self.trials)

    def _catch_up(self) -> None:
        with self._lock:
            self._later = None
            self._show()

    def _show(self) -> None:
        self._next = time.monotonic() + PAUSE_SECONDS
        if self._handle is None:
            self._handle = self._display(self, display_id=True)
        else:
            self._handle.update(self)


def _display() -> Any:
    """IPython's, in a notebook; else None."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return display if hasattr(get_ipython(), "kernel") else None
