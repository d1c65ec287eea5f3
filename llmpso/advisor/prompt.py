"""The prompts for the language model: pure functions from a swarm to text.

Algorithm 2 of Hameed et al., LLM-Enhanced PSO (arXiv 2504.14126): every particle's position,
velocity and cost go in; new positions and velocities, meant to lower the cost, come out. A prompt
holds names and numbers of the search, never rows of the user's data.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmpso.advisor.earlier_studies import StudyView, studies_text
from llmpso.advisor.prompt_text import lines, number, params_text, space_text
from llmpso.backends.base import Message
from llmpso.space import Params, SearchSpace

PAPER_PROMPT = "paper@1"
"""Name and version of the prompt below; changes whenever its text does."""

PAPER_MEMORY_PROMPT = "paper-memory@1"
"""The same, where the model reads of earlier studies."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is tuned, in words for an expert."""

    description: str
    metric: str
    """Name and unit of the value; lower is better."""
    goals: tuple[str, ...] = ()
    """Names of what is lowered together, the value first; none if it is the value alone."""

    @property
    def minimised(self) -> str:
        """What is lowered, in a sentence or two."""
        if not self.goals:
            return f"We minimise: {self.metric}. Lower is better."
        first, *others = self.goals
        together = " and ".join([f"{first} ({self.metric})", *others])
        return (
            f"We minimise several goals together: {together}. Lower is better in each, so a "
            f"configuration is wanted that is good in {first} and not costly in "
            f"{' and '.join(others)}."
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the form of the answer."""

    prompt: str
    """Name and version of the prompt."""
    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    temperature: float | None = None
    """Spread of the answers that this prompt needs; the advisor's if None."""


@dataclass(frozen=True, slots=True)
class ParticleView:
    """One particle, its position in the user's units."""

    position: Params
    velocity: Mapping[str, float]
    """Moves per iteration in percent of the range. Factors on logarithmic scales, which would be
    the user's units, were beyond a model of 1.5 billion weights: of 11 replies, 7 held a velocity
    out of range."""
    value: float
    """Its last value; infinite if that evaluation failed."""


@dataclass(frozen=True, slots=True)
class SwarmView:
    """A swarm in the user's units."""

    particles: tuple[ParticleView, ...]
    best: ParticleView | None
    """The best evaluation so far; its velocity is empty."""


SYSTEM = (
    "You are an expert in tuning deep-learning hyperparameters. You help a particle swarm "
    "optimiser: you see its particles and replace the worst of them by better ones. "
    "You answer with JSON only."
)


def paper_prompt(
    task: Task,
    space: SearchSpace,
    swarm: SwarmView,
    n_suggestions: int,
    velocity_limit: float,
    earlier: Sequence[StudyView] = (),
) -> tuple[Message, ...]:
    """The question of the paper's algorithm 2, in the user's units, and what was best earlier."""
    remembered = f"{studies_text(earlier)}\n\n" if earlier else ""
    best_first = sorted(swarm.particles, key=lambda particle: particle.value)
    text = f"""{task.description}

{task.minimised}

Hyperparameters:
{space_text(space)}

A velocity is a move in one iteration, in percent of the range, \
from {-100 * velocity_limit:g} to {100 * velocity_limit:g}.

{remembered}Particles, best first, as value | position | velocity, in the order {", ".join(space)}:
{lines(_particle_text(particle, space) for particle in best_first)}

Best so far: {_best_text(swarm.best)}

Suggest {n_suggestions} new particles, each with a position and a velocity, that should reach a \
lower value than the best so far. Put the most promising first. Stay inside the ranges, and do \
not repeat a position that was evaluated. Answer with JSON on one line, without spaces."""
    return Message("system", SYSTEM), Message("user", text)


def correction(reply: str, problems: Iterable[str]) -> tuple[Message, ...]:
    """The one re-ask: what was wrong with the last reply."""
    text = f"""That answer cannot be used:
{lines(problems)}
Answer again with JSON of the same form, and mend this."""
    return Message("assistant", reply), Message("user", text)


def _particle_text(particle: ParticleView, space: SearchSpace) -> str:
    value = number(particle.value) if math.isfinite(particle.value) else "failed"
    return f"{value} | {_row(particle.position, space)} | {_row(particle.velocity, space)}"


def _row(values: Mapping[str, Any], space: SearchSpace) -> str:
    """The values alone: repeating the names for each particle doubles the prompt."""
    return ", ".join(_cell(values.get(name)) for name in space)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, tuple):
        return json.dumps(value)
    return number(value) if isinstance(value, float) else str(value)


def _best_text(best: ParticleView | None) -> str:
    if best is None:
        return "none yet, every evaluation failed."
    return f"value {number(best.value)} at {params_text(best.position)}"
