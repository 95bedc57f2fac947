"""Compares an output with its input: a list of checks of what was kept, each with what was seen."""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from typing import Any

from streamsr.audit.check import KEPT, LOST, NOTE, Check, ms
from streamsr.audit.reader import MediaReader, Track
from streamsr.audit.video import VideoComparison

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
    zero_s = begin or Fraction(0)
    with (
        MediaReader(source, begin=begin, end=end) as before,
        MediaReader(target, reference=before) as after,
    ):
        video = VideoComparison(before, after, zero_s)
        for frame_in, frame_out in zip_longest(before.frames(), after.frames()):
            video.add(frame_in, frame_out)
        checks = list(video.checks())
        checks += _tracks(before, after, video.shift - zero_s)
        checks += _chapters(before, after, video.shift - zero_s, end)
        checks += _metadata(before, after)
    return checks


def _tracks(before: MediaReader, after: MediaReader, shift: Fraction) -> Iterator[Check]:
    """Every other stream of the input with its partner in the output, whose clock is ``shift``
    seconds ahead."""
    left = dict(after.tracks)
    for track in before.tracks.values():
        what = f"{'cover' if track.cover else track.kind} {track.index}"
        partner = _partner(track, left)
        if partner is not None:
            del left[partner.index]
            yield _content(what, track, partner, shift)
            yield from _labels(what, track, partner)
        elif track.carried_otherwise:
            yield from _timecode(track, after)
        elif track.kind != "attachment" and not track.read.digests:
            yield Check(what, NOTE, f"{track.codec}: empty, left out")
        else:
            yield Check(what, LOST, f"{_name(track)} is not in the output")


def _timecode(track: Track, after: MediaReader) -> Iterator[Check]:
    """A timecode, which the output has as metadata. Chapters' titles, the other kind of track that
    is carried otherwise, are compared as chapters."""
    timecode = track.metadata.get("timecode")
    if timecode is not None:
        metadata = after.main.metadata
        kept = timecode in (metadata.get("timecode"), metadata.get("TIMECODE"))
        detail = f"{timecode} as metadata" if kept else timecode
        yield Check(f"timecode {track.index}", NOTE if kept else LOST, detail)


def _partner(track: Track, left: dict[int, Track]) -> Track | None:
    """The output's track for this one among those ``left``: of the same codec, or else what the
    codec is converted to; the one with the same content, name and language first."""

    def rank(other: Track) -> tuple[bool, bool, bool]:
        same_content = other.read.content == track.read.content
        return (not same_content, other.name != track.name, _language(other) != _language(track))

    same_language = [other for other in left.values() if _language(other) == _language(track)]
    found = [
        other
        for other in left.values()
        if _family(other) == _family(track)
        and (other.kind, other.cover) == (track.kind, track.cover)
    ]
    if not found and track.read.samples is not None:
        found = [other for other in same_language if other.codec.startswith("pcm_")]
    if not found and track.kind == "subtitle":
        found = [other for other in same_language if other.kind == "subtitle"]
    return min(found, key=rank, default=None)


def _family(track: Track) -> str:
    """The codec; MP4 has one name for all three layers of MPEG audio, which say in each packet
    which they are."""
    return "mp3" if track.codec in ("mp1", "mp2") else track.codec


def _name(track: Track) -> str:
    return f"{track.codec} {track.name}".strip()


def _content(what: str, track: Track, partner: Track, shift: Fraction) -> Check:
    """Whether the partner has the track's packets, texts or samples."""
    if _family(track) == _family(partner):
        return _copied(what, track, partner, shift)
    if track.read.samples is not None:
        return _as_samples(what, track, partner)
    return _as_text(what, track, partner, shift)


def _copied(what: str, track: Track, partner: Track, shift: Fraction) -> Check:
    name = _name(track)
    before = track.read
    after = partner.read
    packets_in = len(before.times)
    packets_out = len(after.times)
    if before.digests != after.digests:
        if before.content == after.content:
            detail = f"{name}: the same bytes in {packets_out} instead of {packets_in} packets"
            return Check(what, KEPT, detail)
        pairs = zip(before.digests, after.digests, strict=False)
        differ = sum(digest_in != digest_out for digest_in, digest_out in pairs)
        detail = f"{name}: {packets_in} packets in, {packets_out} out, {differ} differ"
        return Check(what, LOST, detail)
    if track.cover or track.kind == "attachment":
        return Check(what, KEPT, f"{name}: equal")
    moved, exact = _moved(track, partner, shift)
    if moved:
        return Check(what, LOST, f"{name}: {moved}")
    return Check(what, KEPT, f"{name}: {packets_in} packets equal{exact}")


def _as_samples(what: str, track: Track, partner: Track) -> Check:
    same = track.read.content == partner.read.content
    detail = f"{_name(track)} -> {partner.codec}: {'the same' if same else 'other'} samples"
    return Check(what, NOTE if same else LOST, detail)


