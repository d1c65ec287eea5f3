"""The paper's algorithm, step by step against a hand-computed example."""

import json
import math

import numpy as np
import pytest

from llmpso import LLMPSO, PSO, Advisor, Evaluation, Float, SearchSpace, Task
from llmpso.errors import SpecError
from llmpso.trial import Failure, FailureKind, Source, Trial
from scripted_backend import ScriptedBackend

SPACE = SearchSpace({"x": Float(0.0, 10.0), "y": Float(0.0, 10.0)})
START = [{"x": 1.0, "y": 1.0}, {"x": 5.0, "y": 5.0}, {"x": 9.0, "y": 9.0}, {"x": 2.0, "y": 2.0}]


def bowl(trial: Trial) -> Trial:
    return trial.completed(Evaluation(trial.params["x"] ** 2 + trial.params["y"] ** 2), 0.1)


def suggestion(x: float, y: float, vx: float, vy: float) -> dict:
    return {"position": {"x": x, "y": y}, "velocity": {"x": vx, "y": vy}}


def paper(replies: list, **options) -> tuple[LLMPSO, ScriptedBackend]:
    backend = ScriptedBackend(replies)
    advisor = Advisor(backend, Task("A bowl.", "height"))
    options = {"n_particles": 4, "warm_up": 1, "n_replaced": 2, "start": START} | options
    return LLMPSO(SPACE, advisor, **options), backend


def run_batch(optimizer: PSO | LLMPSO) -> list[Trial]:
    trials = [bowl(trial) for trial in optimizer.ask()]
    optimizer.tell(trials)
    return trials


def test_the_worst_take_the_best_suggestions_with_their_velocities() -> None:
    answer = [suggestion(0.5, 0.5, -10.0, 20.0), suggestion(1.5, 0.5, 0.0, 0.0)]
    optimizer, backend = paper([json.dumps({"suggestions": answer})])
    run_batch(optimizer)  # phase 1: values 2, 50, 162, 8
    second = optimizer.ask()
    # Phase 2: particle 2 (162) is the worst and takes the first, particle 1 (50) the second.
    assert [trial.source for trial in second] == [
        Source.SWARM,
        Source.ADVISOR,
        Source.ADVISOR,
        Source.SWARM,
    ]
    assert second[2].params == {"x": 0.5, "y": 0.5}
    assert second[1].params == {"x": 1.5, "y": 0.5}
    np.testing.assert_allclose(optimizer.particles.swarm.velocities[2], [-0.1, 0.2])
    prompt = backend.requests[0].messages[-1].content
    values = [line.split(" | ")[0] for line in prompt.splitlines() if " | " in line]
    assert values[1:] == ["- 2", "- 8", "- 50", "- 162"]
    optimizer.tell([bowl(trial) for trial in second])
    assert optimizer.particles.swarm.gbest_value == 0.5


def test_a_velocity_beyond_the_limit_is_limited_as_the_swarms_own_and_the_trial_says_so() -> None:
    answer = [suggestion(0.5, 0.5, 68.0, -51.0), suggestion(1.5, 0.5, 50.0, 0.0)]
    optimizer, backend = paper([json.dumps({"suggestions": answer})])
    run_batch(optimizer)
    second = optimizer.ask()
    assert [trial.source for trial in second].count(Source.ADVISOR) == 2
    limit = optimizer.particles.coefficients.velocity_limit
    np.testing.assert_allclose(optimizer.particles.swarm.velocities[2], [limit, -limit])
    assert second[2].note == (
        "velocity of x limited from 68 to 50; velocity of y limited from -51 to -50"
    )
    assert second[1].note == ""
    assert len(backend.requests) == 1


def test_of_several_suggestions_the_good_ones_are_used_and_the_bad_ones_reason_is_reported() -> (
    None
):
    answer = [suggestion(0.5, 11.0, 0.0, 0.0), suggestion(1.5, 0.5, 0.0, 0.0)]
    optimizer, backend = paper([json.dumps({"suggestions": answer})])
    run_batch(optimizer)
    second = optimizer.ask()
    assert second[2].source is Source.ADVISOR
    assert second[2].params == {"x": 1.5, "y": 0.5}
    assert second[1].source is Source.SWARM
    assert second[1].note == "no advice: suggestion 1: y is 11.0; it must be a number from 0 to 10"
    assert len(backend.requests) == 1


def test_the_others_move_as_in_plain_pso() -> None:
    answer = [suggestion(0.5, 0.5, 0, 0), suggestion(1.5, 0.5, 0, 0)]
    guided, _ = paper([json.dumps({"suggestions": answer})], seed=3)
    plain = PSO(SPACE, n_particles=4, start=START, seed=3)
    run_batch(guided), run_batch(plain)
    ours, theirs = guided.ask(), plain.ask()
    for particle in (0, 3):
        assert ours[particle].params == theirs[particle].params


def test_without_usable_advice_the_particles_move_and_their_trials_say_why() -> None:
    optimizer, _ = paper(["?", "?"], seed=3)
    plain = PSO(SPACE, n_particles=4, start=START, seed=3)
    run_batch(optimizer), run_batch(plain)
    ours, theirs = optimizer.ask(), plain.ask()
    assert [trial.params for trial in ours] == [trial.params for trial in theirs]
    assert [bool(trial.note) for trial in ours] == [False, True, True, False]
    assert ours[1].note.startswith("no advice: the reply is not JSON")


def test_the_model_is_not_asked_during_the_warm_up() -> None:
    optimizer, backend = paper([], warm_up=3)
    for _ in range(3):
        run_batch(optimizer)
    assert backend.requests == []


def test_failed_particles_are_the_worst() -> None:
    answer = [suggestion(0.5, 0.5, 0, 0)]
    optimizer, _ = paper([json.dumps({"suggestions": answer})], n_replaced=1)
    failed, *others = optimizer.ask()
    failed = failed.failed(Failure(FailureKind.EXCEPTION, "no"), 0.1)
    optimizer.tell([failed, *(bowl(trial) for trial in others)])
    assert math.isinf(optimizer.particles.swarm.values[0])
    assert optimizer.ask()[0].source is Source.ADVISOR


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_up": 0}, "warm_up is 0; it must be at least 1"),
        ({"n_replaced": 4}, "replaced is 4 of 4 particles; it must be less, and at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message) -> None:
    with pytest.raises(SpecError) as caught:
        paper([], **options)
    assert str(caught.value) == message
