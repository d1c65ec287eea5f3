"""The image, and the work pools of Docker and Kubernetes, as far as files can say; no engine runs.

The commands of the Dockerfile were run by hand in a clean root folder of Debian, see
deployments/README.md.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import prefect
import pytest
import yaml

from flows.deployment_file import load_deployments

FOLDER = Path(__file__).parents[2] / "deployments"
PREFECT = str(Path(sys.executable).with_name("prefect"))
DOCKERFILE = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ")
KNOWN = json.loads(
    (
        Path(prefect.__file__).parent
        / "server/api/collections_data/views/aggregate-worker-metadata.json"
    ).read_text()
)
POOLS = ("docker", "kubernetes")


def template(kind: str) -> dict[str, Any]:
    """The base job template of a pool: Prefect's own, or the one that ships."""
    if kind == "kubernetes":
        return json.loads((FOLDER / "kubernetes-job.json").read_text())
    return KNOWN[f"prefect-{kind}"][kind]["default_base_job_configuration"]


def pool_of(kind: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{kind}.yaml").read_text())["definitions"]["pool"]


def test_the_image_has_no_compiler_no_root_and_no_home() -> None:
    final = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[-1]
    assert not re.search(r"build-essential|gcc|g\+\+|-dev\b", final)
    assert re.findall(r"^USER (.*)$", final, re.MULTILINE) == ["10001:0"]
    assert "--only-binary=:all:" in DOCKERFILE
    (settings,) = re.findall(r"^ENV (.*)$", final, re.MULTILINE)
    values = dict(setting.split("=", 1) for setting in settings.split())
    folders = {"HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PREFECT_HOME"}
    assert all(values[name].split("/")[1] == "state" for name in folders)


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    ignored = (FOLDER.parent / ".dockerignore").read_text().split()
    assert {"**/.*", "mlruns", "mlflow.db*"} <= set(ignored)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in source.split():
            assert (FOLDER.parent / name).exists()
            assert name not in ignored


@pytest.mark.parametrize("kind", POOLS)
def test_a_pool_knows_the_settings_of_its_deployments(kind: str) -> None:
    deployments = load_deployments(FOLDER / f"{kind}.yaml")
    assert [one.full_name for one in deployments] == [
        "retune/lstm-air-quality",
        "tune/lstm-air-quality",
    ]
    settings = pool_of(kind)["job_variables"]
    assert settings.keys() <= template(kind)["variables"]["properties"].keys()
    # Prefect hands the worker's own settings to the container.
    assert settings["env"]["PREFECT_HOME"].startswith("/state/")
    # `prefect deploy` would store what a block holds, for everybody to read.
    assert "prefect.blocks" not in (FOLDER / f"{kind}.yaml").read_text()


def test_kubernetes_runs_it_as_no_user_and_writes_only_where_it_may() -> None:
    shipped, own = template("kubernetes"), KNOWN["prefect-kubernetes"]["kubernetes"]
    known = own["default_base_job_configuration"]["variables"]["properties"]
    added = shipped["variables"]["properties"].keys() - known.keys()
    assert added == {"requests", "limits"}
    pod = shipped["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"{pod['securityContext']['runAsUser']}:0" == "10001:0"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["resources"] == {"requests": "{{ requests }}", "limits": "{{ limits }}"}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/state", "/tmp"]
    assert {volume["name"] for volume in pod["volumes"]} == {"state", "scratch"}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_home")
def test_both_pools_can_be_made_and_deployed_to(services) -> None:
    port = str(services.free_port())
    own = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_SERVER_API_PORT": port}
    services.start(["bash", "deployments/start.sh"], own)
    services.wait_for(f"{own['PREFECT_API_URL']}/health")
    shared = {"cwd": FOLDER.parent, "env": os.environ | own, "check": True}
    for kind in POOLS:
        name, extra = f"llmpso-{kind}", []
        if kind == "kubernetes":
            extra = ["--base-job-template", str(FOLDER / "kubernetes-job.json")]
        subprocess.run([PREFECT, "work-pool", "create", name, "--type", kind, *extra], **shared)
        file = f"deployments/{kind}.yaml"
        subprocess.run(
            [PREFECT, "--no-prompt", "deploy", "--prefect-file", file, "--all"], **shared
        )
        url = f"{own['PREFECT_API_URL']}/deployments/filter"
        found = httpx.post(url, json={}, verify=False).json()
        assert {one["work_pool_name"] for one in found} == {name}
        assert len(found) == 2
        for one in found:
            assert one["job_variables"] == pool_of(kind)["job_variables"]
            assert one["pull_steps"][0]["prefect.deployments.steps.set_working_directory"] == {
                "directory": "/app"
            }
