"""The same cheap study under other tuners, tracked as their users would: what is compared with.

Each records parameters and value per evaluation; Optuna also the curve and the model in MLflow, as
`llmpso tune` does. Where there is a slow way and a fast one, the rival gets the fast one.
"""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

from llmpso.benchmark.cheap import Cheap
from llmpso.cores import usable_cores
from llmpso.trial import Evaluation

LOW, HIGH = -5.0, 5.0


def optuna_study(evaluations: int, tracking_uri: str) -> None:
    """Optuna with its MLflow callback; the model is one that MLflow can load.

    Its requirements are given: MLflow needs seconds per model to infer them.
    """
    _optuna(evaluations, tracking_uri, is_bare=False)


def bare_optuna_study(evaluations: int, tracking_uri: str) -> None:
    """The same, but of the model only a file with its weights is stored."""
    _optuna(evaluations, tracking_uri, is_bare=True)


def _optuna(evaluations: int, tracking_uri: str, *, is_bare: bool) -> None:
    import optuna
    from optuna_integration.mlflow import MLflowCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)  # that the callback will go, and is young
    callback = MLflowCallback(tracking_uri=tracking_uri, metric_name="value")

    @callback.track_in_mlflow()  # type: ignore[untyped-decorator]
    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_float(name, LOW, HIGH) for name in Cheap.space}
        evaluation = Cheap().evaluate(params, fidelity=1.0, seed=0)
        _log(evaluation, is_bare=is_bare)
        return evaluation.value

    study = optuna.create_study(study_name="cheap under optuna")
    study.optimize(objective, n_trials=evaluations, callbacks=[callback])


def _save_weights(evaluation: Evaluation, folder: str) -> None:
    """Write the weights of the network that `Cheap` trained."""
    import torch

    if not isinstance(evaluation.model, torch.nn.Module):
        raise TypeError(f"model is a {type(evaluation.model).__name__}, no torch.nn.Module")
    torch.save(evaluation.model.state_dict(), Path(folder, "model.pt"))


def _log(evaluation: Evaluation, *, is_bare: bool) -> None:
    """Curve and model, into the active run; the curve in one request."""
    run = mlflow.active_run()
    assert run is not None
    points = [
        Metric(name, value, 0, epoch)
        for name, curve in evaluation.curves.items()
        for epoch, value in enumerate(curve)
    ]
    MlflowClient().log_batch(run.info.run_id, metrics=points)
    if is_bare:
        with tempfile.TemporaryDirectory() as folder:
            _save_weights(evaluation, folder)
            mlflow.log_artifacts(folder, "model")
    else:
        mlflow.pytorch.log_model(
            evaluation.model,
            name="model",
            serialization_format="pickle",
            pip_requirements=["torch"],
        )


def ray_study(evaluations: int, tracking_uri: str) -> None:
    """Ray Tune with its MLflow callback: figures go to MLflow, models only to Ray's own folder.

    Trials report once, without their curve, because every report is a round trip.
    """
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=usable_cores(), include_dashboard=False, log_to_driver=False)
        tuner = tune.Tuner(
            _ray_trial,
            param_space={name: tune.uniform(LOW, HIGH) for name in Cheap.space},
            tune_config=tune.TuneConfig(num_samples=evaluations, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[
                    MLflowLoggerCallback(
                        tracking_uri, experiment_name="cheap under ray", save_artifact=True
                    )
                ],
            ),
        )
        tuner.fit()
        ray.shutdown()


def _ray_trial(params: dict[str, Any]) -> None:
    from ray import tune

    evaluation = Cheap().evaluate(params, fidelity=1.0, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        _save_weights(evaluation, folder)
        checkpoint = tune.Checkpoint.from_directory(folder)
        tune.report({"value": evaluation.value}, checkpoint=checkpoint)
