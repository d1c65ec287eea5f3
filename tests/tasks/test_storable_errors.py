"""What ends a flow or a task can be stored, and be read by everybody."""

import sys
import threading

import cloudpickle
import httpx
import pytest
import tblib.pickling_support

import tasks.advise
import tasks.benchmark
import tasks.evaluate
import tasks.iterate
import tasks.records.pages
from llmpso.errors import LLMPSOError, StorageError
from llmpso.masking import mask_tracebacks
from tasks.storable_errors import MOST_CHARACTERS, ForeignError, storable, storable_errors

CANARY = "canary-9f8e7d6c"


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (
            OSError(f"no answer from http://me:{CANARY}@host/x"),
            "OSError: no answer from http://***",
        ),
        (ValueError("half \ud83d of it, and \0"), "ValueError: half � of it, and �"),
        (ValueError("x" * 100_000), f"ValueError: {'x' * 100}"),
        (MuteError(), "MuteError: its text cannot be read"),
    ],
)
def test_text_that_cannot_be_stored_is_cleaned(error: Exception, reported: str) -> None:
    @storable_errors
    def fails() -> None:
        raise error

    with pytest.raises(ForeignError) as caught:
        fails()
    assert str(caught.value).startswith(reported)
    assert len(str(caught.value)) < MOST_CHARACTERS + 100
    assert caught.traceback[-1].name == "fails"


@pytest.mark.parametrize("kind", [StorageError, ValueError])
@pytest.mark.parametrize("is_meant", [True, False])
def test_what_the_causes_of_an_error_are_noted_and_not_stored(kind, is_meant: bool) -> None:
    @storable_errors
    def fails() -> None:
        try:
            raise OSError(f"no answer from http://me:{CANARY}@host/x")
        except OSError as error:
            if is_meant:
                raise kind("no luck") from error
            raise kind("no luck")  # noqa: B904 - as people's code may

    with pytest.raises(kind, match="no luck") as caught:
        fails()
    assert caught.value.__cause__ is caught.value.__context__ is None
    (note,) = caught.value.__notes__
    assert "OSError: no answer from http://***@host/x" in note
    tblib.pickling_support.install(caught.value)
    assert CANARY.encode() not in cloudpickle.dumps(caught.value)


def test_a_secret_that_a_long_traceback_is_cut_in_is_masked() -> None:
    end = "y" * (MOST_CHARACTERS - len(f"{CANARY[-6:]}@host/\n"))

    @storable_errors
    def fails() -> None:
        raise ValueError("no luck") from OSError(f"no answer from http://me:{CANARY}@host/{end}")

    with pytest.raises(ValueError, match="no luck") as caught:
        fails()
    (note,) = caught.value.__notes__
    assert note.endswith("y\n")
    assert CANARY[-6:] not in note


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand 日本語 🙂", ""])
def test_other_errors_stay_what_they_are(text: str) -> None:
    error = KeyError(text)
    assert storable(error) is error


@pytest.mark.parametrize(
    "held",
    [
        httpx.Request("GET", "http://host/x", headers={"Authorization": f"Bearer {CANARY}"}),
        httpx.Request("GET", f"http://me:{CANARY}@host/x"),
        {"notes": ["a", f"postgresql://me:{CANARY}@db/x"]},
        bytes(2_000_000),
    ],
    ids=["header", "address", "deep", "large"],
)
def test_nothing_is_stored_of_an_error_that_holds_what_it_does_not_say(held) -> None:
    error = ValueError("no luck")
    error.held = held
    found = storable(error)
    assert str(found) == "ValueError: no luck"
    assert len(kept := cloudpickle.dumps(found)) < 1_000
    assert CANARY.encode() not in kept
    own = StorageError("no luck")
    own.held = held
    assert storable(own) is own
    assert str(own) == "no luck"
    assert len(cloudpickle.dumps(own)) < 1_000


def test_an_error_of_ours_keeps_its_class() -> None:
    error = storable(StorageError(f"https://host/?token={CANARY} is full"))
    assert isinstance(error, StorageError)
    assert str(error) == "https://host/?token=*** is full"


@pytest.mark.parametrize(
    "made",
    [
        tasks.advise.ask_model,
        tasks.benchmark.run_studies,
        tasks.evaluate.evaluate,
        tasks.iterate.iterate,
        tasks.records.pages.draw_study,
        tasks.records.pages.trace_calls,
        tasks.benchmark.train,
    ],
    ids=lambda made: made.name,
)
def test_every_task_masks_its_messages(made) -> None:
    assert made.fn.__wrapped__.__module__ == made.fn.__module__


def test_a_secret_is_in_no_traceback_of_an_error_that_was_not_caught(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("SERVICE_TOKEN", CANARY)
    mask_tracebacks()

    def fail() -> None:
        raise LLMPSOError(f"no luck with {CANARY}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except LLMPSOError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.count("LLMPSOError: no luck with ***") == 2
