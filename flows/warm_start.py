"""What warm-starting is worth, on your data too: `python -m flows.warm_start`."""

import sys
from typing import Annotated

import cyclopts

from flows.command import USAGE_ERROR
from llmpso.benchmark.warm_start import gain, races
from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.time_series import load_csv
from llmpso.errors import LLMPSOError, SpecError

app = cyclopts.App(name="python -m flows.warm_start", version_flags=[])

Count = Annotated[int, cyclopts.Parameter(validator=cyclopts.validators.Number(gte=1))]


@app.default
def warm_start(
    *,
    csv: str | None = None,
    target: str | None = None,
    windows: Count = 5,
    seeds: Count = 5,
    budget: Count = 30,
) -> int:
    """Tune a cheap forecast on windows moving in time, cold and warm, and compare.

    Args:
        csv: Time series instead of the one that ships.
        target: Column of the file to forecast.
        windows: Windows, each half of which is new.
        seeds: Studies per window.
        budget: Evaluations of each study.
    """
    try:
        if (csv is None) != (target is None):
            raise SpecError("csv and target go together: a file, and its column to forecast")
        series = load_csv(csv, target) if csv and target else load_taiwan()
        found = list(races(series, n_windows=windows, n_seeds=seeds, budget=budget))
    except LLMPSOError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    total = gain(found, budget)
    print(
        f"{series.name}: {windows} windows × {seeds} seeds, {budget} evaluations each\n"
        f"to the cold study's final value: cold {total.cold:.1f}, warm {total.warm:.1f} "
        f"evaluations, ratio {total.ratio:.2f} (95% {total.low:.2f} to {total.high:.2f}); "
        f"never reached by the warm study in {total.unsolved} of {len(found)}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(app())
