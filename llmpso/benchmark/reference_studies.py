"""Makes the studies that ship: one per data set, and what those of other families are worth on it.

`python -m llmpso.benchmark.reference_studies OUT --beijing CSV --india CSV --trashnet NPZ` takes
two hours on one core. What the file holds already is not made again.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.benchmark.reference_data import ReferenceData, reference_data
from llmpso.memory.finished import past_trials
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy
from llmpso.memory.reference_studies import ReferenceStudies, StartEvidence
from llmpso.objectives.base import DescribedObjective
from llmpso.space import Params
from llmpso.study.minimize import minimize

EVALUATIONS = 30
"""Full trainings of each study."""

N_BLIND = 8
"""Its first ones: the particles' first positions."""

N_STARTS = 3

SEED = 1_000
"""Of the trainings that check a start; the studies have the seed 0."""


def run_study_of(data: ReferenceData) -> PastStudy:
    """Tune the standard space on a data set."""
    objective = data.objective()
    result = minimize(
        objective, objective.space, evaluations=EVALUATIONS, particles=N_BLIND, racing=False
    )
    return PastStudy(
        name=_name(data),
        reference=_name(data),
        metric=objective.metric,
        description={"family": data.family, "task": objective.description},
        trials=past_trials(result.trials),
    )


def _name(data: ReferenceData) -> str:
    return f"reference study {data.name}"


def check_starts(
    data: ReferenceData, studies: Sequence[PastStudy], backend: Backend | None
) -> StartEvidence:
    """Train the first starts that other families give, and the language model's default."""
    objective = data.objective()
    own = next(each for each in studies if each.name == _name(data))
    foreign = [each for each in studies if each.description["family"] != data.family]
    values = sorted(trial.value for trial in own.trials[:N_BLIND] if trial.has_value)
    advised = None if backend is None else _default(objective, backend)
    return StartEvidence(
        data=data.name,
        best=min(trial.value for trial in own.trials if trial.has_value),
        blind=values[len(values) // 2],
        starts=tuple(_value(objective, each) for each in _starts(objective, foreign)),
        default=None if advised is None else _value(objective, advised),
    )


def _starts(objective: DescribedObjective, studies: Sequence[PastStudy]) -> Iterator[Params]:
    memory, space = StudyMemory(objective.space, studies), objective.space
    taken: set[object] = set()

    def next_starts() -> Iterator[Params]:
        while (params := memory.start(lambda each: space.key(each) in taken)) is not None:
            taken.add(space.key(params))
            yield params

    return islice(next_starts(), N_STARTS)


def _default(objective: DescribedObjective, backend: Backend) -> Params | None:
    task = Task(objective.description, objective.metric)
    return ModelStart(Advisor(backend, task)).suggest(objective.space, lambda params: False)


def _value(objective: DescribedObjective, params: Params) -> float:
    return objective.evaluate(params, fidelity=1.0, seed=SEED).value


def read(path: Path) -> ReferenceStudies:
    """The content of a file; empty where there is none."""
    if not path.exists():
        return ReferenceStudies()
    return ReferenceStudies.model_validate_json(path.read_bytes())


def make(path: Path, found: Sequence[ReferenceData]) -> ReferenceStudies:
    """Run the studies that a file lacks; it is written after each."""
    content = read(path)
    for data in found:
        studies = content.studies.get(data.network, ())
        if _name(data) not in {study.name for study in studies}:
            added = {data.network: (*studies, run_study_of(data))}
            content = content.model_copy(update={"studies": content.studies | added})
            path.write_text(content.model_dump_json() + "\n", "utf-8")
    return content


def with_evidence(
    content: ReferenceStudies, found: Sequence[ReferenceData], backend: Backend | None
) -> ReferenceStudies:
    """The same with what the starts are worth on each data set."""
    evidence: dict[str, tuple[StartEvidence, ...]] = {}
    for data in found:
        checked = check_starts(data, content.studies[data.network], backend)
        evidence[data.network] = (*evidence.get(data.network, ()), checked)
    model = str(backend.identity.get("model", "")) if backend else ""
    return content.model_copy(update={"evidence": evidence, "model": model})


def as_text(content: ReferenceStudies) -> str:
    """Regrets of the starts and of the default, a line for each data set."""
    lines = ["regret of the starts | of the default (0: best of its own study, 1: blind median)"]
    for each in (one for some in content.evidence.values() for one in some):
        starts = ", ".join(f"{each.regret(value):.2f}" for value in each.starts)
        default = "-" if each.default is None else f"{each.regret(each.default):.2f}"
        lines.append(f"{each.data}: {starts} | {default}")
    return "\n".join(lines)


def main() -> None:
    """Make the file, and print what the starts are worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    for family in ("beijing", "india", "trashnet"):
        parser.add_argument(f"--{family}", type=Path, required=True)
    parser.add_argument("--advisor", default="none")
    given = vars(parser.parse_args())
    out, advisor = given.pop("out"), given.pop("advisor")
    found = reference_data(given)
    backend = None if advisor == "none" else choose_backend(advisor).backend
    content = with_evidence(make(out, found), found, backend)
    out.write_text(content.model_dump_json() + "\n", "utf-8")
    print(as_text(content))


if __name__ == "__main__":
    main()
