"""Whether a challenger replaces the champion: paired on one hold-out set, over several seeds.

Two things make an error uncertain: the stretch of data it was measured on, and the seed of the
training. Losses of neighbouring samples are correlated, so that stretches of them (blocks) are
counted as one figure each; the seeds of both models vary on their own, and with them any further
goals, such as a latency. The very model that serves is fixed: no seed of it varies. The variances
add up, and a one-sided t-bound with Welch and Satterthwaite's degrees of freedom says how much
better the challenger is at the least. Ratio of means by the delta method, on the logarithm: each
block and each seed pulls it by its share of the mean, so that one without any error counts like
others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Quantiles of Student's t, as in `scipy.stats`, whose import takes a second.
from scipy.special import stdtrit

from llmpso.errors import DataError, SpecError
from llmpso.objectives.held_out import HeldOut
from llmpso.space import Floats
from llmpso.text import plural

LEAST_BLOCKS = 5
"""Fewer stretches of data than this do not allow a conclusion about other data."""


MOST_WORSE = math.log(1e4)
"""Beside a champion without any error, any other is infinitely worse."""


Others = Sequence[tuple[str, Sequence[float], Sequence[float]]]
"""Further goals: name, the values of the champion's refits and those of the challenger's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a challenger is promoted."""

    margin: float = 0.01
    """Least share by which its error must be lower than the champion's."""
    confidence: float = 0.95
    """Probability with which it must be."""

    def __post_init__(self) -> None:
        """Refuse a rule that promotes everything or nothing."""
        if not 0 <= self.margin < 1:
            raise SpecError(f"margin is {self.margin!r}; it must be in [0, 1)")
        if not 0.5 <= self.confidence < 1:
            raise SpecError(f"confidence is {self.confidence!r}; it must be in [0.5, 1)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison of a challenger with the champion, and what follows."""

    champion_error: float
    """Mean over the seeds, in the unit of the metric."""
    challenger_error: float
    improvement: float
    """Share by which the challenger's error is lower; negative if it is higher."""
    at_least: float
    """Lower bound of the improvement at the rule's confidence."""
    n_blocks: int
    n_seeds: int
    """Refits of each."""
    rule: Rule
    others: tuple[tuple[str, float, float], ...] = ()
    """Other goals: name, the champion's mean and the challenger's."""
    is_product: bool = False
    """Whether the improvement is that of the product of all goals, else of the error alone."""
    is_refresh: bool = False
    """Whether the champion's own configuration was trained again, beside the model that serves."""

    @property
    def is_win(self) -> bool:
        """Whether the challenger is better by more than the margin, with confidence."""
        return self.at_least > self.rule.margin

    @property
    def reason(self) -> str:
        """One sentence for people."""
        errors = f"error {self.challenger_error:.4g} against {self.champion_error:.4g}"
        errors += "".join(
            f", {name} {new:.4g} against {old:.4g}" for name, old, new in self.others
        )
        errors = f"product of all goals: {errors}" if self.is_product else errors
        each, than = ("", " than the version that serves") if self.is_refresh else (" each", "")
        over = f"{self.n_seeds} seeds{each}, {self.n_blocks} stretches of new data"
        bound = f"{self.rule.confidence:.0%} confidence"
        better = f"{self._who} is {self.improvement:.1%} better{than}"
        if self.is_win:
            return (
                f"{better}, at least {self.at_least:.1%} with {bound}, more than the "
                f"{self.rule.margin:.1%} asked for ({errors}; {over})"
            )
        if self.improvement <= 0:
            return f"{self._who} is {abs(self.improvement):.1%} worse{than} ({errors}; {over})"
        bounded = f"at least {self.at_least:.1%}" if self.at_least > 0 else "not significantly"
        return (
            f"{better}, but {bounded} with {bound}; "
            f"more than {self.rule.margin:.1%} is asked for ({errors}; {over})"
        )

    @property
    def _who(self) -> str:
        if self.is_refresh:
            return "the champion's configuration, trained again on the newest data,"
        return "the challenger"


def compare_refits(
    champion: Sequence[HeldOut] | HeldOut,
    challenger: Sequence[HeldOut],
    rule: Rule,
    others: Others = (),
    *,
    is_product: bool = False,
) -> Verdict:
    """Compare two configurations, each refitted with several seeds; or one with a fixed model.

    Args:
        champion: Losses of each refit of the champion's configuration; or those of the very model
            that serves, beside which its own configuration is the challenger.
        challenger: Losses of each refit of the challenger's, on the same samples.
        rule: What counts as a win.
        others: Further goals, in the order of the refits; none beside a fixed model.
        is_product: Whether the product of error and further goals is to be lower, so that each
            counts by its relative change; else the error alone, the others are only shown.

    Raises:
        DataError: There are too few refits or samples, or the samples are not the same.
    """
    is_refresh = isinstance(champion, HeldOut)
    olds = [champion] if isinstance(champion, HeldOut) else champion
    root = 0.5 if challenger[0].squared else 1.0
    old = _blocked(olds, challenger, least=1 if is_refresh else 2)
    new = _blocked(challenger, olds, least=2)
    log_ratio = root * (math.log(new.mean()) - math.log(old.mean()))
    # How each block and each seed pull the logarithm of the ratio.
    by_block = root * (new.mean(axis=0) / new.mean() - old.mean(axis=0) / old.mean())
    seeded = [new] if is_refresh else [new, old]
    by_seed = [root * means.mean(axis=1) / means.mean() for means in seeded]
    if is_product:
        for name, *values in others:
            of_old, of_new = (_positive(name, own) for own in values)
            log_ratio += math.log(of_new.mean() / of_old.mean())
            by_seed = [by_seed[0] + np.log(of_new), by_seed[1] + np.log(of_old)]
    deviation, freedom = _uncertainty([by_block, *by_seed])
    quantile = float(stdtrit(freedom, rule.confidence))
    return Verdict(
        champion_error=float(np.mean([refit.error for refit in olds])),
        challenger_error=float(np.mean([refit.error for refit in challenger])),
        improvement=_improvement(log_ratio),
        at_least=_improvement(log_ratio + quantile * deviation),
        n_blocks=new.shape[1],
        n_seeds=len(challenger),
        rule=rule,
        others=tuple((name, float(np.mean(a)), float(np.mean(b))) for name, a, b in others),
        is_product=is_product,
        is_refresh=is_refresh,
    )


def _improvement(log_ratio: float) -> float:
    """The share by which an error is lower, by the logarithm of its ratio to the other one."""
    return 1 - math.exp(min(log_ratio, MOST_WORSE))


def _positive(name: str, values: Sequence[float]) -> Floats:
    """The values of a goal, which have logarithms."""
    if min(values) <= 0:
        raise DataError(
            f"goal {name!r} is {min(values):.4g}: relative changes need values above 0; choose by "
            "a limit in place of the knee"
        )
    return np.array(values, dtype=np.float64)


def block_means(losses: Floats, block: int) -> Floats:
    """Mean loss per stretch of `block` samples, shape (n_blocks,); a shorter rest joins the last.

    Raises:
        DataError: There are too few stretches.
    """
    n_blocks = len(losses) // block
    if n_blocks < LEAST_BLOCKS:
        raise DataError(
            f"the held-out part has {plural(len(losses), 'sample')}, "
            f"{plural(n_blocks, 'stretch', 'stretches')} of {block}; a comparison needs at least "
            f"{LEAST_BLOCKS}: wait for more data, or hold out more"
        )
    starts = np.arange(n_blocks) * block
    lengths = np.diff(np.append(starts, len(losses)))
    return np.asarray(np.add.reduceat(losses, starts) / lengths)


def _blocked(refits: Sequence[HeldOut], others: Sequence[HeldOut], *, least: int) -> Floats:
    """Mean losses, shape (n_refits, n_blocks)."""
    if len(refits) < least:
        raise DataError(
            f"there {'is' if len(refits) == 1 else 'are'} {plural(len(refits), 'refit')}; a "
            "comparison needs at least 2 of each"
        )
    if {len(refit.losses) for refit in refits} != {len(refit.losses) for refit in others}:
        raise DataError("champion and challenger were not measured on the same samples")
    # Never 0, so that a perfect model has a logarithm.
    tiny = np.finfo(np.float64).tiny
    return np.maximum([block_means(refit.losses, refit.block) for refit in refits], tiny)


def _uncertainty(samples: Sequence[Floats]) -> tuple[float, float]:
    """Standard deviation of the sum of the samples' means, and its degrees of freedom."""
    parts = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    freedoms = np.array([len(sample) - 1 for sample in samples])
    total = float(parts.sum())
    if total == 0:
        return 0.0, float(freedoms.min())
    return math.sqrt(total), total**2 / float(np.sum(parts**2 / freedoms))
