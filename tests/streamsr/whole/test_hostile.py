"""Files made to break a video tool, and files broken on purpose: right, or one line and status 1;
nothing else."""

import json
import struct
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from streamsr.errors import SourceError
from streamsr.media.input import MAX_STREAMS, open_input
from streamsr.sources.file import FileSource
from tests.conftest import SHARED_DATA
from tests.support.command import Command, streamsr
from tests.support.media import SRT, look, make_video
from tests.support.processes import limited, run

RIGHT, REFUSED, LESS = "right", "refused", "with a loss"

ODD_IN_CI = {
    "decord-65b7-video_180.mov": RIGHT,
    "fate-suite-2381-mov-tenc-only-encrypted.mp4": REFUSED,
    "fate-suite-9753-dvd_single_frame.mp4": RIGHT,
    "fate-suite-e79c-extended_atom_size_probe.mp4": RIGHT,
    "media-22b0-bbb_1ch_48kHz_q10_opus.webm": REFUSED,
    "media-25e7-sample_with_it35_track.mp4": LESS,
    "media-32ef-invalid-bitstream.webm": REFUSED,
    "media-c360-sample_malformed_free_box.mp4": REFUSED,
    "mediabunny-a383-hevc-aac.avi": RIGHT,
    "mediabunny-adf1-avc-eac3.mkv": RIGHT,
}
"""Small ones, one of each kind, and what is to come of each."""

SECONDS = 250
MEMORY_BYTES = 6 << 30
"""Address space, of which engines and encoders reserve far more than they use."""

KNOWN_LOSSES = ("software", "location")
"""Entries of an AVI's or MP4's metadata that the muxer writes itself or has no place for."""


def upscaled(
    source: Path, target: Path, model: Path, *more: str
) -> "subprocess.CompletedProcess[str]":
    words = [
        "upscale",
        source,
        "-o",
        target,
        "--model",
        model,
        "--preset",
        "ultrafast",
        "--audit",
        *more,
    ]
    line = limited(streamsr(*words), memory_bytes=MEMORY_BYTES)
    done: subprocess.CompletedProcess[str] = run(line, timeout_s=SECONDS)
    return done


def check_odd(source: Path, folder: Path, model: Path, *more: str) -> str:
    """Into Matroska, which holds the most; then by the audit, or with one line and nothing left
    behind. Returns what came of it."""
    target = folder / f"{source.stem}.mkv"
    done = upscaled(source, target, model, *more)
    said = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    if done.returncode == 0:
        assert "LOST" not in done.stdout
        assert target.exists()
        return RIGHT
    assert said[-1].startswith("streamsr: ")
    if not target.exists():
        return REFUSED
    # It was made, and the audit says what is missing: that must have been said before, or be a
    # matter of the model.
    for line in done.stdout.splitlines():
        if line.startswith("LOST"):
            what = line.split()[1]
            named = "left out" in done.stderr or any(word in line for word in KNOWN_LOSSES)
            assert what == "colour" or named, f"{line}\n{done.stderr}"
    return LESS


@pytest.mark.parametrize("name", ODD_IN_CI)
def test_an_odd_file_comes_out_right_or_is_refused(
    name: str, shared_data: Path, model: Path, tmp_path: Path
) -> None:
    odd = shared_data / "video" / "odd" / name
    assert check_odd(odd, tmp_path, model, "--duration", "0.5") == ODD_IN_CI[name]


def odd_files() -> list[str]:
    folder = SHARED_DATA / "video" / "odd"
    return [path.name for path in sorted(folder.glob("*.*")) if path.suffix != ".json"]


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("name", odd_files())
def test_every_odd_file_comes_out_right_or_is_refused(
    name: str, shared_data: Path, model: Path, tmp_path: Path
) -> None:
    odd = shared_data / "video" / "odd"
    readable = {
        entry["name"]: entry["readable"]
        for entry in json.loads((odd / "manifest.json").read_text())
    }
    check_odd(odd / name, tmp_path, model)
    if readable.get(name) and ".mp4" in name:
        with FileSource(odd / name) as source:
            assert next(iter(source)).rgb.size


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of one small film in each container."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "s.srt").write_text(SRT)
    made = {}
    for extension in ("mp4", "mkv", "ts", "avi"):
        subtitle = folder / "s.srt" if extension == "mkv" else None
        sounds = ["aac"] if extension != "avi" else []
        path = make_video(
            folder / f"film.{extension}",
            pts=range(12),
            audio=sounds,
            subtitle=subtitle,
            options={"bf": "0"},
        )
        made[extension] = path.read_bytes()
    return made


