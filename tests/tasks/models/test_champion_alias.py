"""What serves is changed wholly or not at all, however and whenever the process dies."""

import itertools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

from llmpso import Float, SearchSpace
from llmpso.errors import ChampionChangedError, RegistryError
from tasks.earlier_studies.find import Recalled, Sought, found
from tasks.models.champion_alias import CHANGE_TAG
from tasks.models.find_champion import (
    REFERENCE_FILE,
    champion_lost,
    find_champion,
    record_confirmation,
)
from tasks.models.model_files import write_description
from tasks.models.registry import Promotion, Registry
from tasks.models.stored_models import MODEL, store_model
from tasks.store.client import client
from tasks.store.experiment import Experiment

SPACE = SearchSpace({"x": Float(0.0, 1.0)})


class Killed(BaseException):
    """Simulates the end of a process: no code catches it."""


class Process:
    """A process that is killed just before its n-th write into the store.

    What it would do after that, to clean up, reaches the store no more. Between two writes it
    makes no difference where it is killed.
    """

    def __init__(self) -> None:
        self._n_left: int | None = None
        self.writes: list[str] = []

    def runs(self, action: Callable[[], object], kill_at: int) -> bool:
        """Whether it came to its end alive."""
        self._n_left, self.writes = kill_at, []
        try:
            action()
        except Killed:
            return False
        finally:
            self._n_left = None
        return True

    def writes_with(self, name: str) -> None:
        if self._n_left is None:
            return
        self._n_left -= 1
        if self._n_left <= 0:
            raise Killed
        self.writes.append(name)


@pytest.fixture
def process(mlflow_store: str, monkeypatch: pytest.MonkeyPatch) -> Process:
    mortal = Process()

    def watched(name: str, method: Callable) -> Callable:
        def call(*args, **kwargs):
            mortal.writes_with(name)
            return method(*args, **kwargs)

        return call

    for store in (RegistryStore, TrackingStore):
        for name, method in list(vars(store).items()):
            if name.startswith(("create_", "set_", "update_", "delete_", "log_")):
                monkeypatch.setattr(store, name, watched(name, method))
    return mortal


@pytest.fixture
def trained(mlflow_store: str, tmp_path: Path) -> str:
    """A run with a model."""
    store_model(torch.nn.Linear(1, 1), tmp_path)
    write_description(tmp_path, tmp_path / MODEL)
    run = client(mlflow_store).create_run("0")
    client(mlflow_store).log_artifacts(run.info.run_id, str(tmp_path / "model"), "model")
    return f"runs:/{run.info.run_id}/model"


@pytest.fixture
def promoted(mlflow_store: str, trained: str) -> Callable[..., str]:
    def run(model: str, replaced: str, error: float = 1.0) -> str:
        promotion = Promotion(
            trained, {"x": error / 10}, error, "promoted", "it is better", replaced,
            study_run="study", retune_run=f"after {replaced}", pages={"study": "#/s", "no": ""},
        )  # fmt: skip
        return Registry(mlflow_store, model).promote(promotion)

    return run


def aliases(model: str) -> dict[str, str]:
    found = mlflow.MlflowClient().get_registered_model(model).aliases
    return {alias: str(version) for alias, version in found.items()}


def served(store: str, model: str) -> list[int]:
    return Registry(store, model).promotions()["version"].tolist()


def n_versions(model: str) -> int:
    return len(mlflow.MlflowClient().search_model_versions(f"name = '{model}'"))


