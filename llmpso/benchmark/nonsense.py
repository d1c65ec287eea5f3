"""Models that answer well-formed nonsense: what a guided search must survive unharmed."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmpso.backends.base import Reply, Request
from llmpso.objectives.base import Objective

N_CONSIDERED = 200
"""Random configurations of which the worst are answered."""


class RandomBackend:
    """Answers with random valid values.

    Args:
        seed: Its only source of randomness.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    @property
    def identity(self) -> Mapping[str, str]:
        """Names no real model."""
        return {"backend": "nonsense", "model": type(self).__name__}

    def complete(self, request: Request) -> Reply:
        """As many configurations as the question's schema wants."""
        text = json.dumps(self._answer(request.schema["properties"]))
        return Reply(text, prompt_tokens=0, completion_tokens=0, seconds=0.0)

    def close(self) -> None:
        """Nothing to free."""

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Of the form that `configuration_schema` asks for."""
        if "configuration" in asked:
            return {"configuration": self._positions(asked["configuration"]["properties"], 1)[0]}
        suggestions = asked["suggestions"]
        rules = suggestions["items"]["properties"]["position"]["properties"]
        positions = self._positions(rules, suggestions["minItems"])
        return {"suggestions": [{"position": position} for position in positions]}

    def _positions(self, rules: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
        return [
            {name: _value(rule, self._rng.random()) for name, rule in rules.items()}
            for _ in range(n)
        ]


class ConstantBackend(RandomBackend):
    """Always answers with the same configuration: the first, or lowest, of every value."""

    def _positions(self, rules: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
        return [{name: _value(rule, 0.0) for name, rule in rules.items()}] * n


class WorstBackend(RandomBackend):
    """Knows the truth and says the opposite: the worst of many random configurations.

    The worst trials of the study itself would be refused, as they were evaluated already; this
    does more harm.

    Args:
        objective: The truth.
        seed: Its only source of randomness.
    """

    def __init__(self, objective: Objective, seed: int = 0) -> None:
        super().__init__(seed)
        self._objective = objective

    def _positions(self, rules: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
        drawn = super()._positions(rules, N_CONSIDERED)
        return sorted(drawn, key=self._value, reverse=True)[:n]

    def _value(self, position: dict[str, Any]) -> float:
        return self._objective.evaluate(position, fidelity=1.0, seed=0).value


def _value(rule: Mapping[str, Any], u: float) -> Any:
    """The value at a place in [0, 1) of what a schema allows."""
    if "enum" in rule:
        return rule["enum"][int(u * len(rule["enum"]))]
    low, high = rule["minimum"], rule["maximum"]
    if "integer" in rule["type"]:
        return low + int(u * (high - low + 1))
    return low + u * (high - low)
