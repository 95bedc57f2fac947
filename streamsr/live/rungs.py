"""Which rung of the family a live frame is computed on: down at once, up after a while.

A pure function of numbers, as `streamsr.live.budget`, which calls it. A frame that has no time for
its rung takes a lower one; the rung is given up by the second such frame. A rung up is taken when
it would have fitted for some time, which doubles with each try that did not last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

AGAIN_S = 0.25
"""Two frames without time for their rung, so far apart or less, are no accident."""

PATIENCE_S = 0.5
"""Time for which the next rung must have fitted, at first."""

MOST_PATIENCE_S = 8.0
"""And at most: a machine is tried again so often."""

PROBATION_S = 4.0
"""A rung that was kept for so long has lasted."""

UP_MARGIN = 1.25
"""What the next rung is to leave of the time, so that it is not left again for a slow frame."""

LONGEST_STEP_S = 0.1
"""A frame counts as at most so much time: the rate may be unknown."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stream stands on the ladder.

    rung        that is kept to, 0 the lowest
    short_s     time since a frame had no time for it
    roomy_s     for how long the next rung has fitted
    held_s      time since it was climbed to, below 0 when it was fallen to
    patience_s  for how long the next one must fit
    """

    rung: int = 0
    short_s: float = math.inf
    roomy_s: float = 0.0
    held_s: float = math.inf
    patience_s: float = PATIENCE_S


def standing_for(
    costs_s: Sequence[float],
    before: Standing,
    *,
    allowed_s: float,
    room_s: float,
    interval_s: float,
) -> tuple[int, Standing]:
    """The rung for a frame, and the standing to pass for the next one.

    costs_s    what the frame's work costs on each rung, rising
    allowed_s  what it may cost now
    room_s     what it might cost at most
    """
    rung = before.rung
    step_s = min(interval_s, LONGEST_STEP_S)
    now = replace(before, short_s=before.short_s + step_s, held_s=before.held_s + step_s)
    lasted = now.held_s > PROBATION_S
    if lasted:
        now = replace(now, patience_s=PATIENCE_S)
    if rung and costs_s[rung] > allowed_s:
        fits = max((r for r in range(rung) if costs_s[r] <= allowed_s), default=0)
        now = replace(now, short_s=0.0, roomy_s=0.0)
        if before.short_s > AGAIN_S:
            return fits, now
        if now.held_s >= 0 and not lasted:
            now = replace(now, patience_s=min(2 * now.patience_s, MOST_PATIENCE_S))
        return fits, replace(now, rung=fits, held_s=-math.inf)
    if rung + 1 == len(costs_s) or not costs_s[rung]:  # a frame without work tells nothing
        return rung, now
    if costs_s[rung + 1] * UP_MARGIN > room_s:
        return rung, replace(now, roomy_s=0.0)
    now = replace(now, roomy_s=now.roomy_s + step_s)
    if now.roomy_s < now.patience_s:
        return rung, now
    return rung, replace(now, rung=rung + 1, roomy_s=0.0, held_s=0.0)
