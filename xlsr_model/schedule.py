"""Learning rate against step: pure."""

from bisect import bisect_right
from collections.abc import Sequence
from math import cos, pi


def learning_rate(points: Sequence[tuple[int, float]], curve: str, step: int) -> float:
    """The rate at a step between the given (step, rate) points, constant before the first and after the last."""
    after = bisect_right([position for position, _ in points], step)
    if after == 0:
        return points[0][1]
    if after == len(points):
        return points[-1][1]
    (start, first), (end, last) = points[after - 1], points[after]
    share = (step - start) / (end - start)
    if curve == "cosine":
        share = (1 - cos(pi * share)) / 2
    return first + (last - first) * share
