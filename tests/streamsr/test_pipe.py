"""``streamsr pipe`` between two of Debian's ffmpeg, and between nobody."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.convert import Converter
from streamsr.sources.y4m import Y4mFormat
from streamsr.upscaler import Upscaler
from tests.streamsr.media import look, make_video, picture
from tests.streamsr.servers import needs_ffmpeg
from tests.support.command import run, started
from tests.support.processes import running


def pipe(content: bytes, *args: object) -> "subprocess.CompletedProcess[bytes]":
    done: subprocess.CompletedProcess[bytes] = run("pipe", *args, input=content, text=False, timeout_s=120)
    return done


def one_frame(layout: Y4mFormat, index: int = 0) -> bytes:
    planes = [np.empty(shape, np.uint8) for shape in layout.shapes]
    y, u, v = planes if len(planes) == 3 else (planes[0], np.empty_like(planes[0]), np.empty_like(planes[0]))
    Converter(layout.tags, centred=layout.centred).from_rgb(picture(index, layout.width, layout.height), (y, u, v))
    return b"FRAME\n" + b"".join(plane.tobytes() for plane in planes)


@pytest.mark.parametrize("chroma", ["420mpeg2", "420jpeg", "422", "444", "mono"])
@pytest.mark.parametrize("full", ["", " XCOLORRANGE=FULL", " XCOLORRANGE=LIMITED"])
def test_the_format_is_kept_and_the_colours_with_it(model: Path, chroma: str, full: str) -> None:
    layout = Y4mFormat.parse(f"YUV4MPEG2 W65 H47 F30000:1001 Ip A1:1 C{chroma}{full}")
    content = f"{layout}\n".encode() + one_frame(layout, 0) + one_frame(layout, 3)
    done = pipe(content, "--model", model, "--engine", "litert", "--threads", 1)
    assert done.returncode == 0, done.stderr
    line, _, rest = done.stdout.partition(b"\n")
    result = Y4mFormat.parse(line.decode())
    assert (result.width, result.height) == (195, 141)
    assert (result.rate, result.chroma, result.siting, result.full) == (
        layout.rate, layout.chroma, layout.siting, layout.full,
    )  # fmt: skip
    assert len(rest) == 2 * (6 + result.frame_bytes)
    luma = np.frombuffer(rest, np.uint8, 195 * 141, 6).reshape(141, 195)
    before = np.frombuffer(one_frame(layout), np.uint8, 65 * 47, 6).reshape(47, 65)
    assert abs(luma.mean() - before.mean()) < 2.5


def ffmpeg_pipes(source: list[str], target: list[str], model: Path, *args: str) -> None:
    """``ffmpeg ... | streamsr pipe ... | ffmpeg ...``"""
    quiet = [needs_ffmpeg(), "-hide_banner", "-loglevel", "error", "-nostdin"]
    options = ["--model", model, "--engine", "litert", "--threads", 1, *args]
    with running([*quiet, *source], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        with started("pipe", *options, stdin=first.stdout, stdout=subprocess.PIPE) as middle:
            first.stdout.close()
            assert middle.stdout is not None
            with running([*quiet[:-1], *target], stdin=middle.stdout) as last:
                middle.stdout.close()
                ended = [process.ended(timeout_s=120) for process in (last, middle, first)]
                assert ended == [0, 0, 0], middle.told()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le"])
def test_between_two_ffmpegs(tmp_path: Path, model: Path, pixel_format: str) -> None:
    film, out = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(6), pix_fmt="yuv444p"), tmp_path / "out.mkv"
    ffmpeg_pipes(
        ["-i", str(film), "-pix_fmt", pixel_format, "-strict", "-1", "-f", "yuv4mpegpipe", "-"],
        ["-f", "yuv4mpegpipe", "-i", "-", "-c:v", "ffv1", str(out)],
        model,
    )
    seen = look(out, keep_frames=True)
    assert seen.size == (192, 144)
    assert seen.times == [Fraction(i, 25) for i in range(6)]
    with Upscaler(model, engine="litert", threads=1) as upscaler:
        expected = upscaler(picture(3))
    error = np.abs(seen.frames[3].astype(int) - expected.astype(int))[4:-4, 4:-4]
    assert error.mean() < 4
    assert abs(seen.frames[3].mean() - expected.mean()) < 1.5


def test_raw_video_between_two_ffmpegs(tmp_path: Path, model: Path) -> None:
    film, out = make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(4), pix_fmt="yuv444p"), tmp_path / "out.mkv"
    ffmpeg_pipes(
        ["-i", str(film), "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
        ["-f", "yuv4mpegpipe", "-i", "-", "-c:v", "ffv1", str(out)],
        model,
        *["--size", "64x48", "--format", "rgb24", "--rate", "30000/1001"],
    )
    seen = look(out)
    assert seen.size == (192, 144)
    assert len(seen.times) == 4


def test_a_reader_that_leaves_is_a_clean_end(model: Path, tmp_path: Path) -> None:
    layout = Y4mFormat.parse("YUV4MPEG2 W64 H48 F25:1 C444")
    film = tmp_path / "in.y4m"
    film.write_bytes(f"{layout}\n".encode() + one_frame(layout) * 200)
    words = ["pipe", "--model", model, "--engine", "litert", "--threads", 1]
    with film.open("rb") as content, started(*words, stdin=content, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(100)
        process.stdout.close()
        assert (process.ended(), process.said()) == (0, "")


@pytest.mark.parametrize(
    ("content", "args", "status", "reason"),
    [
        (b"", [], 1, b"is empty"),
        (b"RIFF....", [], 1, b"not YUV4MPEG2"),
        (b"YUV4MPEG2 W64 H48 F25:1 C444\nFRAME\nxx", [], 1, b"middle of a frame"),
        (b"", ["--size", "64x48", "--format", "nv12"], 2, b"nv12"),
        (b"", ["--size", "64x48", "--rate", "0"], 2, b"rate"),
        (b"", ["--size", "64"], 2, b"640x360"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(
    model: Path, content: bytes, args: list[str], status: int, reason: bytes
) -> None:
    done = pipe(content, "--model", model, *args)
    assert done.returncode == status
    assert reason in done.stderr
    assert b"Traceback" not in done.stderr
