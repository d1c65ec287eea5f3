"""What warm-starting is worth, on your data too: `python -m flows.warm_start`."""

from typing import Annotated

import cyclopts

from flows.command_line import new_app, run_module
from llmpso.benchmark.warm_versus_cold import NEAR, forecasts, gain, networks, races
from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.load_csv import load_csv
from llmpso.errors import SpecError

APP = new_app("warm-start")

Count = Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))]


@APP.default
def warm_start(
    *,
    csv: str | None = None,
    target: str | None = None,
    network: bool = False,
    windows: Count = 5,
    seeds: Count = 5,
    budget: Count = 30,
) -> None:
    """Tune a forecast on windows moving in time, cold and warm, and compare.

    Args:
        csv: Time series instead of the one that ships.
        target: Column of the file to forecast.
        network: Tune the LSTM that ships, for hours, in place of a fit of milliseconds.
        windows: Windows, each half of which is new.
        seeds: Studies per window.
        budget: Evaluations of each study.
    """
    if (csv is None) != (target is None):
        raise SpecError("csv and target go together: a file, and its column to forecast")
    series = load_csv(csv, target) if csv and target else load_taiwan()
    tuned = (networks if network else forecasts)(series, windows)
    found = list(races(tuned, n_seeds=seeds, budget=budget))
    total = gain(found)
    print(
        f"{series.name}: {windows} windows × {seeds} seeds, {budget} trainings each\n"
        f"to within {NEAR:.0%} of the window's lowest value: cold {total.cold:.1f}, "
        f"warm {total.warm:.1f} trainings, ratio {total.ratio:.2f} "
        f"(95% {total.low:.2f} to {total.high:.2f}); never by {total.unsolved[0]} cold and "
        f"{total.unsolved[1]} warm studies of {len(found)}"
    )


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.warm_start"))