def frames_of(path: Path) -> int:
    """How many frames a file gives before it ends or breaks off; only a SourceError may come out of
    it."""
    count = 0
    try:
        with FileSource(path, max_pixels=1 << 20) as source:
            for _ in source:
                count += 1
                if count > 1000:
                    pytest.fail("a file of 12 frames gave 1000")
    except SourceError as error:
        if "\n" in str(error):
            pytest.fail(f"more than one line: {error}")
    return count


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "avi"])
def test_cut_off_at_every_kilobyte(films: dict[str, bytes], tmp_path: Path, extension: str) -> None:
    content = films[extension]
    path = tmp_path / f"cut.{extension}"
    counts = []
    for size in range(0, len(content), 1024):
        path.write_bytes(content[:size])
        counts.append(frames_of(path))
    assert max(counts) <= 12


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "avi"])
@seed(20261123)
@settings(max_examples=60)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=12
    )
)
def test_flipped_bits(
    films: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    extension: str,
    changes: list[tuple[float, int]],
) -> None:
    content = bytearray(films[extension])
    for place, bit in changes:
        content[int(place * len(content))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / f"flipped.{extension}"
    path.write_bytes(content)
    frames_of(path)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@seed(20261123)
@settings(max_examples=40)
@given(start=st.floats(0, 1), size=st.integers(1, 400), fill=st.binary(min_size=0, max_size=400))
def test_spans_replaced(
    films: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    extension: str,
    start: float,
    size: int,
    fill: bytes,
) -> None:
    content = films[extension]
    place = int(start * len(content))
    path = tmp_path_factory.getbasetemp() / f"replaced.{extension}"
    path.write_bytes(content[:place] + fill + content[place + size :])
    frames_of(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile {other}\n"),
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/x.ts\n"
            "#EXT-X-ENDLIST\n",
        ),
        (
            "film.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        ),
    ],
)
def test_a_file_that_names_others_is_not_followed(tmp_path: Path, name: str, text: str) -> None:
    other = make_video(tmp_path / "other.ts")
    path = tmp_path / name
    path.write_text(text.format(other=other.name))
    with pytest.raises(SourceError):
        open_input(path)


def test_a_picture_larger_than_allowed_is_refused_before_the_work(
    tmp_path: Path, upscale: Command
) -> None:
    film = make_video(tmp_path / "in.mp4", size=(128, 96))
    refused = upscale(film, tmp_path / "out.mp4", "--max-pixels", "12000")
    assert refused.status == 1
    assert "a picture of 128x96 is larger than 12000 pixels (--max-pixels)" in refused.err
    assert upscale(film, tmp_path / "out.mp4", "--max-pixels", "12288").status == 0


def test_too_many_streams_are_refused(tmp_path: Path) -> None:
    film = make_video(
        tmp_path / "in.mkv", pts=range(2), audio=["ac3"] * (MAX_STREAMS + 1), audio_frames=1
    )
    with pytest.raises(SourceError, match=f"has {MAX_STREAMS + 2} streams; at most {MAX_STREAMS}"):
        open_input(film)


