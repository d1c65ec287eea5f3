"""Serve the champion of a model over HTTP: `python -m flows.serve_model MODEL`.

MLflow's server loads a model once. So it is started again when another version has become the
champion: by a promotion, by a rollback or by hand. The new version is checked first; the port is
closed for as long as MLflow takes to load it.
"""

import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from platformdirs import user_log_path

from flows.command_line import new_app, run_module
from flows.servers import HOST, start_supervised
from llmpso.errors import RegistryError, SpecError
from llmpso.safe_names import file_name
from llmpso.text import one_line
from tasks.models.artifacts import check_model
from tasks.models.registry import Registry
from tasks.store.address import store_address
from tasks.store.patience import STORE_ERRORS

logger = logging.getLogger(__name__)

APP = new_app("serve-model")

STOP_SECONDS = 15.0


@APP.default
def serve_model(
    model: str,
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65_535))] = 5001,
    host: str = HOST,
    every: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 10.0,
) -> None:
    """Serve the champion of a registered model over HTTP, until Ctrl-C.

    Args:
        model: Registered model.
        port: Where it answers, at /invocations.
        host: Address to listen on.
        every: Seconds between two looks at which version is the champion.
    """
    registry = Registry(store_address(), model)
    version = registry.champion()
    _check_free(host, port)
    log = user_log_path("llmpso", ensure_exists=True) / file_name(f"{model}-{port}.log")
    with tempfile.TemporaryDirectory() as scratch:
        while True:
            with _served(registry, version, host, port, log, Path(scratch)) as process:
                version = _successor(registry, version, process, every, log)


def _check_free(host: str, port: int) -> None:
    """Refuse an address at which another server answers: each new one would end at once."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = error.strerror or error
        raise SpecError(f"nothing can listen at {host}, port {port} ({reason})") from error


@contextmanager
def _served(
    registry: Registry, version: str, host: str, port: int, log: Path, scratch: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server with one version, for the length of the block."""
    listen = ["--host", host, "--port", str(port), "--env-manager", "local"]
    address = f"models:/{registry.name}/{version}"
    command = ["mlflow", "models", "serve", *listen, "--model-uri", address]
    store = {"MLFLOW_TRACKING_URI": registry.tracking_uri}
    process = start_supervised(command, log, scratch / "users", store)
    print(f"{registry.name}: version {version} at http://{host}:{port}/invocations", flush=True)
    try:
        yield process
    finally:
        _end(process)


def _successor(
    registry: Registry, version: str, process: subprocess.Popen[bytes], every: float, log: Path
) -> str:
    """Wait until another version is the champion, or the server has ended; the version to serve.

    Nothing changes while the store does not answer, nobody is the champion, or its files are
    damaged: what serves continues to.
    """
    while process.poll() is None:
        time.sleep(every)
        try:
            found = registry.serving.aliases().champion
            if found and found != version:
                check_model(registry.tracking_uri, f"models:/{registry.name}/{found}")
                return found
        except (*STORE_ERRORS, RegistryError) as error:
            logger.warning("version %s goes on serving: %s", version, one_line(error, 200))
    logger.warning("the server of version %s ended (see %s): it is started again", version, log)
    time.sleep(every)
    return version


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.serve_model"))
