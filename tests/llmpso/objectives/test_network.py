"""What every network of ours must hold to, the LSTM and the CNN."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import SpaceError, SpecError
from llmpso.objectives import cnn, lstm
from llmpso.objectives.network import NetworkLimits
from llmpso.objectives.torch_threads import limit_threads
from llmpso.search.pso import PSO
from llmpso.trial import TrialState

LSTM = {"layers": 2, "hidden_units": 12, "learning_rate": 0.01, "dropout": 0.3}
CNN = {
    "layers": 2,
    "filters": 6,
    "learning_rate": 0.01,
    "dropout": 0.3,
    "kernel": 3,
    "weight_decay": 0.001,
    "augmentation": 0.5,
}


@pytest.fixture(params=["lstm", "cnn"])
def objective(request, images):
    if request.param == "lstm":
        return lstm.LSTMObjective(load_taiwan(), max_epochs=3, device="cpu")
    wide = cnn.TUNABLES.named("wide")
    return cnn.CNNObjective(images, max_epochs=3, device="cpu", space=wide)


@pytest.fixture
def params(objective):
    return CNN if "filters" in objective.space else LSTM


def test_an_evaluation_depends_on_its_arguments_alone(objective, params, measured):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = measured(objective.evaluate(params, fidelity=1.0, seed=7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert measured(objective.evaluate(params, fidelity=1.0, seed=7)) == first
    assert measured(objective.evaluate(params, fidelity=1.0, seed=8)) != first


def test_a_training_in_pieces_gives_the_same_bits(objective, params, measured, tmp_path):
    asked = {"params": params, "seed": 7}
    pieces = [
        objective.train_to(**asked, fidelity=share, checkpoint=tmp_path / "state")
        for share in (0.3, 0.3, 0.6, 1.0)
    ]
    assert [piece.metrics["epochs"] for piece in pieces] == [1, 1, 2, 3]
    for piece, share in zip(pieces, (0.3, 0.3, 0.6, 1.0), strict=True):
        assert measured(piece) == measured(objective.evaluate(**asked, fidelity=share))


def test_two_threads_give_the_same_bits_as_one(objective, params, measured):
    most = objective.space["layers"].high
    jobs = [
        (params | {"layers": 1 + seed % most, "dropout": 0.1 * seed}, seed) for seed in range(6)
    ]

    def run(job):
        limit_threads(1)
        return measured(objective.evaluate(job[0], fidelity=1.0, seed=job[1]))

    one_after_the_other = [run(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, jobs)) == one_after_the_other


def test_a_pickled_objective_gives_the_same_bits(objective, params, measured):
    twin = pickle.loads(pickle.dumps(objective))
    assert twin.fingerprint == objective.fingerprint
    assert measured(twin.evaluate(params, fidelity=1.0, seed=0)) == measured(
        objective.evaluate(params, fidelity=1.0, seed=0)
    )


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_a_network_that_is_too_large_is_not_proposed(kind, images):
    limits = NetworkLimits(max_parameters=3_000)
    made = {
        "lstm": lambda: lstm.LSTMObjective(
            load_taiwan(), max_epochs=1, device="cpu", limits=limits
        ),
        "cnn": lambda: cnn.CNNObjective(images, max_epochs=1, device="cpu", limits=limits),
    }[kind]()
    assert "parameters of the network <= 3,000" in repr(made.space)
    width = "hidden_units" if kind == "lstm" else "filters"
    params = {"layers": 2, width: 8, "learning_rate": 0.01, "dropout": 0.0}
    trained = made.evaluate(params, fidelity=1.0, seed=0)
    assert trained.metrics["parameters"] == made.n_parameters(params) <= 3_000
    assert made.space.violated(params) == ""
    assert made.space.violated(params | {width: 64}) == "parameters of the network <= 3,000"
    proposed = [trial.params for trial in PSO(made.space, n_particles=20, seed=0).ask()]
    assert all(made.n_parameters(each) <= 3_000 for each in proposed)
    with pytest.raises(SpaceError, match="none of 2000 configurations that were drawn satisfies"):
        PSO(made.space.with_constraints("layers > 9"), seed=0)


def test_a_network_that_is_too_slow_is_infeasible_without_a_training(images):
    params = {"layers": 2, "filters": 6, "learning_rate": 0.01, "dropout": 0.0}
    slow, fast = (
        cnn.CNNObjective(images, max_epochs=1, device="cpu", limits=NetworkLimits(None, limit))
        for limit in (1e-6, 1e6)
    )
    assert slow.fingerprint != fast.fingerprint
    n_threads = torch.get_num_threads()
    measured = slow.evaluate(params, fidelity=1.0, seed=0)
    assert measured.is_infeasible
    assert "epochs" not in measured.metrics
    trained = fast.evaluate(params, fidelity=1.0, seed=0)
    assert not trained.is_infeasible
    plain = cnn.CNNObjective(images, max_epochs=1, device="cpu")
    unmeasured = plain.evaluate(params, fidelity=1.0, seed=0)
    assert trained.value == unmeasured.value
    both = (each.model.network.state_dict().items() for each in (trained, unmeasured))
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(*both, strict=True))
    assert 0 < trained.constraints["latency_ms"][0] < 1_000
    assert torch.get_num_threads() == n_threads
    trial = PSO(slow.space, seed=0).ask()[0].completed(measured, 0.0)
    assert trial.state is TrialState.INFEASIBLE
    assert list(trial.metrics) == ["latency_ms"]


def test_the_latency_of_an_lstm_is_that_of_one_window():
    objective = lstm.LSTMObjective(
        load_taiwan(), max_epochs=1, device="cpu", limits=NetworkLimits(None, 1e6)
    )
    trained = objective.evaluate({**LSTM, "layers": 1}, fidelity=1.0, seed=0)
    assert 0 < trained.constraints["latency_ms"][0] < 1_000


def test_goals_of_a_network_are_measured_beside_its_error(images):
    params = {"layers": 2, "filters": 6, "learning_rate": 0.01, "dropout": 0.0}
    plain = cnn.CNNObjective(images, max_epochs=1, device="cpu")
    goals = ["parameters", "latency_ms"]
    several = cnn.CNNObjective(images, max_epochs=1, device="cpu", goals=goals)
    assert (plain.goals, several.goals) == ((), ("error", "parameters", "latency_ms"))
    assert plain.fingerprint != several.fingerprint
    trained = several.evaluate(params, fidelity=1.0, seed=0)
    assert trained.value == plain.evaluate(params, fidelity=1.0, seed=0).value
    assert list(trained.values) == list(several.goals)
    assert trained.values["error"] == trained.value
    assert trained.values["parameters"] == plain.n_parameters(params)
    assert 0 < trained.values["latency_ms"] < 1_000
    assert trained.constraints == {}
    with pytest.raises(SpecError, match="goals names 'speed'; of a network it must be one of"):
        cnn.CNNObjective(images, max_epochs=1, device="cpu", goals=["speed"])
