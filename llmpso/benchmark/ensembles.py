"""What an average of a study's best models is worth, on the data that ships.

`python -m llmpso.benchmark.ensembles lstm ensembles_lstm.csv 10 30` runs ten studies of 30
trainings, and writes a row for each study and size of the ensemble.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmpso.ensembles.choose import choose_ensemble
from llmpso.ensembles.outcome import Losses
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.space import Params
from llmpso.study.minimize import minimize
from llmpso.trial import Evaluation, ranked

SIZES = (2, 3, 5, 10)


@dataclass
class WithModels:
    """A network that ships, with the models of its trainings, by their seeds."""

    objective: Any
    models: dict[int, Any] = field(default_factory=dict)

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """Train one configuration."""
        return self._recorded(seed, self.objective.evaluate(params, fidelity=fidelity, seed=seed))

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """Train one configuration up to a fidelity."""
        found = self.objective.train_to(
            params, fidelity=fidelity, seed=seed, checkpoint=checkpoint
        )
        return self._recorded(seed, found)

    def _recorded(self, seed: int, found: Evaluation) -> Evaluation:
        self.models[seed] = found.model
        return found


def ensemble_rows(name: str, seed: int, evaluations: int) -> Iterator[dict[str, Any]]:
    """One study; a row for each size of the ensemble."""
    objective: Any = build_objective(ObjectiveSpec(name))
    trained = WithModels(objective)
    result = minimize(trained, objective.space, evaluations=evaluations, seed=seed)
    trials = ranked(result.trials)
    models = [trained.models[trial.seed] for trial in trials]
    for most in SIZES:
        outcome = choose_ensemble(objective, trials, models, most).outcome
        yield {
            "network": name,
            "seed": seed,
            "most": most,
            "candidates": len(trials),
            "members": len(outcome.members),
            "accepted": int(outcome.accepted),
            **_columns("selection", outcome.selection),
            **_columns("held_out", outcome.held_out),
            **_columns("test", outcome.test),
            "best_test": objective.held_out(models[0]).error,
        }


def _columns(name: str, losses: Losses | None) -> dict[str, Any]:
    single, ensemble = (losses.single, losses.ensemble) if losses else ("", "")
    return {f"{name}_single": single, f"{name}_ensemble": ensemble}


def main(name: str, path: str, n_seeds: str, evaluations: str) -> None:
    """Run studies, and append their rows to a file as they come."""
    for seed in range(int(n_seeds)):
        rows = list(ensemble_rows(name, seed, int(evaluations)))
        with Path(path).open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            if not file.tell():
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
