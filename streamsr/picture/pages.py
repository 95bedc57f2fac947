"""Files that hold several pictures: how many, and each of them with how long it is shown."""

from fractions import Fraction
from pathlib import Path

from streamsr.picture import chunks, pillow, tiff

PAGE_S = Fraction(1)
"""How long a picture is shown whose file does not say so, such as a page of a TIFF."""


def pictures_in(path: Path, content: bytes, max_pixels: int) -> int:
    """How many pictures a file's content holds, which are to be shown one after the other.

    Small copies, masks and the second picture of a camera's JPEG do not count: they show the same.
    Raises SourceError for what only decoding tells, of GIF, AVIF and HEIC.
    """
    if content.startswith(chunks.PNG):
        return _in_png(content)
    if chunks.is_webp(content):
        return max(sum(kind == b"ANMF" for kind, _ in chunks.webp_chunks(content)), 1)
    if (structure := tiff.Structure.of(content)) is not None:
        return max(sum(1 for _ in tiff.pages(structure)), 1)
    if content[:3] == b"GIF" or pillow.brand_of(content):
        with pillow.opened(path, content, max_pixels) as image:
            return int(getattr(image, "n_frames", 1))
    return 1


def _in_png(content: bytes) -> int:
    """APNG: its chunk acTL stands before the pixels. PNG 3rd edition, 11.3.6.1."""
    for kind, body in chunks.png_chunks(content):
        if kind == b"IDAT":
            break
        if kind == b"acTL" and len(body) == 8:
            return max(int.from_bytes(body[:4], "big"), 1)
    return 1
