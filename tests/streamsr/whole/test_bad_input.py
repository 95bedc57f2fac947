"""Whatever is wrong with the input, the output or the model: one clear line, the right status,
nothing left behind."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.command import Command, Result, started
from tests.support.command import run as command
from tests.support.command import streamsr as streamsr_line
from tests.support.disk import small_disk
from tests.support.media import look, make_video
from tests.support.processes import limited, run

LARGEST_FILE = 300_000
"""Enough for the compiled code that a first run stores."""


def complains_in_one_line(result: Result, status: int = 1) -> bool:
    """One line is ours; before it the line that announces the engine may stand. No traceback."""
    errors = [line for line in result.lines if line.startswith("streamsr: ")]
    others = [line for line in result.lines if not line.startswith("streamsr: ")]
    assert result.status == status, result.err
    assert len(errors) == 1, result.err
    assert len(others) <= 1, result.err
    assert all(" -> " in line for line in others), result.err
    return True


def _audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _truncated_mp4(path: Path) -> None:
    _cut(make_video(path, pts=range(30)), 0.5)


def _no_pixels(path: Path) -> None:
    """A Y4M file of width 0."""
    path.write_bytes(b"YUV4MPEG2 W0 H48 F25:1 Ip A1:1 C420jpeg\nFRAME\n")


def _huge(path: Path) -> None:
    """A Y4M file that claims 60000 x 60000 pixels."""
    path.write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + b"\0" * 1000)


MAKERS: dict[str, Callable[[Path], object]] = {
    "missing.mp4": lambda _: None,
    "directory.mp4": lambda path: path.mkdir(),
    "empty.mp4": lambda path: path.touch(),
    "sound.mp4": _audio_only,
    "truncated.mp4": _truncated_mp4,
    "text.mp4": lambda path: path.write_text("It was a dark and stormy night.\n" * 50),
    "text.txt": lambda path: path.write_text("It was a dark and stormy night.\n" * 50),
    "list.m3u8": lambda path: path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
    ),
    "concat.ffconcat": lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "noise.mkv": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "no-pixels.y4m": _no_pixels,
    "huge.y4m": _huge,
    "noise.png": lambda path: path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(500)
    ),
    "empty.png": lambda path: path.touch(),
    "missing.png": lambda _: None,
    "directory.png": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", MAKERS)
def test_an_unusable_input(upscale: Command, tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name)
    target = tmp_path / ("out.png" if name.endswith(".png") else "out.mp4")
    result = upscale(tmp_path / name, target)
    assert complains_in_one_line(result)
    assert name in result.err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "name",
    [
        "fate-suite-2381-mov-tenc-only-encrypted.mp4",
        "ExoPlayer-ff3f-bear-640x360-v_frag-cenc-senc.mp4",
        "media-32ef-invalid-bitstream.webm",
        "media-c360-sample_malformed_free_box.mp4",
        "media-6396-sample_eac3.mp4",
    ],
)
def test_a_broken_or_encrypted_file_from_the_wild(
    upscale: Command, shared_data: Path, tmp_path: Path, name: str
) -> None:
    assert complains_in_one_line(
        upscale(shared_data / "video" / "odd" / name, tmp_path / "out.mkv")
    )
    assert not list(tmp_path.iterdir())


def test_every_odd_file_is_upscaled_or_refused_in_words(
    upscale: Command, shared_data: Path, tmp_path: Path
) -> None:
    """The smallest ones; pictures above 240 lines would take minutes."""
    listed = json.loads((shared_data / "video" / "odd" / "manifest.json").read_text())
    small = [entry["name"] for entry in listed if (entry["h"] or 0) <= 240]
    assert len(small) > 10
    statuses = Counter[int]()
    for name in small:
        target = tmp_path / f"{name}.mkv"
        result = upscale(shared_data / "video" / "odd" / name, target, "--duration", "0.1")
        assert result.status in (0, 1), f"{name}: {result.err}"
        assert target.exists() == (result.status == 0), name
        assert not list(tmp_path.glob("*.part")), name
        assert "Traceback" not in result.err
        statuses[result.status] += 1
    assert statuses[0] > 5
    assert statuses[1] > 2


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".avi", ".mp4"])
@pytest.mark.parametrize("audio", [[], ["aac"]], ids=["silent", "sound"])
def test_a_truncated_stream_is_upscaled_as_far_as_it_goes(
    upscale: Command, tmp_path: Path, suffix: str, audio: list[str]
) -> None:
    """Where the container's index does not stand at the end; of MP4 only the fast-start kind."""
    source = make_video(
        tmp_path / f"in{suffix}",
        pts=range(60),
        options={"g": "10", "bf": "0"},
        audio=audio,
        audio_frames=112,
        container_options={"movflags": "faststart"} if suffix == ".mp4" else None,
    )
    _cut(source, 0.6)
    result = upscale(source, tmp_path / f"out{suffix}")
    assert result.status == 0, result.err
    assert 10 <= len(look(tmp_path / f"out{suffix}").times) < 60


