"""A planted key is nowhere but where it is used."""

import base64
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path

import httpx
import mlflow
import pytest
from prefect.client.orchestration import get_client

from flows.display.summary_text import as_text
from flows.retune import retune
from flows.retune_plan import RetuneOptions, check_retune
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.errors import SpecError

KEY = "sk-planted-9f8e7d6c5b4a"


@pytest.fixture
def tattler(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An OpenAI-compatible server that repeats the key in errors, replies and a model's name."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send({"data": [{"id": "m"}]})

        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            said = self.headers["Authorization"]
            keys.append(said)
            if len(keys) % 2:
                return self.send({"error": {"message": f"no luck with {said}"}}, 500)
            message = {"role": "assistant", "content": f"I was asked with {said}"}
            self.send({"choices": [{"message": message, "finish_reason": "stop"}]})

        def send(self, body: object, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None: ...

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", keys
        http.shutdown()
        thread.join()


def test_a_key_is_in_no_log_record_result_or_cache(
    until_recorded, mlflow_store, bowl, tattler, tmp_path: Path, monkeypatch, caplog, capfd
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    url, keys = tattler
    with caplog.at_level(logging.DEBUG):
        model = {"advisor": "openai", "llm_url": url, "llm_model": "m"}
        summary = tune(bowl, method="paper", evaluations=18, warm_up=1, **model)
    assert set(keys) == {f"Bearer {KEY}"}
    assert summary.llm_problems > 0
    assert KEY not in json.dumps(summary.record())
    assert KEY not in caplog.text + "".join(capfd.readouterr())

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"mlflow.db", "calls.jsonl", "replies.jsonl"} <= names
    assert any("results" in path.parts for path in files)
    guilty = [path for path in files if KEY.encode() in path.read_bytes() or KEY in path.name]
    assert guilty == []

    until_recorded()
    with get_client(sync_client=True) as prefect:
        for what in ("flow_runs", "task_runs", "logs", "artifacts"):
            rows = prefect.request("POST", f"/{what}/filter", json={"limit": 200}).text
            assert len(rows) > 2
            assert KEY not in rows


OPTIONS = {name: p.default for name, p in signature(tune.fn).parameters.items()}

STORED = {
    "llm_url": [
        "http://me:hunter2@127.0.0.1/v1",
        "http://hunter2@127.0.0.1/v1",
        "https://127.0.0.1/v1?api_key=hunter2",
        "https://127.0.0.1/v1#hunter2",
        "https://me:hunter2/x@127.0.0.1/v1",
        "me:hunter2@127.0.0.1/v1",
    ],
    "address": ["tcp://me:hunter2@10.0.0.1:8786", "ray://10.0.0.1:10001?token=hunter2"],
    "csv": ["https://me:hunter2@host/rows.csv", "https://host/rows.csv?sig=hunter2"],
    "images": ["https://me:hunter2@host/images.npz"],
    "notify": ["slack://hunter2/channel", "https://hooks.example/hunter2"],
}


@pytest.mark.parametrize(
    ("option", "address"), [(option, one) for option in STORED for one in STORED[option]]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(bowl, option, address) -> None:
    given = {"objective": bowl, "advisor": "openai", option: address}
    given |= {"csv": {"target": "rows"}, "address": {"runner": "dask"}}.get(option, {})
    with pytest.raises(SpecError, match=rf"^{option} (holds a user name or|is an add)") as caught:
        prepare(TuneOptions(**(OPTIONS | given)))
    with pytest.raises(SpecError, match=rf"^{option} ") as again:
        check_retune(RetuneOptions(**(RETUNE | given)))
    assert "hunter2" not in f"{caught.value} {again.value}"


RETUNE = {name: p.default for name, p in signature(retune.fn).parameters.items()}

PASSWORD, TOKEN = "canary-pw-4711", "canary-token-0815"

ODD = """
import os
import torch
from llmpso import Categorical, Evaluation, Float, Integer, SearchSpace

CHOICES = ("<!--<script>", "</script><b>", "$\\\\frac$", "a|b`c`", "\\u2028", "x" * 9000)


class Odd:
    name = "a/../b:c@d%2F \'x\' $y$ | `z` \\u202e <!--<script>"
    metric = "loss $\\\\frac$ [red] | <b>"
    description = "Odd ``` names | <script>alert(1)</script>\\n\\n[x](javascript:alert(1))"
    space = SearchSpace(
        {
            "lr (log)": Float(1e-3, 1.0, log=True),
            "<!--<script>": Categorical(CHOICES),
            **{name: Integer(1, 9) for name in ("a/../b", "rank", "self", "LR", "lr", "x" * 300)},
        }
    )

    def evaluate(self, params, *, fidelity, seed):
        if params["LR"] < 4:
            raise RuntimeError(f"\\x1b[31mno luck with {os.environ['SERVICE_TOKEN']}\\x1b[0m")
        names = ("recall@5", "recall#5", "", " ", "value", "seconds", "best_value", "a/../b")
        return Evaluation(
            params["lr (log)"],
            metrics={name: float(n) for n, name in enumerate(names)},
            curves={"loss@": (1.0,), "value": (2.0,)},
            model=torch.nn.Linear(2, 1),
            artifacts={name: {"n": 1} for name in ("../../../x.json", "/x.json", "model", "a/b")},
        )
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An objective that leaves nothing out."""
    (tmp_path / "odd_objective.py").write_text(ODD)
    monkeypatch.syspath_prepend(tmp_path)
    return "odd_objective:Odd"


@pytest.fixture(scope="module")
def server(services) -> str:
    """A real MLflow server; it asks for no login, and gets one."""
    port, folder = services.free_port(), services.folder
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    place = ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port)]
    services.start([sys.executable, "-m", "mlflow", "server", "--workers", "1", *store, *place])
    services.wait_for(f"http://127.0.0.1:{port}/health")
    return f"127.0.0.1:{port}"


def test_odd_names_and_a_login_end_up_nowhere(
    until_recorded, server, services, odd, tmp_path: Path, monkeypatch, caplog, capfd
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that they are what they were, afterwards
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{PASSWORD}@{server}")
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    with caplog.at_level(logging.DEBUG):
        summary = tune(odd, evaluations=8, advisor="none", workers=1, threads=1)
        print(as_text(summary))
    assert 0 < summary.failed < 8
    assert summary.tracking_uri == f"http://{server}"
    assert summary.run_url.startswith(f"http://{server}/#/")

    said = caplog.text + "".join(capfd.readouterr())
    assert "no luck with ***" in said
    assert "\x1b[31mno luck" not in said
    until_recorded()
    with get_client(sync_client=True) as prefect:
        for what in ("flow_runs", "task_runs", "logs", "artifacts"):
            said += prefect.request("POST", f"/{what}/filter", json={"limit": 200}).text
    assert not any(secret in said for secret in (PASSWORD, TOKEN))
    for folder in (tmp_path, services.folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        secrets = (PASSWORD.encode(), TOKEN.encode())
        assert [p for p in files if any(one in p.read_bytes() for one in secrets)] == []

    client = mlflow.MlflowClient(f"http://{server}")
    model, _, version = summary.model.partition("/")
    assert client.get_model_version(model, version).run_id
    runs = client.search_runs(
        [client.get_run(summary.run_id).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{summary.run_id}' and tags.state = 'complete'",
    )
    assert {len(run.data.metrics) for run in runs} == {11}
    best = min(runs, key=lambda run: run.data.metrics["value"])
    assert best.data.metrics["value"] == summary.best_value
    assert len({entry.path for entry in client.list_artifacts(best.info.run_id)}) == 5
    page = client.download_artifacts(summary.run_id, "figures/study.html", str(tmp_path))
    assert "<!--<script>" not in Path(page).read_text(encoding="utf-8")


LOOSE = """
import os
from llmpso import Evaluation, Float, SearchSpace
from sklearn.linear_model import LinearRegression


class Loose:
    name = "loose"
    metric = "height"
    description = "Repeats what it should not, where no training is at fault."
    space = SearchSpace({"x": Float(0.0, 1.0)})

    def evaluate(self, params, *, fidelity, seed):
        return Evaluation(params["x"], model=LinearRegression().fit([[0.0]], [0.0]))

    def records(self, model):
        raise RuntimeError(f"no luck with {os.environ['SERVICE_TOKEN']}")
"""


def asks_around(*args: object, **kwargs: object) -> None:
    httpx.get(os.environ["WAY"], trust_env=False)
    raise ValueError(f"no luck at {os.environ['WAY']}")


@pytest.mark.parametrize("where", ["summary", "records"])
def test_a_secret_in_an_error_that_was_not_expected_ends_up_nowhere(
    until_recorded, mlflow_store, tattler, where, tmp_path: Path, monkeypatch, caplog, capfd
) -> None:
    url, _ = tattler
    (tmp_path / "loose_objective.py").write_text(LOOSE)
    monkeypatch.syspath_prepend(tmp_path)
    if where == "summary":
        monkeypatch.setattr("flows.tune.summarise", asks_around)
    monkeypatch.setenv("WAY", url.replace("://", f"://me:{PASSWORD}@"))
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    options = {"evaluations": 1, "advisor": "none", "workers": 1, "threads": 1}
    with caplog.at_level(logging.DEBUG):
        state = tune("loose_objective:Loose", **options, return_state=True)
    assert state.is_failed() is (where == "summary")
    said = caplog.text + "".join(capfd.readouterr())
    until_recorded()
    with get_client(sync_client=True) as prefect:
        for what in ("flow_runs", "task_runs", "logs", "events"):
            said += prefect.request("POST", f"/{what}/filter", json={"limit": 50}).text
    assert "no luck" in said
    guilty = [path for path in tmp_path.rglob("*") if path.is_file() and _is_guilty(path)]
    assert [secret for secret in (PASSWORD, TOKEN) if secret in said] == guilty == []


def _is_guilty(path: Path) -> bool:
    content = path.read_bytes()
    # The error that ends a run is kept by Prefect, pickled and in base 64.
    kept = base64.b64decode(content) if "results" in path.parts else b""
    return any(secret.encode() in content + kept for secret in (PASSWORD, TOKEN))
