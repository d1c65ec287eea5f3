"""A surface as a Prefect flow, and as a command: `python -m flows.surface`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.command import Command
from flows.command_line import run_module
from flows.masked_logs import masked_run
from llmpso import __version__
from llmpso.benchmark.surfaces import (
    SEEDS,
    Surface,
    SurfaceFile,
    find_surface,
    read_rows,
    settings,
)
from llmpso.cores import usable_cores
from llmpso.extras import needed_by
from tasks.benchmark import train

if TYPE_CHECKING:
    from llmpso.objectives.cnn import CNNObjective
    from llmpso.objectives.lstm import LSTMObjective


@flow(name="surface", version=__version__, flow_run_name="{name}")
@masked_run
def surface(
    name: Literal["lstm", "cnn"],
    *,
    csv: str | None = None,
    out: str | None = None,
    workers: Annotated[int, Field(ge=1, le=256)] | None = None,
) -> str:
    """Train every size of a network, layers × units or layers × filters, with three seeds.

    Trainings that are in the file already are not done again.

    Args:
        name: `lstm` forecasts the air quality index of Delhi one day ahead; `cnn` tells the
            textures that ship apart.
        csv: The file `city_day.csv` of air quality in Indian cities, for `lstm`.
        out: File of the surface; in the working directory under the surface's name if not given.
        workers: Trainings that run at once; as many as there are cores if not given.

    Returns:
        What was found, in a few lines.
    """
    chosen, objective, file = prepare(name, csv, out)
    missing = file.missing()
    get_run_logger().info("%d trainings to do", len(missing))
    with ThreadPoolTaskRunner[None](max_workers=workers or usable_cores()) as runner:
        shared = {"surface": chosen, "objective": objective, "file": file}
        futures: list[PrefectFuture[None]] = [
            runner.submit(train, parameters=shared | {"cell": cell}) for cell in missing
        ]
        wait(futures)
        for future in futures:
            future.result()
    return as_text(chosen, file.path)


def prepare(
    name: str, csv: str | None, out: str | None
) -> tuple[Surface, "LSTMObjective | CNNObjective", SurfaceFile]:
    """Check everything before anything is trained.

    Raises:
        LLMPSOError: The data or the file cannot be used, or PyTorch is not installed.
    """
    with needed_by("surface", "torch"):
        from llmpso.benchmark.live_surface import surface_network
    chosen = find_surface(name)
    objective = surface_network(chosen, csv)
    path = Path(out or f"surface_{name}.csv")
    return chosen, objective, SurfaceFile(path, chosen, settings(chosen, objective))


def as_text(chosen: Surface, path: Path) -> str:
    """Spread of the surface against the noise of its seeds."""
    values = read_rows(path).groupby(["layers", chosen.width])["value"]
    means, noise = values.mean(), float(values.std().mean())
    layers, width = means.index[int(means.argmin())]
    return (
        f"{path}: {len(means)} configurations, {len(SEEDS)} seeds\n"
        f"best {means.min():.4g} (layers {layers}, {chosen.width} {width}), median "
        f"{means.median():.4g}, worst {means.max():.4g}\n"
        f"standard deviation between configurations {means.std():.2g}, between seeds {noise:.2g}"
    )


def _check(arguments: dict[str, Any]) -> None:
    prepare(arguments["name"], arguments["csv"], arguments["out"])


COMMAND = Command(surface, check=_check, as_text=str)
APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.surface"))
