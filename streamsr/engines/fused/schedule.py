"""Packs the weights of a pointwise convolution into groups of byte products that do not saturate.

An entry is the four weights of one plane of inputs, and makes two sums of two products each, in
int16. Entries whose own sums could leave an int16 are split first: a part of the larger weight
goes to a second entry of the same plane. Entries are then put where they fit, the largest first,
into the fullest group; within half a percent this is the best that 300 random orders find. Sums
of a finished group must fit, those on the way need not: additions wrap.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = -(2**15), 2**15 - 1

Weights = tuple[int, int, int, int]


class Entry(NamedTuple):
    """Four weights for the plane of this number."""

    plane: int
    weights: Weights


Group = list[Entry]

Range = tuple[int, int]
"""Least and greatest value of an input channel."""

BYTE: Range = (0, 255)


class _Bin:
    """A group, and the least and greatest of each of its two sums."""

    def __init__(self) -> None:
        self.entries: Group = []
        self.reach = (0, 0), (0, 0)


def schedule(
    weights: NDArray[np.int8], ranges: list[Range] | None = None, *, longest: int
) -> list[list[Group]]:
    """Groups for each output channel of ``weights`` [O, planes, 4], the longest first.

    ranges   of each of the 4 * planes input channels, default any byte
    longest  most entries of a group
    """
    result = []
    for channel in weights.tolist():
        entries = []
        for plane, four in enumerate(channel):
            limits = [BYTE] * 4 if ranges is None else ranges[4 * plane : 4 * plane + 4]
            parts = _split(tuple(four), limits)
            entries += [(Entry(plane, part), _reaches(part, limits)) for part in parts]
        result.append(_packed(entries, longest))
    return result


def reach(weights: tuple[int, ...], limits: list[Range]) -> Range:
    """Least and greatest sum of these weights times inputs within their limits."""
    ends = [(w * low, w * high) for w, (low, high) in zip(weights, limits, strict=True)]
    return sum(map(min, ends)), sum(map(max, ends))


def _reaches(weights: Weights, limits: list[Range]) -> tuple[Range, Range]:
    return reach(weights[:2], limits[:2]), reach(weights[2:], limits[2:])


def _split(weights: Weights, limits: list[Range]) -> list[Weights]:
    """The same weights as a sum of such whose own sums fit, none if all are 0."""
    parts = []
    while any(weights):
        part = list(weights)
        for half in (slice(0, 2), slice(2, 4)):
            while True:
                pair = part[half]
                least, most = reach(tuple(pair), limits[half])
                if least >= LEAST and most <= MOST:
                    break
                sign = 1 if most > MOST else -1
                larger = 0 if sign * pair[0] >= sign * pair[1] else 1
                pair[larger] -= sign
                part[half] = pair
        parts.append((part[0], part[1], part[2], part[3]))
        rest = [w - p for w, p in zip(weights, part, strict=True)]
        weights = (rest[0], rest[1], rest[2], rest[3])
    return parts


def _packed(entries: list[tuple[Entry, tuple[Range, Range]]], longest: int) -> list[Group]:
    def size(item: tuple[Entry, tuple[Range, Range]]) -> float:
        first, second = (max(most, -least) for least, most in item[1])
        return -(max(first, second) + 0.3 * (first + second))

    bins: list[_Bin] = []
    for entry, (first, second) in sorted(entries, key=size):
        best, fullest, ends = None, -1.0, (BYTE, BYTE)
        for group in bins:
            if len(group.entries) == longest:
                continue
            (a, b), (c, d) = group.reach
            a, b, c, d = a + first[0], b + first[1], c + second[0], d + second[1]
            if a < LEAST or b > MOST or c < LEAST or d > MOST:
                continue
            full = max(b, -a) + max(d, -c) + 0.5 * (b - a + d - c)
            if full > fullest:
                best, fullest, ends = group, full, ((a, b), (c, d))
        if best is None:
            best, ends = _Bin(), (first, second)
            bins.append(best)
        best.entries.append(entry)
        best.reach = ends
    # A channel without weights still needs its bias.
    groups = [group.entries for group in bins] or [[Entry(0, (0, 0, 0, 0))]]
    return sorted(groups, key=len, reverse=True)
