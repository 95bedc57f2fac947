"""Whether an output kept everything of its input: a list of checks, each with what was seen."""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from typing import Any

from streamsr.audit.check import KEPT, LOST, NOTE, Check, ms
from streamsr.audit.reader import Contents, Track
from streamsr.audit.video import Film

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
_MUXER_PREFIXES = (
    "_statistics",
    "number_of_",
    "bps",
    "duration",
    "source_id",
    "mirror_",
    "id3v2_priv",
)


def audit(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    begin: Fraction | None = None,
    end: Fraction | None = None,
) -> list[Check]:
    """Compare an output with its input, or with the span ``begin`` to ``end`` (seconds on the
    input's clock).

    Both files are decoded once, side by side. Raises SourceError when either cannot be read.
    """
    with Contents(source, begin=begin, end=end) as before, Contents(target, like=before) as after:
        film = Film(before, after, begin or Fraction(0))
        for seen, got in zip_longest(before.frames(), after.frames()):
            film.add(seen, got)
        checks = list(film.checks())
        checks += _tracks(before, after, film.shift - (begin or Fraction(0)))
        checks += _chapters(before, after, film.shift - (begin or Fraction(0)), end)
        checks += _metadata(before, after)
    return checks


def _tracks(before: Contents, after: Contents, shift: Fraction) -> Iterator[Check]:
    """Every other stream of the input with its place in the output. ``shift`` is the film's, in
    seconds."""
    left = dict(after.tracks)
    for track in before.tracks.values():
        what = f"{'cover' if track.cover else track.kind} {track.index}"
        partner = _partner(track, left)
        if partner is None:
            if track.carried_otherwise:
                yield from _timecode(track, after)
                continue
            if track.kind != "attachment" and not track.digests:
                yield Check(what, NOTE, f"{track.codec}: empty, left out")
                continue
            yield Check(
                what, LOST, f"{track.codec} {track.name} is not in the output".replace("  ", " ")
            )
            continue
        del left[partner.index]
        verdict, detail = _same_packets(track, partner, shift)
        yield Check(what, verdict, detail)
        yield from _labels(what, track, partner)


def _timecode(track: Track, after: Contents) -> Iterator[Check]:
    """Chapters' titles, the other kind of track that is carried otherwise, are compared as
    chapters."""
    if (said := track.metadata.get("timecode")) is not None:
        kept = said in (after.main.metadata.get("timecode"), after.main.metadata.get("TIMECODE"))
        yield Check(
            f"timecode {track.index}",
            NOTE if kept else LOST,
            f"{said}{' as metadata' if kept else ''}",
        )


def _partner(track: Track, left: dict[int, Track]) -> Track | None:
    def rank(other: Track) -> tuple[bool, bool, bool]:
        same_content = other.content.digest() == track.content.digest()
        return (not same_content, other.name != track.name, _language(other) != _language(track))

    same = [
        o
        for o in left.values()
        if _family(o) == _family(track) and (o.kind, o.cover) == (track.kind, track.cover)
    ]
    if not same and track.samples is not None:
        same = [
            o
            for o in left.values()
            if o.codec.startswith("pcm_") and _language(o) == _language(track)
        ]
    if not same and track.kind == "subtitle":
        same = [
            o for o in left.values() if o.kind == "subtitle" and _language(o) == _language(track)
        ]
    return min(same, key=rank, default=None)


def _family(track: Track) -> str:
    """The codec; MP4 has one name for all three layers of MPEG audio, which say in each packet
    which they are."""
    return "mp3" if track.codec in ("mp1", "mp2") else track.codec


