"""A challenger is promoted when it is better, and not by accident.

On real air quality: ridge regressions of different strength, refitted on random four fifths of
their training rows, and measured on the stretch that follows. The rule's error rate is 5 %.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import DataError, SpecError
from llmpso.objectives.held_out import HeldOut
from llmpso.retuning.degradation import degradation
from llmpso.retuning.promotion import Rule, Verdict, block_means, compare_refits

LAGS, HORIZON, BLOCK = 6, 1, 12
GOOD, POOR = 30.0, 3e4
"""Penalties: the second forecasts little else than the mean."""


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a forecast one hour ahead."""
    frame = load_taiwan().frame[["AQI", "PM10", "O3", "WS", "AT", "RH"]].ffill().bfill()
    values = frame.to_numpy()
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    n = len(values) - LAGS - HORIZON
    inputs = np.stack([values[i : i + LAGS].ravel() for i in range(n)])
    return inputs, values[LAGS + HORIZON - 1 : LAGS + HORIZON - 1 + n, 0]


def judged(rows, penalties, rng: np.random.Generator, first: int) -> list[HeldOut]:
    """Losses of refits, trained on 640 of 800 rows and measured on the 300 that follow."""
    inputs, targets = rows
    found = []
    for penalty in penalties:
        train = first + rng.choice(800, 640, replace=False)
        x = inputs[train]
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ targets[train])
        new = slice(first + 800, first + 1100)
        found.append(HeldOut((inputs[new] @ weights - targets[new]) ** 2, BLOCK, squared=True))
    return found


def verdicts(rows, champion: float, challenger: float, rule: Rule, tries: int) -> list[Verdict]:
    rng, found = np.random.default_rng(0), []
    for _ in range(tries):
        first = int(rng.integers(len(rows[1]) - 1100))
        old, new = (judged(rows, [p] * 5, rng, first) for p in (champion, challenger))
        found.append(compare_refits(old, new, rule))
    return found


def test_a_worse_challenger_is_never_promoted_in_50_tries(rows) -> None:
    found = verdicts(rows, GOOD, POOR, Rule(), 50)
    assert not any(verdict.is_win for verdict in found)
    assert "% worse (error " in found[0].reason


def test_a_clearly_better_challenger_is_promoted_in_45_of_50_tries(rows) -> None:
    found = verdicts(rows, POOR, GOOD, Rule(), 50)
    assert sum(verdict.is_win for verdict in found) >= 45
    assert "more than the 1.0% asked for" in found[0].reason
    assert all(verdict.at_least < verdict.improvement for verdict in found)


def test_an_equal_challenger_is_promoted_less_often_than_the_error_rate(rows) -> None:
    found = verdicts(rows, GOOD, GOOD, Rule(margin=0.0), 200)
    assert sum(verdict.is_win for verdict in found) <= 0.05 * 200


def beside_what_serves(rows, serving: float, again: float) -> list[Verdict]:
    """Verdicts on refits of a configuration beside one model that was trained before."""
    rng, found = np.random.default_rng(0), []
    for _ in range(50):
        first = int(rng.integers(len(rows[1]) - 1100))
        (fixed,), new = (judged(rows, ps, rng, first) for ps in ([serving], [again] * 5))
        found.append(compare_refits(fixed, new, Rule()))
    return found


def test_a_model_that_serves_is_refreshed_if_it_is_much_worse_and_not_if_it_is_better(
    rows,
) -> None:
    poor, good = beside_what_serves(rows, POOR, GOOD), beside_what_serves(rows, GOOD, POOR)
    assert sum(verdict.is_win for verdict in poor) >= 45
    assert not any(verdict.is_win for verdict in good)
    again = "the champion's configuration, trained again on the newest data, is "
    assert poor[0].reason.startswith(f"{again}{poor[0].improvement:.1%} better than the version ")
    assert "% worse than the version that serves (error " in good[0].reason
    assert "; 5 seeds, 25 stretches of new data)" in good[0].reason


def refreshed(deviation: float, worse: float, rule: Rule, tries: int) -> float:
    """Share of tries in which a model is refreshed that is so much worse than its refits.

    Args:
        deviation: Of the refits' errors, by their seeds alone.
        worse: The error of the model that serves, as a multiple of theirs.
        rule: What counts as a win.
        tries: How often.
    """
    rng, n_wins = np.random.default_rng(0), 0
    for _ in range(tries):
        stretches = np.repeat(rng.lognormal(0, 0.3, 40), BLOCK)

        def losses(error: float, stretches: np.ndarray = stretches) -> HeldOut:
            own = stretches * np.repeat(rng.lognormal(0, 0.1, 40), BLOCK)
            return HeldOut(own * rng.normal(0, error, 40 * BLOCK) ** 2, BLOCK, squared=True)

        refits = [losses(error) for error in rng.normal(1, deviation, 5)]
        serving = losses(worse * (1 + deviation**2) ** 0.5)
        n_wins += compare_refits(serving, refits, rule).is_win
    return n_wins / tries


