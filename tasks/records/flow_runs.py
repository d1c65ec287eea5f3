"""Flow runs whose process was killed: Prefect shows them as running until they are marked."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from filelock import FileLock, Timeout
from prefect import runtime, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import TagsContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.utilities.urls import url_for

from llmpso.running.durable_files import DAMAGED_FOLDER, made_folder
from llmpso.urls import masked_url
from tasks.store.state_folders import lock_file, state_folder

TERMINATED = "Its process terminated unexpectedly."
PREFIX = "process:"
"""Of the tag that names the process of a flow run."""

OPEN_STATES = [StateType.RUNNING, StateType.PENDING]


def prefect_address() -> str:
    """The page of this flow run in Prefect, without secrets; empty if there is none."""
    return masked_url(url_for("flow-run", obj_id=str(runtime.flow_run.id)) or "")


@contextmanager
def announced() -> Iterator[None]:
    """Tag the block's flow runs with this process; first, mark the runs of killed processes.

    A run has the tag from its creation on: whenever a process is killed, it can be found.
    """
    root = made_folder(state_folder())
    folder = made_folder(root / "processes")
    own = folder / f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}"
    lock = FileLock(own)
    # One at a time: a file that is not locked yet looks like that of a dead process.
    with lock_file(root / "processes.lock", root / DAMAGED_FOLDER):
        _mark_dead(folder)
        lock.acquire()
    try:
        with tags(_tag(own)):
            yield
    finally:
        own.unlink(missing_ok=True)
        lock.release()


@contextmanager
def without_process_tag() -> Iterator[None]:
    """Within a flow: leave the tag of this process to the flow run.

    Prefect asks its server for a concurrency slot of every tag of a task, before and after: two
    requests for each training, and a training that fails where the server is unavailable.
    """
    current = TagsContext.get().current_tags
    with TagsContext(current_tags={tag for tag in current if not tag.startswith(PREFIX)}):
        yield


def mark_crashed(flow_run_id: str) -> None:
    """Mark a flow run and its tasks as crashed in Prefect, unless they have ended."""
    with get_client(sync_client=True) as prefect:
        try:
            run = prefect.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return  # another server's
        if run.state is None or run.state.is_final():
            return
        for task in prefect.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
            task_run_filter=TaskRunFilter(
                state=TaskRunFilterState(type=TaskRunFilterStateType(any_=OPEN_STATES))
            ),
        ):
            prefect.set_task_run_state(task.id, Crashed(message=TERMINATED), force=True)
        prefect.set_flow_run_state(run.id, Crashed(message=TERMINATED), force=True)


def _tag(file: Path) -> str:
    return f"{PREFIX}{file.name}"


def _mark_dead(folder: Path) -> None:
    for file in folder.iterdir():
        try:
            # The system frees a lock when its process ends, in whatever way.
            with lock_file(file, folder.parent / DAMAGED_FOLDER).acquire(timeout=0):
                for flow_run_id in _open_runs(_tag(file)):
                    mark_crashed(flow_run_id)
                file.unlink(missing_ok=True)
        except Timeout:
            continue


def _open_runs(tag: str) -> list[str]:
    with get_client(sync_client=True) as prefect:
        found = prefect.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[tag]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN_STATES)),
            )
        )
    return [str(run.id) for run in found]
