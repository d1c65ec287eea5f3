"""The wordings of the prompt for a start, and which of them a given model answers best.

`start_question` makes the whole prompt of one. The quality of the prompt is the weak point that
the paper names (arXiv 2504.14126). So the wordings have names and versions, `python -m
flows.select_prompt` scores them for a model on the development tables, and its winner is read
here.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

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
"""All wordings by name."""


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
    evidence: dict[str, Any] = field(default_factory=dict)
    """By wording and temperature, what each development table said."""


def chosen_start(model: str) -> StartChoice:
    """The wording chosen for a model; a practitioner's default, cold, where none was.

    Raises:
        SpecError: A file of choices cannot be read, or names a wording that does not exist.
    """
    own = os.environ.get(FILE_VARIABLE)
    if own and not Path(own).exists():
        raise SpecError(f"{FILE_VARIABLE} is {own!r}; there is no such file")
    for path in [Path(own), LIBRARY_FILE] if own else [LIBRARY_FILE]:
        for entry in read_choices(path):
            if entry.model == model:
                return StartChoice(_known(entry.prompt, path), entry.temperature)
    return StartChoice()


def read_choices(path: Path) -> list[Entry]:
    """The entries of a file; none where there is no file.

    Raises:
        SpecError: It is not such a file.
    """
    if not path.exists():
        return []
    try:
        return [Entry.model_validate(item) for item in json.loads(path.read_text("utf-8"))]
    except (ValueError, ValidationError, TypeError) as error:
        raise SpecError(f"{path} is no file of start prompts: {error}") from error


def write_choice(path: Path, entry: Entry) -> None:
    """Add an entry to a file, in place of an earlier one for the same model."""
    others = [other for other in read_choices(path) if other.model != entry.model]
    entries = [other.model_dump() for other in (*others, entry)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")


def _known(name: str, path: Path) -> StartPrompt:
    if name not in START_PROMPTS:
        known = ", ".join(START_PROMPTS)
        raise SpecError(f"{path} names prompt {name!r}; it must be one of: {known}")
    return START_PROMPTS[name]
