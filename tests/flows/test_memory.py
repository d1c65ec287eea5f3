"""What a person sees of memory: a second study begins from the first, and says so."""

import json

import mlflow
import pytest

from flows.display.summary_markdown import description
from flows.display.summary_text import as_text
from flows.tune import tune
from llmpso.errors import SpecError
from llmpso.trial import Source
from tasks.earlier_studies.find import RECALLED, Recalled

OPTIONS = {"advisor": "none", "workers": 1, "evaluations": 8}


def trials_of(run_id: str) -> list[tuple[str, str, str]]:
    children = mlflow.search_runs(
        search_all_experiments=True, filter_string=f"tags.`mlflow.parentRunId` = '{run_id}'"
    )
    columns = children.sort_values("tags.mlflow.runName")
    return list(zip(columns["tags.source"], columns["params.x"], columns["params.n"], strict=True))


def test_a_study_begins_from_an_earlier_one_and_says_so(
    prefect_server, mlflow_store, bowl, blank_pictures
) -> None:
    first = tune(bowl, seed=1, experiment="last <week>", **OPTIONS)
    second = tune(bowl, seed=2, **OPTIONS)
    assert Source.MEMORY not in first.by_source
    assert second.by_source[Source.MEMORY] == len(second.starts) > 0
    assert second.best_value <= first.best_value
    (earlier,) = second.began_from
    assert (earlier["reference"], earlier["best"]) == (first.run_id, first.best_value)
    start = second.starts[0]
    assert (start["studies"], start["value"]) == ([first.study], first.best_value)
    text = as_text(second)
    assert f"began from 1 earlier study: {first.study} (best {first.best_value:.4g}, " in text
    assert f"start {start['trial']} from {first.study}: {start['value']:.4g}, rank" in text
    note = mlflow.get_run(second.run_id).data.tags["mlflow.note.content"]
    assert note == description(second)
    assert f"`{first.run_id}`" in note
    assert mlflow.get_run(second.run_id).data.tags["memory"] == "1 earlier study"
    assert earlier["share"] == 1.0
    assert second.beliefs
    curve = mlflow.MlflowClient().get_metric_history(second.run_id, "memory_belief")
    assert [[point.step, point.value] for point in curve] == second.beliefs
    assert f"their trend was followed to {second.beliefs[0][1]:.0%} after " in text


def test_without_memory_trials_are_those_of_an_empty_store(
    prefect_server, mlflow_store, bowl, blank_pictures
) -> None:
    first = tune(bowl, seed=1, **OPTIONS)
    assert trials_of(tune(bowl, seed=1, memory="off", **OPTIONS).run_id) == trials_of(first.run_id)


def test_a_resumed_study_begins_from_what_it_began_from(
    prefect_server, mlflow_store, bowl, blank_pictures
) -> None:
    tune(bowl, seed=1, **OPTIONS)
    short = tune(bowl, seed=2, **OPTIONS)
    tune(bowl, seed=3, **OPTIONS)
    longer = tune(bowl, seed=2, **(OPTIONS | {"evaluations": 10}))
    assert longer.run_id == short.run_id
    assert longer.reused == 8
    assert trials_of(longer.run_id)[:8] == trials_of(short.run_id)[:8]
    assert longer.began_from == short.began_from


def test_a_study_whose_record_of_its_memory_was_deleted_goes_on(
    prefect_server, mlflow_store, bowl, blank_pictures
) -> None:
    tune(bowl, seed=1, **OPTIONS)
    short = tune(bowl, seed=2, **OPTIONS)
    mlflow.MlflowClient().log_text(short.run_id, '{"studies": [', RECALLED)
    longer = tune(bowl, seed=2, **(OPTIONS | {"evaluations": 10}))
    assert longer.reused == 8
    text = mlflow.artifacts.load_text(f"runs:/{short.run_id}/{RECALLED}")
    assert len(Recalled(**json.loads(text)).studies) == 1


def test_an_experiment_that_is_not_there_is_refused_at_once(
    prefect_server, mlflow_store, bowl
) -> None:
    with pytest.raises(SpecError, match="memory_experiments is 'bowls'; there is no such exp"):
        tune(bowl, memory_experiments=("bowls",), **OPTIONS)
