"""The prompt that asks the language model for a configuration to start from.

A language model helps most with the default that it would start from (arXiv 2606.21641), so it is
asked only for that. Its wording and temperature are chosen in `start_prompts`.
"""

from collections.abc import Callable, Sequence

from llmpso.advisor.advice import AdviceParser
from llmpso.advisor.advisor import Advisor
from llmpso.advisor.answer_model import configuration_schema, reasoned_schema
from llmpso.advisor.earlier_studies import (
    EarlierStudies,
    StudyView,
    opinion,
    relevance_schema,
    studies_text,
)
from llmpso.advisor.prompt import Question, Task
from llmpso.advisor.prompt_text import space_text
from llmpso.advisor.start_prompts import StartChoice, chosen_start
from llmpso.backends.base import Message
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source

PLAIN = StartChoice()
"""A practitioner's default, at temperature 0."""

SYSTEM = "You are an expert in tuning deep-learning hyperparameters. You answer with JSON only."


class ModelStart:
    """A configuration to start from, suggested by a language model through an `Advisor`.

    Args:
        advisor: Sends the question, which sets its own temperature.
        start: How it is asked; by default as was found best for the model.
        earlier: A memory that the model reads; its opinion on that is passed on.

    Raises:
        SpecError: A file of chosen prompts cannot be read.
    """

    source = Source.DEFAULT

    def __init__(
        self,
        advisor: Advisor,
        start: StartChoice | None = None,
        earlier: EarlierStudies | None = None,
    ) -> None:
        self.advisor, self._earlier = advisor, earlier
        model = advisor.backend.identity.get("model", "")
        self.start = start or chosen_start(model, memory=earlier is not None)

    def suggest(self, space: SearchSpace, is_known: Callable[[Params], bool]) -> Params | None:
        """The configuration that the model names; None without a usable answer."""
        studies = self._earlier.views if self._earlier else ()
        question = start_question(self.advisor.task, space, self.start, studies)
        parser = AdviceParser(space, None, is_known, "configuration")
        advice = self.advisor.ask(question, parser, 1, iteration=0)
        if self._earlier and (reasons := opinion(advice.answer, studies)):
            self._earlier.vote(reasons)
        return advice.suggestions[0].position if advice.suggestions else None


def start_question(
    task: Task, space: SearchSpace, start: StartChoice = PLAIN, studies: Sequence[StudyView] = ()
) -> Question:
    """The question for a configuration to start from, after what was best in earlier studies."""
    asked = f"Give {start.prompt.wanted}. Answer with JSON only."
    parts = (_task_text(task, space), studies_text(studies), asked)
    messages = (Message("system", SYSTEM), Message("user", "\n\n".join(filter(None, parts))))
    schema = configuration_schema(space)
    if start.prompt.reasoned:
        schema = reasoned_schema(schema)
    if start.prompt.asks_relevance:
        schema = relevance_schema(schema, studies)
    return Question(start.prompt.name, messages, schema, temperature=start.temperature)


def _task_text(task: Task, space: SearchSpace) -> str:
    return f"""{task.description}

{task.minimised}

Hyperparameters:
{space_text(space)}"""