def _same_packets(track: Track, partner: Track, shift: Fraction) -> tuple[str, str]:
    name = f"{track.codec} {track.name}".strip()
    if track.samples is not None and _family(track) != _family(partner):
        same = track.content.digest() == partner.content.digest()
        return (
            NOTE if same else LOST
        ), f"{name} -> {partner.codec}: {'the same' if same else 'other'} samples"
    if _family(track) != _family(partner) and track.words != partner.words:
        return (
            LOST,
            f"{name} -> {partner.codec}: {len(track.times)} -> {len(partner.times)} packets, other "
            f"words",
        )
    if _family(track) == _family(partner) and track.digests != partner.digests:
        if track.content.digest() != partner.content.digest():
            differ = sum(a != b for a, b in zip(track.digests, partner.digests, strict=False))
            return (
                LOST,
                f"{name}: {len(track.times)} packets in, {len(partner.times)} out, {differ} differ",
            )
        return (
            KEPT,
            f"{name}: the same bytes in {len(partner.times)} instead of {len(track.times)} packets",
        )
    if track.cover or track.kind == "attachment":
        return KEPT, f"{name}: equal"
    tick = partner.time_base
    half = max(tick, track.time_base) / 2 if tick != track.time_base else Fraction(0)
    # Matroska keeps a sound's time and the delay of its coder apart, each rounded to its tick.
    slack = half if shift == 0 and track.kind != "audio" else half + tick * bool(half or shift)
    pairs = zip(track.times, partner.times, strict=True)
    off = [d for a, b in pairs if abs(d := b * tick - a * track.time_base - shift) > slack]
    if off:
        return (
            LOST,
            f"{name}: {len(off)} of {len(track.times)} packets at another time, first by "
            f"{ms(off[0])}",
        )
    exact = "" if slack == 0 else f", times to {ms(slack)}"
    if _family(track) != _family(partner):
        return (
            NOTE,
            f"{name} -> {partner.codec}: the same {len(track.words)} texts, without styles{exact}",
        )
    return KEPT, f"{name}: {len(track.times)} packets equal{exact}"


def _labels(what: str, track: Track, partner: Track) -> Iterator[Check]:
    if _language(track) != _language(partner):
        yield Check(f"{what} language", LOST, f"{_language(track)} -> {_language(partner)}")
    titles = {
        partner.metadata.get("title"),
        partner.metadata.get("handler_name"),
    }  # MP4 tracks have but the latter
    if track.metadata.get("title") not in titles | {None}:
        yield Check(
            f"{what} title",
            LOST,
            f"{track.metadata.get('title')} -> {partner.metadata.get('title')}",
        )
    if track.disposition != partner.disposition and track.kind != "attachment":
        # MP4 enables the first track of a kind where no other is.
        verdict = NOTE if partner.disposition == track.disposition | DEFAULT else LOST
        yield Check(f"{what} flags", verdict, f"{track.disposition:#x} -> {partner.disposition:#x}")


def _language(track: Track) -> str:
    return track.metadata.get("language", "und")


def _chapters(
    before: Contents, after: Contents, shift: Fraction, end: Fraction | None
) -> Iterator[Check]:
    first = max(-shift, Fraction(0))
    kept = [
        c
        for c in before.chapters
        if c["end"] * _base(c) > first and (end is None or c["start"] * _base(c) < end)
    ]
    if not kept and not after.chapters:
        return
    wrong = len(kept) != len(after.chapters)
    for a, b in zip(kept, after.chapters, strict=False):
        start = max(
            a["start"] * _base(a) + shift,
            Fraction(0) if shift < 0 else a["start"] * _base(a) + shift,
        )
        wrong |= abs(b["start"] * _base(b) - start) > max(_base(a), _base(b))
        wrong |= a["metadata"].get("title") != b["metadata"].get("title")
    yield Check("chapters", LOST if wrong else KEPT, f"{len(kept)} in, {len(after.chapters)} out")


def _base(chapter: Any) -> Fraction:
    base: Fraction = chapter["time_base"]
    return base


def _metadata(before: Contents, after: Contents) -> Iterator[Check]:
    got = {key.lower(): value for key, value in after.metadata.items()}
    wanted = {k: v for k, v in before.metadata.items() if not _is_muxers(k.lower())}
    gone = [
        key
        for key, value in wanted.items()
        if _numbers(got.get(key.lower(), "")) != _numbers(value)
    ]
    if wanted:
        detail = f"{len(wanted)} entries" if not gone else f"missing or changed: {', '.join(gone)}"
        yield Check("metadata", LOST if gone else KEPT, detail)


def _numbers(value: str) -> str:
    """The value with its decimal fractions shortened: MP4 stores a location as numbers, not as it
    was written."""
    return re.sub(r"(\.\d*?)0+(?!\d)", r"\1", value)


def _is_muxers(key: str) -> bool:
    return key in _MUXER_TAGS or key.startswith(_MUXER_PREFIXES)
