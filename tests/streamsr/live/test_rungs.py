"""Which rung a live frame is computed on: as a pure function, and in the simulator."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from streamsr.live.budget import STARVED_S, Allowance, Situation, Take, decide
from streamsr.live.costs import RungCosts
from streamsr.live.rungs import MOST_PATIENCE_S, PATIENCE_S, Standing, standing_for
from tools.budget_simulator import CALM_AFTER_S, END_S, Scenario, Seen, simulate

TIMES = (0.36, 1.0, 3.0, 6.9)
"""What the rungs take, of XLSR's."""

INTERVAL_S = 1 / 30
COSTS = [0.004, 0.011, 0.033, 0.076]


def follow(
    standing: Standing, costs: Sequence[float], frames: int, room_s: float = 0.033
) -> tuple[list[int], Standing]:
    taken = []
    for _ in range(frames):
        rung, standing = standing_for(
            costs, standing, allowed_s=room_s, room_s=room_s, interval_s=INTERVAL_S
        )
        taken.append(rung)
    return taken, standing


def test_one_frame_without_time_takes_a_lower_rung_and_the_second_stays_there() -> None:
    taken, once = follow(Standing(2), COSTS, 1, room_s=0.02)
    assert (taken, once.rung) == ([1], 2)
    assert follow(once, COSTS, 1)[0] == [2]
    taken, twice = follow(once, COSTS, 1, room_s=0.02)
    assert (taken, twice.rung) == ([1], 1)
    assert follow(twice, COSTS, 5)[0] == [1] * 5


def test_a_fall_goes_as_far_as_it_must_at_once() -> None:
    assert follow(Standing(3), COSTS, 2, room_s=0.005)[0] == [0, 0]
    assert follow(Standing(3), COSTS, 2, room_s=0.001)[0] == [0, 0]


def test_frames_in_turn_with_and_without_work_give_a_rung_up_too() -> None:
    standing = Standing(2)
    for _ in range(2):
        _, standing = follow(standing, COSTS, 1, room_s=0.02)
        _, standing = follow(standing, [0.0] * 4, 1, room_s=0.02)
    assert standing.rung == 1


def test_a_rung_up_is_taken_after_it_would_have_fitted_for_a_while() -> None:
    taken, _ = follow(Standing(0), COSTS, 60, room_s=0.05)
    first = [taken.index(rung) for rung in (0, 1, 2)]
    assert np.diff(first) * INTERVAL_S == pytest.approx([PATIENCE_S] * 2, abs=2 * INTERVAL_S)
    assert max(taken) == 2
    assert taken == sorted(taken)


def test_a_rung_that_would_just_fit_is_not_taken() -> None:
    assert set(follow(Standing(1), COSTS, 300, room_s=1.1 * COSTS[2])[0]) == {1}


def test_still_pictures_tell_nothing_of_the_next_rung() -> None:
    assert set(follow(Standing(1), [0.0] * 4, 300)[0]) == {1}


def test_each_try_that_did_not_last_doubles_the_wait_for_the_next() -> None:
    standing, climbs = Standing(1), []
    for now in range(3000):
        # As long as the rung is not tried it seems to fit.
        costs = COSTS if standing.rung == 2 else [0.004, 0.011, 0.02, 0.076]
        before = standing.rung
        _, standing = follow(standing, costs, 1, room_s=0.03)
        if standing.rung > before:
            climbs.append(now * INTERVAL_S)
    waits = np.diff(climbs)
    assert waits[:4] == pytest.approx([1, 2, 4, 8], abs=0.2)
    assert waits[4:] == pytest.approx([MOST_PATIENCE_S] * len(waits[4:]), abs=0.2)


@pytest.mark.parametrize(
    ("what", "take", "rung"),
    [
        ({}, Take.ALL, 2),
        ({"age_s": 0.02}, Take.ALL, 1),
        ({"age_s": 0.04}, Take.ALL, 0),
        ({"age_s": 0.0445}, Take.RESIZE, 0),
        ({"age_s": 0.06}, Take.DROP, 0),
        ({"age_s": 0.02, "waiting": 1}, Take.ALL, 1),
        ({"all_s": [0.05, 0.1, 0.3, 0.6]}, Take.SOME, 0),
        ({"all_s": [0.0] * 4}, Take.ALL, 2),
    ],
)
def test_what_is_done_with_a_frame_on_rungs(what: dict[str, object], take: Take, rung: int) -> None:
    calm = Situation(
        age_s=0.002,
        waiting=0,
        silent_s=0.033,
        interval_s=0.04,
        all_s=COSTS,
        least_s=0.002,
        resize_s=0.002,
        other_s=0.002,
    )
    decision, _ = decide(
        replace(calm, **what),  # type: ignore[arg-type]
        Allowance(standing=Standing(2)),
        budget_s=0.05,
    )
    assert (decision.take, decision.rung) == (take, rung)