def _damage(path: Path, broken: range) -> None:
    """Make the packets of these frames of an intra-only MJPEG file undecodable."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for i in broken:
        position, size = packets[i]
        start = content.index(b"\xff\xd8", position)
        content[start : start + size] = b"\0" * size
    path.write_bytes(content)


def test_a_frame_that_cannot_be_decoded_is_left_out_counted_and_reported(
    upscale: Command, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", pts=range(12))
    times = look(source).times
    _damage(source, range(4, 6))
    stats = tmp_path / "stats.json"
    result = upscale(source, tmp_path / "out.mkv", "--stats-json", stats)
    assert result.status == 0, result.err
    assert look(tmp_path / "out.mkv").times == times[:4] + times[6:]
    assert json.loads(stats.read_text())["frames"]["damaged"] == 2
    assert "2 damaged and left out" in result.err


def test_behind_a_hole_the_film_goes_on_and_a_line_says_where(
    upscale: Command, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", pts=range(20))
    _damage(source, range(5, 13))
    result = upscale(source, tmp_path / "out.mkv")
    assert result.status == 0, result.err
    assert "8 frames in a row cannot be decoded, from 0.2 s to 0.5 s" in result.err
    assert "8 damaged and left out" in result.err
    assert len(look(tmp_path / "out.mkv").times) == 12


def test_a_strict_run_ends_at_a_hole_and_leaves_nothing(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", pts=range(20))
    _damage(source, range(5, 13))
    assert complains_in_one_line(upscale(source, tmp_path / "out.mkv", "--strict"))
    assert not list(tmp_path.glob("out*"))


def test_a_film_that_is_encrypted_from_somewhere_on_is_refused(
    upscale: Command, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", pts=range(30))
    _damage(source, range(10, 30))
    assert complains_in_one_line(upscale(source, tmp_path / "out.mkv"))
    assert not list(tmp_path.glob("out*"))


def test_a_run_that_ends_at_a_hole_keeps_what_was_done_when_asked_to(
    upscale: Command, tmp_path: Path
) -> None:
    source = make_video(
        tmp_path / "in.mkv",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        pts=range(50),
        audio=["aac"],
        audio_frames=94,
    )
    times = look(source).times
    _damage(source, range(20, 28))
    result = upscale(source, tmp_path / "out.mkv", "--keep-partial", "--strict")
    assert complains_in_one_line(result)
    seen = look(tmp_path / "out.mkv")
    assert seen.times == times[:20]
    assert times[18] < seen.packets[1][-1][0] <= times[20], "the sound ends with the picture"
    assert [path.name for path in tmp_path.glob("out*")] == ["out.mkv"]


def test_an_existing_output_is_refused(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    (tmp_path / "out.mp4").write_text("precious")
    assert complains_in_one_line(upscale(source, tmp_path / "out.mp4"))
    assert (tmp_path / "out.mp4").read_text() == "precious"


def test_an_existing_output_is_replaced_when_asked_to(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    (tmp_path / "out.mp4").write_text("not precious")
    assert upscale(source, tmp_path / "out.mp4", "--overwrite").status == 0
    assert len(look(tmp_path / "out.mp4").times) == 10


def test_a_failed_run_keeps_the_output_it_was_to_replace(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", codec="mjpeg", pix_fmt="yuvj420p", pts=range(20))
    _damage(source, range(5, 13))
    (tmp_path / "out.mkv").write_text("precious")
    words = tmp_path / "out.mkv", "--overwrite", "--strict"
    assert complains_in_one_line(upscale(source, *words))
    assert (tmp_path / "out.mkv").read_text() == "precious"


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_the_input_is_never_its_own_output(upscale: Command, tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4") if suffix == ".mp4" else _picture(tmp_path / "in.png")
    before = source.read_bytes()
    assert complains_in_one_line(upscale(source, source, "--overwrite"))
    assert source.read_bytes() == before


def _picture(path: Path) -> Path:
    import cv2

    assert cv2.imwrite(str(path), np.full((8, 8, 3), 90, np.uint8))
    return path


def _noise(path: Path) -> Path:
    import cv2

    assert cv2.imwrite(
        str(path), np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    )
    return path


@pytest.mark.parametrize(
    "target", ["missing/out.mp4", "in.mp4/out.mp4", "out.xyz", "out", "/proc/out.mp4", "folder.mp4"]
)
def test_an_impossible_output(upscale: Command, tmp_path: Path, target: str) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.mp4" / "in.mp4").touch()
    assert complains_in_one_line(upscale(source, tmp_path / target))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "target", ["missing/out.png", "out.xyz", "out", "out.mp4", "/proc/out.png"]
)
def test_an_impossible_output_for_a_picture(upscale: Command, tmp_path: Path, target: str) -> None:
    assert complains_in_one_line(upscale(_picture(tmp_path / "in.png"), tmp_path / target))
    assert not list(tmp_path.glob("out*"))


def test_an_unwritable_directory(tmp_path: Path, model: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    (tmp_path / "locked").mkdir(mode=0o555)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("root may write everywhere")
    result = command("upscale", source, "-o", tmp_path / "locked" / "out.mp4", "--model", model)
    assert result.returncode == 1
    assert result.stderr.startswith("streamsr: ")
    assert not list((tmp_path / "locked").iterdir())


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.png"])
def test_a_limit_on_the_size_of_files(tmp_path: Path, model: Path, name: str) -> None:
    if name == "out.png":
        source = _noise(tmp_path / "in.png")
    else:
        source = make_video(
            tmp_path / f"in{name[3:]}", size=(160, 120), pts=range(60), audio=["aac"]
        )
    folder = tmp_path / "disk"
    folder.mkdir()

    quality = [] if name == "out.png" else ["--crf", "0"]
    words = streamsr_line("upscale", source, "-o", folder / name, "--model", model, *quality)
    # SIGXFSZ is ignored by Python, so that write() fails instead of killing.
    result = run(limited(words, file_bytes=LARGEST_FILE))
    assert complains_in_one_line(Result(result.returncode, result.stdout, result.stderr))
    assert not list(folder.iterdir())


def test_a_really_full_disk(tmp_path: Path, upscale: Command) -> None:
    """Whatever of the output no longer fits: nothing is left, and what stood there before still
    does."""
    source = make_video(tmp_path / "in.mp4", pts=range(30), audio=["aac"])
    assert upscale(source, tmp_path / "whole.mp4").status == 0
    needed = (tmp_path / "whole.mp4").stat().st_size >> 10
    for size in (0, needed // 3, needed - 8):
        with small_disk(tmp_path / "disk", 4 + size) as disk:
            (disk / "out.mp4").write_text("precious")
            result = upscale(source, disk / "out.mp4", "--overwrite")
            assert complains_in_one_line(result)
            assert "No space left" in result.err
            assert [path.name for path in disk.iterdir()] == ["out.mp4"]
            assert (disk / "out.mp4").read_text() == "precious"


def complaint(result: Result) -> str:
    return next(line for line in result.lines if line.startswith("streamsr: "))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("empty.tflite", lambda _: b""),
        ("text.tflite", lambda _: b"this is no model, just a long line of text " * 9),
        ("cut.tflite", lambda good: good[: len(good) // 2]),
        ("tail.tflite", lambda good: good[-len(good) // 2 :]),
        ("zeros.tflite", lambda good: bytes(len(good))),
        ("scrambled.tflite", lambda good: good[:64] + good[64:][::-1]),
    ],
)
def test_a_corrupt_model(
    upscale: Command, tmp_path: Path, model: Path, name: str, make: Callable[[bytes], bytes]
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    (tmp_path / name).write_bytes(make(model.read_bytes()))
    assert complains_in_one_line(upscale(source, tmp_path / "out.mp4", "--model", tmp_path / name))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["nonsense", "missing.tflite", "."])
def test_an_unknown_model(upscale: Command, tmp_path: Path, name: str) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    assert complains_in_one_line(upscale(source, tmp_path / "out.mp4", "--model", name))
    assert not list(tmp_path.glob("out*"))


def test_a_model_of_another_scale_than_asked_for(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    result = upscale(source, tmp_path / "out.mp4", "--scale", "2")
    assert complains_in_one_line(result)
    assert "scale 2" in result.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--nonsense"],
        ["upscale"],
        ["upscale", "in.mp4"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--codec", "nonsense"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--engine", "nonsense"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--scale", "5"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--scale", "2", "--to", "1080p"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--to", "big"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--to", "0x10"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--to", "99999x99999"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--start", "yesterday"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--start", "-1"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--duration", "0"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--crf", "99"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--threads", "0"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--batch", "some"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--codec", "ffv1", "--crf", "3"],
        ["upscale", "in.mp4", "-o", "out.mp4", "--delegate-option", "novalue"],
        ["upscale", "in.mp4", "in2.mp4", "-o", "out.mp4"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(streamsr: Command, words: list[str]) -> None:
    result = streamsr(*words)
    assert result.status == 2
    assert "Traceback" not in result.err
    assert result.err or result.out


@pytest.mark.parametrize("preset", ["nonsense", "-3"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_an_unknown_preset(upscale: Command, tmp_path: Path, codec: str, preset: str) -> None:
    source = make_video(tmp_path / "in.mkv", pts=range(2))
    result = upscale(source, tmp_path / "out.mkv", "--codec", codec, f"--preset={preset}")
    if result.status:  # SVT-AV1 knows negative presets, and x265 takes numbers
        assert complains_in_one_line(result)
        assert not list(tmp_path.glob("out*"))


def test_stats_that_cannot_be_written_are_said_and_fail(upscale: Command, tmp_path: Path) -> None:
    result = upscale(
        make_video(tmp_path / "in.mp4", pts=range(2)),
        tmp_path / "out.mp4",
        "--stats-json",
        tmp_path / "no" / "s.json",
    )
    assert "cannot write" in result.err
    assert result.status == 1


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_with_130_and_nothing_left(
    tmp_path: Path, model: Path, how: str
) -> None:
    source = make_video(tmp_path / "in.mp4", size=(320, 180), pts=range(400))
    with started("upscale", source, "-o", tmp_path / "out.mp4", "--model", model) as process:
        process.says(" -> ")  # the run has begun
        process.send(getattr(signal, how))
        assert process.ended() == 130, process.told()
        assert "Traceback" not in process.said()
    assert not list(tmp_path.glob("out*"))
