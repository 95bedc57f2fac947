"""Whether an output kept everything of its input: a list of checks, each with what was seen."""

import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame

from streamsr.color import FULL, UNSPECIFIED, ColorTags
from streamsr.contents import Contents, Track
from streamsr.pixels import FrameReader, tags_of
from streamsr.sources.file import display_matrix

KEPT, NOTE, LOST = "kept", "note", "LOST"

PICTURE_EVERY = 12
"""Every so many frames the colours are compared; timestamps on every frame."""

COLOUR_LIMIT = 2.0
"""Of 255, per channel, averaged over a film: wrong matrix or range is 5 and more, coding noise below 0.5."""

ASPECT_LIMIT = 0.01
"""Relative change of the picture's shape: sides are rounded to whole, sometimes even, pixels."""

DEFAULT = 1
"""The bit of a stream's disposition that makes players choose it."""

_MUXER_TAGS = frozenset(
    {
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "creation_time",
        "handler_name",
        "vendor_id",
        "software",
    }
)
_MUXER_PREFIXES = ("_statistics", "number_of_", "bps", "duration", "source_id", "mirror_", "id3v2_priv")


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table: ``verdict`` is KEPT, NOTE (different, but nothing lost) or LOST."""

    what: str
    verdict: str
    detail: str


def audit(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    begin: Fraction | None = None,
    end: Fraction | None = None,
) -> list[Check]:
    """Compare an output with its input, or with the span ``begin`` to ``end`` (seconds on the input's clock).

    Both files are decoded once, side by side. Raises SourceError when either cannot be read.
    """
    with Contents(source, begin=begin, end=end) as before, Contents(target, like=before) as after:
        film = _Film(before, after, begin or Fraction(0))
        for seen, got in zip_longest(before.frames(), after.frames()):
            film.add(seen, got)
        checks = list(film.checks())
        checks += _tracks(before, after, film.shift - (begin or Fraction(0)))
        checks += _chapters(before, after, film.shift - (begin or Fraction(0)), end)
        checks += _metadata(before, after)
    return checks


def lost(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.verdict == LOST]


def table(checks: list[Check]) -> Iterator[str]:
    """Lines of text, aligned."""
    width = max((len(check.what) for check in checks), default=0)
    for check in checks:
        yield f"{check.verdict:<5} {check.what:<{width}}  {check.detail}"


class _Film:
    """The main video of both files, compared frame by frame."""

    def __init__(self, before: Contents, after: Contents, begin: Fraction) -> None:
        self._before, self._after, self._begin = before, after, begin
        self._seen, self._got = array("q"), array("q")
        self._untimed = 0
        self._sum = np.zeros(3)
        self._pictures = 0
        self._first: tuple[VideoFrame, VideoFrame] | None = None
        self.shift = Fraction(0)

    def add(self, seen: VideoFrame | None, got: VideoFrame | None) -> None:
        for frame, times in ((seen, self._seen), (got, self._got)):
            if frame is not None:
                pts = frame.pts
                # Two frames at one time cannot be shown; as for the source, the next tick keeps order and count.
                if pts is None or (times and pts <= times[-1]):
                    self._untimed += frame is seen
                    pts = times[-1] + 1 if times else 0
                times.append(pts)
        if seen is None or got is None:
            return
        if self._first is None:
            self._first = seen, got
            self._readers = [
                FrameReader(tags_of(f).resolved(f.width, f.height), codec=c.main.codec_context.name)
                for f, c in ((seen, self._before), (got, self._after))
            ]
        if (len(self._seen) - 1) % PICTURE_EVERY == 0:
            self._compare(seen, got)

    def _compare(self, seen: VideoFrame, got: VideoFrame) -> None:
        pictures = []
        for reader, frame in zip(self._readers, (seen, got), strict=True):
            rgb = np.empty((frame.height, frame.width, 3), np.uint8)
            reader.read(frame, rgb)
            # Means over a coarse grid: blind to sharpness, sharp for colour.
            pictures.append(cv2.resize(rgb.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA))
        self._sum += (pictures[1] - pictures[0]).mean(axis=(0, 1))
        self._pictures += 1

    def checks(self) -> Iterator[Check]:
        a, b = self._seen, self._got
        damaged = f"; {self._before.damaged} damaged packets in the input" if self._before.damaged else ""
        yield Check("frames", KEPT if len(a) == len(b) and b else LOST, f"{len(a)} in, {len(b)} out{damaged}")
        if self._first is None:
            return
        yield from self._times()
        seen, got = self._first
        yield from _shape(seen, got, self._before, self._after)
        yield from _colours(seen, got)
        mean = self._sum / max(self._pictures, 1)
        worst = float(np.abs(mean).max())
        detail = f"mean difference {', '.join(f'{m:+.2f}' for m in mean)} of 255 in R, G, B ({self._pictures} frames)"
        yield Check("colour", KEPT if worst <= COLOUR_LIMIT else LOST, detail)

    def _times(self) -> Iterator[Check]:
        base_in, base_out = self._before.main.time_base, self._after.main.time_base
        assert base_in is not None
        assert base_out is not None
        moved = [g * base_out - (s * base_in - self._begin) for s, g in zip(self._seen, self._got, strict=False)]
        tick = f"one tick is {_ms(base_out)}"
        half = base_out / 2
        repaired = f"; {self._untimed} frames had no time of their own" if self._untimed else ""
        if all(abs(d) <= half for d in moved):
            exact = "equal" if all(d == 0 for d in moved) else f"equal to the output's tick ({tick})"
            yield Check("timestamps", KEPT, f"{len(moved)} {exact}{repaired}")
            return
        self.shift = moved[0]
        wrong = [i for i, d in enumerate(moved) if abs(d - self.shift) > base_out]
        if wrong:
            i = wrong[0]
            yield Check("timestamps", LOST, f"{len(wrong)} of {len(moved)} differ, first frame {i} by {_ms(moved[i])}")
        else:
            yield Check("timestamps", KEPT, f"{len(moved)} equal after the shift ({tick}){repaired}")
        yield Check("clock", NOTE, f"the whole file is shifted by {_ms(self.shift)}")


def _shape(seen: VideoFrame, got: VideoFrame, before: Contents, after: Contents) -> Iterator[Check]:
    sars = [c.main.sample_aspect_ratio or Fraction(1) for c in (before, after)]
    shapes = [f.width * (s if s > 0 else Fraction(1)) / f.height for f, s in zip((seen, got), sars, strict=True)]
    off = abs(float(shapes[1] / shapes[0]) - 1)
    size = f"{seen.width}x{seen.height} -> {got.width}x{got.height}, pixel aspect {sars[0]} -> {sars[1]}"
    yield Check("shape", KEPT if off <= ASPECT_LIMIT else LOST, size)
    turned = [_turn(frame) for frame in (seen, got)]
    said = "none" if turned[0] == _UPRIGHT else f"matrix {', '.join(f'{n:.3g}' for n in turned[0])}"
    same = max(abs(a - b) for a, b in zip(*turned, strict=True)) < ASPECT_LIMIT
    yield Check("rotation", KEPT if same else LOST, said if same else f"{said} -> {turned[1]}")


_UPRIGHT = (1.0, 0.0, 0.0, 1.0)


def _turn(frame: VideoFrame) -> tuple[float, ...]:
    """The four numbers that turn and mirror; the others move the picture, and every player centres it anyway."""
    matrix = display_matrix(frame)
    return _UPRIGHT if matrix is None else tuple(matrix[i] / 65536 for i in (0, 1, 3, 4))


def _colours(seen: VideoFrame, got: VideoFrame) -> Iterator[Check]:
    # What a player takes each of them for: an output without tags is right where the player's guess is.
    wanted, tags = tags_of(seen).resolved(seen.width, seen.height), tags_of(got).resolved(got.width, got.height)
    rgb = seen.format.is_rgb or seen.format.name == "pal8"
    if rgb:  # RGB has no matrix; what the output's encoder took is right by the colour check
        wanted = ColorTags(tags.matrix, wanted.primaries, wanted.transfer, tags.range)
    same = (tags.matrix, tags.primaries, tags.transfer) == (wanted.matrix, wanted.primaries, wanted.transfer)
    same = same and tags.range == wanted.range
    said = "untagged, taken as " if tags_of(seen).matrix == UNSPECIFIED and not rgb else ""
    names = f"matrix {tags.matrix}, primaries {tags.primaries}, transfer {tags.transfer}"
    names += ", full range" if tags.range == FULL else ""
    detail = said + names if same else f"expected {wanted}, got {tags}"
    yield Check("colour tags", KEPT if same else LOST, detail)
    depths = [max(c.bits for c in frame.format.components) if frame.format.components else 8 for frame in (seen, got)]
    if seen.format.name == "pal8":
        depths[0] = 8
    yield Check("depth", KEPT if depths[1] >= depths[0] else LOST, f"{depths[0]} bits -> {depths[1]} bits")


def _tracks(before: Contents, after: Contents, shift: Fraction) -> Iterator[Check]:
    """Every other stream of the input with its place in the output. ``shift`` is the film's, in seconds."""
    left = dict(after.tracks)
    for track in before.tracks.values():
        what = f"{'cover' if track.cover else track.kind} {track.index}"
        partner = _partner(track, left)
        if partner is None:
            if track.kind == "data" and track.codec in ("bin_data", "unknown") and before.chapters:
                continue  # an MP4's chapter titles: compared as chapters
            if track.kind != "attachment" and not track.digests:
                yield Check(what, NOTE, f"{track.codec}: empty, left out")
                continue
            yield Check(what, LOST, f"{track.codec} {track.name} is not in the output".replace("  ", " "))
            continue
        del left[partner.index]
        verdict, detail = _same_packets(track, partner, shift)
        yield Check(what, verdict, detail)
        yield from _labels(what, track, partner)


def _partner(track: Track, left: dict[int, Track]) -> Track | None:
    def rank(other: Track) -> tuple[bool, bool, bool]:
        same_content = other.content.digest() == track.content.digest()
        return (not same_content, other.name != track.name, _language(other) != _language(track))

    same = [o for o in left.values() if o.codec == track.codec and (o.kind, o.cover) == (track.kind, track.cover)]
    if not same and track.kind == "subtitle":
        same = [o for o in left.values() if o.kind == "subtitle" and _language(o) == _language(track)]
    return min(same, key=rank, default=None)


def _same_packets(track: Track, partner: Track, shift: Fraction) -> tuple[str, str]:
    name = f"{track.codec} {track.name}".strip()
    if track.codec != partner.codec and track.words != partner.words:
        return LOST, f"{name} -> {partner.codec}: {len(track.times)} -> {len(partner.times)} packets, other words"
    if track.codec == partner.codec and track.digests != partner.digests:
        if track.content.digest() != partner.content.digest():
            differ = sum(a != b for a, b in zip(track.digests, partner.digests, strict=False))
            return LOST, f"{name}: {len(track.times)} packets in, {len(partner.times)} out, {differ} differ"
        return KEPT, f"{name}: the same bytes in {len(partner.times)} instead of {len(track.times)} packets"
    if track.cover or track.kind == "attachment":
        return KEPT, f"{name}: equal"
    tick = partner.time_base
    half = max(tick, track.time_base) / 2 if tick != track.time_base else Fraction(0)
    slack = half if shift == 0 else half + tick
    pairs = zip(track.times, partner.times, strict=True)
    off = [d for a, b in pairs if abs(d := b * tick - a * track.time_base - shift) > slack]
    if off:
        return LOST, f"{name}: {len(off)} of {len(track.times)} packets at another time, first by {_ms(off[0])}"
    exact = "" if slack == 0 else f", times to {_ms(slack)}"
    if track.codec != partner.codec:
        return NOTE, f"{name} -> {partner.codec}: the same {len(track.words)} texts, without styles{exact}"
    return KEPT, f"{name}: {len(track.times)} packets equal{exact}"


def _labels(what: str, track: Track, partner: Track) -> Iterator[Check]:
    if _language(track) != _language(partner):
        yield Check(f"{what} language", LOST, f"{_language(track)} -> {_language(partner)}")
    titles = {partner.metadata.get("title"), partner.metadata.get("handler_name")}  # MP4 tracks have but the latter
    if track.metadata.get("title") not in titles | {None}:
        yield Check(f"{what} title", LOST, f"{track.metadata.get('title')} -> {partner.metadata.get('title')}")
    if track.disposition != partner.disposition and track.kind != "attachment":
        # MP4 enables the first track of a kind where no other is.
        verdict = NOTE if partner.disposition == track.disposition | DEFAULT else LOST
        yield Check(f"{what} flags", verdict, f"{track.disposition:#x} -> {partner.disposition:#x}")


def _language(track: Track) -> str:
    return track.metadata.get("language", "und")


def _chapters(before: Contents, after: Contents, shift: Fraction, end: Fraction | None) -> Iterator[Check]:
    first = max(-shift, Fraction(0))
    kept = [c for c in before.chapters if c["end"] * _base(c) > first and (end is None or c["start"] * _base(c) < end)]
    if not kept and not after.chapters:
        return
    wrong = len(kept) != len(after.chapters)
    for a, b in zip(kept, after.chapters, strict=False):
        start = max(a["start"] * _base(a) + shift, Fraction(0) if shift < 0 else a["start"] * _base(a) + shift)
        wrong |= abs(b["start"] * _base(b) - start) > max(_base(a), _base(b))
        wrong |= a["metadata"].get("title") != b["metadata"].get("title")
    yield Check("chapters", LOST if wrong else KEPT, f"{len(kept)} in, {len(after.chapters)} out")


def _base(chapter: Any) -> Fraction:
    base: Fraction = chapter["time_base"]
    return base


def _metadata(before: Contents, after: Contents) -> Iterator[Check]:
    got = {key.lower(): value for key, value in after.metadata.items()}
    wanted = {k: v for k, v in before.metadata.items() if not _is_muxers(k.lower())}
    gone = [key for key, value in wanted.items() if _numbers(got.get(key.lower(), "")) != _numbers(value)]
    if wanted:
        detail = f"{len(wanted)} entries" if not gone else f"missing or changed: {', '.join(gone)}"
        yield Check("metadata", LOST if gone else KEPT, detail)


def _numbers(value: str) -> str:
    """The value with its decimal fractions shortened: MP4 stores a location as numbers, not as it was written."""
    return re.sub(r"(\.\d*?)0+(?!\d)", r"\1", value)


def _is_muxers(key: str) -> bool:
    return key in _MUXER_TAGS or key.startswith(_MUXER_PREFIXES)


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds * 1000):.6g} ms"