def test_a_first_frame_that_says_it_comes_later_is_put_first(tmp_path: Path) -> None:
    """As cut transport streams begin; the frames behind it must not pile up at its time."""
    pts = [90_000_000, *(3600 * i for i in range(1, 10))]
    film = tmp_path / "film.ts"
    whole = make_video(tmp_path / "whole.mkv", pts=range(10), options={"bf": "0"})
    import av

    with (
        av.open(str(whole)) as before,
        av.open(str(film), "w", container_options={"mpegts_copyts": "1"}) as after,
    ):
        made = after.add_stream_from_template(before.streams[0])
        for i, packet in enumerate(p for p in before.demux() if p.size):
            packet.pts, packet.dts = pts[i], 3600 * i
            packet.time_base, packet.stream = Fraction(1, 90000), made
            after.mux(packet)
    with FileSource(film) as source:
        times = [frame.time_s for frame in source]
    assert len(times) == 10
    assert all(0.03 < b - a < 0.05 for a, b in pairwise(times)), times


def test_dry_run_checks_everything_and_writes_nothing(
    tmp_path: Path, upscale: Command, streamsr: Command
) -> None:
    film = make_video(tmp_path / "in.mp4")
    assert upscale(film, tmp_path / "out.mp4", "--dry-run").status == 0
    refused = upscale(film, tmp_path / "out.webm", "--dry-run", "--strict")
    assert refused.status == 1
    assert "webm cannot hold h264 video" in refused.err
    (tmp_path / "text.mp4").write_text("not a film")
    (tmp_path / "many").mkdir()
    inputs = [film, tmp_path / "text.mp4", tmp_path / "missing.mp4"]
    many = streamsr("upscale", *inputs, "-o", tmp_path / "many", "--dry-run")
    assert many.status == 1
    assert many.lines[-1] == "1 of 3 files could be upscaled"
    assert not list((tmp_path / "many").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "text.mp4", "many"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_8k_output(tmp_path: Path, upscale: Command) -> None:
    film = make_video(tmp_path / "in.mp4", size=(2560, 1440), pts=range(2))
    done = upscale(film, tmp_path / "out.mp4", "--audit")
    assert "2560x1440 -> 7680x4320" in done.out
    assert "2 in, 2 out" in done.out


def claiming(path: Path, seconds: int) -> Path:
    """A Matroska film of ten frames whose header says that it is so long."""
    make_video(path, pts=range(10))
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a float64 in milliseconds
    path.write_bytes(content[:at] + struct.pack(">d", seconds * 1000.0) + content[at + 8 :])
    return path


@pytest.mark.parametrize("more", [(), ("--resume",), ("--dry-run",)], ids=" ".join)
def test_a_film_that_claims_to_be_too_long_is_refused_before_the_work(
    tmp_path: Path, upscale: Command, more: tuple[str, ...]
) -> None:
    film = claiming(tmp_path / "in.mkv", 400 * 3600)
    refused = upscale(film, tmp_path / "out.mkv", *more)
    assert refused.status == 1
    assert refused.lines == [
        f"streamsr: {film}: is 400:00:00 long; at most 100:00:00 is taken (--max-duration)"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    assert upscale(film, tmp_path / "out.mkv", "--max-duration", "400:00:00", *more).status == 0
    assert upscale(film, tmp_path / "part.mkv", "--duration", "0.2", *more).status == 0, (
        "a part may be taken"
    )


def test_a_film_whose_frames_come_too_late_is_broken_off(tmp_path: Path, upscale: Command) -> None:
    film = make_video(
        tmp_path / "film.mkv",
        pts=[0, 40, 80, 30_000],
        time_base=Fraction(1, 1000),
        options={"bf": "0"},
    )
    content = film.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3
    film.write_bytes(
        content[:at] + struct.pack(">d", 120.0) + content[at + 8 :]
    )  # it claims three frames' length
    refused = upscale(film, tmp_path / "out.mkv", "--max-duration", "20")
    assert refused.status == 1
    assert refused.lines[-1].endswith("is 0:00:30 long; at most 0:00:20 is taken (--max-duration)")
    assert not (tmp_path / "out.mkv").exists()
    kept = upscale(film, tmp_path / "out.mkv", "--max-duration", "20", "--keep-partial")
    assert kept.status == 1
    assert len(look(tmp_path / "out.mkv").times) == 3
