"""Chapters of a part of a film."""

from fractions import Fraction
from typing import Any


def cut_chapters(chapters: list[Any], origin_s: Fraction, end: Fraction | None) -> list[Any]:
    """Chapters that overlap the part from ``origin_s`` to ``end``, cut to it, on the output's
    clock."""
    if origin_s == 0 and end is None:
        return chapters
    kept = []
    for chapter in chapters:
        base = chapter["time_base"]
        start = chapter["start"] * base
        stop = chapter["end"] * base
        if stop > origin_s and (end is None or start < end):
            stop = stop if end is None else min(stop, end)
            kept.append(
                {
                    **chapter,
                    "start": round(max(start - origin_s, 0) / base),
                    "end": round((stop - origin_s) / base),
                }
            )
    return kept
