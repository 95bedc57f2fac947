"""The latency policy: as a table, and in a simulator with a virtual clock."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from streamsr.live.budget import STARVED_S, Allowance, Situation, Take, decide, too_late
from streamsr.live.costs import Costs
from tools.budget_simulator import CALM_AFTER_S, END_S, Scenario, simulate

CALM = Situation(
    age_s=0.002,
    waiting=0,
    silent_s=0.033,
    interval_s=0.033,
    all_s=[0.02],
    least_s=0.001,
    resize_s=0.004,
    other_s=0.002,
)
BUDGET_S = 0.05


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, Take.ALL),
        ({"all_s": [0.0]}, Take.ALL),
        ({"all_s": [0.04]}, Take.SOME),  # would fit the budget, but not the source's rate
        ({"all_s": [0.04], "interval_s": math.inf}, Take.ALL),
        ({"all_s": [0.06], "interval_s": math.inf}, Take.SOME),
        ({"all_s": [0.03], "age_s": 0.025}, Take.SOME),
        ({"all_s": [0.03], "margin": 2.0}, Take.SOME),
        ({"all_s": [0.03], "age_s": 0.0435}, Take.RESIZE),
        ({"all_s": [0.04], "least_s": 0.028}, Take.RESIZE),
        ({"age_s": 0.045}, Take.DROP),
        ({"age_s": 0.06}, Take.DROP),
        (
            {"age_s": 0.06, "silent_s": 0.6},
            Take.RESIZE,
        ),  # late, but the viewer has seen nothing for too long
        ({"age_s": 0.06, "all_s": [0.0]}, Take.DROP),  # nothing to do, and still too old
        ({"age_s": 0.035, "waiting": 1}, Take.DROP),  # the newer one has time for all
        ({"waiting": 1}, Take.ALL),
        ({"age_s": 0.035, "waiting": 1, "silent_s": 0.6}, Take.SOME),
    ],
)
def test_what_is_done_with_a_frame(what: dict[str, Any], expected: Take) -> None:
    decision, _ = decide(replace(CALM, **what), Allowance(), budget_s=BUDGET_S)
    assert decision.take is expected


def test_the_network_gets_the_time_that_resizing_the_rest_leaves() -> None:
    decision, _ = decide(replace(CALM, all_s=[0.06]), Allowance(), budget_s=BUDGET_S)
    assert decision.network_s == pytest.approx(CALM.interval_s - CALM.other_s - CALM.resize_s)


def test_one_slow_frame_is_no_reason_to_go_slowly_but_two_are() -> None:
    hurried = replace(CALM, age_s=0.04)
    _, once = decide(hurried, Allowance(), budget_s=BUDGET_S)
    assert decide(CALM, once, budget_s=BUDGET_S)[0].take is Take.ALL
    _, twice = decide(hurried, once, budget_s=BUDGET_S)
    assert decide(CALM, twice, budget_s=BUDGET_S)[0].take is Take.SOME


def test_quality_returns_step_by_step() -> None:
    memory = Allowance(0.004, 0.004)
    times = []
    for _ in range(30):
        decision, memory = decide(CALM, memory, budget_s=BUDGET_S)
        if decision.take is Take.ALL:
            break
        times.append(decision.network_s)
    assert decision.take is Take.ALL
    assert len(times) > 5
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("age_s", "silent_s", "dropped"),
    [(0.04, 0.0, False), (0.06, 0.03, True), (0.06, STARVED_S + 0.1, False)],
)
def test_a_finished_frame_older_than_the_budget_is_dropped_unless_the_viewer_starves(
    age_s: float, silent_s: float, dropped: bool
) -> None:
    assert too_late(age_s, silent_s, budget_s=BUDGET_S) is dropped


def test_costs_learn_a_fixed_and_a_growing_part() -> None:
    costs = Costs()
    for pixels in (1000, 50_000, 200_000, 1000, 80_000):
        costs.learn(pixels, 0.002 + pixels * 1e-7)
    assert costs.predict(0) == 0
    assert costs.predict(10_000) == pytest.approx(0.003, rel=0.02)
    assert costs.predict(230_000) == pytest.approx(0.025, rel=0.02)


def test_costs_follow_a_change_of_speed_within_ten_measurements() -> None:
    costs = Costs()
    for _ in range(20):
        costs.learn(1000, 0.010)
    for _ in range(10):
        costs.learn(1000, 0.020)
    assert costs.predict(1000) == pytest.approx(0.020, rel=0.15)


def test_one_hiccup_hardly_changes_the_costs() -> None:
    costs = Costs()
    for _ in range(20):
        costs.learn(1000, 0.010)
    costs.learn(1000, 10.0)
    assert costs.predict(1000) < 0.015


def test_costs_that_are_not_measured_are_believed_to_fall() -> None:
    costs = Costs()
    costs.learn(1000, 1.0)
    for _ in range(60):
        costs.doubt()
    assert costs.predict(1000) < 0.05


@pytest.mark.parametrize("block", range(20))
def test_thousands_of_scenarios(block: int) -> None:
    tried = Counter[str]()
    for seed in range(block * 100, block * 100 + 100):
        s = Scenario.of(seed)
        seen = simulate(s)
        what = f"seed {seed}: {s}"
        # Every frame has one fate.
        assert seen.fates.total() == seen.captured, what
        # Nobody starves: while frames come and can be resized in time, one is shown at least so
        # often.
        times = [t for t, _, _ in seen.shown]
        longest = max(np.diff(times))
        stall = max((end - begin for begin, end in s.stalls), default=0.0)
        slowest = max((factor for _, _, factor in s.spikes), default=1.0) * (1 + 5 * s.noise)
        begun = (
            s.whole_s + s.call_s + 0.1 * s.interval_s
        ) * slowest  # what has begun when a spike hits is finished
        assert longest <= STARVED_S + stall + 2 * s.interval_s + begun, what
        # Ages do not grow: once calm, no frame shown is older than the budget, or it was the
        # starving viewer's.
        late = [age for t, age, _ in seen.shown if t > CALM_AFTER_S and age > s.budget_s]
        assert len(late) <= END_S / STARVED_S, what
        calm = [(age, quality) for t, age, quality in seen.shown if t > CALM_AFTER_S]
        assert len(calm) > 0.7 * (END_S - CALM_AFTER_S) / s.interval_s, what
        # Recovery: a machine that could do it all does it again within a second of the last
        # disturbance.
        roomy = (s.whole_s + s.call_s) * (1 + 4 * s.noise)
        if roomy < 0.6 * min(s.interval_s, s.budget_s):
            assert np.mean([quality for _, quality in calm]) > 0.99, what
            tried["fast"] += 1
        # And one that cannot does what it can.
        elif s.whole_s < 2 * s.interval_s:
            assert np.mean([quality for _, quality in calm]) > 0.15, what
            tried["slow"] += 1
    assert tried["fast"] > 5
    assert tried["slow"] > 5


def test_a_picture_that_stands_still_ends_at_full_quality_on_a_slow_machine() -> None:
    s = replace(
        Scenario.of(1),
        whole_s=0.2,
        interval_s=1 / 30,
        budget_s=0.05,
        call_s=0.001,
        noise=0.05,
        stalls=[],
    )
    seen = simulate(replace(s, spikes=[], static=[(6.0, END_S)]))
    last = [quality for t, _, quality in seen.shown if t > 7.0]
    assert min(last) == 1.0
