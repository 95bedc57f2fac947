"""``streamsr pipe`` between two of Debian's ffmpeg, and between nobody."""

import fcntl
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.media.y4m import Y4mFormat
from streamsr.picture.yuv import Converter
from streamsr.upscaler import Upscaler
from tests.support.command import STREAMSR, run, started
from tests.support.media import look, make_video, picture
from tests.support.processes import Helper, running
from tests.support.processes import run as run_program
from tests.support.servers import needs_ffmpeg


def pipe(content: bytes, *args: object) -> "subprocess.CompletedProcess[bytes]":
    done: subprocess.CompletedProcess[bytes] = run(
        "pipe", *args, input=content, text=False, timeout_s=120
    )
    return done


def one_frame(layout: Y4mFormat, index: int = 0) -> bytes:
    planes = [np.empty(shape, np.uint8) for shape in layout.shapes]
    y, u, v = (
        planes
        if len(planes) == 3
        else (planes[0], np.empty_like(planes[0]), np.empty_like(planes[0]))
    )
    Converter(layout.tags, centered=layout.centered).from_rgb(
        picture(index, layout.width, layout.height), (y, u, v)
    )
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
        layout.rate,
        layout.chroma,
        layout.siting,
        layout.full,
    )
    assert len(rest) == 2 * (6 + result.frame_bytes)
    luma = np.frombuffer(rest, np.uint8, 195 * 141, 6).reshape(141, 195)
    before = np.frombuffer(one_frame(layout), np.uint8, 65 * 47, 6).reshape(47, 65)
    assert abs(luma.mean() - before.mean()) < 2.5


def test_what_is_done_to_the_pictures_is_as_asked(model: Path) -> None:
    layout = Y4mFormat.parse("YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C444")
    content = f"{layout}\n".encode() + one_frame(layout)
    results = {}
    for words in (
        "",
        "--consistency --sharpen 0 --strength 1",
        "--no-consistency",
        "--sharpen 0.5",
        "--strength 0.5",
    ):
        done = pipe(content, "--model", model, "--engine", "litert", *words.split())
        assert done.returncode == 0, done.stderr
        results[words] = done.stdout
    default, same, *others = results.values()
    assert same == default
    assert len({default, *others}) == 4


@pytest.mark.parametrize(
    ("words", "fields"),
    [((), "p"), (("--interlaced", "keep"), "t"), (("--interlaced", "force-bff"), "p")],
)
def test_interlaced_video_comes_out_as_what_it_is_then(
    model: Path, words: tuple[str, ...], fields: str
) -> None:
    layout = Y4mFormat.parse("YUV4MPEG2 W64 H48 F25:1 It A1:1 C420mpeg2")
    content = f"{layout}\n".encode() + b"".join(one_frame(layout, index) for index in range(3))
    done = pipe(content, "--model", model, *words)
    assert done.returncode == 0, done.stderr
    line, _, rest = done.stdout.partition(b"\n")
    result = Y4mFormat.parse(line.decode())
    assert result.fields == fields
    assert len(rest) == 3 * (6 + result.frame_bytes)


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


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le"]
)
def test_between_two_ffmpegs(tmp_path: Path, model: Path, pixel_format: str) -> None:
    film, out = (
        make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(6), pix_fmt="yuv444p"),
        tmp_path / "out.mkv",
    )
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
    film, out = (
        make_video(tmp_path / "in.mkv", codec="ffv1", pts=range(4), pix_fmt="yuv444p"),
        tmp_path / "out.mkv",
    )
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
    with (
        film.open("rb") as content,
        started(*words, stdin=content, stdout=subprocess.PIPE) as process,
    ):
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


HEADER = b"YUV4MPEG2 W64 H48 F25:1 Cmono\n"
FRAME = b"FRAME\n" + bytes(64 * 48)
PAUSES = {
    "in the header": HEADER[:9],
    "after the header": HEADER,
    "between frames": HEADER + 3 * FRAME,
    "in a frame": HEADER + 3 * FRAME + FRAME[:1000],
}


@contextmanager
def paused(command: str, content: bytes, *args: object) -> Iterator[Helper]:
    """The command after a sender that gave this, waits now and does not end; all of it is taken."""
    words = [*STREAMSR, command, *map(str, args), "--engine", "litert", "--threads", "1"]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        stdin = helper.process.stdin
        assert stdin is not None
        stdin.write(content)
        stdin.flush()
        helper.until(lambda: not any(fcntl.ioctl(stdin, termios.FIONREAD, bytes(4))))
        yield helper


