"""Decides how much of a live frame which network computes, from ages and predicted costs.

Pure functions of numbers: no clock and no pixels. A frame is late when it leaves the upscaler older
than the budget. The choices, from best to worst: compute all that is not the network's work yet, on
the highest rung that there is time for (`streamsr.live.rungs`); compute a part on the lowest and
resize the rest; resize; drop. Quality falls at once and returns step by step, so that it does not
flicker from frame to frame. Time that is left goes to parts that stand still below the top rung.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from streamsr.live.rungs import Standing, standing_for

GROWTH_S = 0.25
"""Time in which the network's allowance may grow by a factor of e: from a tenth of a frame to all
of it in 0.6 s."""

MAX_GROWTH = 2.0
"""Largest growth from one frame to the next, for low frame rates."""

SEED_S = 0.001
"""An allowance that fell to 0 grows from this."""

REFINE_SHARE = 0.5
"""Of the time that is left of a frame's, for the top rung on what stands still: the frame waits for
it."""

STARVED_S = 0.5
"""Longest time without a frame shown; then a late one is shown too."""


class Take(Enum):
    """What to do with a frame.

    ALL     compute all that is not the network's work yet
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
    all_s       cost of each rung's network, rising, for everything that is not the network's work
                yet; 0 for nothing
    least_s     cost of the lowest rung's for the smallest part worth a call
    resize_s    cost of resizing everything that changed
    other_s     cost of a frame besides these
    margin      factor by which a cost may exceed its prediction, at least 1
    refine_s    cost of the top rung's for the smallest part worth a call; 0 where nothing that
                stands still is below it
    """

    age_s: float
    waiting: int
    silent_s: float
    interval_s: float
    all_s: Sequence[float]
    least_s: float
    resize_s: float
    other_s: float
    margin: float = 1.0
    refine_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """Network time that the last two frames were allowed: only two bad ones in a row make it grow
    slowly again. And the rung that is kept to."""

    last_s: float = math.inf
    before_s: float = math.inf
    standing: Standing = field(default_factory=Standing)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    network_s  for SOME, how many seconds the network may run, on the lowest rung
    rung       for ALL, which one
    refine_s   for ALL, how many seconds the top rung may run besides, on what stands still
    """

    take: Take
    network_s: float = 0.0
    rung: int = 0
    refine_s: float = 0.0


def decide(now: Situation, before: Allowance, *, budget_s: float) -> tuple[Decision, Allowance]:
    """Decide what to do with a frame. Returns that, and the allowance to pass for the next one."""
    left = budget_s - now.age_s - now.other_s
    # A frame that takes longer than the source's interval makes another one drop. Keeping up is a
    # matter of averages, so it needs no margin; keeping the age limit does.
    room = min(left / now.margin, now.interval_s - now.other_s)
    growth = now.interval_s / GROWTH_S
    step = math.exp(growth) if growth < math.log(MAX_GROWTH) else MAX_GROWTH
    allowed = max(min(room, max(before.last_s, before.before_s, SEED_S) * step), 0.0)
    rung, standing = standing_for(
        now.all_s, before.standing, allowed_s=allowed, room_s=room, interval_s=now.interval_s
    )
    enough = allowed >= room > 0 and now.all_s[rung] <= room
    after = Allowance(math.inf if enough else allowed, before.last_s, standing)
    starved = now.silent_s + min(now.interval_s, STARVED_S) > STARVED_S
    if now.all_s[rung] <= allowed and left >= 0:
        spare = (allowed - now.all_s[rung]) * REFINE_SHARE
        refines = 0 < now.refine_s <= spare and not now.waiting
        return Decision(Take.ALL, rung=rung, refine_s=spare if refines else 0.0), after
    if not starved:
        if left < now.resize_s * now.margin:
            return Decision(Take.DROP), before
        if now.waiting and now.all_s[0] * now.margin > left:
            return Decision(Take.DROP), before  # the newer frame has more time left
    network_s = allowed - now.resize_s
    if network_s < now.least_s:
        return Decision(Take.RESIZE), after
    return Decision(Take.SOME, network_s), after


def too_late(age_s: float, silent_s: float, *, budget_s: float) -> bool:
    """Whether a finished frame is dropped: it is older than the budget, and the last one was shown
    less than STARVED_S ago."""
    return age_s > budget_s and silent_s <= STARVED_S
