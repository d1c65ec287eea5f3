"""What a training loop calls: one line that records its curve, and stops it if it is too bad."""

from pathlib import Path

from llmpso.fidelity.reporter import current_reporter


def report(step: int, value: float, *, total: int | None = None) -> None:
    """Report how good a training is after a step; outside a study this does nothing.

    The values are recorded as a curve. In a study with `racing`, the call stops a training that
    is worse at this step than most others were, by an exception: let it pass.

    Args:
        step: Epochs, rounds or batches so far, rising; not every step need be reported.
        value: Lower is better, as of what the training returns in the end.
        total: Steps of the full training, if it may end earlier by itself.

    Raises:
        TrainingStoppedError: The training is not worth going on with, or pauses.

    Example:
        >>> from llmpso import report
        >>> for epoch in range(1, 4):
        ...     report(epoch, 1 / epoch)
    """
    reporter = current_reporter()
    if reporter is not None:
        reporter.report(step, value, total=total)


def checkpoint() -> Path | None:
    """File that the running training may write its state to and resume from.

    None where it would not be used: outside a study, or in one that pauses no training.
    """
    reporter = current_reporter()
    return None if reporter is None else reporter.checkpoint
