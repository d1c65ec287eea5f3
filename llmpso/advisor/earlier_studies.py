"""What a language model reads of earlier studies, and what it may say of them.

It sees a short table under letters, because the names of studies are text from outside, and long.
It may say which of them are relevant, and why; what that counts is the memory's decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from llmpso.advisor.prompt_text import lines, number, params_text
from llmpso.space import Params
from llmpso.text import one_line

MOST_SHOWN = 8
"""Studies in a prompt: each takes about a hundred tokens."""

MOST_CHARACTERS = 200
"""Of a description or a reason."""

MOST_RELEVANT = 3


@dataclass(frozen=True, slots=True)
class StudyView:
    """An earlier study in the space of the new one."""

    reference: str
    """What the memory knows it by."""
    description: str
    """Of its data and model."""
    n_trials: int
    """Complete trainings: how sure its best is."""
    best_value: float
    median: float
    best: Params


class EarlierStudies(Protocol):
    """A memory that can be read, and that listens."""

    @property
    def views(self) -> Sequence[StudyView]:
        """The studies, those that fit best first."""
        ...

    def vote(self, reasons: Mapping[str, str]) -> None:
        """Take an opinion: which studies are relevant, by their reference, and why."""
        ...


def studies_text(studies: Sequence[StudyView]) -> str:
    """The table, one study per line; empty without any."""
    if not studies:
        return ""
    rows = (_row(letter, study) for letter, study in _by_letter(studies).items())
    return (
        "Earlier studies of these hyperparameters on other data, as study: data | trainings | "
        f"best value, median value | best configuration:\n{lines(rows)}"
    )


def relevance_schema(schema: Mapping[str, Any], studies: Sequence[StudyView]) -> dict[str, Any]:
    """The same answer after the studies that are relevant, and the reason."""
    letters = {"type": "array", "items": {"enum": list(_by_letter(studies))}}
    opinion = {
        "relevant": letters | {"maxItems": MOST_RELEVANT},
        "reason": {"type": "string", "maxLength": MOST_CHARACTERS},
    }
    properties = opinion | schema["properties"]
    return dict(schema) | {"properties": properties, "required": list(properties)}


class _Opinion(BaseModel):
    model_config = ConfigDict(strict=True)

    relevant: list[str] = []
    reason: str = ""


def opinion(answer: Mapping[str, Any], studies: Sequence[StudyView]) -> dict[str, str]:
    """The relevant studies' references with the reason; none where the answer has another form.

    An opinion decides nothing alone, so that the answer is not asked for again.
    """
    try:
        found = _Opinion.model_validate(dict(answer))
    except ValidationError:
        return {}
    by_letter, reason = _by_letter(studies), one_line(found.reason, MOST_CHARACTERS)
    named = [letter for letter in found.relevant if letter in by_letter]
    return {by_letter[letter].reference: reason for letter in named[:MOST_RELEVANT]}


def _by_letter(studies: Sequence[StudyView]) -> dict[str, StudyView]:
    return dict(zip(ascii_uppercase, studies[:MOST_SHOWN], strict=False))


def _row(letter: str, study: StudyView) -> str:
    values = f"{number(study.best_value)}, {number(study.median)}"
    about = one_line(study.description, MOST_CHARACTERS) or "not described"
    return f"{letter}: {about} | {study.n_trials} | {values} | {params_text(study.best)}"
