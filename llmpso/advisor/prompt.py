"""The prompts for the language model: pure functions from a swarm to text.

Algorithm 2 of Hameed et al., LLM-Enhanced PSO (arXiv 2504.14126): every particle's position,
velocity and cost go in; new positions and velocities, meant to lower the cost, come out. A prompt
holds names and numbers of the search, never rows of the user's data.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmpso.backends.base import Message
from llmpso.space import Categorical, Dimension, Fixed, Float, Params, SearchSpace

PAPER_PROMPT = "paper@1"
"""Name and version of the prompt below; changes whenever its text does."""


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
    task: Task, space: SearchSpace, swarm: SwarmView, n_suggestions: int, velocity_limit: float
) -> tuple[Message, ...]:
    """The question of the paper's algorithm 2, in the user's units."""
    best_first = sorted(swarm.particles, key=lambda particle: particle.value)
    text = f"""{task.description}

{task.minimised}

Hyperparameters:
{space_text(space)}

A velocity is a move in one iteration, in percent of the range, \
from {-100 * velocity_limit:g} to {100 * velocity_limit:g}.

Particles, best first, as value | position | velocity, in the order {", ".join(space)}:
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


def number(value: float) -> str:
    """Four significant digits, as a person would write them."""
    return f"{value:.4g}"


def lines(items: Iterable[str]) -> str:
    """One item per line, as a list."""
    return "\n".join(f"- {item}" for item in items)


def space_text(space: SearchSpace) -> str:
    """The hyperparameters with their ranges and conditions, one per line."""
    text = lines(
        dimension_text(name, dimension) + _condition_text(space, name)
        for name, dimension in space.items()
    )
    if space.conditions:
        text += "\nWhere a hyperparameter does not count, its value is null."
    if space.constraints:
        asked = lines(one.text.strip("'") for one in space.constraints)
        text += f"\n\nConstraints, which all have to be satisfied:\n{asked}"
    return text


def _condition_text(space: SearchSpace, name: str) -> str:
    condition = space.conditions.text(name)
    return f"; counts only if {condition}" if condition else ""


def dimension_text(name: str, dimension: Dimension) -> str:
    """A hyperparameter's name, kind and range."""
    if isinstance(dimension, Fixed):
        return f"{name}: always {json.dumps(dimension.choices[0])}"
    if isinstance(dimension, Categorical):
        kind = "ordered choices" if dimension.ordered else "choices"
        return f"{name}: {kind} {json.dumps(list(dimension.choices))}"
    if dimension.low == dimension.high:
        return f"{name}: always {dimension.low:g}"
    kind = "number" if isinstance(dimension, Float) else "whole number"
    if dimension.step not in (None, 1):
        kind += f" in steps of {dimension.step:g}"
    scale = ", log scale" if dimension.log else ""
    return f"{name}: {kind} from {dimension.low:g} to {dimension.high:g}{scale}"


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


def params_text(params: Params) -> str:
    """A configuration as JSON, numbers rounded."""
    shown = {name: float(number(v)) if isinstance(v, float) else v for name, v in params.items()}
    return json.dumps(shown)
