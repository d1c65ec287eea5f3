"""Notifications on the outcome of a run, through a notification block of Prefect."""

from collections.abc import Callable
from functools import partial
from typing import Any

from prefect import Flow, get_run_logger
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun, State

from flows.storable import check_storable
from llmpso.errors import SpecError
from llmpso.options import RunOptions
from llmpso.text import one_line


def load_notifier(block: str) -> NotificationBlock:
    """The block of a name such as `slack-webhook/ops`.

    Raises:
        SpecError: There is no such block, or it does not notify, or it is an address.
    """
    check_storable(RunOptions(notify=block))
    try:
        found = Block.load(block)
    except ValueError as error:
        reason = one_line(error)
        raise SpecError(
            f"notify is {block!r}, which cannot be loaded ({reason}); name a block as TYPE/NAME, "
            "as prefect block ls shows them"
        ) from error
    if not isinstance(found, NotificationBlock):
        raise SpecError(f"notify is {block!r}, a {type(found).__name__}, which does not notify")
    return found


def tell(block: str | None, subject: str, body: str) -> None:
    """Send a message, if a block is configured; one that cannot be sent is logged.

    A run does not fail because a notification could not be sent.
    """
    if not block:
        return
    try:
        # Without a running event loop Prefect runs it synchronously, although it is declared
        # `async`.
        notify: Callable[..., object] = load_notifier(block).notify
        notify(body, subject=subject)
    except Exception:  # noqa: BLE001 - any service may fail in any way
        get_run_logger().exception(
            "the notification %r could not be sent: the block %r failed", subject, block
        )


def notify_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any], what: str) -> None:
    """A hook of a flow with the parameter `notify`."""
    block = (flow_run.parameters or {}).get("notify")
    tell(block, f"{flow.name} {what}: {flow_run.name}", state.message or "no reason was given")


HOOKS: dict[str, Any] = {
    "on_failure": [partial(notify_failure, what="failed")],
    "on_crashed": [partial(notify_failure, what="crashed")],
}
"""For the decorator of a flow."""
