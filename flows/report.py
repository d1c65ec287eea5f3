"""Write a study as one HTML file to send to somebody: `llmpso report`."""

from pathlib import Path

from flows.command_line import new_app, run_module
from flows.display.stored_page import study_page
from llmpso.errors import DataError
from llmpso.text import one_line, plural
from tasks.records.stored_study import stored_study
from tasks.store.address import store_address

APP = new_app("report")


@APP.default
def report(study: str | None = None, *, html: Path) -> None:
    """Write a study with its figures and all trials as one HTML file, which needs no network.

    Args:
        study: Id of its run in MLflow, its name, or what it tunes; the newest if not given.
        html: File to write; one that exists is replaced.
    """
    stored = stored_study(store_address(), study)
    try:
        html.write_text(study_page(stored), encoding="utf-8")
    except OSError as error:
        raise DataError(f"file {str(html)!r} cannot be written ({error.strerror})") from error
    print(
        f"{plural(len(stored.trials), 'trial')} of {one_line(stored.name, 200)} written to {html}"
    )


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.report"))
