import pytest

from llmpso.errors import SpaceError, SpecError
from llmpso.objectives import cnn, lstm
from llmpso.objectives.tunables import SPACE_NAMES
from llmpso.space import Float, SearchSpace


@pytest.mark.parametrize("tunables", [cnn.TUNABLES, lstm.TUNABLES], ids=["cnn", "lstm"])
def test_each_space_holds_the_one_before_it(tunables):
    assert tuple(tunables.spaces) == SPACE_NAMES
    paper, standard, wide = (tunables.named(name) for name in SPACE_NAMES[:3])
    assert len(paper) == 2
    assert set(paper) < set(standard) < set(wide)
    assert set(tunables.fixed) == set(wide) - set(paper)
    fixed = {name: tunables.fixed[name] for name in wide if name not in paper}
    assert wide.validate(fixed | {name: paper[name].low for name in paper})


def test_what_is_left_out_has_its_fixed_value():
    space = cnn.TUNABLES.named("paper")
    complete = cnn.TUNABLES.complete(space, {"layers": 2, "filters": 8})
    assert complete == dict(cnn.TUNABLES.fixed) | {"layers": 2, "filters": 8}
    with pytest.raises(SpaceError, match="filters is missing"):
        cnn.TUNABLES.complete(space, {"layers": 2})


def test_a_space_that_does_not_fit_is_refused():
    with pytest.raises(SpecError, match="space is 'huge'; it must be one of: paper, standard, w"):
        cnn.TUNABLES.named("huge")
    with pytest.raises(SpecError, match=r"space names \['rate'\]; it must name \['filters', 'la"):
        cnn.TUNABLES.check(SearchSpace({"rate": Float(0, 1)}))


@pytest.mark.parametrize(
    ("tunables", "most"), [(cnn.TUNABLES, 6), (lstm.TUNABLES, 3)], ids=["cnn", "lstm"]
)
def test_the_width_of_each_layer_counts_if_there_is_the_layer(tunables, most):
    space = tunables.named("layers")
    tunables.check(space)
    for layers in range(1, most + 1):
        widths = {f"{tunables.width}_{n}": 8 + n for n in range(1, layers + 1)}
        params = {"layers": layers, **widths, "learning_rate": 0.01, "dropout": 0.1}
        chosen = tunables.complete(space, params)
        assert tunables.widths(chosen) == tuple(widths.values())
    with pytest.raises(SpaceError, match="_2 counts only if layers >= 2"):
        tunables.complete(space, params | {"layers": 1})
    with pytest.raises(SpecError, match="it must name"):
        tunables.check(SearchSpace({f"{tunables.width}_1": space[f"{tunables.width}_1"]}))
