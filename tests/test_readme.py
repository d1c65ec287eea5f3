"""Every command, link and table of options in the READMEs is right; nothing is executed here.

Commands are parsed by the real command lines, in this process. The snippets of Python are run by
`test_examples.py`.
"""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import click
import pytest
import yaml
from mlflow.cli import cli as mlflow_cli
from prefect.cli._app import _app as prefect_app

from flows.benchmark import benchmark
from flows.command_line import joined_app
from flows.export_study import export_study
from flows.import_study import import_study
from flows.predict import predict
from flows.retune import retune
from flows.rollback import rollback
from flows.serve import serve
from flows.serve_model import serve_model
from flows.tune import tune
from llmpso.backends import ollama, openai
from llmpso.backends.model_file import QWEN

PROJECT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in (".", ".github", "flows", "llmpso", "deployments", "mlflow", "tests")
    for path in (PROJECT / folder).glob("**/*.md" if folder == "llmpso" else "*.md")
)
COMMAND = re.compile(r"^(llmpso|python -m flows|mlflow|prefect|docker compose|pip) ")


def names(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for path in DOCUMENTS:
        for block in re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL):
            yield path, block


def commands() -> dict[str, None]:
    """Each command of a block, and those within a line of text that have options."""
    found = [
        command.strip()
        for _, block in blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
        for command in line.split("&&")
        if command.strip()
    ]
    for path in DOCUMENTS:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        found += [
            code for code in re.findall(r"`([^`\n]+ --[^`\n]+)`", text) if COMMAND.match(code)
        ]
    return dict.fromkeys(found)


def understands_llmpso(arguments: list[str]) -> None:
    joined_app().parse_args(arguments, exit_on_error=False, print_error=False)


def understands_python(arguments: list[str]) -> None:
    assert arguments[0] == "-m"
    module, rest = arguments[1], arguments[2:]
    if module.startswith("flows."):
        understands_llmpso([module.removeprefix("flows.").replace("_", "-"), *rest])
    elif module == "pytest":
        assert all((PROJECT / argument).exists() for argument in rest if "tests/" in argument)
        assert {a for a in rest if a.startswith("-")} <= {"-n", "--dist", "-m"}
    else:
        assert (module, rest) == ("venv", [".venv"])


def understands_mlflow(arguments: list[str]) -> None:
    command: click.Command = mlflow_cli
    context = command.make_context("mlflow", list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(
            context, context._protected_args + context.args
        )
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def understands_prefect(arguments: list[str]) -> None:
    quiet = {"exit_on_error": False, "print_error": False}
    _, root, _ = prefect_app.meta.parse_args(arguments, **quiet)
    _, bound, _ = prefect_app.parse_args(list(root.args), **quiet)
    for option in ("prefect_file", "from_file"):
        assert (PROJECT / bound.arguments.get(option, ".")).exists()


def understands_pip(arguments: list[str]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    (wanted,) = (argument for argument in arguments if argument.startswith("."))
    extras = set(wanted.removeprefix(".").strip("[]").split(",")) - {""}
    assert extras <= set(project["optional-dependencies"])
    assert set(arguments) - {wanted} <= {"install", "-q", "-e"}


def understands_docker(arguments: list[str]) -> None:
    assert arguments[:2] == ["compose", "--file"]
    compose = yaml.safe_load((PROJECT / arguments[2]).read_text())
    profiles = {p for service in compose["services"].values() for p in service.get("profiles", [])}
    given = arguments[3:]
    if "--profile" in given:
        assert given[given.index("--profile") + 1] in profiles
    assert set(given) - profiles <= {"--profile", "up", "--detach", "--build"}


def understands_linter(arguments: list[str]) -> None:
    assert arguments in ([], ["check", "."], ["format", "."])


def understands_shell(arguments: list[str]) -> None:
    """Copies of a file that is there, variables, and the environment that pip filled."""
    variable = re.fullmatch(r"[A-Z_]+=\S+", arguments[0])
    assert variable or arguments == [".venv/bin/activate"] or (PROJECT / arguments[0]).is_file()


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "llmpso": understands_llmpso,
    "python": understands_python,
    "python3": understands_python,
    "mlflow": understands_mlflow,
    "prefect": understands_prefect,
    "pip": understands_pip,
    "docker": understands_docker,
    **dict.fromkeys(("ruff", "mypy", "lint-imports"), understands_linter),
    **dict.fromkeys(("cp", "export", "source"), understands_shell),
}


@pytest.mark.parametrize("command", commands())
def test_each_command_is_understood_as_written(command: str) -> None:
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words.pop(0)
    PROGRAMS[words[0].removeprefix(".venv/bin/")](words[1:])


def test_all_commands_are_looked_at() -> None:
    programs = {shlex.split(command)[0] for command in commands()}
    assert {"llmpso", "mlflow", "prefect", "docker", "pip", "ruff"} <= programs
    assert len(commands()) > 50


def test_a_command_with_an_option_that_does_not_exist_is_found() -> None:
    for command in (
        "llmpso tune --evaluation-count 3",
        "mlflow ui --no-such-option",
        "prefect worker start --no-such-option",
        "pip install '.[no-such-extra]'",
    ):
        with pytest.raises((Exception, SystemExit)):  # noqa: B017 - each parser has its own
            test_each_command_is_understood_as_written(command)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a document."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_files_that_are_named_exist(path: Path) -> None:
    folders = "flows|tasks|llmpso|deployments|mlflow|tests"
    for named in re.findall(rf"`((?:{folders})/[\w./]*)`", path.read_text()):
        if path.name != "CHANGELOG.md":
            assert (PROJECT / named).exists() or (path.parent / named).exists(), named


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_options_that_are_named_exist(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    codes = re.findall(r"`(--[^`\n]+)`", text)
    own = {word for code in codes for word in code.split() if word.startswith("--")}
    known = {f"--{name.replace('_', '-')}" for name in (*option_names(), "no_racing")}
    assert own - {"--json", "--quiet", "--all", "--no-serve-artifacts"} <= known


def option_names() -> set[str]:
    flows = (tune.fn, retune.fn, predict.fn, benchmark.fn)
    functions = (*flows, serve, serve_model, rollback, import_study, export_study)
    return {name for function in functions for name in signature(function).parameters}


def test_the_first_page_is_short_enough_to_read() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 200


def test_the_models_that_are_taken_if_none_is_named() -> None:
    readme = (PROJECT / "README.md").read_text()
    (table,) = re.findall(r"\| `--advisor` .*?\n\n", readme, flags=re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    named = {row[0].strip("`"): re.findall(r"`(.+?)`", row[2]) for row in rows if row}
    assert named == {
        "openai": [openai.DEFAULT_MODEL],
        "ollama": [ollama.DEFAULT_MODEL],
        "embedded": [QWEN.name],
        "none": [],
    }