@pytest.mark.parametrize("content", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("command", "status"), [("pipe", 130), ("live", 0)])
def test_one_signal_ends_a_run_whose_sender_pauses(
    model: Path, tmp_path: Path, content: bytes, number: signal.Signals, command: str, status: int
) -> None:
    more = ["-", "--record", tmp_path / "out.mkv"] if command == "live" else []
    with paused(command, content, *more, "--model", model) as helper:
        helper.send(number)
        assert helper.ended() == status, helper.told()
        said = helper.said()
    assert "Traceback" not in said
    assert "Fatal" not in said
    assert "removed" not in said


@pytest.mark.parametrize("after_s", [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6])
@pytest.mark.parametrize(("command", "status"), [("pipe", 130), ("live", 0)])
def test_a_signal_ends_a_run_that_is_starting(
    model: Path, tmp_path: Path, after_s: float, command: str, status: int
) -> None:
    """Modules are loaded, threads begin: whenever it comes, it is heard once, and nothing is left
    waiting."""
    more = ["-", "--record", tmp_path / "out.mkv"] if command == "live" else []
    words = [*STREAMSR, command, *more, "--model", model, "--engine", "litert", "--threads", "1"]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.process.stdin is not None
        helper.process.stdin.write(HEADER + FRAME)
        helper.process.stdin.flush()
        with suppress(subprocess.TimeoutExpired):  # any moment will do
            helper.process.wait(after_s)
        helper.send(signal.SIGINT)
        ended, said = helper.ended(timeout_s=60), helper.said()
        # Python itself was starting: it dies of the signal, or says that it could not begin.
        before_main = ended == -signal.SIGINT or "Could not import runpy module" in said
        assert before_main or ended in (status, 130), helper.told()
        assert "internal error" not in said
        assert "Fatal" not in said


@pytest.mark.parametrize("content", [b"", *PAUSES.values()], ids=["before", *PAUSES])
def test_a_duration_ends_a_run_whose_sender_pauses(
    model: Path, tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "out.mkv"
    with paused(
        "live", content, "-", "--record", out, "--duration", 0.5, "--model", model
    ) as helper:
        assert helper.ended() == 0, helper.told()
        assert "Traceback" not in helper.said()
    assert out.exists() == (b"FRAME" in content)
    assert not out.exists() or look(out).times


@pytest.mark.parametrize("content", PAUSES.values(), ids=PAUSES)
def test_a_reader_that_leaves_ends_a_run_whose_sender_pauses(model: Path, content: bytes) -> None:
    with paused("pipe", content, "--model", model) as helper:
        assert helper.process.stdout is not None
        helper.process.stdout.close()
        assert helper.ended() == 0
        assert helper.said() == ""


def test_the_last_frame_does_not_wait_for_the_next(model: Path) -> None:
    with paused("pipe", HEADER + FRAME, "--model", model) as helper:
        stdout = helper.process.stdout
        assert stdout is not None
        assert stdout.readline().startswith(b"YUV4MPEG2 W192 H144")
        assert len(stdout.read(6 + 192 * 144)) == 6 + 192 * 144
        helper.send(signal.SIGTERM)
        assert helper.ended() == 130


@pytest.mark.parametrize("command", ["pipe", "live"])
@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("F9999999999:1", False),
        ("F1:9999999999", False),
        ("A9999999999:1", False),
        ("F1:86400", True),
        ("F1000000:1", True),
        ("F0:1", False),
        ("F1:0", False),
        ("F\u0663:1", False),
        ("W99999 H99999", False),
        ("W9999999999999999999999 H1", False),
        ("W6_4", False),
        ("F" + "9" * 900 + ":1", False),
    ],
)
def test_a_header_out_of_range_is_one_line(
    model: Path, tmp_path: Path, command: str, header: str, taken: bool
) -> None:
    """Or a film of such a rate; in a recording too."""
    content = f"YUV4MPEG2 W64 H48 {header} Cmono\n".encode() + 2 * FRAME
    record = ["-", "--record", tmp_path / "out.mkv"] if command == "live" else []
    words = [*STREAMSR, command, *record, "--model", model, "--engine", "litert", "--threads", "1"]
    done = run_program(words, input=content, text=False)
    assert done.returncode == (0 if taken else 1), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr
    assert len(done.stderr) < 400
    assert (tmp_path / "out.mkv").exists() == (taken and command == "live")


@pytest.mark.parametrize(
    "args",
    [
        ["--size", "99999x99999"],
        ["--rate", "1e400"],
        ["--rate", "1/0"],
        ["--rate", "1e999999999"],
        ["--rate", "9" * 5000],
        ["--rate", "\u0663"],
        ["--rate", "nan"],
        ["--size", "9" * 400 + "x1"],
    ],
)
def test_raw_video_out_of_range_is_wrong_usage(args: list[str]) -> None:
    done = pipe(b"", *(args if "--size" in args else ["--size", "64x48", *args]))
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert len(done.stderr) < 1000
