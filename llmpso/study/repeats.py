"""The best of many noisy trainings is partly luck: the best two are trained again.

The last trainings of a study repeat the two configurations with the lowest values, in turn, with
other seeds. That one is the best which is lower on average, and the mean of its repeats, none of
which was selected, says what it is worth (`llmpso.study.expected`). How many are repeated was
chosen on the development tables; what it is worth is in `llmpso/benchmark/README.md`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from llmpso.search.archive import trial_seed
from llmpso.study.stopping import StopReason
from llmpso.study.workers import Evaluator
from llmpso.trial import Source, Trial, ranked

N_REPEATED = 2
"""Configurations that are trained again; more of them, or a race among them, chose no better."""

FIRST_REPEAT = 2_000_000
"""The number of the first repeat: neither a search nor the refits of a retuning get there."""

PER_TRIAL = 1_000
"""Repeats of one trial that have numbers."""

REPEATED_AFTER = frozenset(
    {
        StopReason.BUDGET,
        StopReason.EXHAUSTED,
        StopReason.PATIENCE,
        StopReason.NO_GAIN,
        StopReason.LLM_CALLS,
        StopReason.LLM_TOKENS,
        StopReason.LLM_COST,
    }
)
"""Ends of a search after which there is time for repeats, and a reason."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How a study trains its best configurations again.

    Args:
        n: Trainings for it, of the study's evaluations.
        seed: That of the study.
        evaluate: Trains a batch in full, without stopping any early.
        before: Of a study that goes on: what `before_useless` found. Its search pauses there
            again, since it proposed the rest with what was known then.
    """

    n: int
    seed: int
    evaluate: Evaluator
    before: Sequence[Trial] = ()

    def batches(self, trials: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """Train again: once first, then the rest unless that gave the very same value."""
        asked = repeats_of(trials, self.n, self.seed)
        if not asked:
            return
        first = self.evaluate(asked[:1])
        yield first
        if len(asked) > 1 and not are_deterministic(trials, first):
            place = {trial.number: index for index, trial in enumerate(asked)}
            yield sorted(self.evaluate(asked[1:]), key=lambda trial: place[trial.number])


def before_useless(recorded: Sequence[Trial]) -> list[Trial]:
    """The trials of a search that were begun before it was repeated; none if that told anything.

    Args:
        recorded: All of a study, each with its place in the order in which they ended.
    """
    search = without_repeats(recorded)
    repeats = [trial for trial in recorded if trial.source is Source.REPEAT]
    if not are_deterministic(search, repeats):
        return []
    first = min(repeat.order for repeat in repeats)
    return [trial for trial in search if trial.order[:1] < first[:1]]


def repeats_of(trials: Sequence[Trial], n: int, seed: int) -> list[Trial]:
    """The repeats of a study's best configurations, still to be trained.

    They depend on nothing but the trials, so a study that is resumed or extended finds again those
    that it has.
    """
    pairs = [(index, trial) for index in range(n) for trial in candidates(trials)]
    iteration = 1 + max((trial.iteration for trial in trials), default=0)
    return [_repeat(trial, index, iteration, seed) for index, trial in pairs[:n]]


def _repeat(trial: Trial, index: int, iteration: int, seed: int) -> Trial:
    number = FIRST_REPEAT + PER_TRIAL * trial.number + index
    return Trial(
        number=number,
        params=trial.params,
        source=Source.REPEAT,
        iteration=iteration,
        particle=trial.particle,
        seed=trial_seed(seed, number),
        note=f"repeat of trial {trial.number}",
    )


def candidates(trials: Sequence[Trial]) -> list[Trial]:
    """The completed trials with the lowest values, the earliest of equals first."""
    return ranked(trials)[:N_REPEATED]


def repeated_trial(repeat: Trial) -> int:
    """The number of the trial that a repeat is of."""
    return (repeat.number - FIRST_REPEAT) // PER_TRIAL


def without_repeats(trials: Sequence[Trial]) -> list[Trial]:
    """The trials of the search."""
    return [trial for trial in trials if trial.source is not Source.REPEAT]


def label(trial: Trial) -> str:
    """The place of a trial in its study, and its source; of a repeat, the trial that it is of."""
    if trial.source is not Source.REPEAT:
        return f"{trial.number:03d} {trial.source}"
    index = (trial.number - FIRST_REPEAT) % PER_TRIAL
    return f"{repeated_trial(trial):03d} {trial.source} {index + 1}"


def are_deterministic(trials: Sequence[Trial], repeats: Sequence[Trial]) -> bool:
    """Whether each repeat has the very value of its trial: another one would tell nothing."""
    values = {trial.number: trial.value for trial in trials}
    return bool(repeats) and all(
        repeat.value is not None and repeat.value == values.get(repeated_trial(repeat))
        for repeat in repeats
    )


def chosen(trials: Sequence[Trial], repeats: Sequence[Trial]) -> Trial | None:
    """Of the best trials that were trained again that with the lowest average; None if none was.

    One of which a repeat has no value is chosen only if there is no other. None too if trainings
    are deterministic: the search has then gone on.
    """
    if are_deterministic(trials, repeats):
        return None
    tested = [trial for trial in candidates(trials) if own_repeats(trial, repeats)]

    def rank(trial: Trial) -> tuple[int, float, int]:
        own = own_repeats(trial, repeats)
        n_failed = sum(repeat.value is None for repeat in own)
        return n_failed, fmean(values_of([trial, *own])), trial.number

    return min(tested, key=rank, default=None)


def own_repeats(trial: Trial, repeats: Sequence[Trial]) -> list[Trial]:
    """The repeats of one trial."""
    return [repeat for repeat in repeats if repeated_trial(repeat) == trial.number]


def values_of(trials: Sequence[Trial]) -> list[float]:
    """The values of those that have one."""
    return [trial.value for trial in trials if trial.value is not None]
