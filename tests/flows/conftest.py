"""A fast objective of a user's own, importable by the flows."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

OBJECTIVE = '''
import math
import torch
from llmpso import Evaluation, Float, Integer, SearchSpace


class Bowl:
    """A tiny model of the user's own."""

    name = "bowl"
    metric = "height (m)"
    description = "A bowl whose bottom lies at x = 1, with a hole at n = 7 and a cliff at x > 4."
    space = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})

    def evaluate(self, params, *, fidelity, seed):
        if params["n"] == 7:
            raise RuntimeError("there is a hole")
        height = math.nan if params["x"] > 4 else (params["x"] - 1) ** 2 + params["n"] / 8
        torch_model = torch.nn.Linear(1, 1, device="cpu")
        return Evaluation(
            height, metrics={"depth": 1.0}, curves={"loss": (2.0, 1.0)}, model=torch_model
        )

    def baselines(self):
        return {"flat": {"validation": 9.0}}
'''


@pytest.fixture
def bowl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The import path of the objective above."""
    (tmp_path / "bowl_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    return "bowl_objective:Bowl"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path) -> Iterator[None]:
    """No reply of an earlier test or run."""
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield


@pytest.fixture
def until_recorded(prefect_server: None) -> Callable[[], None]:
    """Waits until the server has written what it was told: task runs are, in batches."""

    def states(client: SyncPrefectClient) -> set[tuple[str, str]]:
        rows = client.request(
            "POST", "/task_runs/filter", json={"sort": "EXPECTED_START_TIME_DESC"}
        )
        return {(row["id"], row["state_type"]) for row in rows.json()}

    def wait() -> None:
        deadline = time.monotonic() + 30
        with get_client(sync_client=True) as client:
            before, now = None, states(client)
            while before != now and time.monotonic() < deadline:
                time.sleep(1.5)
                before, now = now, states(client)

    return wait


@pytest.fixture
def events(prefect_server: None) -> Callable[[int], list[dict[str, Any]]]:
    """The events of ours that the server got during the test, once it has so many."""
    begin = datetime.now(UTC).isoformat()

    def received(n: int) -> list[dict[str, Any]]:
        wanted = {"occurred": {"since": begin}, "event": {"prefix": ["llmpso."]}, "order": "ASC"}
        deadline = time.monotonic() + 60
        with get_client(sync_client=True) as client:
            while True:
                answer = client.request("POST", "/events/filter", json={"filter": wanted})
                found: list[dict[str, Any]] = answer.json()["events"]
                if len(found) >= n:
                    return found
                assert time.monotonic() < deadline, [event["event"] for event in found]
                time.sleep(0.2)

    return received
