"""The command line: what it explains, what it refuses, and how."""

import json
import logging
import os
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext

import mlflow
import pytest
from prefect.client.orchestration import get_client
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import retune, tune
from flows.command import Command
from flows.command_line import COMMANDS, INTERRUPTED, USAGE_ERROR, joined_app, run_module
from flows.command_line import run as run_app
from flows.display.terminal import IS_QUIET
from flows.servers import is_healthy
from flows.tune import APP
from llmpso import __version__
from llmpso.loopback import spare_loopback
from tasks.iterate import iterate


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["flows.tune", *arguments])
    return run_module(APP, "flows.tune")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluations", "0"], "evaluations is 0; it must be at least 1"),
        (["--evaluations", "many"], 'Invalid value for --evaluations: unable to convert "many"'),
        (
            ["--method", "ga"],
            'Invalid value "ga" for --method. Choose from: "guided", "paper", "pso".',
        ),
        (
            ["own:train", "--space", "own.yaml"],
            '"layers". A file with a space is named with --space-file',
        ),
        (["--evaluation", "3"], "Unknown option: --evaluation. Did you mean --evaluations?"),
        (["gpt"], "objective is 'gpt'; it must be 'lstm', 'cnn'"),
        (["--csv", "no.csv", "--target", "AQI"], "no.csv"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch, capsys, mlflow_store, arguments, message
) -> None:
    assert run(monkeypatch, *arguments, "--advisor", "none") == USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_model_out_of_reach_is_one_line_and_exit_code_2(
    monkeypatch, capsys, mlflow_store, bowl
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run(monkeypatch, bowl, "--advisor", "openai") == USAGE_ERROR
    error = capsys.readouterr().err
    assert "OPENAI_API_KEY is not set" in error
    assert error.count("\n") == 1


def test_help_explains_every_option(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    for option in (
        "--csv",
        "--evaluations",
        "--advisor",
        "--llm-url",
        "--workers",
        "--fresh",
        "--runner",
        "--quiet",
        "--json",
    ):
        assert option in text
    assert "Full trainings to spend" in text
    assert "[default: lstm]" in text
    assert "[default: ()]" not in text
    assert "[default: False]" not in text


@pytest.mark.slow
def test_the_command_starts_its_own_server_and_prints_where_to_look(
    tmp_path, bowl, empty_database
) -> None:
    """A bare machine: no Prefect server, no MLflow server, no terminal.

    What lies in the working directory has the names of packages of ours and of Python's.
    """
    (tmp_path / "mlflow").mkdir()
    for file in ("tasks.py", "queue.py", "selectors.py", "mlflow/__init__.py"):
        (tmp_path / file).write_text("raise RuntimeError('taken for another module')")
    environment = os.environ | {
        "PYTHONPATH": os.getcwd(),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "flows.tune", bowl, "--method", "pso", "--evaluations", "6"]
        + ["--runner", "process", "--workers", "1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bowl: 6 evaluations" in done.stdout
    assert "models:/bowl/1" in done.stdout
    assert "mlflow ui --backend-store-uri sqlite:///" in done.stdout
    assert "Traceback" not in done.stderr
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as database:
        states = database.execute("SELECT name, state_type FROM task_run").fetchall()
    particles = [name for name, _ in states if "particle" in name]
    assert len(particles) == 6, "the server is ended when all is recorded"
    assert {state for _, state in states} <= {"COMPLETED", "FAILED"}


def test_json_is_all_of_standard_output(
    prefect_server, mlflow_store, bowl, monkeypatch, capsys
) -> None:
    arguments = [bowl, "--method", "pso", "--evaluations", "6", "--workers", "2"]
    assert run(monkeypatch, *arguments, "--json", "--quiet") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["evaluations"], record["method"]) == (6, "pso")
    assert set(record["best_params"]) == {"x", "n"}
    assert not IS_QUIET.get(), "what the process runs next is shown again"


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(
    prefect_server, mlflow_store, bowl, monkeypatch, capsys
) -> None:
    def interrupted(number, *rest):
        if number == 1:
            raise KeyboardInterrupt
        return iterate(number, *rest)

    arguments = [bowl, "--method", "pso", "--evaluations", "12", "--workers", "2"]
    with monkeypatch.context() as patch:
        patch.setattr("flows.tracked_trainings.iterate", interrupted)
        assert run(patch, *arguments) == INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err
    assert list(mlflow.search_runs(search_all_experiments=True)["status"]).count("KILLED") == 1
    assert run(monkeypatch, *arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve-model", "mine"], "stopped"),
        (["tune", "rastrigin"], "interrupted; run the same command again to resume"),
    ],
)
def test_ctrl_c_ends_a_server_for_good(monkeypatch, capsys, arguments, said) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.serve_model.Registry", interrupted)
    monkeypatch.setattr("flows.tune.prepare", interrupted)
    assert run_app(joined_app(), arguments) == INTERRUPTED
    assert capsys.readouterr().err == f"{said}\n"


@pytest.mark.parametrize("of", [tune, retune], ids=["tune", "retune"])
def test_help_shows_examples_that_are_understood_and_the_exit_codes(capsys, of) -> None:
    assert run_app(of.APP, ["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "130 interrupted" in text
    assert of.COMMAND.examples
    for example in of.COMMAND.examples:
        assert f"llmpso {of.COMMAND.flow.name} {example}" in text
        called, _, _ = of.APP.parse_args(shlex.split(example), exit_on_error=False)
        assert called is of.APP.default_command


def test_the_script_completes_its_commands_and_options() -> None:
    completion = joined_app().generate_completion(shell="bash")
    for part in (*COMMANDS, "--max-llm-calls", "--install-completion"):
        assert part in completion


def test_the_script_explains_itself_without_importing_any_command() -> None:
    code = (
        "import sys; from flows.command_line import joined_app, run; "
        "assert run(joined_app(), ['--help']) == 0; assert 'prefect' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_command_of_the_script_explains_itself(capsys) -> None:
    for name in COMMANDS:
        assert run_app(joined_app(), [name, "--help"]) == 0
        assert f"Usage: llmpso {name}" in capsys.readouterr().out
    assert run_app(joined_app(), ["--help"]) == 0
    assert "Measurements" in capsys.readouterr().out
    assert run_app(joined_app(), ["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toon"], "there is no command 'toon'; known: tune, retune"),
        (["retun"], "there is no command 'retun'; did you mean 'retune'?"),
        (["tune", "--budget", "3"], "there is no option --budget; it is --evaluations now"),
        (["tune", "--budget=3"], "there is no option --budget; it is --evaluations now"),
        (["tune", "--champion", "knee"], "there is no option --champion; it is --choose now"),
        (["retune", "toon"], "objective is 'toon'"),
        (["retune", "--resume"], "there is no option --resume; it is --fresh"),
    ],
)
def test_what_is_not_known_is_one_line_that_names_what_is(capsys, arguments, message) -> None:
    assert run_app(joined_app(), arguments) == USAGE_ERROR
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_a_prefect_server_out_of_reach_is_one_line_and_exit_code_2(
    mlflow_store, bowl, monkeypatch, capsys
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://me:hunter2@127.0.0.1:9/api"}):
        assert run(monkeypatch, bowl, "--evaluations", "1", "--advisor", "none") == USAGE_ERROR
    said = capsys.readouterr().err
    assert "error: PREFECT_API_URL is 'http://127.0.0.1:9/api', where no Prefect server" in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def test_no_proxy_is_used_for_prefects_server_on_this_machine(prefect_server, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    with get_client(sync_client=True) as client:
        assert client.api_healthcheck() is not None
        assert is_healthy(str(client.api_url).rstrip("/"))
    spare_loopback()
    with get_client(sync_client=True) as client:
        assert client.api_healthcheck() is None


def test_a_quiet_command_leaves_the_log_as_it_was(monkeypatch) -> None:
    """Else what runs next in the same process, such as a notebook, is silent as well."""
    console, of_mlflow = PrefectConsoleHandler(), logging.getLogger("mlflow")
    line = logging.LogRecord("prefect.flow_runs", logging.INFO, "", 0, "a line", (), None)
    monkeypatch.setattr(logging.getLogger("prefect"), "handlers", [console])
    monkeypatch.setattr(of_mlflow, "level", logging.INFO)
    monkeypatch.setattr("flows.command.local_prefect_server", nullcontext)
    seen = []

    class Interrupted:
        name = "tune"

        @staticmethod
        def fn() -> None:
            """Tune."""

        def __call__(self, return_state: bool) -> None:
            seen.append((bool(console.filter(line)), of_mlflow.level))
            raise KeyboardInterrupt

    def check(given: object) -> None:  # It creates the store, of which MLflow writes lines, too.
        seen.append(of_mlflow.level)

    app = Command(Interrupted(), check=check, as_text=str).app()
    assert run_app(app, ["--quiet"]) == INTERRUPTED
    assert seen == [logging.WARNING, (False, logging.WARNING)]
    assert (bool(console.filter(line)), of_mlflow.level) == (True, logging.INFO)
