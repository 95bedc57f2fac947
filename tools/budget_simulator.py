"""The latency policy at work in virtual seconds: a source, a place for one waiting frame, and one
worker.

The tests of the policy and the pictures of docs/budget.md are made with it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsr.live.budget import Allowance, Situation, Take, decide, too_late
from streamsr.live.costs import Costs, RungCosts
from streamsr.live.rungs import Standing
from streamsr.live.stage import STILL


@dataclass
class Scenario:
    """A machine and a stream. ``slow(t)`` is by how much everything takes longer at that time, and
    ``rungs`` how many times ``whole_s`` each rung takes; it begins on number ``begin_on``."""

    rng: np.random.Generator
    budget_s: float
    interval_s: float
    whole_s: float
    call_s: float
    noise: float
    spikes: list[tuple[float, float, float]]
    stalls: list[tuple[float, float]]
    static: list[tuple[float, float]]
    rungs: Sequence[float] = (1.0,)
    begin_on: int = 0

    def slow(self, t: float) -> float:
        return max([1.0, *(factor for begin, end, factor in self.spikes if begin <= t < end)])

    def seconds(self, share: float, t: float, rung: int = 0) -> float:
        if not share:
            return 0.0
        jitter = 1 + self.noise * abs(self.rng.normal())
        return (self.call_s + share * self.whole_s * self.rungs[rung]) * self.slow(t) * jitter

    @classmethod
    def of(cls, seed: int) -> "Scenario":
        rng = np.random.default_rng(seed)
        interval_s = float(rng.choice([1 / 60, 1 / 30, 1 / 25, 1 / 12.5]))
        begin = 2.0 + rng.random() * 2

        def spans(count: int, longest: float) -> list[tuple[float, float]]:
            return [
                (t, t + rng.random() * longest)
                for t in begin + rng.random(rng.integers(0, count)) * 3
            ]

        return cls(
            rng,
            budget_s=float(interval_s * rng.uniform(1.2, 4)),
            interval_s=interval_s,
            whole_s=float(interval_s * rng.uniform(0.1, 3)),
            call_s=float(rng.uniform(0, 0.002)),
            noise=float(rng.choice([0.0, 0.05, 0.2])),
            spikes=[(a, b, float(rng.uniform(1.5, 8))) for a, b in spans(3, 1.5)],
            stalls=spans(2, 0.8),
            static=spans(3, 1.0),
        )


END_S = 12.0
CALM_AFTER_S = 8.5
"""Spikes, stalls and still pictures have all ended, and the second of recovery has passed."""


@dataclass
class Seen:
    """What happened: of each frame shown its time, age and the share of it at full quality, which
    is any network's, and the share of it by each rung."""

    fates: Counter[str] = field(default_factory=Counter)
    captured: int = 0
    shown: list[tuple[float, float, float]] = field(default_factory=list)
    by_rung: list[list[float]] = field(default_factory=list)


def simulate(s: Scenario) -> Seen:
    seen = Seen()
    network, resize = RungCosts(len(s.rungs)), Costs()
    for rung in range(len(s.rungs)):
        network.begin(rung, 1.0, s.seconds(1.0, 0, rung))
    network.learn(0, 0.5, s.seconds(0.5, 0))
    resize_whole_s = 0.1 * s.interval_s
    resize.learn(1.0, resize_whole_s)
    memory = Allowance(standing=Standing(s.begin_on))
    top = len(s.rungs) - 1
    level = [0.0] * len(s.rungs)  # shares of the picture; the rest is interpolated
    still = 0
    t, shown_s, index = 0.0, -math.inf, 0
    arrivals: list[float] = []
    while (when := len(arrivals) * s.interval_s) < END_S:
        stalled = [end for begin, end in s.stalls if begin <= when < end]
        arrivals.append(max([when, *stalled]))  # a burst after each stall
    while index < len(arrivals):
        # Of those that have arrived, the newest; the others are dropped where they wait.
        ready = index
        while ready + 1 < len(arrivals) and arrivals[ready + 1] <= t:
            ready += 1
        seen.fates["dropped"] += ready - index
        seen.captured += ready - index + 1
        arrival, index = arrivals[ready], ready + 1
        t = max(t, arrival)
        changed = 0.0 if any(begin <= t < end for begin, end in s.static) else 1.0
        still = 0 if changed else still + 1
        if changed:
            level = [0.0] * len(s.rungs)
        missing = max(1 - sum(level), 0.0) if sum(level) < 1 - 1e-9 else 0.0
        below = sum(level[:top]) if still >= STILL else 0.0
        decision, memory = decide(
            Situation(
                age_s=t - arrival,
                waiting=int(index < len(arrivals) and arrivals[index] <= t),
                silent_s=t - shown_s,
                interval_s=s.interval_s,
                all_s=[network.predict(rung, missing) for rung in range(len(s.rungs))],
                least_s=network.predict(0, 0.005),
                resize_s=resize.predict(changed),
                other_s=0.0,
                margin=network.margin,
                refine_s=network.predict(top, 0.005) if below > 1e-9 else 0.0,
            ),
            memory,
            budget_s=s.budget_s,
        )
        if decision.take is Take.DROP:
            seen.fates["dropped"] += 1
            continue
        share = 0.0
        if decision.take is Take.ALL:
            share = missing
        elif decision.take is Take.SOME:
            share = missing
            while network.predict(0, share) > decision.network_s:
                share *= 0.95
        rung = decision.rung
        if share:
            took = s.seconds(share, t, rung)
            network.learn(rung, share, took)
            t += took
            level[rung] += share
        if decision.refine_s:
            better = below
            while network.predict(top, better) > decision.refine_s:
                better *= 0.95
            took = s.seconds(better, t, top)
            network.learn(top, better, took)
            t += took
            for lower in range(top):
                level[lower] *= 1 - better / below
            level[top] += better
        elif not share and (missing or not top):
            network.doubt()
        if changed and missing - share > 0:
            took = resize_whole_s * (missing - share) * s.slow(t)
            resize.learn(missing - share, took)
            t += took
        if too_late(t - arrival, t - shown_s, budget_s=s.budget_s):
            seen.fates["dropped"] += 1
            continue
        shown_s = t
        seen.fates["shown"] += 1
        seen.shown.append((t, t - arrival, min(sum(level), 1.0)))
        seen.by_rung.append(list(level))
    return seen
