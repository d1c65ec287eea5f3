"""The server of a model follows its champion."""

import socket
import subprocess
import time

import httpx
import pytest
from sklearn.dummy import DummyRegressor

from flows.serve_model import _successor, serve_model
from llmpso.errors import RegistryError, SpecError
from tasks.models.model_files import write_description
from tasks.models.registry import Promotion, Registry
from tasks.models.stored_models import MODEL, store_model
from tasks.store.client import client


@pytest.fixture
def promote(mlflow_store: str, tmp_path):
    """Promote a model that always answers with one number."""

    def run(value: float, replaced: str) -> str:
        folder = tmp_path / f"model-{value}"
        folder.mkdir()
        store_model(
            DummyRegressor(strategy="constant", constant=value).fit([[0.0]], [0.0]), folder
        )
        write_description(folder, folder / MODEL)
        run_id = client(mlflow_store).create_run("0").info.run_id
        client(mlflow_store).log_artifacts(run_id, str(folder / MODEL), "model")
        promotion = Promotion(
            f"runs:/{run_id}/model", {}, value, "promoted", "better", replaced, "", run_id, {}
        )
        return Registry(mlflow_store, "always").promote(promotion)

    return run


def answer(port: int, seconds: float, unlike: float = -1.0) -> float:
    """What the server answers, once it answers with something else than what it did."""
    deadline, url = time.monotonic() + seconds, f"http://127.0.0.1:{port}/invocations"
    while time.monotonic() < deadline:
        try:
            reply = httpx.post(url, json={"inputs": [[0.0]]}, verify=False, timeout=20.0)
            if reply.is_success and reply.json()["predictions"] != [unlike]:
                return reply.json()["predictions"][0]
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise TimeoutError


@pytest.mark.slow
def test_it_serves_the_next_champion_and_after_a_rollback_the_one_before(
    mlflow_store: str, promote, services
) -> None:
    assert promote(1.0, "") == "1"
    port = services.free_port()
    command = ["python", "-m", "flows", "serve-model", "always", "--port", str(port)]
    services.start([*command, "--every", "0.5"], {"MLFLOW_TRACKING_URI": mlflow_store})
    assert answer(port, 200) == 1.0
    assert promote(2.0, "1") == "2"
    begin = time.monotonic()
    assert answer(port, 200, unlike=1.0) == 2.0
    print(f"another champion answers after {time.monotonic() - begin:.1f} s")
    Registry(mlflow_store, "always").roll_back()
    assert answer(port, 200, unlike=2.0) == 1.0


def test_what_cannot_be_served_is_refused(mlflow_store: str, promote) -> None:
    promote(1.0, "")
    with pytest.raises(RegistryError, match="model 'alway' is not registered.*mean 'always'"):
        serve_model("alway")
    client(mlflow_store).delete_registered_model_alias("always", "champion")
    with pytest.raises(RegistryError, match="no version of 'always' has the alias @champion"):
        serve_model("always")


def test_a_port_that_is_taken_is_refused_at_once(mlflow_store: str, promote) -> None:
    promote(1.0, "")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SpecError, match=f"nothing can listen at 127.0.0.1, port {port}"):
            serve_model("always", port=port)


def test_a_server_that_ends_says_where_its_last_words_are(
    mlflow_store: str, promote, tmp_path, caplog
) -> None:
    promote(1.0, "")
    log, process = tmp_path / "always-5001.log", subprocess.Popen(["true"])
    process.wait()
    assert _successor(Registry(mlflow_store, "always"), "1", process, 0.01, log) == "1"
    assert f"the server of version 1 ended (see {log}): it is started again" in caplog.text
