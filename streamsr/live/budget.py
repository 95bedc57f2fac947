"""How much of a live frame the network may take, decided from ages and predicted costs. No clock,
no pixels.

A frame is late when it leaves the upscaler older than the budget. What keeps it young is, from best
to worst: compute all that is not yet at full quality; compute some of it and resize the rest;
resize; drop. Quality falls at once and returns step by step, so that it does not flicker from frame
to frame.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

GROWTH_S = 0.25
"""Time in which the network's allowance may grow e-fold: from a tenth back to all of a frame in 0.6
s."""

MAX_GROWTH = 2.0
"""Growth from one frame to the next at most, at low frame rates."""

SEED_S = 0.001
"""Where an allowance that fell to nothing starts to grow from."""

STARVED_S = 0.5
"""A viewer sees something at least this often, late if it must be."""

DECAY = 0.8
"""Weight of a cost measurement against the one after it: five frames decide."""

DOUBT = 0.95
"""Costs not measured at a frame are believed to have fallen to this: what was too slow is tried
again in a second."""

CLOCK_S = 1e-7
"""What a clock may fail to see counts as this much."""

SURPRISE = 3.0
"""A measurement counts as at most this times what was predicted: one hiccup is no trend."""


class Take(Enum):
    """What to do with a frame."""

    ALL = auto()
    SOME = auto()
    RESIZE = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a frame is about to be upscaled; times in seconds, costs predicted.

    age_s       since its capture
    waiting     newer frames that wait already
    silent_s    since a frame last left the stage
    interval_s  between frames of the source, infinite when unknown
    all_s       the network on everything that is not at full quality yet; 0 when nothing is
    least_s     the network on the smallest part worth a call
    resize_s    resizing everything that changed
    other_s     what every frame costs besides
    margin      how far above its prediction a cost may lie, at least 1
    """

    age_s: float
    waiting: int
    silent_s: float
    interval_s: float
    all_s: float
    least_s: float
    resize_s: float
    other_s: float
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """Network time the last two frames were allowed: one bad frame is a hiccup, two are a reason to
    go slowly."""

    last_s: float = math.inf
    before_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Decision:
    """``network_s`` is how long the network may run when it takes SOME."""

    take: Take
    network_s: float = 0.0


def decide(now: Situation, before: Allowance, *, budget_s: float) -> tuple[Decision, Allowance]:
    """What to do with this frame, and what to remember for the next one."""
    left = budget_s - now.age_s - now.other_s
    # A frame that takes longer than the source's interval makes another one drop. Keeping up is a
    # matter of averages, so it needs no margin; keeping the age limit does.
    room = min(left / now.margin, now.interval_s - now.other_s)
    growth = now.interval_s / GROWTH_S
    step = math.exp(growth) if growth < math.log(MAX_GROWTH) else MAX_GROWTH
    allowed = max(min(room, max(before.last_s, before.before_s, SEED_S) * step), 0.0)
    after = Allowance(
        math.inf if allowed >= room > 0 and now.all_s <= room else allowed, before.last_s
    )
    starved = now.silent_s + min(now.interval_s, STARVED_S) > STARVED_S
    if now.all_s <= allowed and left >= 0:
        return Decision(Take.ALL), after
    if not starved:
        if left < now.resize_s * now.margin:
            return Decision(Take.DROP), before
        if now.waiting and now.all_s * now.margin > left:
            return Decision(Take.DROP), before  # the newer one has more time
    network_s = allowed - now.resize_s
    if network_s < now.least_s:
        return Decision(Take.RESIZE), after
    return Decision(Take.SOME, network_s), after


def too_late(age_s: float, silent_s: float, *, budget_s: float) -> bool:
    """Whether a finished frame is to be dropped after all: it is older than the budget and the
    viewer can wait."""
    return age_s > budget_s and silent_s <= STARVED_S


class Costs:
    """Learns what one kind of work costs on this machine now: seconds = fixed + rate x pixels. For
    one thread.

    The recent measurements count most. Where all were of one size, the fixed part keeps its
    proportion.
    """

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._fixed_pixels = 0.0
        self._rate = 0.0
        self._deviation = 0.1

    def predict(self, pixels: float) -> float:
        """Seconds that work on this many pixels is expected to take; 0 for none, and before
        anything was measured."""
        return self._rate * (pixels + self._fixed_pixels) if pixels else 0.0

    @property
    def margin(self) -> float:
        """A factor above the prediction under which most measurements stay."""
        return min(1.05 + 2 * self._deviation, 2.0)

    def learn(self, pixels: float, seconds: float) -> None:
        """Take a measurement in."""
        expected = self.predict(pixels)
        seconds = max(seconds, CLOCK_S)
        if expected:
            seconds = min(seconds, expected * SURPRISE)
            self._deviation += (1 - DECAY) * (
                min(abs(seconds / expected - 1), 1.0) - self._deviation
            )
        self._n = self._n * DECAY + 1
        self._x = self._x * DECAY + pixels
        self._y = self._y * DECAY + seconds
        self._xx = self._xx * DECAY + pixels * pixels
        self._xy = self._xy * DECAY + pixels * seconds
        x, y = self._x / self._n, self._y / self._n
        variance = self._xx / self._n - x * x
        if variance > (0.1 * x) ** 2:
            slope = (self._xy / self._n - x * y) / variance
            slope = min(max(slope, 0.2 * y / x), y / x)  # neither all fixed nor less than nothing
            self._fixed_pixels = y / slope - x
        self._rate = y / (x + self._fixed_pixels)

    def doubt(self) -> None:
        """A frame passed without a measurement."""
        self._rate *= DOUBT
        self._y *= DOUBT
        self._xy *= DOUBT
