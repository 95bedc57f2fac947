"""A worker's small memory for the walk by blocks: what is computed for one chunk of a block.

A tile is four pixels of a row, four tiles side by side are a strand, and two strands, from anywhere
in the block, fill a vector. A chunk is four rows of up to CHUNK such vectors. Its pixels lie in
planes of four channels, vector ``(4 * row + phase) * width + v`` of a chunk ``width`` vectors wide
being the pixels 4 * t + phase of the eight tiles t of strands 2 * v and 2 * v + 1. All offsets are
bytes.
"""

from functools import cache
from itertools import accumulate

CHUNK = 4
"""Vectors: 32 pixels of four rows each."""

ROWS = 4
"""Of a block."""

TILE, TILES = 4, 4
"""Pixels of a row in a tile, and tiles in a strand."""

VECTOR, STRAND = 32, 16

NUMBER = 4 * ROWS * CHUNK
"""Vectors of one plane of a chunk."""

PLANE = NUMBER * VECTOR + 64
"""From one plane to the next: not a power of two, or all would meet in the same cache sets."""

HEAD_PLANES = 12
"""The head's outputs at x4."""

POSITIONS = 36
"""Of the transformed 6x6 pixels."""

PAIR = 2
"""Vectors of tiles that the products of one weight are made for at once."""


@cache
def places(width: int) -> dict[str, int]:
    """Find where each part begins in the scratch of a network of this width; "end" is its size."""
    middle = max(width * 3 // 8, HEAD_PLANES)  # the planes of the join's inputs
    sizes = {
        "first": middle * PLANE,
        "second": middle * PLANE,
        "sums": 4 * PLANE,
        "outputs": 2 * NUMBER * 8,
        "rows": 8 * 8,
        "count": 8,
        "covered": 8,
        "strands": 2 * CHUNK * 8,
        "transformed": POSITIONS * width // 2 * PAIR * VECTOR,
        "products": 4 * POSITIONS * PAIR * VECTOR,
        "partial": 4 * 24 * VECTOR,
    }
    rounded = [-(-size // 64) * 64 + 64 for size in sizes.values()]
    return dict(zip((*sizes, "end"), accumulate(rounded, initial=0), strict=True))
