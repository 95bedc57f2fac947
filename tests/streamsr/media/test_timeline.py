"""One clock for a film: packets of joined recordings, of one stream that jumps, of wrong times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsr.media.timeline import BACKWARD_S, FORWARD_S, Survey, TimeLine

TICKS = Fraction(1, 1000)
VIDEO, AUDIO = 0, 1


@dataclass
class FakePacket:
    stream_index: int
    dts: int | None
    pts: int | None
    pos: int | None
    duration: int = 40
    is_keyframe: bool = False
    time_base: Fraction = TICKS
    part: int = 0


def part(
    number: int, start: int, *, frames: int, late_audio: int = 0, delay: int = 80
) -> list[FakePacket]:
    """A recording whose clock begins at ``start``: pictures every 40 ms, sound every 21."""
    video = [
        FakePacket(VIDEO, start + 40 * i - delay, start + 40 * i, None, 40, i % 10 == 0)
        for i in range(frames)
    ]
    sound = [
        FakePacket(AUDIO, t, t, None, 21)
        for t in range(start + late_audio, start + 40 * frames, 21)
    ]
    packets = sorted(video + sound, key=lambda packet: (packet.dts, packet.stream_index))
    return [replace(packet, part=number) for packet in packets]


def film(*parts: list[FakePacket]) -> list[FakePacket]:
    packets = [packet for one in parts for packet in one]
    return [replace(packet, pos=1000 * number) for number, packet in enumerate(packets)]


def line_of(packets: Sequence[FakePacket], *, jumps_forward: bool = True) -> TimeLine:
    survey = Survey(main=VIDEO, jumps_forward=jumps_forward)
    for packet in packets:
        survey.add(packet)  # type: ignore[arg-type]
    return survey.time_line()


def mended(line: TimeLine, packets: Sequence[FakePacket]) -> list[FakePacket]:
    return list(line.mended([replace(packet) for packet in packets]))  # type: ignore[arg-type]


def of(packets: Sequence[FakePacket], stream: int) -> Iterator[FakePacket]:
    return (packet for packet in packets if packet.stream_index == stream)


@given(
    starts=st.lists(st.integers(100, 50_000_000), min_size=1, max_size=4),
    frames=st.integers(20, 60),
    late=st.integers(-70, 300),
)
def test_joined_recordings_follow_each_other_in_sync(
    starts: list[int], frames: int, late: int
) -> None:
    ends = [start + 40 * frames for start in starts]
    for end, start in zip(ends[:-1], starts[1:], strict=True):
        assume(abs(start - end) > 400)  # else it could as well be one recording
    packets = film(
        *(part(n, start, frames=frames, late_audio=late) for n, start in enumerate(starts))
    )
    line = line_of(packets)
    after = mended(line, packets)
    for stream in (VIDEO, AUDIO):
        times = [packet.dts for packet in of(after, stream)]
        assert all(a - b < 100 for a, b in pairwise(times)), "runs backward"
    shifts = {
        (old.part, new.dts - old.dts) for old, new in zip(packets, after, strict=True) if old.dts
    }
    assert len(shifts) == len(starts), "sound and picture of one part move together"
    assert (0, 0) in shifts
    ends = [max(p.pts + p.duration for p in after if p.part == n) for n in range(len(starts))]
    begins = [min(p.pts for p in after if p.part == n) for n in range(len(starts))]
    for end, begin in zip(ends[:-1], begins[1:], strict=True):
        gap = Fraction(begin - end) * TICKS
        assert -BACKWARD_S <= gap <= FORWARD_S


def test_a_clock_that_runs_evenly_is_left_alone() -> None:
    packets = film(part(0, 40_000_000, frames=100))
    line = line_of(packets)
    assert line.jumps == ()
    assert mended(line, packets) == packets


def test_a_gap_of_a_recording_stays_and_a_longer_one_is_a_new_clock_where_clocks_jump() -> None:
    short = film(part(0, 1000, frames=25), part(1, 9000, frames=25))
    long = film(part(0, 1000, frames=25), part(1, 900_000, frames=25))
    assert line_of(short).jumps == ()
    assert line_of(long, jumps_forward=False).jumps == ()
    line = line_of(long)
    assert [float(jump) for jump in line.jumps] == [pytest.approx(2.0, abs=0.1)]
    assert max(packet.pts for packet in mended(line, long)) < 3100


def test_one_packet_with_a_wrong_time_is_no_new_clock() -> None:
    packets = film(part(0, 1000, frames=100))
    for wrong in (5, 90_000_000):
        damaged = list(packets)
        damaged[50] = replace(damaged[50], dts=wrong, pts=wrong)
        assert line_of(damaged).jumps == ()


def test_a_stream_alone_whose_clock_starts_again_goes_on_and_the_others_stay() -> None:
    packets = film(part(0, 5000, frames=100))
    changed = [
        replace(p, dts=p.dts - 4000, pts=p.pts - 4000)
        if p.stream_index == VIDEO and p.pos >= 100_000
        else p
        for p in packets
    ]
    after = mended(line_of(changed), changed)
    assert list(of(after, AUDIO)) == list(of(packets, AUDIO))
    times = [packet.dts for packet in of(after, VIDEO)]
    assert times == sorted(times)


def test_packets_without_a_position_belong_where_the_stream_stands() -> None:
    packets = film(part(0, 5000, frames=50), part(1, 1000, frames=50))
    line = line_of(packets)
    whole = mended(line, packets)
    half = [replace(p, pos=None) if n % 3 == 1 else p for n, p in enumerate(packets)]
    first = {p.stream_index: p.pos for p in reversed(packets) if p.part == 1}
    half = [replace(p, pos=first[p.stream_index]) if p.part == 1 and p.pos is None else p
            for p in half]  # fmt: skip
    assert [p.dts for p in mended(line, half)] == [p.dts for p in whole]
    assert [p.dts for p in mended_from(line, packets, 150)] == [p.dts for p in whole[150:]]


def mended_from(line: TimeLine, packets: Sequence[FakePacket], number: int) -> list[FakePacket]:
    """Read from the middle, where the packets do not say where they stand."""
    position = packets[number].pos
    rest = [replace(packet, pos=None) for packet in packets[number:]]
    return list(line.mended(rest, position=position or 0))  # type: ignore[arg-type]


def test_a_place_to_read_from_lies_a_key_frame_before_what_is_wanted() -> None:
    packets = film(part(0, 5000, frames=50), part(1, 1000, frames=50))
    line = line_of(packets)
    keys = [(key.time, key.position) for key in line.keys]
    assert keys == sorted(keys)
    assert len(keys) == 10
    assert line.position_before(keys[0][0]) == 0
    assert line.position_before(keys[7][0]) == keys[6][1]
    assert line.position_before(keys[7][0] - TICKS) == keys[5][1]
