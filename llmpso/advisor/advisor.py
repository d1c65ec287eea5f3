"""The advisor decides how a language model is asked and which parts of its answer are used."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmpso.advisor.advice import Advice, AdviceParser, Call, Parsed
from llmpso.advisor.earlier_studies import StudyView
from llmpso.advisor.prompt import (
    PAPER_MEMORY_PROMPT,
    PAPER_PROMPT,
    Question,
    SwarmView,
    Task,
    correction,
    paper_prompt,
)
from llmpso.backends.base import Backend, Reply, Request
from llmpso.errors import BackendError
from llmpso.space import Params, SearchSpace
from llmpso.token_prices import TokenPrice, known_price

logger = logging.getLogger(__name__)


class Advisor:
    """Asks a language model for new particles; asks once more if no suggestion is usable.

    A second call costs as much as the first. So it is made only if the first gave nothing usable:
    of several suggestions the usable ones are taken, and the swarm itself moves the other
    particles; the reason is recorded.

    Args:
        backend: The way to the model.
        task: What is tuned, for the prompt.
        temperature: Spread of the model's answers.
        seed: Passed to the model, so that the same question has the same answer.
        max_tokens: Longest answer.
        price: What its tokens cost; if not given as far as `llmpso.token_prices` knows.
    """

    def __init__(
        self,
        backend: Backend,
        task: Task,
        *,
        temperature: float = 0.7,
        seed: int = 0,
        max_tokens: int = 2048,
        price: TokenPrice | None = None,
    ) -> None:
        self.backend = backend
        self.task = task
        self.temperature = temperature
        self.seed = seed
        self.max_tokens = max_tokens
        self.price = price or known_price(backend.identity)
        self.calls: list[Call] = []

    def advise(
        self,
        space: SearchSpace,
        swarm: SwarmView,
        n_suggestions: int,
        *,
        iteration: int,
        velocity_limit: float,
        is_known: Callable[[Params], bool],
        earlier: Sequence[StudyView] = (),
    ) -> Advice:
        """Ask for `n_suggestions` particles; the model reads of the earlier studies, too.

        Never raises for what the model does or fails to do: a problem is in the advice, on the
        call's record and in the log, and the swarm continues without the advice.
        """
        messages = paper_prompt(self.task, space, swarm, n_suggestions, velocity_limit, earlier)
        prompt = PAPER_MEMORY_PROMPT if earlier else PAPER_PROMPT
        parser = AdviceParser(space, velocity_limit, is_known)
        question = Question(prompt, messages, parser.schema(n_suggestions))
        return self.ask(question, parser, n_suggestions, iteration=iteration)

    def ask(
        self, question: Question, parser: AdviceParser, n_suggestions: int, *, iteration: int
    ) -> Advice:
        """Put any question; once more, with what was wrong, if no suggestion was usable."""
        name, request = question.prompt, self._request(question)
        reply, parsed = self._ask(name, request, parser, iteration)
        if reply and not parsed.suggestions:
            again = request.messages + correction(reply, parsed.problems)
            _, corrected = self._ask(name, replace(request, messages=again), parser, iteration)
            parsed = parsed + corrected
        return _advice(parsed, n_suggestions)

    def _request(self, question: Question) -> Request:
        own = question.temperature
        return Request(
            messages=question.messages,
            schema=question.schema,
            temperature=self.temperature if own is None else own,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )

    def _ask(
        self, prompt: str, request: Request, parser: AdviceParser, iteration: int
    ) -> tuple[str, Parsed]:
        """One call, recorded whether it succeeds or fails."""
        call = Call(iteration, prompt, request.messages, asked_at=time.time())
        try:
            reply = self.backend.complete(request)
        except BackendError as error:
            parsed = Parsed(problems=(f"no reply: {error}",))
            self._record(replace(call, problems=parsed.problems))
            return "", parsed
        parsed = parser.parse(reply.text)
        if reply.truncated:
            parsed += Parsed(problems=(f"the reply was cut off at {request.max_tokens} tokens",))
        self._record(_answered(call, reply, parsed))
        return reply.text, parsed

    def _record(self, call: Call) -> None:
        self.calls.append(call)
        for remark in (*call.problems, *call.notes):
            logger.warning("advice for iteration %d: %s", call.iteration, remark)


def _answered(call: Call, reply: Reply, parsed: Parsed) -> Call:
    return replace(
        call,
        reply=reply.text,
        problems=parsed.problems,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        seconds=reply.seconds,
        retries=reply.retries,
        cached=reply.cached,
        notes=reply.notes + tuple(one.note for one in parsed.suggestions if one.note),
    )


def _advice(parsed: Parsed, n_suggestions: int) -> Advice:
    suggestions = parsed.suggestions[:n_suggestions]
    if len(suggestions) == n_suggestions:
        return Advice(suggestions, answer=parsed.answer)
    reasons = "; ".join(parsed.problems) or "too few suggestions"
    return Advice(suggestions, f"no advice: {reasons}", parsed.answer)
