"""A worker's small memory for the walk by blocks: what is computed for one chunk of a block.

A tile is four pixels of a row, four tiles side by side are a strand, and two strands, from anywhere
in the block, fill a vector. A chunk is four rows of up to CHUNK such vectors. Its pixels lie in
planes of four channels, vector ``(4 * row + phase) * width + v`` of a chunk ``width`` vectors wide
being the pixels 4 * t + phase of the eight tiles t of strands 2 * v and 2 * v + 1. All offsets are
bytes.
"""

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

MIDDLE_PLANES = 12
"""The join's inputs; the head at x4 has as many outputs."""

POSITIONS = 36
"""Of the transformed 6x6 pixels."""

PAIR = 2
"""Vectors of tiles that the products of one weight are made for at once."""

_SIZES = {
    "first": MIDDLE_PLANES * PLANE,
    "second": MIDDLE_PLANES * PLANE,
    "sums": 4 * PLANE,
    "outputs": 2 * NUMBER * 8,
    "rows": 8 * 8,
    "count": 8,
    "covered": 8,
    "strands": 2 * CHUNK * 8,
    "transformed": POSITIONS * 16 * PAIR * VECTOR,
    "products": 4 * POSITIONS * PAIR * VECTOR,
    "partial": 4 * 24 * VECTOR,
}


AT: dict[str, int] = {}
"""Where each part begins."""

SIZE = 0
"""Bytes of all parts."""

for _name, _size in _SIZES.items():
    AT[_name] = SIZE
    SIZE += -(-_size // 64) * 64 + 64
