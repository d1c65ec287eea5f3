"""What a person wants to know first of a study: what became of its trials, and the best."""

from collections import Counter
from collections.abc import Sequence

from llmpso.goals import Goals
from llmpso.pages.html_table import facts_table, rows_table
from llmpso.study.cost import TrainingCost, cost_text
from llmpso.study.expected import Expectation
from llmpso.study.trial_rows import trial_rows
from llmpso.text import brief, one_line, plural, short
from llmpso.trial import Trial, ranked

BEST_SHOWN = 10
"""Trials in the table of the best."""

REASONS_SHOWN = 3
"""Reasons why trials failed."""

SHOWN = ("number", "source", "value", "values.", "params.", "constraints.", "seconds")
"""Columns of that table, or how their names begin."""


def facts(
    trials: Sequence[Trial],
    best: Trial | None,
    metric: str,
    expected: Expectation | None = None,
) -> dict[str, str]:
    """The facts by name: the best value and configuration, the states, the cost.

    Args:
        trials: All of the study.
        best: Of them; None if none has a value.
        metric: Name and unit of the value.
        expected: Of another training of the best.
    """
    found = {}
    if best is not None:
        found[f"best {one_line(metric, 100)}"] = (
            f"{_values(best)}, trial {best.number}, from {best.source}"
        )
        if expected is not None:
            found["expected of another training"] = str(expected)
        found["configuration"] = configuration(best)
    found["trials"] = counted(trials)
    if any(trial.failure for trial in trials):
        found["failures"] = failures(trials)
    found["cost"] = cost_text(TrainingCost(trials).total)
    found["training time"] = f"{sum(trial.seconds for trial in trials):.3g} s"
    return found


def configuration(trial: Trial) -> str:
    """The hyperparameters of a trial in one line."""
    return ", ".join(f"{brief(name)} {short(value)}" for name, value in trial.params.items())


def _values(trial: Trial) -> str:
    """The value, or those of several goals by name."""
    named = ", ".join(f"{brief(name)} {short(value)}" for name, value in trial.values.items())
    return named or short(trial.value)


def counted(trials: Sequence[Trial]) -> str:
    """How many trials there are, and in which states."""
    states = Counter(str(trial.state) for trial in trials)
    parts = ", ".join(f"{n} {state}" for state, n in states.most_common())
    return f"{len(trials)}: {parts}" if len(states) > 1 else parts or "none"


def failures(trials: Sequence[Trial]) -> str:
    """Why trials failed, the commonest reason first; empty if none did."""
    reasons = Counter(
        f"{trial.failure.kind}: {one_line(trial.failure.message, 150)}"
        for trial in trials
        if trial.failure
    ).most_common()
    said = [f"{reason} ({plural(n, 'trial')})" for reason, n in reasons[:REASONS_SHOWN]]
    return "; ".join(said + ["…"] * (len(reasons) > REASONS_SHOWN))


def best_first(trials: Sequence[Trial], best: Trial | None) -> list[Trial]:
    """Trials by value, those without one at the end; of several goals the front comes first.

    Args:
        trials: All of a study, by number.
        best: Of them; before all others, also where it was chosen by more than its value.
    """
    goals = Goals(next((trial.goals for trial in trials if trial.goals), ()))
    first = [] if best is None else [best]
    ordered = [*first, *goals.front(trials), *ranked(trials), *trials]
    return list({trial.number: trial for trial in ordered}.values())


def html(
    trials: Sequence[Trial],
    best: Trial | None,
    metric: str,
    expected: Expectation | None = None,
) -> str:
    """The facts and the best trials as tables."""
    leaders = [trial for trial in best_first(trials, best) if trial.value is not None]
    tables = facts_table(facts(trials, best, metric, expected))
    return tables + trials_table(leaders[:BEST_SHOWN]) if leaders else tables


def trials_table(trials: Sequence[Trial]) -> str:
    """Some trials as a table."""
    rows = trial_rows(trials)
    return rows_table([name for name in rows[0] if name.startswith(SHOWN)], rows)
