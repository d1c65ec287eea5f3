"""All deployments on one machine, without a work pool: `python -m flows.serve`."""

import json
from pathlib import Path

from prefect import serve as serve_deployments
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger, DeploymentTriggerTypes

from flows.command_line import new_app, run_module
from flows.deployment_file import ScheduledFlow, load_deployments
from flows.prefect_server import local_prefect_server
from flows.schedules import ScheduleEntry
from llmpso.errors import SpecError
from llmpso.urls import masked_url
from llmpso.user_code.safe_path import safe_path

FILE = Path(__file__).parents[1] / "deployments" / "prefect.yaml"

DEPLOYED = Path(__file__).with_name("deployed.py")
"""Where runs find the flows."""

APP = new_app("serve")


@APP.default
def serve(file: Path | None = None, *, check: bool = False, limit: int = 1) -> None:
    """Run what is scheduled in this process, until it is stopped.

    Args:
        file: Deployments, as `prefect deploy` reads them; if not given, those of the clone that
            this is, or that the command is started in.
        check: Only say what would run, and when.
        limit: Runs at a time.
    """
    deployments = load_deployments(file or _file_of_clone())
    print("\n".join(map(_line, deployments)))
    if not check:
        _serve(deployments, limit)


def _file_of_clone() -> Path:
    """The deployments of a clone; what was installed from one does not hold them."""
    for file in (FILE, Path(*FILE.parts[-2:])):
        if file.is_file():
            return file
    raise SpecError(
        "file is missing; name a YAML file with your deployments, such as prefect.yaml: "
        "llmpso serve prefect.yaml"
    )


def _serve(deployments: list[ScheduledFlow], limit: int) -> None:
    with local_prefect_server() as api:
        print(f"serving at {masked_url(api)}; stop with Ctrl-C", flush=True)
        with safe_path():  # Each run is a process of its own.
            serve_deployments(*map(_runner_deployment, deployments), limit=limit)


def _runner_deployment(deployment: ScheduledFlow) -> RunnerDeployment:
    entry = deployment.entry
    made: RunnerDeployment = deployment.flow.to_deployment(  # type: ignore[assignment]
        entry.name,
        description=entry.description,
        parameters=entry.parameters,
        schedules=[schedule.as_schedule() for schedule in entry.schedules],
        triggers=[*entry.triggers],
        tags=entry.tags,
        paused=entry.paused,
        concurrency_limit=entry.concurrency_limit,
        enforce_parameter_schema=entry.enforce_parameter_schema,
    )
    made.entrypoint = f"{DEPLOYED}:{deployment.flow.name}"
    return made


def _line(deployment: ScheduledFlow) -> str:
    entry = deployment.entry
    events = [_event(trigger) for trigger in entry.triggers if trigger.enabled]
    times = "; ".join([*map(_time, entry.schedules), *events]) or "when asked for"
    return f"{deployment.full_name}: {'paused: ' if entry.paused else ''}{times}"


def _event(trigger: DeploymentTriggerTypes) -> str:
    names = trigger.expect if isinstance(trigger, DeploymentEventTrigger) else ()
    return f"after {' or '.join(sorted(names)) or 'events'}"


def _time(schedule: ScheduleEntry) -> str:
    following = f"next {schedule.following():%Y-%m-%d %H:%M}" if schedule.active else "paused"
    own = f" with {json.dumps(schedule.parameters)}" if schedule.parameters else ""
    return f"{schedule.rule} ({schedule.timezone}), {following}{own}"


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.serve"))
