"""An error that a server logs again and again fails the tests that use the server."""

import sys

import pytest

SCHEDULER = """
09:00:01.101 | INFO    | prefect.server - Started
09:00:02.102 | ERROR   | prefect.server.services - Can't evaluate bulk DML statement
Traceback (most recent call last):
  File "scheduler.py", line 7, in insert
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
09:00:03.103 | ERROR   | prefect.server.events - Error while writing
Traceback (most recent call last):
sqlite3.OperationalError: database is locked
"""


def test_an_error_that_nobody_explained_is_shown(services) -> None:
    services.start([sys.executable, "-c", f"print({SCHEDULER!r})"]).wait(10)
    services.stop_all()
    command = [sys.executable, "-c", f"print({SCHEDULER!r} * 3)"]
    services.start(command).wait(10)
    with pytest.raises(AssertionError, match="InvalidRequestError") as caught:
        services.stop_all()
    assert "locked" not in str(caught.value)
    assert "Started" not in str(caught.value)
    services.start(command, may_log_errors=True).wait(10)
    services.stop_all()
