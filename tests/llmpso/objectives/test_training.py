import math

import pytest
import torch
from torch import nn

from llmpso.errors import SpecError
from llmpso.objectives.checkpoint import load_checkpoint
from llmpso.objectives.training import FitSettings, choose_device, fit


def settings(**changes):
    fields = {"learning_rate": 0.1, "max_epochs": 5, "batch_size": 4, "max_samples": 100}
    return FitSettings(**(fields | changes))


class Line(nn.Module):
    """One weight, drawn towards 3."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, indices):
        return (self.weight - 3.0).square() + 0.0 * indices.sum()

    def error(self):
        return abs(float(self.weight) - 3.0)


def run(network, loss=None, error=None, n_samples=10, **changes):
    generator = torch.Generator().manual_seed(0)
    return fit(
        network,
        loss or network.loss,
        error or network.error,
        n_samples,
        settings(**changes),
        generator,
    )


def test_every_sample_is_drawn_once_per_epoch():
    network, drawn = Line(), []

    def loss(indices):
        drawn.append(indices)
        return network.loss(indices)

    result = run(network, loss, max_epochs=2)
    assert [len(batch) for batch in drawn] == [4, 4, 2] * 2
    first, second = torch.cat(drawn[:3]), torch.cat(drawn[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    assert len(result.train_losses) == len(result.validation_errors) == 2


def test_an_epoch_draws_no_more_than_max_samples():
    network, drawn = Line(), []

    def loss(indices):
        drawn.append(indices)
        return network.loss(indices)

    run(network, loss, max_epochs=1, max_samples=6)
    assert [len(batch) for batch in drawn] == [4, 2]


def test_weights_of_the_best_epoch_are_saved_and_patience_ends_it():
    network, seen = Line(), []
    errors = iter([5.0, 2.0, 4.0, 3.0, 2.5, 1.0])

    def error():
        seen.append(float(network.weight.detach()))
        return next(errors)

    result = run(network, error=error, max_epochs=6, patience=3)
    assert result.validation_errors == [5.0, 2.0, 4.0, 3.0, 2.5]
    assert (result.best_epoch, result.best_error) == (2, 2.0)
    assert float(network.weight.detach()) == seen[1] != seen[-1]
    assert not network.training
    assert not result.diverged


def test_learning_reaches_the_goal():
    network = Line()
    result = run(network, max_epochs=60, patience=60)
    assert result.best_error < 0.05
    assert result.train_losses[0] > result.train_losses[-1]


def test_loss_that_is_no_number_stops_at_once():
    network, calls = Line(), []

    def loss(indices):
        calls.append(len(indices))
        return network.loss(indices) * (math.nan if len(calls) == 5 else 1.0)

    result = run(network, loss)
    assert result.diverged
    assert len(calls) == 5
    assert len(result.train_losses) == 1


def test_validation_error_that_is_no_number_stops_at_once():
    result = run(Line(), error=lambda: math.inf)
    assert result.diverged
    assert result.validation_errors == []


def test_modes_are_right_for_each_half():
    network, modes = Line(), []

    def loss(indices):
        modes.append((network.training, torch.is_inference_mode_enabled()))
        return network.loss(indices)

    def error():
        modes.append((network.training, torch.is_inference_mode_enabled()))
        return 1.0

    run(network, loss, error, n_samples=4, max_epochs=1)
    assert modes == [(True, False), (False, True)]


def test_the_learning_rate_rises_and_falls_in_one_cycle():
    network, seen = Line(), []

    def loss(indices):
        seen.append(float(network.weight.detach()))
        # Under a constant gradient, Adam moves by the learning rate.
        return -network.weight + 0.0 * indices.sum()

    run(network, loss, n_samples=16, max_epochs=4, cycle_epochs=4, weight_decay=0.0, patience=9)
    moves = [after - before for before, after in zip(seen, seen[1:], strict=False)]
    assert max(moves) == pytest.approx(0.1, rel=0.2)
    assert moves[0] < moves[1] < moves[3]
    assert moves[4:] == sorted(moves[4:], reverse=True)
    assert moves[-1] < 0.02


def test_gradients_are_clipped():
    network = Line()
    run(network, lambda indices: 1e6 * network.loss(indices), max_epochs=1)
    # Unclipped it would be some 6 million.
    assert 0.9 < abs(float(network.weight.grad)) <= 1.0


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SpecError, match="device is 'tpu'; it must be 'auto', 'cpu' or 'cuda'"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(SpecError, match="torch finds no CUDA device"):
            choose_device("cuda")


class Bends(nn.Module):
    """A small network with dropout from a generator of its own."""

    def __init__(self, generator):
        super().__init__()
        self.layer, self.generator = nn.Linear(3, 1), generator
        for weights in self.layer.parameters():
            nn.init.normal_(weights, generator=torch.Generator().manual_seed(1))
        self.inputs = torch.linspace(-1, 1, 30).reshape(10, 3)

    def loss(self, indices):
        mask = torch.empty(len(indices), 3).bernoulli_(0.7, generator=self.generator)
        return (self.layer(self.inputs[indices] * mask) - 1).square().mean()

    def error(self):
        return float((self.layer(self.inputs) - 1).square().mean()) / 1000 + next(self.jumps)


def trained(epochs, checkpoint=None, patience=4, **changes):
    """Weights, next random number and record of a training; its errors jump up and down."""
    generator = torch.Generator().manual_seed(0)
    network = Bends(generator)
    jumps = [0.5, 0.9, 0.6, 0.1, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0]
    done = epochs_of(checkpoint)
    network.jumps = iter(jumps[done if done <= epochs else 0 :])
    result = fit(
        network,
        network.loss,
        network.error,
        10,
        settings(max_epochs=epochs, patience=patience, **changes),
        generator,
        checkpoint,
    )
    weights = {name: tensor.tolist() for name, tensor in network.state_dict().items()}
    return weights, torch.rand(3, generator=generator).tolist(), result


def epochs_of(checkpoint):
    if checkpoint is None or not checkpoint.exists():
        return 0
    return len(load_checkpoint(checkpoint)["result"]["train_losses"])


@pytest.mark.parametrize("stops", [(1, 6), (2, 3, 4, 6), (5, 6), (6, 6)])
@pytest.mark.parametrize("cycle", [None, 6])
def test_an_interrupted_training_ends_as_if_it_had_gone_through(tmp_path, stops, cycle):
    whole = trained(6, cycle_epochs=cycle)
    for stop in stops:
        pieces = trained(stop, tmp_path / "state", cycle_epochs=cycle)
    assert pieces == whole


def test_patience_counts_on_through_a_checkpoint(tmp_path):
    whole = trained(10)
    assert whole[2].ended
    assert whole[2].n_epochs == 8
    for stop in (2, 5, 7, 9, 10):
        pieces = trained(stop, tmp_path / "state")
    assert pieces[2] == whole[2]
    assert pieces[0] == whole[0]


def test_a_checkpoint_that_is_further_than_asked_for_is_not_used(tmp_path):
    trained(5, tmp_path / "state")
    assert trained(3, tmp_path / "state") == trained(3)


def test_a_diverged_training_stays_diverged(tmp_path):
    network, calls = Line(), []

    def loss(indices):
        calls.append(1)
        return network.loss(indices) * math.nan

    for epochs in (1, 3):
        fitted = fit(
            network,
            loss,
            network.error,
            4,
            settings(max_epochs=epochs),
            torch.Generator(),
            tmp_path / "state",
        )
        assert fitted.diverged
        assert fitted.ended
    assert len(calls) == 1


def test_a_checkpoint_holds_no_code(tmp_path):
    trained(2, tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True)["result"]["best_epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
