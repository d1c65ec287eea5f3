"""All deployments on one machine, without a work pool: `python -m flows.serve`."""

import sys
from pathlib import Path

import cyclopts
from prefect import serve as serve_deployments

from flows.command import USAGE_ERROR
from flows.prefect_server import local_prefect_server
from flows.schedules import ScheduledFlow, load_deployments
from llmpso.errors import LLMPSOError

FILE = Path(__file__).parents[1] / "deployments" / "prefect.yaml"

app = cyclopts.App(name="python -m flows.serve", version_flags=[])


@app.default
def serve(file: Path = FILE, *, check: bool = False, limit: int = 1) -> int:
    """Run what is scheduled in this process, until it is stopped.

    Args:
        file: Deployments, as `prefect deploy` reads them.
        check: Only say what would run, and when.
        limit: Runs at a time.
    """
    try:
        deployments = load_deployments(file)
        print("\n".join(_lines(deployments)))
        if not check:
            _serve(deployments, limit)
    except LLMPSOError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _serve(deployments: list[ScheduledFlow], limit: int) -> None:
    with local_prefect_server() as api:
        print(f"serving at {api}; stop with Ctrl-C", flush=True)
        serve_deployments(
            *(
                deployment.flow.to_deployment(
                    deployment.name,
                    description=deployment.description,
                    parameters=dict(deployment.parameters),
                    schedules=[timing.as_schedule() for timing in deployment.timings],
                    tags=list(deployment.tags),
                    concurrency_limit=deployment.limit,
                )
                for deployment in deployments
            ),
            limit=limit,
        )


def _lines(deployments: list[ScheduledFlow]) -> list[str]:
    return [
        f"{deployment.full_name}: "
        + (
            "; ".join(
                f"{timing.rule} ({timing.timezone}), "
                + (f"next {timing.following():%Y-%m-%d %H:%M}" if timing.is_active else "paused")
                for timing in deployment.timings
            )
            or "when asked for"
        )
        for deployment in deployments
    ]


if __name__ == "__main__":
    raise SystemExit(app())
