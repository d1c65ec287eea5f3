"""The suite `scale` of the benchmark: one study on many workers of a cluster."""

from pathlib import Path

import pandas as pd

from flows.benchmarks.plan import BenchmarkOptions
from flows.benchmarks.record import record_suite
from llmpso.benchmark.report import Report, markdown
from llmpso.benchmark.scale import measure_scale, scale_table


def benchmark_scale(options: BenchmarkOptions, n_workers: int) -> str:
    """Run all studies again, and record them and the table.

    Args:
        options: The seeds are repetitions.
        n_workers: Of no use here: how many workers a study has is what is compared.

    Returns:
        The table, as Markdown, and its path.
    """

    def measure(folder: Path) -> Report:
        raw = pd.DataFrame(list(measure_scale(options.seeds)))
        raw.to_csv(folder / "scale-raw.csv", index=False)
        table = scale_table(raw)
        table.to_csv(folder / "scale.csv", index=False)
        text = markdown(table)
        (folder / "scale.md").write_text(text, encoding="utf-8")
        rates = zip(
            raw["runner"], raw["workers"], raw["evaluations"] / raw["seconds"], strict=True
        )
        return Report(text, text, {f"{kind}_{n}": rate for kind, n, rate in rates})

    return record_suite(options, "trainings a second", measure)
