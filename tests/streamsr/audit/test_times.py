"""Times that the audit takes for those of the input, and times that it does not."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from streamsr.audit.times import Times, compare

MS = Fraction(1, 1000)
EVEN = list(range(0, 2000, 40))
JOINED = [*EVEN, *EVEN]
"""A recording, and once more: its clock begins again."""

MENDED = [*EVEN, *(time + 2000 for time in EVEN)]


def compared(before: list[int], after: list[int], **options: bool) -> Times:
    return compare(before, after, MS, MS, slack=MS, **options)


def test_the_same_times_and_times_that_are_all_moved_alike_are_right() -> None:
    assert compared(EVEN, EVEN).wrong == ()
    moved = compared(EVEN, [time + 700 for time in EVEN])
    assert (moved.wrong, moved.shifts) == ((), (Fraction(7, 10),))


def test_behind_a_jump_the_output_goes_on() -> None:
    times = compared(JOINED, MENDED)
    assert times.wrong == ()
    assert times.shifts == (0, 2)


WRONG: dict[str, Callable[[list[int]], list[int]]] = {
    "all piled up behind the jump": lambda _: [*EVEN, *(1961 + n for n in range(50))],
    "a gap at the jump": lambda after: after[:50] + [time + 5000 for time in after[50:]],
    "runs backward at the jump": lambda after: after[:50] + [time - 300 for time in after[50:]],
    "as in the input": lambda _: JOINED,
    "one is late": lambda after: [time + 15 * (n == 70) for n, time in enumerate(after)],
    "drifts": lambda after: [time + n // 10 for n, time in enumerate(after)],
}


@pytest.mark.parametrize("what", WRONG)
def test_other_times_are_found(what: str) -> None:
    assert compared(JOINED, WRONG[what](MENDED)).wrong


def test_a_clock_that_may_not_jump_is_followed() -> None:
    assert compared(JOINED, MENDED, jumps=False).wrong
    gap = [*EVEN, *(time + 60_000 for time in EVEN)]
    assert compared(gap, gap, jumps=False).wrong == ()
    assert compared(gap, MENDED, jumps=False).wrong
    assert compared(gap, MENDED).wrong == ()


def test_a_packet_without_a_usable_time_takes_the_next_one() -> None:
    before = [*EVEN[:20], EVEN[19], *EVEN[21:]]
    after = [*EVEN[:20], EVEN[19] + 5, *EVEN[21:]]
    times = compared(before, after)
    assert (times.wrong, times.own) == ((), 1)
    assert compared(before, [*EVEN[:20], EVEN[5], *EVEN[21:]]).wrong == (20,)


def test_pictures_in_the_order_of_decoding_go_back_and_forth() -> None:
    coded = [0, 120, 40, 80, 240, 160, 200]
    assert compared(coded, [time + 900 for time in coded], ordered=False).wrong == ()
    assert compared(coded, [0, 120, 40, 90, 240, 160, 200], ordered=False).wrong == (3,)
