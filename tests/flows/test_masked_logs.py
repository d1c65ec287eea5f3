"""Every handler masks what it writes, whatever other threads and people's code log meanwhile."""

import io
import logging
import threading

import pytest
from prefect import task
from prefect.states import Failed

from flows.masked_logs import Masking, mask_logs

pytestmark = pytest.mark.usefixtures("blank_pictures")

SECRET = "canary-9f8e7d6c"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> tuple[logging.Logger, io.StringIO]:
    """A logger whose handler masks, and what it wrote."""
    monkeypatch.setenv("SERVICE_API_KEY", SECRET)
    handler = logging.StreamHandler(text := io.StringIO())
    handler.addFilter(Masking())
    logger = logging.Logger("of one test")
    logger.addHandler(handler)
    return logger, text


def test_messages_arguments_and_tracebacks_are_masked(written) -> None:
    logger, text = written
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("%s failed", {"key": SECRET})
    assert "{'key': '***'} failed" in text.getvalue()
    assert "ValueError: ***" in text.getvalue()
    assert SECRET not in text.getvalue()


def test_a_failed_training_is_one_line_of_the_log(prefect_server, written) -> None:
    logger, text = written

    @task(name="evaluate")
    def fails():
        return Failed(message="exception: KeyError: 'rate'", data={"internal": "state"})

    prefect_logger = logging.getLogger("prefect.task_runs")
    prefect_logger.addHandler(logger.handlers[0])
    try:
        fails(return_state=True)
    finally:
        prefect_logger.removeHandler(logger.handlers[0])
    (line,) = text.getvalue().splitlines()
    assert line == """Finished in state Failed("exception: KeyError: 'rate'")"""


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize("argument", ["two", Unspeakable()])
def test_arguments_that_do_not_fit_do_no_harm(written, argument: object) -> None:
    logger, text = written
    logger.warning("done: %d of it", argument)
    assert text.getvalue().startswith("done: %d of it (its arguments do not fit: ")


def test_loggers_may_be_made_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    known = logging.Logger.manager.loggerDict
    monkeypatch.setattr(logging.Logger.manager, "loggerDict", dict(known))

    def make() -> None:
        for number in range(10_000):
            logging.getLogger(f"made-meanwhile-{number}")

    maker = threading.Thread(target=make)
    maker.start()
    while maker.is_alive():
        mask_logs()
