"""One retuning of a model at a time, whichever deployment, worker or terminal starts it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from llmpso.errors import BusyModelError

WAIT_SECONDS = 5.0
"""How long the server may take to answer before the slot counts as taken."""

LEASE_SECONDS = 60.0
"""How soon after its process has died a run no longer blocks the next."""


@contextmanager
def only_run(model: str) -> Iterator[None]:
    """Hold the model's one slot of the Prefect server for the length of the block.

    A deployment's own limit does not see other deployments of the same model; this does.

    Raises:
        BusyModelError: Another run holds it.
    """
    slot = f"retune-{model}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(slot, 1)
    held = concurrency(
        slot, timeout_seconds=WAIT_SECONDS, lease_duration=LEASE_SECONDS, strict=True
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(held)
        except TimeoutError as error:
            raise BusyModelError(
                f"another run retunes {model!r} at this moment; let it end, and give each model "
                "one deployment only"
            ) from error
        yield
