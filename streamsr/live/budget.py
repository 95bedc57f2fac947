"""Decides how much of a live frame the network computes, from ages and predicted costs.

Pure functions of numbers: no clock and no pixels. A frame is late when it leaves the upscaler older
than the budget. The choices, from best to worst: compute all that is not yet at full quality;
compute a part and resize the rest; resize; drop. Quality falls at once and returns step by step, so
that it does not flicker from frame to frame.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

GROWTH_S = 0.25
"""Time in which the network's allowance may grow by a factor of e: from a tenth of a frame to all
of it in 0.6 s."""

MAX_GROWTH = 2.0
"""Largest growth from one frame to the next, for low frame rates."""

SEED_S = 0.001
"""An allowance that fell to 0 grows from this."""

STARVED_S = 0.5
"""Longest time without a frame shown; then a late one is shown too."""

DECAY = 0.8
"""Weight of a measurement relative to the one after it: about the last five decide."""

DOUBT = 0.95
"""Factor by which an expected cost falls with each frame that does not measure it: work that was
too slow is tried again after a second."""

CLOCK_S = 1e-7
"""Shortest time that is measured: a clock's resolution."""

SURPRISE = 3.0
"""A measurement counts as at most this many times the prediction: one outlier is not a trend."""


class Take(Enum):
    """What to do with a frame.

    ALL     compute all that is not at full quality yet
    SOME    compute a part of it, resize what changed besides
    RESIZE  resize what changed
    DROP    leave it out
    """

    ALL = auto()
    SOME = auto()
    RESIZE = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a frame before it is upscaled. Times in seconds; costs are predictions.

    age_s       time since its capture
    waiting     newer frames that wait already
    silent_s    time since a frame last left the stage
    interval_s  time between frames of the source, infinite when unknown
    all_s       cost of the network for everything that is not at full quality yet; 0 for nothing
    least_s     cost of the network for the smallest part worth a call
    resize_s    cost of resizing everything that changed
    other_s     cost of a frame besides these
    margin      factor by which a cost may exceed its prediction, at least 1
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
    """Network time that the last two frames were allowed: only two bad ones in a row make it grow
    slowly again."""

    last_s: float = math.inf
    before_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do. ``network_s``: for SOME, how many seconds the network may run."""

    take: Take
    network_s: float = 0.0


def decide(now: Situation, before: Allowance, *, budget_s: float) -> tuple[Decision, Allowance]:
    """Decide what to do with a frame. Returns that, and the allowance to pass for the next one."""
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
            return Decision(Take.DROP), before  # the newer frame has more time left
    network_s = allowed - now.resize_s
    if network_s < now.least_s:
        return Decision(Take.RESIZE), after
    return Decision(Take.SOME, network_s), after


def too_late(age_s: float, silent_s: float, *, budget_s: float) -> bool:
    """Whether a finished frame is dropped: it is older than the budget, and the last one was shown
    less than STARVED_S ago."""
    return age_s > budget_s and silent_s <= STARVED_S


class Costs:
    """Learns the cost of one kind of work on this machine: seconds = fixed + rate x pixels. For one
    thread.

    A weighted least-squares fit in which recent measurements count most. While all are of one
    size, the fixed part keeps its proportion.
    """

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self._fixed_pixels = 0.0
        self._rate = 0.0
        self._deviation = 0.1

    def predict(self, pixels: float) -> float:
        """Expected seconds for this many pixels; 0 for none, and before the first measurement."""
        return self._rate * (pixels + self._fixed_pixels) if pixels else 0.0

    @property
    def margin(self) -> float:
        """Factor by which few measurements exceed the prediction."""
        return min(1.05 + 2 * self._deviation, 2.0)

    def learn(self, pixels: float, seconds: float) -> None:
        """Take a measurement in: these pixels took these seconds."""
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
            slope = min(max(slope, 0.2 * y / x), y / x)  # a fixed part of 0 to 80 %
            self._fixed_pixels = y / slope - x
        self._rate = y / (x + self._fixed_pixels)

    def doubt(self) -> None:
        """Lower the expected cost, after a frame without a measurement."""
        self._rate *= DOUBT
        self._y *= DOUBT
        self._xy *= DOUBT
