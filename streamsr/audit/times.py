"""Whether an output's times are those of an input whose own clock may jump or stand still.

Judged by the output alone: within a stretch of the input's clock everything is moved alike, sound
as picture; where the clock jumps, the output goes on without a gap; nothing runs backward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

BACKWARD_S = Fraction(1, 10)
"""A clock that goes back by more has begun again; by less, one packet's time is wrong."""

FORWARD_S = Fraction(10)
"""So long a gap may be a new clock."""

JOIN_S = Fraction(1)
"""What stands first behind a jump comes so soon at the latest: a gap that is longer can be seen."""


@dataclass(frozen=True, slots=True)
class Times:
    """What was found of one stream.

    shifts   seconds that each stretch of the input's clock was moved by, in order
    wrong    numbers of the packets or frames that are at another time
    first_s  by how much the first of them is wrong
    own      how many had no usable time of their own: equal to, or a little before, an earlier one
    moves    the first's, for each one's stretch: difference of the output from the input
    """

    shifts: tuple[Fraction, ...]
    wrong: tuple[int, ...]
    first_s: Fraction
    own: int
    moves: tuple[Fraction, ...]


def compare(
    times_in: Sequence[int],
    times_out: Sequence[int],
    base_in: Fraction,
    base_out: Fraction,
    *,
    slack: Fraction,
    jumps: bool = True,
    ordered: bool = True,
) -> Times:
    """Compare presentation times in ticks, of the same packets or frames in the file's order.

    slack    seconds by which a rounded time may differ
    jumps    whether the clock of the input's container may jump at all
    ordered  whether times only grow in a sound file, as they do not in the order of decoding
    """
    shifts: list[Fraction] = []
    wrong: list[int] = []
    moves: list[Fraction] = []
    first_s = Fraction(0)
    own = 0
    latest_in: Fraction | None = None
    before_out: Fraction | None = None
    was_late = False
    for number, (ticks_in, ticks_out) in enumerate(zip(times_in, times_out, strict=False)):
        time_in = ticks_in * base_in
        time_out = ticks_out * base_out
        move = time_out - time_in
        step_in = None if latest_in is None else time_in - latest_in
        is_jump = step_in is not None and (step_in < -BACKWARD_S or step_in > FORWARD_S)
        is_late = False
        off = Fraction(0)
        if step_in is None or before_out is None or latest_in is None:
            shifts.append(move)
            latest_in = time_in
        elif abs(move - shifts[-1]) <= slack:
            if is_jump and jumps and step_in < 0:
                off = step_in
        elif is_jump and jumps:
            shifts.append(move)
            if not 0 < time_out - before_out <= JOIN_S:
                off = time_out - before_out
            latest_in = time_in
        elif step_in == 0 or (step_in < 0 and ordered):
            # A time of its own that cannot be used; a decoder gives one picture late after damage,
            # not two.
            own += 1
            is_late = is_jump
            if not before_out <= time_out <= before_out + JOIN_S or (is_late and was_late):
                off = time_out - before_out or step_in
        else:
            off = move - shifts[-1]
        if off:
            wrong.append(number)
            first_s = first_s or off
        latest_in = max(latest_in, time_in)
        before_out = time_out
        was_late = is_late
        moves.append(move)
    return Times(tuple(shifts), tuple(wrong), first_s, own, tuple(moves))
