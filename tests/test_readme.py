"""The README does what it says: its examples run as they are written."""

import re
import shlex
from inspect import signature
from pathlib import Path

import mlflow
import pytest
import torch

from flows.benchmark import benchmark
from flows.command_line import COMMANDS, joined_app
from flows.retune import retune
from flows.retune_report import Outcome
from flows.rollback import rollback
from flows.select_prompt import select_prompt
from flows.serve import serve
from flows.surface import surface
from flows.tune import tune
from llmpso import Evaluation
from llmpso.backends import ollama, openai
from llmpso.backends.model_file import QWEN

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def block(part: str) -> str:
    (found,) = (block for block in BLOCKS if part in block)
    return found


def test_the_notebook_example_runs() -> None:
    names = {"train": lambda params: params["rate"] + params["units"] / 256}
    exec(block("minimize(train"), names)  # noqa: S102 - our own README
    assert names["result"].best.value < 0.2
    assert len(names["result"].trials) == 30


def test_the_scikit_learn_example_runs() -> None:
    names: dict = {}
    exec(block("HistGradientBoosting"), names)  # noqa: S102 - our own README
    assert names["best"].value < 0.08


def test_the_models_that_are_taken_if_none_is_named() -> None:
    (table,) = re.findall(r"\| `--advisor` .*?\n\n", README, flags=re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    named = {row[0].strip("`"): re.findall(r"`(.+?)`", row[2]) for row in rows if row}
    assert named == {
        "openai": [openai.DEFAULT_MODEL],
        "ollama": [ollama.DEFAULT_MODEL],
        "embedded": [QWEN.name],
        "none": [],
    }


def test_the_pictures_are_there() -> None:
    project = Path(__file__).parents[1]
    shown = re.findall(r"!\[.*?\]\((.+?)\)", README)
    assert len(shown) == 3
    assert all((project / picture).is_file() for picture in shown)


def test_the_model_of_your_own_is_tuned_as_written(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits.py").write_text(block("class Digits"))
    monkeypatch.syspath_prepend(tmp_path)
    summary = tune("digits:Digits", method="pso", evaluations=12, workers=2)
    assert summary.best_value < 0.1
    model = mlflow.pytorch.load_model(f"models:/{summary.model}")
    assert model(torch.zeros(1, 64)).shape == (1, 10)

    from digits import Digits

    params = summary.best_params
    again = [Digits().evaluate(params, fidelity=1.0, seed=3) for _ in range(2)]
    assert isinstance(again[0], Evaluation)
    assert again[0].value == again[1].value


def test_the_function_of_your_own_is_tuned_and_retuned_as_written(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_model.py").write_text(block("def held_out"))
    (space,) = re.findall(r"```yaml\n(# own_model.*?)```", README, flags=re.DOTALL)
    (tmp_path / "own_model.yaml").write_text(space)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"objective": "own_model:train", "space_file": "own_model.yaml", "workers": 2}
    summary = tune(**own, method="pso", evaluations=6)
    assert summary.model == "own-model-train/1"
    first = retune(**own, evaluations=6, refits=2)
    assert (first.outcome, first.version) == (Outcome.FIRST, "2")
    # Nothing is nine tenths better: the champion must stay.
    second = retune(**own, evaluations=6, refits=2, seed=1, margin=0.9)
    assert (second.outcome, second.version) == (Outcome.KEPT, "2")
    assert second.degradation.error == pytest.approx(second.degradation.recorded)
    assert mlflow.pytorch.load_model("models:/own-model-train@champion").in_features == 64


def test_the_commands_name_files_and_options_that_exist() -> None:
    project = Path(__file__).parents[1]
    for script in re.findall(r"`((?:mlflow|deployments)/\w+\.sh)`", README):
        assert (project / script).is_file()
    foreign = {"backend-store-uri", "env-manager", "model-uri", "port"}
    foreign |= {
        "type",
        "pool",
        "no-prompt",
        "no-serve-artifacts",
        "prefect-file",
        "from-file",
        "all",
        "watch",
        "dist",
    }
    foreign |= {"quiet", "json", "install-completion"}
    options = set(re.findall(r"--([a-z][a-z-]+)", README)) - foreign - {"help", "fresh"}
    functions = (tune.fn, retune.fn, benchmark.fn, surface.fn, select_prompt.fn, serve, rollback)
    names = {name.replace("_", "-") for f in functions for name in signature(f).parameters}
    assert options <= names


COMMAND_LINES = re.findall(r"^(?:llmpso|python -m flows\.)[ ]?(.+)", README, re.MULTILINE)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_the_commands_are_understood_as_written(line: str) -> None:
    name, *arguments = shlex.split(line)
    command = name.replace("_", "-")
    assert command in COMMANDS
    app = joined_app()
    called, _, _ = app.parse_args([command, *arguments], exit_on_error=False, print_error=False)
    assert called is app[command].default_command