@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_a_model_as_good_as_its_refits_is_refreshed_at_most_by_the_error_rate(
    deviation: float, confidence: float
) -> None:
    rate, tries = 1 - confidence, 500
    found = refreshed(deviation, 1.0, Rule(margin=0.0, confidence=confidence), tries)
    assert found <= rate + 2 * (rate * confidence / tries) ** 0.5
    assert refreshed(deviation, 2.0, Rule(margin=0.0, confidence=confidence), 50) == 1.0


def test_the_seeds_of_the_refits_count_and_a_fixed_model_has_none() -> None:
    blocks = np.random.default_rng(8).uniform(1, 2, 50)
    serving, steady = HeldOut(2 * blocks), [HeldOut(blocks)] * 3
    varied = [HeldOut(blocks * factor) for factor in (0.7, 1.0, 1.3)]
    assert compare_refits(serving, steady, Rule()).at_least == pytest.approx(0.5)
    assert compare_refits(serving, varied, Rule()).improvement == pytest.approx(0.5)
    assert compare_refits(serving, varied, Rule()).at_least < 0.4


def test_a_refit_that_is_the_same_model_again_is_no_worse_in_words() -> None:
    serving = HeldOut(np.arange(1.0, 51.0))
    reason = compare_refits(serving, [serving] * 3, Rule()).reason
    assert "is 0.0% worse than the version that serves (error 25.5 against 25.5;" in reason


def test_a_gain_within_the_margin_is_no_win(rows) -> None:
    rng = np.random.default_rng(3)
    old = judged(rows, [GOOD] * 5, rng, 100)
    new = [HeldOut(refit.losses * 0.9**2, BLOCK, squared=True) for refit in old]
    wide = compare_refits(old, new, Rule(margin=0.5))
    assert not wide.is_win
    assert wide.improvement == pytest.approx(0.1)
    assert "10.0% better, but" in wide.reason
    assert "more than 50.0% is asked for" in wide.reason
    assert compare_refits(old, new, Rule(margin=0.05)).is_win


def test_neighbouring_losses_are_not_taken_for_independent(rows) -> None:
    rng = np.random.default_rng(4)
    old, new = (judged(rows, [p] * 5, rng, 100) for p in (300.0, GOOD))
    alone = [[HeldOut(h.losses, 1, squared=True) for h in arm] for arm in (old, new)]
    blocked, naive = compare_refits(old, new, Rule()), compare_refits(*alone, Rule())
    assert blocked.improvement == pytest.approx(naive.improvement, abs=0.01)
    assert blocked.at_least < naive.at_least
    assert (blocked.n_blocks, naive.n_blocks) == (25, 300)


def test_losses_may_be_plain_errors() -> None:
    rng = np.random.default_rng(5)
    old = [HeldOut((rng.random(400) < 0.4).astype(float)) for _ in range(3)]
    new = [HeldOut((rng.random(400) < 0.2).astype(float)) for _ in range(3)]
    verdict = compare_refits(old, new, Rule(margin=0.2))
    assert verdict.is_win
    assert verdict.champion_error == pytest.approx(0.4, abs=0.05)
    assert compare_refits(old, [HeldOut(np.zeros(400))] * 3, Rule()).improvement == 1.0


def wrong(*counts: int) -> list[HeldOut]:
    """Refits of a classifier, each with so many errors among 400 images."""
    rng = np.random.default_rng(7)
    return [HeldOut(rng.permutation(np.arange(400) < n).astype(float)) for n in counts]


@pytest.mark.parametrize("counts", [(0, 2, 3, 2, 1), (0, 0, 1, 1, 1)])
def test_a_challenger_of_which_one_refit_makes_no_error_at_all_is_promoted(counts) -> None:
    champion = wrong(*[80 + n for n in range(len(counts))])
    verdict = compare_refits(champion, wrong(*counts), Rule())
    assert verdict.is_win
    assert 0.9 < verdict.at_least < verdict.improvement < 1


def test_beside_a_champion_of_which_one_refit_makes_no_error_the_other_is_worse() -> None:
    verdict = compare_refits(wrong(0, 2), wrong(8, 9), Rule(confidence=0.999))
    assert not verdict.is_win
    assert verdict.improvement == pytest.approx(1 - 17 / 2)
    perfect, awful = [HeldOut(np.zeros(400))] * 2, [HeldOut(np.full(400, 1e9))] * 2
    assert len(compare_refits(perfect, awful, Rule()).reason) < 200


def test_a_challenger_without_any_error_beside_errors_of_a_large_unit_is_promoted() -> None:
    in_yen = HeldOut(np.full(400, 1e8) ** 2, squared=True)
    perfect = [HeldOut(np.zeros(400), squared=True)] * 2
    for champion in ([in_yen] * 2, in_yen):
        assert compare_refits(champion, perfect, Rule()).improvement == 1.0


