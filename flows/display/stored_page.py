"""A stored study as one HTML file, to be sent to somebody without the store."""

from collections.abc import Sequence

from flows.display.stored_facts import stored_facts
from llmpso import __version__
from llmpso.pages.html_table import facts_table, rows_table
from llmpso.pages.plotly_page import page
from llmpso.pages.study_charts import study_charts
from llmpso.study.trial_rows import trial_rows
from llmpso.trial import Trial
from tasks.records.stored_study import StoredStudy


def study_page(stored: StoredStudy) -> str:
    """The facts, the space, all figures and all trials; the page needs no network."""
    inside = [trial for trial in stored.trials if stored.space.is_valid(trial.params)]
    space = {name: repr(dimension) for name, dimension in stored.space.items()}
    tables = (
        f"{facts_table(stored_facts(stored))}"
        f"<details><summary>Hyperparameters</summary>{facts_table(space)}</details>"
        f"<details><summary>All trials</summary>{_trials(stored.trials)}</details>"
    )
    subtitle = f"{stored.tags.get('objective', '')} · MLflow run {stored.tracker.run_id}"
    charts = study_charts(inside, stored.space, stored.metric, stored.best)
    return page(charts, stored.name, f"{subtitle} · llmpso {__version__}", tables)


def _trials(trials: Sequence[Trial]) -> str:
    rows = trial_rows(trials)
    return rows_table(list(rows[0]), rows) if rows else ""
