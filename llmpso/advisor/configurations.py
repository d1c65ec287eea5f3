"""Short questions for a guided search: where to start, what to change, where the best may be.

A model's worth lies in the default it would start from (arXiv 2606.21641) and in local changes
(arXiv 2604.19440): so it is asked for just those, cold, and a gate decides what is evaluated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from llmpso.advisor.advice import AdviceParser
from llmpso.advisor.advisor import Advisor
from llmpso.advisor.answer_model import configuration_schema, reasoned_schema
from llmpso.advisor.prompt import Question, Task, dimension_text, lines, number, params_text
from llmpso.advisor.start_prompts import StartChoice, chosen_start
from llmpso.backends.base import Message
from llmpso.search.proposers import Progress
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source

REFINE_PROMPT = "local-refinement@1"
LIKELY_PROMPT = "likely-range@1"
"""Names and versions of the prompts below; each changes whenever its text does."""

N_SHOWN = 5
"""Best trials that a refinement question shows: a small model loses the thread of more."""

PLAIN = StartChoice()
"""A practitioner's default, cold."""

SYSTEM = "You are an expert in tuning deep-learning hyperparameters. You answer with JSON only."


class ConfigurationAdvisor:
    """A language model as a proposer of configurations, through an `Advisor`.

    Args:
        advisor: Who asks. The questions set their own temperature.
        start: How it asks for a start; by default as was found best for the model.

    Raises:
        SpecError: A file of chosen prompts cannot be read.
    """

    sources = (Source.DEFAULT, Source.REFINE)

    def __init__(self, advisor: Advisor, start: StartChoice | None = None) -> None:
        self.advisor = advisor
        self.start = start or chosen_start(advisor.backend.identity.get("model", ""))

    def defaults(
        self, space: SearchSpace, n: int, is_known: Callable[[Params], bool]
    ) -> Sequence[Params]:
        """What an experienced practitioner would start from."""
        question = default_question(self.advisor.task, space, n, self.start)
        return self._asked(question, space, n, 0, is_known)

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: Callable[[Params], bool]
    ) -> Sequence[Params]:
        """Small changes of the best configuration so far."""
        question = refine_question(self.advisor.task, space, progress, n)
        return self._asked(question, space, n, progress.iteration, is_known)

    def likely(self, space: SearchSpace) -> tuple[Params, Params] | None:
        """The lowest and the highest value that a practitioner would try of each."""
        question = likely_question(self.advisor.task, space)
        corners = self._asked(question, space, 2, 0, lambda params: False)
        return (corners[0], corners[1]) if len(corners) == 2 else None

    def _asked(
        self,
        question: Question,
        space: SearchSpace,
        n: int,
        iteration: int,
        is_known: Callable[[Params], bool],
    ) -> Sequence[Params]:
        form = "configuration" if n == 1 else "suggestions"
        parser = AdviceParser(space, None, is_known, form)
        advice = self.advisor.ask(question, parser, n, iteration=iteration)
        return [suggestion.position for suggestion in advice.suggestions]


def default_question(
    task: Task, space: SearchSpace, n: int, start: StartChoice = PLAIN
) -> Question:
    """A configuration to start from; if several are wanted, alternatives that differ from it."""
    wanted = start.prompt.wanted
    if n > 1:
        wanted += f", and {n - 1} different ones to try next"
    text = f"{_task_text(task, space)}\n\nGive {wanted}. Answer with JSON only."
    question = _question(start.prompt.name, text, space, n)
    schema = reasoned_schema(question.schema) if start.prompt.reasoned else question.schema
    return replace(question, schema=schema, temperature=start.temperature)


def likely_question(task: Task, space: SearchSpace) -> Question:
    """Two corners of the box in which the best is expected."""
    text = f"""{_task_text(task, space)}

Give two configurations. The first holds, for each hyperparameter, the lowest value that an \
experienced practitioner would try; the second holds the highest. Of choices without an order, \
they hold the two most likely ones. Answer with JSON only."""
    return _question(LIKELY_PROMPT, text, space, 2)


def refine_question(task: Task, space: SearchSpace, progress: Progress, n: int) -> Question:
    """One or two changed hyperparameters, given the best trials and what the value feels most."""
    best, value = progress.best_first[0]
    strongest = sorted(progress.sensitivity, key=lambda name: -progress.sensitivity[name])
    shown = (
        f"value {number(value)} at {params_text(params)}"
        for params, value in progress.best_first[:N_SHOWN]
    )
    text = f"""{_task_text(task, space)}

The best configurations so far, best first:
{lines(shown)}

The value reacts most to: {", ".join(strongest[:3])}.

Take the best, value {number(value)} at {params_text(best)}, and change one or two \
hyperparameters so that the value becomes lower. Give {n} such configurations, the most promising \
first. Do not repeat a configuration above. Answer with JSON only."""
    return _question(REFINE_PROMPT, text, space, n)


def _question(prompt: str, text: str, space: SearchSpace, n: int) -> Question:
    messages = (Message("system", SYSTEM), Message("user", text))
    return Question(prompt, messages, configuration_schema(space, n), temperature=0.0)


def _task_text(task: Task, space: SearchSpace) -> str:
    return f"""{task.description}

We minimise: {task.metric}. Lower is better.

Hyperparameters:
{lines(dimension_text(name, dimension) for name, dimension in space.items())}"""
