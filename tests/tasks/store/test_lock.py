"""A lock that one process has at a time, on one machine or on several, dead or alive."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pytest

from llmpso.errors import BusyModelError, RegistryError, SpecError
from tasks.store import claims as claims_module
from tasks.store import heartbeat, lock_targets
from tasks.store import lock as module
from tasks.store.lock import Lock
from tasks.store.lock_targets import Purpose, model_lock

HOLDER = """
import sys, time
from tasks.store.lock_targets import Purpose, model_lock
lock = model_lock(sys.argv[1], "model", Purpose.RETUNING)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread is a machine: it has a folder of its own, and shares the store alone."""

    def path(*_: object) -> Path:
        return tmp_path / threading.current_thread().name

    monkeypatch.setattr(lock_targets._ModelTarget, "file", path)


def claims() -> dict[str, str]:
    tags = mlflow.MlflowClient().get_registered_model("model").tags
    return {key: tag for key, tag in tags.items() if key.startswith("llmpso.retuning.")}


def lock(store: str) -> Lock:
    return model_lock(store, "model", Purpose.RETUNING)


def test_one_process_has_the_lock_on_one_machine(mlflow_store: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    held = lock(mlflow_store)
    with pytest.raises(BusyModelError, match=r"another run retunes 'model' .*\(process \d+ on "):
        lock(mlflow_store)
    model_lock(mlflow_store, "model", Purpose.SERVING).release()
    model_lock(mlflow_store, "another", Purpose.RETUNING).release()
    held.release()
    assert claims() == {}
    lock(mlflow_store).release()


def test_one_of_several_machines_has_the_lock(mlflow_store: str, machines, monkeypatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(claims_module, "SILENT_LOOKS", 10_000)
    inside, most, n_held = [], [], []

    def work() -> None:
        for _ in range(3):
            held = lock(mlflow_store)
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            held.release()
            n_held.append(1)

    lock(mlflow_store).release()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(n_held), max(most)) == (12, 1)
    assert claims() == {}


def test_a_living_process_of_another_machine_is_not_disturbed(
    mlflow_store: str, machines, monkeypatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    held = lock(mlflow_store)
    refused = []

    def elsewhere() -> None:
        with pytest.raises(BusyModelError) as error:
            lock(mlflow_store)
        refused.append(error.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(refused) == 1
    held.check()
    held.release()


@pytest.mark.parametrize("text", ["{}", "?", "[1]", '{"time": "2999-01-01", "beat": 3}'])
def test_a_dead_process_of_another_machine_is_found_by_its_silence(
    mlflow_store: str, monkeypatch, text: str
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    store = mlflow.MlflowClient()
    store.create_registered_model("model")
    store.set_registered_model_tag("model", "llmpso.retuning.dead", text)
    held = lock(mlflow_store)
    assert list(claims()) == [held._key]
    held.release()


@pytest.mark.slow
def test_a_killed_process_of_this_machine_holds_nothing(mlflow_store: str) -> None:
    command = [sys.executable, "-c", HOLDER, mlflow_store]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert json.loads(*claims().values())["process"] == process.pid
    with pytest.raises(BusyModelError, match=f"process {process.pid} on "):
        lock(mlflow_store)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    begin = time.monotonic()
    lock(mlflow_store).release()
    assert time.monotonic() - begin < module.SILENT_LOOKS / 2
    assert claims() == {}


def test_a_process_that_was_taken_for_dead_hears_of_it(mlflow_store: str, monkeypatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    held = lock(mlflow_store)
    deadline = time.monotonic() + 60
    while held._heartbeat.is_running and time.monotonic() < deadline:
        # At the very moment of a beat it comes back.
        mlflow.MlflowClient().delete_registered_model_tag("model", held._key)
    with pytest.raises(BusyModelError):
        held.check()
    held.release()
    assert claims() == {}


def test_a_process_that_wakes_in_the_middle_of_a_beat_does_not_share_the_lock(
    mlflow_store: str, machines, monkeypatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 600.0)
    slept = lock(mlflow_store)
    taken_over = []
    thread = threading.Thread(target=lambda: taken_over.append(lock(mlflow_store)))
    thread.start()
    thread.join()
    assert list(claims()) == [taken_over[0]._key]
    # It had looked at the claims before it slept, and writes its own when it wakes.
    slept._sign(1)
    assert not slept._beat(2)
    with pytest.raises(BusyModelError, match=r"another one took over what serves .*\(process"):
        slept.check()
    with pytest.raises(BusyModelError, match="another one took over"):
        slept.check_after_silence()
    taken_over[0].check()
    slept.release()
    taken_over[0].release()
    assert claims() == {}


@pytest.mark.parametrize("name", ["a/b", "x:y", "..", " "])
def test_a_name_that_mlflow_refuses_is_refused_at_once(mlflow_store: str, name: str) -> None:
    with pytest.raises(RegistryError, match=f"model is '{name}', which MLflow refuses as a name"):
        model_lock(mlflow_store, name, Purpose.RETUNING)


def test_files_of_a_lock_may_be_damaged(mlflow_store: str, tmp_path, monkeypatch, damage) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    lock(mlflow_store).release()
    for path in [path for path in (tmp_path / "state").rglob("*") if path.is_file()]:
        damage(path)
    lock(mlflow_store).release()
    assert claims() == {}


def test_locks_that_cannot_be_saved_name_their_folder(mlflow_store: str, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with pytest.raises(SpecError, match="locks of models cannot be stored in /proc/nowhere/"):
        lock(mlflow_store)
