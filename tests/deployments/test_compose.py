"""What the compose file says, and its own commands and health checks against real processes.

A container engine is not needed: PostgreSQL, an S3-compatible store and both servers run here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import mlflow
import pytest
import yaml

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "deployments" / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]


def test_images_are_pinned_and_nothing_has_a_default_password() -> None:
    for service in SERVICES.values():
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", service["image"]), service["image"]
    assert re.search(r"^FROM python:3\.11\.\d+-", (FILE.parent / "Dockerfile").read_text(), re.M)
    text = FILE.read_text()
    assert "${POSTGRES_PASSWORD:?" in text
    for name, default in re.findall(r"\$\{(\w*(?:PASSWORD|KEY|SECRET)\w*):?-?([^}]*)\}", text):
        assert default.startswith("?") or not default, name
    for line in (FILE.parent / "example.env").read_text().splitlines():
        assert line.startswith("#") or not line or line == "POSTGRES_PASSWORD="


def test_every_service_is_checked_and_waits_for_healthy_ones() -> None:
    assert set(SERVICES) == {"postgres", "prefect", "mlflow", "worker", "ollama"}
    assert SERVICES["ollama"]["profiles"] == ["ollama"]
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"], name
        for condition in service.get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            named = source in COMPOSE["volumes"] or source.startswith(("./", "${"))
            assert named, volume
    assert set(SERVICES["worker"]["depends_on"]) == {"prefect", "mlflow"}


def environment(service: str, **values: str) -> dict[str, str]:
    """A service's environment, as compose would fill it in, with addresses of this machine."""

    def filled(match: re.Match[str]) -> str:
        name, default = match[1], match[2] or ""
        return values.get(name, default.removeprefix(":-"))

    return {
        name: re.sub(r"\$\{(\w+)(:-[^}]*)?\}", filled, text)
        for name, text in SERVICES[service]["environment"].items()
    }


def is_healthy(service: str, port: str, own_port: str) -> bool:
    """The service's own health check, at the port it has here."""
    check = SERVICES[service]["healthcheck"]["test"]
    assert check[0] == "CMD"
    command = [part.replace(f":{port}/", f":{own_port}/") for part in check[1:]]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_servers_keep_their_records_in_postgresql_and_their_models_in_s3(
    services, postgres, monkeypatch
) -> None:
    postgres.run(
        "--command", f"CREATE DATABASE {SERVICES['postgres']['environment']['POSTGRES_DB']}"
    )
    postgres.run("--file", str(FILE.parent / "postgres.sql"))
    prefect, mlflow_port, s3 = (str(services.free_port()) for _ in range(3))
    store = f"http://127.0.0.1:{s3}"
    services.start([sys.executable, "-m", "moto.server", "--port", s3])
    services.wait_for(f"{store}/moto-api/")
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    boto3.client("s3", endpoint_url=store, region_name="us-east-1", **keys).create_bucket(
        Bucket="models"
    )
    here = {"POSTGRES_PASSWORD": postgres.password, "AWS_ACCESS_KEY_ID": "key"}
    here |= {"AWS_SECRET_ACCESS_KEY": "secret", "MLFLOW_S3_ENDPOINT_URL": store}
    here |= {"MLFLOW_ARTIFACTS_DESTINATION": "s3://models/llmpso"}
    for name, port, variable in (
        ("prefect", prefect, "PREFECT_SERVER_API_PORT"),
        ("mlflow", mlflow_port, "MLFLOW_PORT"),
    ):
        own = environment(name, **here) | {variable: port}
        own = {
            key: text.replace("@postgres:5432", f"@127.0.0.1:{postgres.port}")
            for key, text in own.items()
        }
        own |= {"MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}"}
        services.start(SERVICES[name]["command"], own)
    services.wait_for(f"http://127.0.0.1:{prefect}/api/health")
    services.wait_for(f"http://127.0.0.1:{mlflow_port}/health")
    assert is_healthy("prefect", "4200", prefect)
    assert is_healthy("mlflow", "5000", mlflow_port)
    assert not is_healthy("mlflow", "5000", str(services.free_port()))

    address = f"http://127.0.0.1:{mlflow_port}"
    client = mlflow.MlflowClient(address)
    run = client.create_run(client.create_experiment("proof"))
    client.log_metric(run.info.run_id, "value", 1.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    client.log_text(run.info.run_id, "kept", "note.txt")
    assert client.get_run(run.info.run_id).data.metrics == {"value": 1.5}
    listed = boto3.client("s3", endpoint_url=store, region_name="us-east-1", **keys).list_objects(
        Bucket="models"
    )
    assert [entry["Key"].endswith("note.txt") for entry in listed["Contents"]] == [True]
    counted = postgres.run(
        "--tuples-only", "--command", "SELECT count(*) FROM runs", database="mlflow"
    )
    assert counted.strip() == "1"


def test_the_worker_needs_the_address_of_its_server() -> None:
    bare = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        SERVICES["worker"]["command"], cwd=PROJECT, env=bare, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "PREFECT_API_URL: is not set; name the Prefect server" in done.stderr
