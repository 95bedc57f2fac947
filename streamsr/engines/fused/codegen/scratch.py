"""A worker's small memory for the walk by blocks: what is computed for one chunk of a block.

A chunk is four rows of up to CHUNK vectors of tiles, a tile being four pixels of a row. Its pixels
lie in planes of four channels, vector ``(4 * row + phase) * width + v`` of a chunk ``width``
vectors wide being the pixels 4 * t + phase of eight tiles t. All offsets are bytes.
"""

CHUNK = 4
"""Vectors of tiles, 32 pixels each."""

ROWS = 4
"""Of a block."""

VECTOR = 32

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
    "outputs": NUMBER * 8,
    "rows": 8 * 8,
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