def test_a_promotion_that_is_killed_at_any_call_is_whole_after_the_next(
    process: Process, promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    for kill_at in itertools.count(1):
        old = aliases("model")["champion"]
        new = str(int(old) + 1)
        is_done = process.runs(lambda old=old: promoted("model", old), kill_at)
        if aliases("model")["champion"] == old:
            assert promoted("model", old) == new
        Registry(mlflow_store, "model").serving.settle()
        assert aliases("model") == {"champion": new, "previous": old}
        assert served(mlflow_store, "model") == list(range(1, int(new) + 1))
        assert n_versions("model") == int(new)
        if is_done:
            break
    assert kill_at > 10


def test_a_killed_promotion_that_is_not_resumed_leaves_the_way_back(
    process: Process, promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1")
    for kill_at in itertools.count(1):
        before = aliases("model")
        is_done = process.runs(lambda old=before["champion"]: promoted("model", old), kill_at)
        now = aliases("model")["champion"]
        back = before["previous"] if now == before["champion"] else before["champion"]
        assert Registry(mlflow_store, "model").roll_back() == (now, back)
        assert aliases("model") == {"champion": back, "previous": now}
        assert set(served(mlflow_store, "model")) >= {int(now), int(back)}
        if is_done:
            break
    assert len(served(mlflow_store, "model")) < n_versions("model")


def test_a_rollback_that_is_killed_at_any_call_is_whole_or_was_none(
    process: Process, promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1")
    before = aliases("model")
    turned = {"champion": before["previous"], "previous": before["champion"]}
    for kill_at in itertools.count(1):
        is_done = process.runs(lambda: Registry(mlflow_store, "model").roll_back(), kill_at)
        Registry(mlflow_store, "model").serving.settle()
        assert aliases("model") in (before, turned)
        tags = mlflow.MlflowClient().get_model_version("model", before["champion"]).tags
        assert ("rolled_back_at" in tags) == (aliases("model") == turned)
        if is_done:
            break
        if aliases("model") == turned:
            before, turned = turned, before
            for version in ("1", "2"):
                mlflow.MlflowClient().delete_model_version_tag("model", version, "rolled_back_at")


def test_nothing_is_promoted_over_a_version_that_it_was_not_compared_with(
    promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1", error=1.004)
    with pytest.raises(ChampionChangedError, match="version 2 of 'model' serves now, and this "):
        promoted("model", "7", error=1.229)
    assert aliases("model") == {"champion": "2", "previous": "1"}
    assert served(mlflow_store, "model") == [1, 2]
    refused = mlflow.MlflowClient().get_model_version("model", "3")
    assert "compared with version 7" in refused.tags["not_promoted"]


def test_a_champion_that_is_deleted_before_the_promotion_is_not_replaced_by_it(
    promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1")
    mlflow.MlflowClient().delete_model_version("model", "2")
    with pytest.raises(ChampionChangedError, match="no version of 'model' serves now"):
        promoted("model", "2")
    champion = find_champion(Registry(mlflow_store, "model"), SPACE)
    with pytest.raises(ChampionChangedError, match="compared with version 2"):
        record_confirmation(
            Registry(mlflow_store, "model"), replace_version(champion), "it is better"
        )
    assert aliases("model") == {"previous": "1"}


def replace_version(champion):
    """The champion as it was read before it was deleted."""
    return type(champion)(champion.name, "2", champion.params, 1.0, None, serves=True)


def test_a_change_that_was_moved_by_hand_since_is_left_unchanged(
    promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1")
    store = mlflow.MlflowClient()
    change = json.loads(store.get_registered_model("model").tags[CHANGE_TAG])
    change["after"]["champion"], change["is_done"] = "7", False
    store.set_registered_model_tag("model", CHANGE_TAG, json.dumps(change))
    Registry(mlflow_store, "model").serving.settle()
    assert aliases("model") == {"champion": "2", "previous": "1"}
    for damaged in ("", "[]", '{"before": 3}', "null"):
        store.set_registered_model_tag("model", CHANGE_TAG, damaged)
        with pytest.raises(RegistryError, match=f"tag {CHANGE_TAG} of model 'model' is damaged"):
            Registry(mlflow_store, "model").serving.settle()


def test_a_champion_that_is_gone_is_said_and_its_predecessor_replaces_it(
    promoted, mlflow_store: str
) -> None:
    assert champion_lost(Registry(mlflow_store, "model")) == ""
    promoted("model", "")
    promoted("model", "1")
    assert champion_lost(Registry(mlflow_store, "model")) == ""
    mlflow.MlflowClient().delete_model_version("model", "2")
    lost = champion_lost(Registry(mlflow_store, "model"))
    assert "has the alias @champion any more, and version 2 served last: compared with" in lost
    champion = find_champion(Registry(mlflow_store, "model"), SPACE)
    assert (champion.version, champion.serves) == ("1", False)
    record_confirmation(Registry(mlflow_store, "model"), champion, "nothing better was found")
    assert aliases("model") == {"champion": "1"}
    assert "restored_at" in mlflow.MlflowClient().get_model_version("model", "1").tags
    with pytest.raises(RegistryError, match="no version with the alias @previous"):
        Registry(mlflow_store, "model").roll_back()
    mlflow.MlflowClient().delete_model_version("model", "1")
    assert find_champion(Registry(mlflow_store, "model"), SPACE) is None
    assert "there is no @previous either" in champion_lost(Registry(mlflow_store, "model"))


def test_rolling_back_restores_the_previous_version_in_place_of_one_that_is_gone(
    promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    promoted("model", "1")
    mlflow.MlflowClient().delete_registered_model_alias("model", "champion")
    assert Registry(mlflow_store, "model").roll_back() == ("", "1")
    assert aliases("model") == {"champion": "1"}
    mlflow.MlflowClient().set_registered_model_alias("model", "previous", "1")
    with pytest.raises(RegistryError, match="are both version 1; give @previous to the version"):
        Registry(mlflow_store, "model").roll_back()


@pytest.mark.parametrize("name", ["o'brien", 'the "best"', "50 %_off", "ü\\n", "a=b and c"])
def test_a_model_may_have_any_name_that_mlflow_takes(promoted, mlflow_store: str, name) -> None:
    assert promoted(name, "") == "1"
    assert promoted(name, "1") == "2"
    assert served(mlflow_store, name) == [1, 2]
    assert find_champion(Registry(mlflow_store, name), SPACE).version == "2"
    sought = Sought(Experiment(mlflow_store, "0"), SPACE, "cost", "objective", name)
    assert found(sought) == Recalled()
    assert Registry(mlflow_store, name).roll_back() == ("2", "1")


@pytest.mark.parametrize(
    ("tag", "text", "message"),
    [
        ("params", "{", "tag params of champion models:/model/1 is '{'; it must be a JSON object"),
        ("params", "[1]", "it must be a JSON object"),
        ("params", '{"x": 7}', "parameters that the space does not allow"),
        ("params", "{}", "parameters that the space does not allow"),
        ("error", "low", "tag error of models:/model/1 is 'low'; it must be a number"),
        ("error", "nan", "tag error of models:/model/1 is 'nan'; it must be a number"),
    ],
)
def test_a_damaged_champion_is_refused(promoted, mlflow_store: str, tag, text, message) -> None:
    promoted("model", "")
    mlflow.MlflowClient().set_model_version_tag("model", "1", tag, text)
    with pytest.raises(RegistryError, match=message):
        find_champion(Registry(mlflow_store, "model"), SPACE)


@pytest.mark.parametrize("text", ["", "[]", '{"columns": 3, "until": ""}'])
def test_a_damaged_record_of_the_champions_data_is_refused(
    promoted, mlflow_store: str, text: str
) -> None:
    promoted("model", "")
    store = mlflow.MlflowClient()
    run_id = store.create_run("0").info.run_id
    store.set_model_version_tag("model", "1", "retune_run", run_id)
    assert find_champion(Registry(mlflow_store, "model"), SPACE).reference is None
    store.log_text(run_id, text, REFERENCE_FILE)
    with pytest.raises(RegistryError, match=f"{REFERENCE_FILE} of run {run_id}, .* is damaged"):
        find_champion(Registry(mlflow_store, "model"), SPACE)
    store.set_model_version_tag("model", "1", "retune_run", "0" * 32)
    assert find_champion(Registry(mlflow_store, "model"), SPACE).reference is None


def test_a_version_of_unknown_origin_is_refused(mlflow_store: str, tmp_path: Path) -> None:
    store = mlflow.MlflowClient()
    store.create_registered_model("model")
    store.create_model_version("model", str(tmp_path))
    store.set_registered_model_alias("model", "champion", "1")
    with pytest.raises(RegistryError, match="models:/model/1 has no record of its parameters"):
        find_champion(Registry(mlflow_store, "model"), SPACE)


def test_a_change_is_refused_where_nothing_is_expected_to_serve(
    promoted, mlflow_store: str
) -> None:
    promoted("model", "")
    with pytest.raises(ChampionChangedError, match="this run compared with no version"):
        Registry(mlflow_store, "model").serving.change(expected="", to="1", marks={})


def give_alias(store: str, model: str, alias: str, version: int) -> None:
    """As a store has it whose version was deleted while its alias was given."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
        database.execute(
            "UPDATE registered_model_aliases SET version = ? WHERE name = ? AND alias = ?",
            [version, model, alias],
        )
        database.commit()


def test_the_alias_of_a_version_that_is_gone_is_none(promoted, mlflow_store: str) -> None:
    promoted("model", replaced="")
    promoted("model", replaced="1", error=0.5)
    give_alias(mlflow_store, "model", "champion", 99)
    found = find_champion(Registry(mlflow_store, "model"), SPACE)
    assert (found.version, found.serves) == ("1", False)
    assert "version 2 served last" in champion_lost(Registry(mlflow_store, "model"))
    assert Registry(mlflow_store, "model").roll_back() == ("", "1")
    assert aliases("model") == {"champion": "1"}
    promoted("model", replaced="1", error=0.4)
    give_alias(mlflow_store, "model", "previous", 99)
    with pytest.raises(RegistryError, match="no version with the alias @previous"):
        Registry(mlflow_store, "model").roll_back()
