"""A finished study as lines for the terminal and for notifications."""

from collections.abc import Mapping
from typing import Any

from flows.display.began_from import began_from_line, belief_line, relevance_line, worth_line
from flows.display.summary import STOPPED, Summary, n_from_llm
from llmpso.study.cost import cost_text
from llmpso.study.stopping import StopReason
from llmpso.text import brief, plural, printable, short


def as_text(summary: Summary) -> str:
    """The summary as lines that fit a terminal."""
    lines = [
        f"{summary.objective}: {plural(summary.evaluations, 'evaluation')}{_repeats(summary)}, "
        f"{summary.failed} failed"
        f"{_infeasible(summary)}{pruned(summary)}{_reused(summary)} "
        f"({summary.method}, seed {summary.seed}); "
        f"{STOPPED[StopReason(summary.stop_reason)]}",
        "",
        *_best(summary),
        *_indented(summary.best_params),
        *_indented(summary.best_metrics),
        *(f"  {name}: {_joined(figures)}" for name, figures in summary.baselines.items()),
        *_front(summary),
        "",
        *([f"failures          {summary.failures}"] if summary.failures else []),
        *(f"note              {note}" for note in summary.notes),
        *(f"memory            {line}" for line in _memory(summary)),
        f"advisor           {summary.advisor}",
        f"LLM requests      {_llm(summary)}",
        f"trials by source  {_joined(summary.by_source)}",
        f"win rate          {_win_rates(summary)}",
        f"time              {summary.wall_seconds:.0f} s: training "
        f"{summary.training_seconds:.0f} s, LLM {summary.llm_seconds:.0f} s, everything else "
        f"{1000 * summary.overhead_seconds:.0f} ms per evaluation",
        "",
        f"model             {f'models:/{summary.model}' if summary.model else 'none was saved'}",
        *_ensemble(summary),
        f"MLflow            {summary.run_url or _command_to_open(summary)}",
        f"Prefect           {summary.prefect_run}   (to open it later: prefect server start)",
    ]
    return printable("\n".join(lines))


def _best(summary: Summary) -> list[str]:
    """What the best configuration is worth; before repeats also the value that was selected."""
    origin = f"trial {summary.best_number}, from {summary.best_source}"
    expected = summary.expected
    if expected is None:
        return [f"best {summary.metric}: {summary.best_value:.4g}   ({origin})"]
    if expected.n_repeats:
        return [f"best {summary.metric}: {expected}   ({origin}: {summary.best_value:.4g})"]
    return [
        f"best {summary.metric}: {summary.best_value:.4g}   ({origin})",
        f"  expected of another training: {expected}",
    ]


def _ensemble(summary: Summary) -> list[str]:
    """Whether the model is an average, why, and the losses of both on test data."""
    found = summary.ensemble_outcome
    if found is None:
        return []
    what = "registered" if found.accepted else "not registered"
    lines = [f"ensemble          {what}: {found.reason}"]
    if found.members:
        lines.append(f"  weights by trial: {_joined(found.weights)}")
    if found.test:
        lines.append(
            f"  loss on test data: {short(found.test.ensemble)}, of the best single model "
            f"{short(found.test.single)}"
        )
    return lines


def _front(summary: Summary) -> list[str]:
    """The front of several goals, one trial a line."""
    if not summary.front:
        return []
    rows = [
        f"{'→' if row['number'] == summary.best_number else ' '} {_joined(row['values'])}   "
        f"(trial {row['number']}: {_joined(row['params'])})"
        for row in summary.front
    ]
    return [
        "",
        f"front of {plural(len(rows), 'trial')} (→ the chosen one: {summary.choose})",
        *rows,
    ]


def _memory(summary: Summary) -> list[str]:
    """What it began from, and what each start was worth."""
    if not summary.began_from:
        return []
    followed = belief_line(summary.beliefs)
    earlier, starts = summary.began_from, map(worth_line, summary.starts)
    lines = [began_from_line(earlier), relevance_line(earlier), *starts, followed]
    return [line for line in lines if line]


def _repeats(summary: Summary) -> str:
    if not summary.repeats:
        return ""
    return f" ({plural(summary.repeats, 'of them a repeat', 'of them repeats')})"


def _infeasible(summary: Summary) -> str:
    return f", {summary.infeasible} above a limit" if summary.infeasible else ""


def pruned(summary: Summary) -> str:
    """How many trials were pruned, and what all of them cost; empty if none was."""
    if not summary.pruned:
        return ""
    return f", {summary.pruned} pruned, cost: {cost_text(summary.full_trainings)}"


def _reused(summary: Summary) -> str:
    return f", {summary.reused} reused from an earlier run" if summary.reused else ""


def _command_to_open(summary: Summary) -> str:
    return f"{summary.command_to_open}   (run {summary.run_id})"


def _llm(summary: Summary) -> str:
    if summary.llm_calls + summary.llm_cached == 0:
        return "none"
    n_trials = n_from_llm(summary.by_source)
    return (
        f"{summary.llm_calls} sent, {summary.llm_cached} answered from the cache, "
        f"{summary.llm_tokens} tokens{_cost(summary)}, {summary.llm_problems} with problems; "
        f"{n_from_llm(summary.improved_by_source)} of its {plural(n_trials, 'trial')} improved "
        "the best"
    )


def _cost(summary: Summary) -> str:
    return f" (${summary.llm_cost:.2g})" if summary.llm_cost else ""


def _win_rates(summary: Summary) -> str:
    """How many trials of each source improved the best value."""
    improved = summary.improved_by_source
    rates = (
        f"{source} {improved.get(source, 0)} of {n}" for source, n in summary.by_source.items()
    )
    return f"{', '.join(rates)} (trials that improved the best)"


def _indented(values: Mapping[str, Any]) -> list[str]:
    return [f"  {brief(name)}: {short(value)}" for name, value in values.items()]


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{brief(name)} {short(value)}" for name, value in values.items()) or "none"
