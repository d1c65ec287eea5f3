"""What a training loop calls: one line that records its curve, and stops it if it is too bad."""

from pathlib import Path

from llmpso.fidelity.reporter import current_reporter


def report(
    step: int, value: float, *, total: int | None = None, ends_from: int | None = None
) -> bool:
    """Report how good a training is after a step; outside a study this does nothing.

    The values are recorded as a curve. In a study with `racing`, the call stops a training that
    is worse at this step than most others were, by an exception: let it pass.

    Args:
        step: Epochs, rounds or batches so far, rising; not every step need be reported.
        value: Lower is better, as of what the training returns in the end.
        total: Steps of the full training, if it may end earlier by itself.
        ends_from: Least steps after which the training may end by itself. Not for schedules that
            lower the loss at their end, such as a cosine.

    Returns:
        Whether the loop should end, with `ends_from`: the training has gone twice as far as to
        its lowest value. Always False without it, and outside a study.

    Raises:
        TrainingStoppedError: The training is not worth going on with, or pauses.

    Example:
        >>> from llmpso import report
        >>> for epoch in range(1, 4):
        ...     ended = report(epoch, 1 / epoch)
    """
    reporter = current_reporter()
    if reporter is None:
        return False
    return reporter.report(step, value, total=total, ends_from=ends_from)


def checkpoint() -> Path | None:
    """File that the running training may write its state to and resume from.

    None where it would not be used: outside a study, or in one that pauses no training.
    """
    reporter = current_reporter()
    return None if reporter is None else reporter.checkpoint
