"""Each callback in the real library: the curve that it reports, and a training that it stops."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from llmpso import Float, SearchSpace
from llmpso.objectives.user_function import PlainFunction
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.outcome import Outcome
from llmpso.trial import Limit, Source, Trial, TrialState

SPACE = SearchSpace({"rate": Float(0.01, 1.0)})
TRIAL = Trial(0, {"rate": 0.1}, Source.SWARM, iteration=0, particle=0, seed=3)
EPOCHS = 4

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def data() -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    return inputs, inputs @ np.array([1.0, -2.0, 0.5], dtype=np.float32)


def lightning(params, monitor="val_loss") -> float:
    from lightning.pytorch import LightningModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from llmpso.integrations.lightning import ReportCallback

    class Line(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch, index):
            return (self.layer(batch[0]).squeeze() - batch[1]).square().mean()

        def validation_step(self, batch, index):
            self.log("val_loss", self.training_step(batch, index))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=params["rate"])

    loader = DataLoader(TensorDataset(*map(torch.as_tensor, data())), batch_size=16)
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[ReportCallback(monitor)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Line()
    trainer.fit(module, loader, loader)
    return float(trainer.validate(module, loader, verbose=False)[0]["val_loss"])


def transformers(params, monitor="eval_loss", strategy="epoch") -> float:
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainingArguments,
    )

    from llmpso.integrations.transformers import ReportCallback

    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    tokens = np.random.default_rng(0).integers(0, 20, size=(32, 6))
    rows = [{"input_ids": row.tolist(), "labels": int(row[0] > 9)} for row in tokens]
    arguments = TrainingArguments(
        output_dir="out",
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=16,
        learning_rate=params["rate"],
        eval_strategy=strategy,
        eval_steps=2,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[ReportCallback(monitor)],
    )
    trainer.train()
    return float(trainer.evaluate()["eval_loss"])


def keras(params, monitor="val_loss") -> float:
    import keras as library

    from llmpso.integrations.keras import ReportCallback

    assert library.backend.backend() == "torch"
    model = library.Sequential([library.layers.Dense(1)])
    model.compile(library.optimizers.SGD(params["rate"]), loss="mse")
    found = model.fit(
        *data(),
        epochs=EPOCHS,
        validation_data=data(),
        callbacks=[ReportCallback(monitor)],
        verbose=0,
    )
    return found.history["val_loss"][-1]


def xgboost(params, monitor="valid-rmse") -> float:
    import xgboost as library

    from llmpso.integrations.xgboost import ReportCallback

    inputs, targets = data()
    matrix = library.DMatrix(inputs, targets)
    results: dict[str, Any] = {}
    library.train(
        {"eta": params["rate"], "nthread": 1},
        matrix,
        num_boost_round=EPOCHS,
        evals=[(matrix, "valid")],
        evals_result=results,
        callbacks=[ReportCallback(monitor)],
        verbose_eval=False,
    )
    return results["valid"]["rmse"][-1]


def cross_validated(params) -> float:
    import xgboost as library

    from llmpso.integrations.xgboost import ReportCallback

    table = library.cv(
        {"eta": params["rate"], "nthread": 1},
        library.DMatrix(*data()),
        num_boost_round=EPOCHS,
        nfold=2,
        callbacks=[ReportCallback("test-rmse")],
    )
    return float(table["test-rmse-mean"].iloc[-1])


def lightgbm(params, monitor="valid_0-l2") -> float:
    import lightgbm as library

    from llmpso.integrations.lightgbm import ReportCallback

    inputs, targets = data()
    train = library.Dataset(inputs, targets)
    model = library.train(
        {"learning_rate": params["rate"], "verbose": -1, "num_threads": 1, "min_data": 1},
        train,
        num_boost_round=EPOCHS,
        valid_sets=[library.Dataset(inputs, targets, reference=train)],
        callbacks=[ReportCallback(monitor)],
    )
    return float(np.square(model.predict(inputs) - targets).mean())


@pytest.fixture(params=[lightning, transformers, keras, xgboost, lightgbm])
def train(request: pytest.FixtureRequest) -> Callable[..., float]:
    pytest.importorskip(request.param.__name__)
    return request.param


def measured(function, trial: Trial = TRIAL) -> Outcome:
    return evaluate_trial(PlainFunction(function, SPACE), trial)


def test_the_curve_is_reported_once_per_epoch(train) -> None:
    outcome = measured(train)
    assert outcome.trial.failure is None
    assert [step for step, _ in outcome.evaluation.reports] == [1, 2, 3, 4]
    assert outcome.evaluation.reports[-1][1] == pytest.approx(outcome.trial.value, rel=1e-4)
    assert (outcome.trial.n_steps, outcome.trial.warnings) == (4, ())


def test_a_training_that_is_not_worth_going_on_stops_in_the_library(train) -> None:
    ended = measured(train, replace(TRIAL, limits=(Limit(2, -1.0, 0.5),))).trial
    assert (ended.state, ended.n_steps, ended.warnings) == (TrialState.PRUNED, ended.n_steps, ())
    assert ended.milestones[-1][0] == 2
    # The library is usable afterwards.
    assert measured(train).trial.state is TrialState.COMPLETE


def test_outside_a_study_the_training_runs_to_its_end(train) -> None:
    assert np.isfinite(train({"rate": 0.1}))


def test_a_figure_that_the_training_does_not_have_is_named(train) -> None:
    failure = measured(lambda params: train(params, monitor="no_such")).trial.failure
    assert failure.message.startswith("SpecError: monitor is 'no_such', which the training")
    assert "\n" not in failure.message


def test_transformers_reports_steps_where_it_evaluates_by_steps() -> None:
    pytest.importorskip("transformers")
    outcome = measured(lambda params: transformers(params, strategy="steps"))
    assert [step for step, _ in outcome.evaluation.reports] == [2, 4, 6, 8]
    assert outcome.trial.n_steps == 8


def test_xgboost_reports_the_mean_over_the_folds_of_a_cross_validation() -> None:
    pytest.importorskip("xgboost")
    outcome = measured(cross_validated)
    assert outcome.trial.failure is None
    assert outcome.evaluation.reports[-1] == (EPOCHS, pytest.approx(outcome.trial.value))


def test_a_figure_that_is_better_when_higher_is_negated() -> None:
    from llmpso.integrations.monitor import Monitor

    assert Monitor("accuracy", maximise=True).of({"accuracy": torch.tensor(0.75)}) == -0.75


@pytest.mark.parametrize("name", ["lightning", "transformers", "keras", "xgboost"])
def test_a_missing_library_is_named_in_one_line(name) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "from importlib import import_module\n"
        "try:\n"
        f"    import_module('llmpso.integrations.{name}')\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout == (
        f"the callback for {name} needs {name}, which is not installed: pip install {name}\n"
    )
