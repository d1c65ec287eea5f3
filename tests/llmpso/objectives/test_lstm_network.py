import pytest
import torch

from llmpso.objectives.lstm_network import (
    Architecture,
    LSTMNetwork,
    forecast,
    gather,
    share_of_lstm,
)


def network(layers=2, hidden_units=6, dropout=0.4, seed=0):
    made = LSTMNetwork(Architecture(3, layers, hidden_units, dropout, window=7))
    made.initialise(torch.Generator().manual_seed(seed))
    return made


def windows(n_windows=5):
    return torch.randn(7, n_windows, 3, generator=torch.Generator().manual_seed(1))


def weights(made):
    return [tensor.clone() for tensor in made.state_dict().values()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_depend_on_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = weights(network())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert equal(first, weights(network()))
    assert not equal(first, weights(network(seed=1)))


def test_initial_weights_are_orthogonal_and_remember():
    layer = network().recurrent[1]
    for gate in layer.weight_hh_l0.detach().chunk(4):
        assert torch.allclose(gate @ gate.T, torch.eye(6), atol=1e-5)
    bias = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().chunk(4)
    assert [gate.unique().tolist() for gate in bias] == [[0.0], [1.0], [0.0], [0.0]]


def test_dropout_is_drawn_from_the_generator_alone():
    made, inputs = network(), windows()

    def dropped(seed):
        return made(inputs, torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    first = dropped(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert torch.equal(first, dropped(0))
    assert not torch.equal(first, dropped(1))
    assert torch.equal(made(inputs), made(inputs))


def test_without_dropout_the_generator_changes_nothing():
    made, inputs = network(dropout=0.0), windows()
    assert torch.equal(made(inputs), made(inputs, torch.Generator().manual_seed(0)))


def test_dropout_preserves_the_mean():
    made, inputs = network(layers=1, dropout=0.3), windows(1)
    generator = torch.Generator().manual_seed(0)
    many = made(inputs.expand(-1, 20_000, -1), generator)
    assert float(many.detach().mean()) == pytest.approx(float(made(inputs).detach()), abs=0.02)
    assert float(many.detach().std()) > 0.001


def test_the_linear_path_sees_the_last_row():
    made, inputs = network(), windows()
    plain = made(inputs)
    with torch.no_grad():
        made.linear.weight.copy_(torch.tensor([[1.0, 0.0, -2.0]]))
    assert torch.allclose(made(inputs) - plain, inputs[-1, :, 0] - 2 * inputs[-1, :, 2], atol=1e-6)


def test_windows_end_at_the_rows_asked_for():
    inputs = torch.arange(20.0).reshape(10, 2)
    found = gather(inputs, torch.tensor([4, 9]), 3)
    assert found.shape == (3, 2, 2)
    assert torch.equal(found[:, 0], inputs[2:5])
    assert torch.equal(found[:, 1], inputs[7:10])


def test_many_windows_are_forecast_in_order():
    made = network()
    inputs = torch.randn(2500, 3, generator=torch.Generator().manual_seed(2))
    ends = torch.arange(6, 2500)
    with torch.inference_mode():
        all_at_once = forecast(made, inputs, ends, 7)
        one = made(gather(inputs, ends[1500:1501], 7))
    assert all_at_once.shape == (2494,)
    assert float(all_at_once[1500]) == pytest.approx(float(one), abs=1e-5)


def test_in_evaluation_mode_forecasts_are_averaged_with_ridge():
    made, inputs = network(), windows()
    own, weights = made(inputs), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    made.set_ridge(weights, 0.5)
    assert torch.equal(made(inputs), own)
    ridge = inputs[-2, :, 0] + 2 * inputs[-1, :, 2] + 0.5
    made.eval()
    for share in (0.0, 0.25, 1.0):
        made.share.fill_(share)
        assert torch.allclose(made(inputs), share * own + (1 - share) * ridge, atol=1e-6)


def test_the_better_forecast_has_the_larger_weight_and_more_so_with_more_windows():
    assert share_of_lstm(1.0, 1.0, 800) == pytest.approx(1 / 3)
    assert share_of_lstm(1.0, 1.0, 10**6) == pytest.approx(1 / 2, abs=1e-3)
    assert share_of_lstm(1.0, 1.0, 200) == pytest.approx(1 / 6)
    assert share_of_lstm(0.1, 1.0, 800) > 0.97
    assert share_of_lstm(10.0, 1.0, 800) < 0.01
    assert share_of_lstm(1.0, 0.0, 800) == share_of_lstm(0.0, 0.0, 800) == 0.0
