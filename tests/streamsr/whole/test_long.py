"""Two hours of film, and folders full of them. On demand: minutes each."""

import json
from pathlib import Path

import av
import pytest

from tests.support.command import Command, run
from tests.support.media import make_video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

GROWTH_ALLOWED_MIB = 150
"""From two minutes to two hours, sixty times as long, 515,000 packets: FFmpeg keeps the index of an
MP4 in memory, about 24 bytes a packet in each of the readers, the writer and the audit's two.
Measured: 91 MiB, resumable 101. Frames held would be gigabytes."""


def looped(film: Path, target: Path, seconds: int) -> Path:
    """The packets of a film again and again, with sound, until it is so long."""
    with av.open(str(film)) as first:
        packets = [
            (p.stream_index, bytes(p), p.pts, p.dts, p.duration, p.is_keyframe)
            for p in first.demux()
            if p.size
        ]
        bases = [stream.time_base for stream in first.streams]
        length = 2  # seconds of it
        with av.open(str(target), "w") as out:
            made = [out.add_stream_from_template(stream) for stream in first.streams]
            for turn in range(seconds // length):
                for index, data, pts, dts, duration, key in packets:
                    packet: av.Packet = av.Packet(data)
                    base = bases[index]
                    assert base is not None
                    shift = round(turn * length / base)
                    packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, duration
                    packet.time_base, packet.stream, packet.is_keyframe = base, made[index], key
                    out.mux(packet)
    return target


@pytest.mark.parametrize("more", [(), ("--resume", "--segment", "120")], ids=["plain", "resumable"])
def test_two_hours_take_the_memory_of_two_minutes(
    tmp_path: Path, model: Path, more: tuple[str, ...]
) -> None:
    film = make_video(
        tmp_path / "film.mp4",
        pts=range(50),
        audio=["aac"],
        audio_frames=93,
        options={"bf": "0", "g": "25"},
    )
    peaks = []
    for seconds in (120, 7200):
        long = looped(film, tmp_path / f"{seconds}.mp4", seconds)
        stats = tmp_path / f"{seconds}.json"
        words = [
            "upscale",
            long,
            "-o",
            tmp_path / f"out{seconds}.mp4",
            "--model",
            model,
            "--preset",
            "ultrafast",
        ]
        done = run(*words, "--stats-json", stats, "--audit", *more, timeout_s=1700)
        assert "LOST" not in done.stdout.replace("LOST  colour", ""), done.stdout
        assert f"{25 * seconds} in, {25 * seconds} out" in done.stdout, done.stderr
        peaks.append(json.loads(stats.read_text())["peak_memory_mib"])
    assert peaks[1] - peaks[0] < GROWTH_ALLOWED_MIB, peaks
    print(f"peak {peaks[0]} MiB for two minutes, {peaks[1]} MiB for two hours")


def test_a_thousand_files_with_bad_ones_among_them(tmp_path: Path, streamsr: Command) -> None:
    film = make_video(tmp_path / "film.mkv", size=(16, 16), pts=range(1))
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    inputs = []
    for i in range(1000):
        path = tmp_path / "in" / f"{i:04d}.mkv"
        path.write_bytes(film.read_bytes() if i % 100 else b"broken")
        inputs.append(path)
    done = streamsr("upscale", *inputs, "-o", tmp_path / "out", "--preset", "ultrafast")
    assert done.status == 1
    assert done.lines[-1] == "990 of 1000 files upscaled"
    assert len(list((tmp_path / "out").iterdir())) == 990
