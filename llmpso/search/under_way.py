"""The trials of a search whose results are awaited, where it may go on before all have come."""

from collections.abc import Iterator, Sequence

from llmpso.errors import TellError
from llmpso.trial import Trial, TrialState


class UnderWay:
    """Trials that were proposed and have no result yet, in the order of proposal."""

    def __init__(self) -> None:
        self._trials: dict[int, Trial] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        """Each of them, as it was proposed."""
        return iter(self._trials.values())

    def __contains__(self, number: int) -> bool:
        """Whether the trial of this number is under way."""
        return number in self._trials

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials that were proposed."""
        self._trials |= {trial.number: trial for trial in trials}

    def end(self, trials: Sequence[Trial]) -> None:
        """Remove trials that ended, or paused at their fidelity.

        Raises:
            TellError: One was not under way, or has no value at its fidelity.
        """
        left = dict(self._trials)
        for trial in trials:
            if trial.number not in left:
                raise TellError(f"tell got trial {trial.number}; under way are {list(left)}")
            if trial.state is TrialState.PENDING and trial.fidelity not in dict(trial.rungs):
                raise TellError(f"trial {trial.number} is still pending; it needs a result")
            del left[trial.number]
        self._trials = left
