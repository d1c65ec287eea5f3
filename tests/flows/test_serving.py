"""The promoted model answers over HTTP, from raw columns, served as the README says."""

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from mlflow.models import convert_input_example_to_serving_input

from flows.retune import retune
from llmpso.data.series.air_quality import load_taiwan

PROJECT = Path(__file__).parents[2]


def readme(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def snippet(part: str, path: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", readme(path), flags=re.DOTALL)
    (found,) = (block for block in blocks if part in block)
    return found


@pytest.mark.slow
def test_the_champion_answers_requests_with_raw_columns(
    prefect_server, mlflow_store, services
) -> None:
    small = {"evaluations": 2, "particles": 2, "refits": 2, "max_seconds": 60}
    report = retune(method="pso", workers=2, **small)
    port = str(services.free_port())
    written = re.search(r"^mlflow models serve .+", readme("README.md"), flags=re.MULTILINE)
    command = shlex.split(written.group().replace("--port 5001", f"--port {port}"))
    services.start(command, {"MLFLOW_TRACKING_URI": mlflow_store})
    services.wait_for(f"http://127.0.0.1:{port}/ping")
    rows = load_taiwan().frame.iloc[-30:].reset_index()
    reply = httpx.post(
        f"http://127.0.0.1:{port}/invocations",
        content=convert_input_example_to_serving_input(rows),
        headers={"Content-Type": "application/json"},
        timeout=60.0,
    )
    assert reply.is_success, reply.text
    forecasts = [float(next(iter(row.values()))) for row in reply.json()["predictions"]]
    model = mlflow.pyfunc.load_model(f"models:/{report.model}@champion")
    assert model.metadata.signature is not None
    assert model.input_example is not None
    assert forecasts == pytest.approx(model.predict(rows).tolist(), rel=1e-5)
    assert len(forecasts) == 30 - 24 + 1
    loaded: dict[str, Any] = {}
    exec(snippet("forecast = model", "README.md"), loaded)  # noqa: S102 - our own README
    request = snippet("reply = httpx.post", "mlflow/README.md").replace(":5001/", f":{port}/")
    exec(request, asked := {})  # noqa: S102
    answers = [next(iter(row.values())) for row in asked["reply"].json()["predictions"]]
    assert answers == pytest.approx(loaded["forecast"].tolist(), rel=1e-5)
    wrong = httpx.post(
        f"http://127.0.0.1:{port}/invocations",
        json={"dataframe_split": {"columns": ["AQI"], "data": [[1.0]]}},
        timeout=60.0,
    )
    assert wrong.status_code == httpx.codes.BAD_REQUEST
    assert "missing inputs" in wrong.text