def _as_text(what: str, track: Track, partner: Track, shift: Fraction) -> Check:
    name = f"{_name(track)} -> {partner.codec}"
    before = track.read
    after = partner.read
    if before.texts != after.texts:
        counts = f"{len(before.times)} -> {len(after.times)} packets"
        return Check(what, LOST, f"{name}: {counts}, other words")
    moved, exact = _moved(track, partner, shift)
    if moved:
        return Check(what, LOST, f"{_name(track)}: {moved}")
    return Check(what, NOTE, f"{name}: the same {len(before.texts)} texts, without styles{exact}")


def _moved(track: Track, partner: Track, shift: Fraction) -> tuple[str, str]:
    """How many packets are at another time than ``shift`` seconds later, empty for none; and how
    exactly the times can be compared."""
    tick = partner.time_base
    half = max(tick, track.time_base) / 2 if tick != track.time_base else Fraction(0)
    # Matroska keeps a sound's time and the delay of its coder apart, each rounded to its tick.
    slack = half if shift == 0 and track.kind != "audio" else half + tick * bool(half or shift)
    differences = [
        ticks_out * tick - ticks_in * track.time_base - shift
        for ticks_in, ticks_out in zip(track.read.times, partner.read.times, strict=True)
    ]
    off = [difference for difference in differences if abs(difference) > slack]
    moved = ""
    if off:
        moved = f"{len(off)} of {len(differences)} packets at another time, first by {ms(off[0])}"
    return moved, "" if slack == 0 else f", times to {ms(slack)}"


def _labels(what: str, track: Track, partner: Track) -> Iterator[Check]:
    """Rows for a language, a title or flags that differ."""
    if _language(track) != _language(partner):
        yield Check(f"{what} language", LOST, f"{_language(track)} -> {_language(partner)}")
    title = track.metadata.get("title")
    # MP4 tracks have but the latter.
    if title not in (None, partner.metadata.get("title"), partner.metadata.get("handler_name")):
        yield Check(f"{what} title", LOST, f"{title} -> {partner.metadata.get('title')}")
    if track.disposition != partner.disposition and track.kind != "attachment":
        # MP4 enables the first track of a kind where no other is.
        verdict = NOTE if partner.disposition == track.disposition | DEFAULT else LOST
        yield Check(f"{what} flags", verdict, f"{track.disposition:#x} -> {partner.disposition:#x}")


def _language(track: Track) -> str:
    return track.metadata.get("language", "und")


def _chapters(
    before: MediaReader, after: MediaReader, shift: Fraction, end: Fraction | None
) -> Iterator[Check]:
    """Chapters of the span that is compared, which ends at ``end``."""
    first = max(-shift, Fraction(0))
    kept = [
        chapter
        for chapter in before.chapters
        if _time_s(chapter, "end") > first and (end is None or _time_s(chapter, "start") < end)
    ]
    if not kept and not after.chapters:
        return
    wrong = len(kept) != len(after.chapters)
    for chapter_in, chapter_out in zip(kept, after.chapters, strict=False):
        start_s = _time_s(chapter_in, "start") + shift
        if shift < 0:  # the chapter that the span begins in
            start_s = max(start_s, Fraction(0))
        tick = max(chapter_in["time_base"], chapter_out["time_base"])
        wrong |= abs(_time_s(chapter_out, "start") - start_s) > tick
        wrong |= chapter_in["metadata"].get("title") != chapter_out["metadata"].get("title")
    yield Check("chapters", LOST if wrong else KEPT, f"{len(kept)} in, {len(after.chapters)} out")


def _time_s(chapter: Any, side: str) -> Fraction:
    """``start`` or ``end`` of one of PyAV's chapters, in seconds."""
    time_s: Fraction = chapter[side] * chapter["time_base"]
    return time_s


def _metadata(before: MediaReader, after: MediaReader) -> Iterator[Check]:
    """The file's own metadata, without what muxers write."""
    found = {key.lower(): value for key, value in after.metadata.items()}
    wanted = {key: value for key, value in before.metadata.items() if not _is_muxers(key.lower())}
    gone = [
        key
        for key, value in wanted.items()
        if _shortened(found.get(key.lower(), "")) != _shortened(value)
    ]
    if wanted:
        detail = f"{len(wanted)} entries" if not gone else f"missing or changed: {', '.join(gone)}"
        yield Check("metadata", LOST if gone else KEPT, detail)


def _shortened(value: str) -> str:
    """The value with its decimal fractions shortened: MP4 stores a location as numbers, not as it
    was written."""
    return re.sub(r"(\.\d*?)0+(?!\d)", r"\1", value)


def _is_muxers(key: str) -> bool:
    return key in _MUXER_TAGS or key.startswith(_MUXER_PREFIXES)