def test_what_is_left_of_a_frames_time_goes_to_the_top_rung_unless_another_waits() -> None:
    calm = Situation(0.002, 0, 0.033, 0.04, [0.01, 0.03], 0.001, 0.004, 0.0, refine_s=0.002)
    decide_ = lambda s: decide(s, Allowance(standing=Standing(0)), budget_s=0.1)[0]  # noqa: E731
    assert decide_(calm).refine_s == pytest.approx((0.04 - 0.01) / 2)
    assert decide_(replace(calm, waiting=1)).refine_s == 0
    assert decide_(replace(calm, refine_s=0.0)).refine_s == 0
    assert decide_(replace(calm, refine_s=0.02)).refine_s == 0


def test_a_rung_that_takes_longer_than_it_did_makes_the_others_dearer_too() -> None:
    costs = RungCosts(2)
    costs.begin(0, 1000, 0.01)
    costs.begin(1, 1000, 0.03)
    for _ in range(15):
        costs.learn(0, 1000, 0.02)
    assert costs.predict(0, 1000) == pytest.approx(0.02, rel=0.1)
    assert costs.predict(1, 1000) == pytest.approx(0.06, rel=0.1)


def on_rungs(s: Scenario) -> Scenario:
    """The same machine and stream, with the family; it begins where it can."""
    fits = [i for i, t in enumerate(TIMES) if t * s.whole_s * 1.2 < min(s.interval_s, s.budget_s)]
    return replace(s, rungs=TIMES, begin_on=max(fits, default=0), rng=np.random.default_rng(0))


def check(seen: Seen, s: Scenario, what: str) -> None:
    """What holds of one rung holds of several: see `test_budget`."""
    assert seen.fates.total() == seen.captured, what
    times = [t for t, _, _ in seen.shown]
    stall = max((end - begin for begin, end in s.stalls), default=0.0)
    slowest = max((factor for _, _, factor in s.spikes), default=1.0) * (1 + 5 * s.noise)
    longest_s = s.whole_s * TIMES[s.begin_on] + s.call_s + 0.1 * s.interval_s
    assert max(np.diff(times)) <= STARVED_S + stall + 2 * s.interval_s + longest_s * slowest, what
    calm = [(age, share) for t, age, share in seen.shown if t > CALM_AFTER_S]
    late = [age for age, _ in calm if age > s.budget_s]
    assert len(late) <= END_S / STARVED_S, what
    assert len(calm) > 0.7 * (END_S - CALM_AFTER_S) / s.interval_s, what


@pytest.mark.parametrize("block", range(10))
def test_thousands_of_scenarios_on_rungs(block: int) -> None:
    tried = Counter[str]()
    for seed in range(block * 100, block * 100 + 100):
        s = on_rungs(Scenario.of(seed))
        seen = simulate(s)
        what = f"seed {seed}: {s}"
        check(seen, s, what)
        calm = [
            r for (t, _, _), r in zip(seen.shown, seen.by_rung, strict=True) if t > CALM_AFTER_S
        ]
        room_s = min(s.interval_s, s.budget_s)
        lowest = (TIMES[0] * s.whole_s + s.call_s) * (1 + 4 * s.noise)
        if lowest < 0.6 * room_s:
            assert np.mean([sum(shares) for shares in calm]) > 0.99, what
            tried["fits"] += 1
        # Calm again, no frame is on a lower rung than the machine begins on with room to spare.
        begun = (TIMES[s.begin_on] * s.whole_s + s.call_s) * (1 + 4 * s.noise)
        if begun < 0.6 * room_s:
            last = [
                shares
                for (t, _, _), shares in zip(seen.shown, seen.by_rung, strict=True)
                if t > END_S - 1
            ]
            assert np.mean([sum(shares[s.begin_on :]) for shares in last]) > 0.95, what
            tried["climbed"] += 1
    assert min(tried.values()) > 5


def test_quality_does_not_flicker_on_a_machine_at_the_edge_of_a_rung() -> None:
    """Load that comes and goes every second: rungs fall with it, but do not rise each time."""
    s = Scenario(
        np.random.default_rng(0), 0.08, 1 / 25, 0.012, 0.001, 0.05,
        spikes=[(t, t + 0.3, 2.0) for t in np.arange(1.0, END_S, 1.3)], stalls=[], static=[],
        rungs=TIMES, begin_on=2,
    )  # fmt: skip
    rungs = [int(np.argmax(shares)) for shares in simulate(s).by_rung]
    climbs = sum(b > a for a, b in pairwise(rungs))
    assert climbs <= 6
    assert math.isclose(np.mean(np.array(rungs) >= 1), 1.0, abs_tol=0.05)


def test_a_still_picture_ends_on_the_top_rung_in_the_simulator() -> None:
    s = on_rungs(Scenario.of(1))
    s = replace(s, whole_s=0.012, interval_s=1 / 30, budget_s=0.06, noise=0.05, begin_on=1,
                spikes=[], stalls=[], static=[(4.0, END_S)])  # fmt: skip
    seen = simulate(s)
    last = [shares for (t, _, _), shares in zip(seen.shown, seen.by_rung, strict=True) if t > 7]
    assert min(shares[3] for shares in last) == pytest.approx(1.0)
