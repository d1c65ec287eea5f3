"""Write a study as a CSV file or into a storage of Optuna's: `llmpso export`."""

from pathlib import Path

from flows.command_line import new_app, run_module
from llmpso.memory.csv_study import write_csv_study
from llmpso.memory.finished import past_trials
from llmpso.memory.optuna_study import write_optuna_study
from llmpso.text import plural
from llmpso.urls import masked_url
from tasks.records.stored_study import stored_study
from tasks.store.address import store_address

APP = new_app("export")


@APP.default
def export_study(study: str, target: str, *, study_name: str | None = None) -> None:
    """Write all trials of a study as a CSV file, or as a study of Optuna.

    Args:
        study: Id of its run in MLflow, its name, or what it tunes: then the newest.
        target: New CSV file, or the address of a storage of Optuna's, such as
            sqlite:///optuna.db.
        study_name: Name in the storage; that of the run if not given.
    """
    stored = stored_study(store_address(), study)
    trials = past_trials(stored.trials)
    if "://" in target:
        name = study_name or stored.name
        write_optuna_study(target, name, stored.metric, stored.space, trials)
    else:
        write_csv_study(Path(target), list(stored.space), trials)
    print(
        f"{plural(len(stored.trials), 'trial')} of {stored.name} written to {masked_url(target)}"
    )


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.export_study"))
