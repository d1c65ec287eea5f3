"""Conditional spaces on real data: which model and which optimizer, with what belongs to each.

The data are those that ship with scikit-learn. Trainings take hundredths of a second, are the same
for the same configuration, and are really done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.space import Categorical, Float, Floats, Integer, Params, SearchSpace
from llmpso.trial import Evaluation

LEARNERS = SearchSpace(
    {
        "learner": Categorical(("svm", "neighbours", "forest", "linear", "boosting")),
        "svm.c": Float(1e-2, 1e3, log=True, when={"learner": "svm"}),
        "svm.kernel": Categorical(("linear", "poly", "rbf"), when={"learner": "svm"}),
        "svm.gamma": Float(1e-4, 10.0, log=True, when={"svm.kernel": ["poly", "rbf"]}),
        "svm.degree": Integer(2, 4, when={"svm.kernel": "poly"}),
        "neighbours.n": Integer(1, 50, log=True, when={"learner": "neighbours"}),
        "neighbours.p": Float(1.0, 5.0, when={"learner": "neighbours"}),
        "forest.depth": Integer(1, 15, when={"learner": "forest"}),
        "forest.features": Float(0.1, 1.0, when={"learner": "forest"}),
        "linear.alpha": Float(1e-4, 10.0, log=True, when={"learner": "linear"}),
        "linear.l1_ratio": Float(0.0, 1.0, when={"learner": "linear"}),
        "boosting.rate": Float(1e-2, 1.0, log=True, when={"learner": "boosting"}),
        "boosting.depth": Integer(1, 6, when={"learner": "boosting"}),
        "boosting.subsample": Float(0.3, 1.0, when={"learner": "boosting"}),
    }
)
"""Fourteen hyperparameters, of which two to five count."""

OPTIMIZERS = SearchSpace(
    {
        "alpha": Float(1e-6, 1.0, log=True),
        "layers": Integer(1, 3),
        "units_1": Integer(8, 64, log=True),
        "units_2": Integer(8, 64, log=True, when={"layers": ">= 2"}),
        "units_3": Integer(8, 64, log=True, when={"layers": 3}),
        "solver": Categorical(("adam", "sgd")),
        "adam.rate": Float(1e-4, 1e-1, log=True, when={"solver": "adam"}),
        "adam.beta_1": Float(0.5, 0.99, when={"solver": "adam"}),
        "sgd.rate": Float(1e-3, 1.0, log=True, when={"solver": "sgd"}),
        "sgd.momentum": Float(0.0, 0.99, when={"solver": "sgd"}),
        "sgd.nesterov": Categorical((True, False), when={"sgd.momentum": "> 0.1"}),
        "sgd.schedule": Categorical(("constant", "invscaling"), when={"solver": "sgd"}),
    }
)
"""Twelve hyperparameters, of which eight are conditional."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is tuned, and the data that it is tuned on."""

    space: SearchSpace
    model: Callable[[Params], Any]
    load: Callable[[], tuple[Floats, Floats]]
    description: str


class ConditionalObjective:
    """Cross-validated error of a model of scikit-learn, by a conditional configuration.

    A configuration may have values for what does not count in it; they make no difference.

    Args:
        name: One of `CONDITIONAL`.

    Raises:
        SpecError: The name is unknown.
    """

    metric = "RMSE (3-fold cross-validation)"

    def __init__(self, name: str) -> None:
        if name not in CONDITIONAL:
            allowed = ", ".join(CONDITIONAL)
            raise SpecError(f"problem is {name!r}; it must be one of: {allowed}")
        self.name = name
        self._kind = CONDITIONAL[name]
        self.space = self._kind.space
        self.description = self._kind.description

    @cached_property
    def _data(self) -> tuple[Floats, Floats]:
        from sklearn.preprocessing import StandardScaler

        inputs, targets = self._kind.load()
        order = np.random.default_rng(0).permutation(len(targets))
        return StandardScaler().fit_transform(inputs[order]), targets[order].astype(np.float64)

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Train three times and measure."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import cross_val_score
        from sklearn.utils._testing import ignore_warnings

        used, _ = self.space.without_unused(params)
        model = self._kind.model(self.space.validate(used))
        with ignore_warnings(category=(ConvergenceWarning, RuntimeWarning)):
            losses = cross_val_score(
                model, *self._data, cv=3, scoring="neg_root_mean_squared_error"
            )
        return Evaluation(-float(losses.mean()))


def flat(space: SearchSpace) -> SearchSpace:
    """The same hyperparameters without their conditions."""
    return SearchSpace({name: replace(dimension, when={}) for name, dimension in space.items()})


def _own(params: Params, prefix: str) -> dict[str, Any]:
    """The values of one branch by their names within it."""
    return {n.removeprefix(prefix): v for n, v in params.items() if n.startswith(prefix)}


def _learner(params: Params) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import ElasticNet
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR

    own = _own(params, f"{params['learner']}.")
    match params["learner"]:
        case "svm":
            return SVR(
                C=own["c"],
                kernel=own["kernel"],
                gamma=own.get("gamma", 1.0),
                degree=own.get("degree", 3),
                max_iter=20_000,
            )
        case "neighbours":
            return KNeighborsRegressor(own["n"], p=own["p"])
        case "forest":
            depth, features = own["depth"], own["features"]
            return RandomForestRegressor(
                20, max_depth=depth, max_features=features, random_state=0
            )
        case "linear":
            return ElasticNet(**own)
    return GradientBoostingRegressor(
        n_estimators=30,
        learning_rate=own["rate"],
        max_depth=own["depth"],
        subsample=own["subsample"],
        random_state=0,
    )


def _network(params: Params) -> Any:
    from sklearn.neural_network import MLPRegressor

    own = _own(params, f"{params['solver']}.")
    rest = {key: own[key] for key in ("beta_1", "momentum") if key in own}
    return MLPRegressor(
        hidden_layer_sizes=[params[f"units_{n}"] for n in range(1, params["layers"] + 1)],
        alpha=params["alpha"],
        solver=params["solver"],
        learning_rate_init=own["rate"],
        learning_rate=own.get("schedule", "constant"),
        nesterovs_momentum=own.get("nesterov", False),
        max_iter=15,
        batch_size=64,
        random_state=0,
        **rest,
    )


def _shipped(loader: str, most: int) -> Callable[[], tuple[Floats, Floats]]:
    def load() -> tuple[Floats, Floats]:
        from sklearn import datasets

        inputs, targets = getattr(datasets, loader)(return_X_y=True)
        return inputs[:most], targets[:most]

    return load


CONDITIONAL: Mapping[str, _Kind] = {
    "learners-diabetes": _Kind(
        LEARNERS,
        _learner,
        _shipped("load_diabetes", 442),
        "A model of scikit-learn predicts the progression of diabetes from ten measurements.",
    ),
    "learners-cancer": _Kind(
        LEARNERS,
        _learner,
        _shipped("load_breast_cancer", 569),
        "A model of scikit-learn predicts from thirty measurements of a tumour whether it is 0, "
        "malignant, or 1, benign.",
    ),
    "optimizers-digits": _Kind(
        OPTIMIZERS,
        _network,
        _shipped("load_digits", 600),
        "A small network of scikit-learn reads which digit, 0 to 9, 64 grey pixels show; 15 "
        "epochs in batches of 64.",
    ),
}
"""All problems by name."""
