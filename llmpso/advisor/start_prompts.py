"""The wordings of the prompt for a start, and which of them a given model answers best.

`start_question` makes the whole prompt of one. The quality of the prompt is the weak point that
the paper names (arXiv 2504.14126). So the wordings have names and versions, `llmpso select-prompt`
scores them for a model on the development tables, and its winner is read here.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from llmpso.errors import SpecError

FILE_VARIABLE = "LLMPSO_PROMPTS"
"""Names a file of choices of one's own; it is read before the library's."""

LIBRARY_FILE = Path(__file__).parent / "start_prompts.json"
"""The choices that come with the library."""


@dataclass(frozen=True, slots=True)
class StartPrompt:
    """One way to ask for a configuration to start from."""

    name: str
    """Name and version; the version changes whenever the text does."""
    wanted: str
    """What the question asks for, to follow "Give"."""
    reasoned: bool = False
    """Whether the model is to say why, before it answers."""
    asks_relevance: bool = False
    """Whether the model is to say which earlier studies are relevant, before it answers."""


PRACTITIONER = StartPrompt(
    "practitioner-default@1",
    "the configuration that an experienced practitioner would use as a robust default",
)

START_PROMPTS: Mapping[str, StartPrompt] = {
    prompt.name: prompt
    for prompt in (
        PRACTITIONER,
        StartPrompt(
            "practitioner-reasoned@1",
            "the configuration that an experienced practitioner would use as a robust default, "
            "and before it the reason in one sentence",
            reasoned=True,
        ),
        StartPrompt(
            "accurate@1",
            "the configuration that reaches the lowest value when training time does not matter",
        ),
        StartPrompt(
            "this-data@1",
            "the configuration that suits the size and kind of this data set best",
        ),
    )
}
"""All wordings by name, for a study without earlier ones."""

RELEVANT = StartPrompt(
    "relevant-studies@1",
    "the earlier studies that are most like this task, the reason in a few words, and then the "
    "configuration that is most likely to be the best one here",
    asks_relevance=True,
)

MEMORY_PROMPTS: Mapping[str, StartPrompt] = {
    prompt.name: prompt
    for prompt in (
        RELEVANT,
        StartPrompt(
            "earlier-best@1",
            "the configuration that, by what the earlier studies found, is most likely to be the "
            "best one here",
        ),
        StartPrompt(
            "earlier-default@1",
            "the configuration that an experienced practitioner who knows these studies would use "
            "as a robust default",
        ),
    )
}
"""All wordings by name, for a study that has earlier ones."""


@dataclass(frozen=True, slots=True)
class StartChoice:
    """How a model is asked for a start."""

    prompt: StartPrompt = PRACTITIONER
    temperature: float = 0.0
    """0: the model's first choice."""


class Entry(BaseModel):
    """What a file of choices holds for one model."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """Name of the model, as its backend's identity has it."""
    prompt: str
    temperature: float
    memory: bool = False
    """Whether it is for studies that have earlier ones."""
    evidence: dict[str, Any] = {}
    """By wording and temperature, what each development table said."""


def chosen_start(model: str, *, memory: bool = False) -> StartChoice:
    """The wording chosen for a model.

    Where none was: a practitioner's default, or with memory `RELEVANT`, both at temperature 0.

    Args:
        model: Name of the model, as its backend's identity has it.
        memory: Whether the study has earlier ones, of which the model reads.

    Raises:
        SpecError: A file of choices cannot be read, or names a wording that does not exist.
    """
    own = os.environ.get(FILE_VARIABLE)
    if own and not Path(own).exists():
        raise SpecError(f"{FILE_VARIABLE} is {own!r}; there is no such file")
    for path in [Path(own), LIBRARY_FILE] if own else [LIBRARY_FILE]:
        for entry in read_choices(path):
            if (entry.model, entry.memory) == (model, memory):
                return StartChoice(_known(entry, path), entry.temperature)
    return StartChoice(RELEVANT if memory else PRACTITIONER)


def read_choices(path: Path) -> list[Entry]:
    """The entries of a file; none where there is no file.

    Raises:
        SpecError: It is not such a file.
    """
    if not path.exists():
        return []
    try:
        return [Entry.model_validate(item) for item in json.loads(path.read_text("utf-8"))]
    except (ValueError, TypeError) as error:
        raise SpecError(f"{path} is no file of start prompts: {error}") from error


def write_choice(path: Path, entry: Entry) -> None:
    """Add an entry to a file, in place of an earlier one of the same kind for the same model."""
    replaced = (entry.model, entry.memory)
    others = [other for other in read_choices(path) if (other.model, other.memory) != replaced]
    entries = [other.model_dump() for other in (*others, entry)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")


def _known(entry: Entry, path: Path) -> StartPrompt:
    prompts = MEMORY_PROMPTS if entry.memory else START_PROMPTS
    if entry.prompt not in prompts:
        known = ", ".join(prompts)
        raise SpecError(f"{path} names prompt {entry.prompt!r}; it must be one of: {known}")
    return prompts[entry.prompt]
