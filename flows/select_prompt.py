"""Find the prompt that suits a model, and save the choice: `python -m flows.select_prompt`."""

from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.command import Command
from flows.command_line import run_module
from flows.handover import prepared_once
from flows.masked_logs import masked_run
from flows.storable import check_options
from llmpso import __version__
from llmpso.advisor.start_prompts import FILE_VARIABLE, Entry, write_choice
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.benchmark.prompts import Score, best, memory_rank, score, variants
from llmpso.benchmark.recorded import RecordedBackend
from llmpso.benchmark.tables import DEVELOPMENT_TABLES


@flow(name="select-prompt", version=__version__, flow_run_name="prompt for {llm_model}")
@masked_run
def select_prompt(
    advisor: Literal["auto", "openai", "ollama", "embedded"] = "auto",
    *,
    llm_model: str | None = None,
    llm_url: str | None = None,
    memory: bool = False,
    warm_seeds: Annotated[int, Field(ge=0, le=100)] = 0,
    out: str = "start_prompts.json",
    replies: str = "results/prompt-replies.jsonl",
) -> str:
    """Score prompts for a model on development tables; save the best with its scores.

    Args:
        advisor: Language model; `auto` as in `llmpso tune`.
        llm_model: Model name for OpenAI or Ollama, or a GGUF file for the embedded one.
        llm_url: Address of a server with OpenAI's protocol (advisor `openai` or `auto`), or of an
            Ollama (advisor `ollama`).
        memory: Score the prompts for studies that have earlier ones: those of the other tables.
        warm_seeds: Ask at temperature 0.7 as well, with as many seeds.
        out: File of choices; the environment variable LLMPSO_PROMPTS makes the advisor read it.
        replies: File that the model's replies are recorded in: a question is sent only once.
    """
    with closing(_backend(advisor, llm_model, llm_url, replies)) as backend:
        scores: list[Score] = []
        for variant in variants(warm_seeds, memory=memory):
            scores.append(score(variant, DEVELOPMENT_TABLES, backend))
            get_run_logger().info("%s: mean rank %.4f", variant.name, scores[-1].mean)
        if memory:
            ranks = [memory_rank(table) for table in DEVELOPMENT_TABLES]
            get_run_logger().info("the memory's own start: mean rank %.4f", fmean(ranks))
        create_table_artifact(_rows(scores), key="start-prompts")
        write_choice(Path(out), _entry(backend, scores, memory=memory))
        return _text(scores, Path(out))


@prepared_once
def _backend(
    advisor: str, llm_model: str | None, llm_url: str | None, replies: str
) -> RecordedBackend:
    choice = choose_backend(advisor, model=llm_model, base_url=llm_url)
    return RecordedBackend(Path(replies), choice.backend)


def _entry(backend: Backend, scores: list[Score], *, memory: bool) -> Entry:
    choice = best(scores).variant.choice
    return Entry(
        model=backend.identity["model"],
        prompt=choice.prompt.name,
        temperature=choice.temperature,
        memory=memory,
        evidence={one.variant.name: one.ranks for one in scores},
    )


def _rows(scores: list[Score]) -> list[dict[str, Any]]:
    return [
        {"prompt": one.variant.name, "mean rank": round(one.mean, 4)}
        | {table.partition("/")[2]: round(rank, 4) for table, rank in one.ranks.items()}
        for one in sorted(scores, key=lambda one: one.mean)
    ]


def _text(scores: list[Score], path: Path) -> str:
    lines = [f"{row['mean rank']:.4f}  {row['prompt']}" for row in _rows(scores)]
    return "\n".join(
        ["mean rank (share of a table that is better; a blind draw has 0.5)", *lines]
        + [f"saved in {path}; export {FILE_VARIABLE}={path.resolve()} makes the advisor read it"]
    )


def _check(arguments: dict[str, Any]) -> None:
    check_options(arguments)
    _backend(*(arguments[name] for name in ("advisor", "llm_model", "llm_url", "replies")))


COMMAND = Command(
    select_prompt,
    check=_check,
    as_text=str,
)
APP = COMMAND.app()

if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.select_prompt"))