def test_a_shorter_rest_joins_the_last_block() -> None:
    assert block_means(np.arange(11.0), 2).tolist() == [0.5, 2.5, 4.5, 6.5, 9.0]


@pytest.mark.parametrize(
    ("losses", "block", "n_refits", "message"),
    [
        (40, 12, 2, "the held-out part has 40 samples, 3 stretches of 12; a comparison needs"),
        (60, 12, 1, "there is 1 refit; a comparison needs at least 2 of each"),
    ],
)
def test_too_little_to_compare_is_refused(losses, block, n_refits, message) -> None:
    arm = [HeldOut(np.ones(losses), block)] * n_refits
    with pytest.raises(DataError, match=message):
        compare_refits(arm, arm, Rule())


def test_arms_evaluated_on_other_samples_are_refused() -> None:
    with pytest.raises(DataError, match="not measured on the same samples"):
        compare_refits([HeldOut(np.ones(60))] * 2, [HeldOut(np.ones(61))] * 2, Rule())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"margin": -0.1}, r"margin is -0.1; it must be in \[0, 1\)"),
        ({"confidence": 1.0}, r"confidence is 1.0; it must be in \[0.5, 1\)"),
    ],
)
def test_a_rule_that_decides_nothing_is_refused(rule, message) -> None:
    with pytest.raises(SpecError, match=message):
        Rule(**rule)


def test_losses_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="one finite number per sample"):
        HeldOut(np.array([1.0, np.nan]))


def test_a_model_has_degraded_when_its_error_rose_with_confidence(rows) -> None:
    rng = np.random.default_rng(6)
    (good,), (poor,) = (judged(rows, [penalty], rng, 200) for penalty in (GOOD, POOR))
    steady = degradation(good, good.error)
    assert not steady.is_degraded
    assert "not degraded" in steady.reason
    worse = degradation(poor, good.error / 2)
    assert worse.is_degraded
    assert "worse with confidence by more than the 10% tolerance" in worse.reason
    assert worse.at_least < worse.error == poor.error


def test_a_model_that_still_makes_no_error_has_not_risen_to_infinity() -> None:
    found = degradation(HeldOut(np.zeros(50)), 0.0)
    assert not found.is_degraded
    assert "the champion's error is 0, 0 at promotion: not degraded" in found.reason


@pytest.mark.parametrize(
    "reported",
    [
        [1, 0, 2],
        (1.0, 0.0, 2.0),
        np.array([[1], [0], [2]]),
        pd.Series([1, 0, 2]),
        torch.tensor([1.0, 0.0, 2.0], requires_grad=True),
        HeldOut(np.array([1.0, 0.0, 2.0])),
    ],
)
def test_losses_may_be_whatever_holds_one_number_per_sample(reported):
    assert HeldOut.of(reported).losses.tolist() == [1.0, 0.0, 2.0]
    assert HeldOut.of(reported).error == 1.0


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        (None, "one finite number per sample"),
        ([1.0, float("nan")], "one finite number per sample"),
        ([], "returned no losses"),
        ({"loss": 1.0}, "returned a dict; it must return the losses"),
        ("good", "returned a str; it must return the losses"),
        ([[1.0], [1.0, 2.0]], "returned a list; it must return the losses"),
    ],
)
def test_what_holds_no_losses_is_refused(reported, message):
    with pytest.raises(DataError, match=message):
        HeldOut.of(reported)


def test_several_goals_count_by_their_relative_changes() -> None:
    rng = np.random.default_rng(0)
    old, new = ([HeldOut(rng.exponential(1.0, 400) + 1) for _ in range(3)] for _ in range(2))
    slower, faster = ([("latency_ms", [a] * 3, [b] * 3)] for a, b in ((1.0, 2.0), (2.0, 1.0)))
    assert not compare_refits(old, new, Rule(), slower, is_product=True).is_win
    verdict = compare_refits(old, new, Rule(), faster, is_product=True)
    assert verdict.is_win
    assert verdict.improvement == pytest.approx(0.5, abs=0.05)
    assert "product of all goals: error" in verdict.reason
    assert "latency_ms 1 against 2" in verdict.reason
    shown = compare_refits(old, new, Rule(), faster)
    assert shown.improvement == compare_refits(old, new, Rule()).improvement
    with pytest.raises(DataError, match=r"'gain' is -1.*choose by a limit"):
        compare_refits(old, new, Rule(), [("gain", [1.0] * 3, [1.0, -1.0, 4.0])], is_product=True)


def test_a_lucky_latency_promotes_less_often_than_the_error_rate(rows) -> None:
    rng, n_wins = np.random.default_rng(0), 0
    for _ in range(200):
        first = int(rng.integers(len(rows[1]) - 1100))
        old, new = (judged(rows, [GOOD] * 5, rng, first) for _ in range(2))
        latency = [("latency_ms", *(rng.lognormal(1.0, 0.5, (2, 5)).tolist()))]
        n_wins += compare_refits(old, new, Rule(margin=0.0), latency, is_product=True).is_win
    assert n_wins <= 0.05 * 200
