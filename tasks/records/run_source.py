"""Tags by which MLflow's pages say who started a study, with which code, of which commit."""

import inspect
import sys
from collections.abc import Mapping
from functools import cache

from mlflow.entities import SourceType
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_PROJECT_ENTRY_POINT,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from llmpso.objectives.user_function import defining


def source_tags(objective: object, entry_point: str) -> dict[str, str]:
    """The tags of a study's run.

    Args:
        objective: Its source file is the run's source; the command's, where it has none.
        entry_point: What was tuned, as a command names it.
    """
    tags = dict(user_tags())
    code = defining(getattr(objective, "function", None) or type(objective))
    # Code of a notebook, or of a compiled module, is in no file.
    tags[MLFLOW_SOURCE_NAME] = _file_of(code) or tags[MLFLOW_SOURCE_NAME]
    tags[MLFLOW_PROJECT_ENTRY_POINT] = entry_point.rpartition(":")[2]
    if commit := get_git_commit(tags[MLFLOW_SOURCE_NAME]):
        tags[MLFLOW_GIT_COMMIT] = commit
    return tags


@cache
def user_tags() -> Mapping[str, str]:
    """Who runs this process, and the command that it is."""
    local = {MLFLOW_SOURCE_TYPE: SourceType.to_string(SourceType.LOCAL)}
    # MLflow leaves out what fails, as the name of a user does in a container that has no list.
    found: dict[str, str] = resolve_tags()
    return {MLFLOW_USER: "unknown", MLFLOW_SOURCE_NAME: sys.argv[0]} | local | found


def _file_of(code: object) -> str:
    try:
        return inspect.getsourcefile(code) or ""  # type: ignore[arg-type]
    except TypeError:
        return ""
