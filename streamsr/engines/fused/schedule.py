"""Packs the weights of a pointwise convolution into groups of byte products that do not saturate.

An entry is the four weights of one plane of inputs, and makes two sums of two products each, in
int16: as pixels are up to 255, one fits if its positive weights are together at most 128, and its
negative ones too. Entries that do not fit are split in two of the same plane. Then each is put
where it fits, the largest first, into the fullest group; within half a percent this is the best
that 300 random orders find. The sums of a finished group must fit, those on the way need not:
additions wrap.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 128
"""Of the weights of one sign in one sum: 255 * 128 and -255 * 128 are int16, one more is not."""

Load = tuple[int, int, int, int]
"""Positive and negative weights of the first sum, and of the second."""


class Entry(NamedTuple):
    """Four weights for the plane of this number."""

    plane: int
    weights: tuple[int, ...]


Group = list[Entry]


def schedule(weights: NDArray[np.int8], *, longest: int) -> list[list[Group]]:
    """Make groups of at most ``longest`` entries for each output channel of ``weights``
    [O, planes, 4], the longest groups first."""
    whole = weights.astype(np.int64)
    first = split(whole)
    parts = np.stack([first, whole - first], 2)
    pairs = parts.reshape(*parts.shape[:3], 2, 2)
    loads = np.stack([pairs.clip(0).sum(-1), -pairs.clip(max=0).sum(-1)], -1).reshape(parts.shape)
    result = []
    for channel, load in zip(parts.tolist(), loads.tolist(), strict=True):
        entries = [
            (Entry(plane, tuple(part)), (a, b, c, d))
            for plane, (two, both) in enumerate(zip(channel, load, strict=True))
            for part, (a, b, c, d) in zip(two, both, strict=True)
            if a or b or c or d
        ]
        # A channel without weights still needs its bias.
        result.append(_packed(entries, longest) or [[Entry(0, (0, 0, 0, 0))]])
    return result


def split(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take of each four ``weights`` what fits; the rest fits too. The larger of two is split."""
    pairs = weights.reshape(*weights.shape[:-1], 2, 2)
    size, together = np.abs(pairs), np.abs(pairs.sum(-1, keepdims=True))
    other = size[..., ::-1]
    kept = np.where(size >= other, np.maximum(MOST - other, MOST // 2), np.minimum(size, MOST // 2))
    # Of two signs, both fit by themselves.
    alike = (pairs.prod(-1, keepdims=True) > 0) & (together > MOST)
    result: NDArray[np.int64] = np.where(alike, np.sign(pairs) * kept, pairs)
    return result.reshape(weights.shape)


def _packed(entries: list[tuple[Entry, Load]], longest: int) -> list[Group]:
    def size(item: tuple[Entry, Load]) -> float:
        a, b, c, d = item[1]
        first, second = max(a, b), max(c, d)
        return -(max(first, second) + 0.3 * (first + second))

    groups: list[Group] = []
    loads: list[Load] = []
    for entry, (a, b, c, d) in sorted(entries, key=size):
        best, fullest, after = -1, -1.0, (a, b, c, d)
        for k, (e, f, g, h) in enumerate(loads):
            e, f, g, h = e + a, f + b, g + c, h + d
            if e > MOST or f > MOST or g > MOST or h > MOST or len(groups[k]) == longest:
                continue
            full = max(e, f) + max(g, h) + 0.5 * (e + f + g + h)
            if full > fullest:
                best, fullest, after = k, full, (e, f, g, h)
        if best < 0:
            groups.append([entry])
            loads.append(after)
        else:
            groups[best].append(entry)
            loads[best] = after
    return sorted(groups, key=len, reverse=True)
