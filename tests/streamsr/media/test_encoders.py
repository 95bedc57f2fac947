"""Encoders by FFmpeg's name, pixel formats, and what players need of MP4 and MOV."""

import os
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.errors import SinkError
from streamsr.frame import Frame, HdrMetadata, StreamInfo
from streamsr.media.encode import Encoder
from streamsr.media.encoder_trial import tried
from streamsr.media.encoders import encoder_names, formats_of, options_of
from streamsr.media.frame_encoder import FrameEncoder
from streamsr.media.frames import FrameReader, FrameWriter, can_write, tags_of
from streamsr.media.losses import hard_to_play, lost
from streamsr.options import Encoding
from streamsr.sinks.file import FileSink
from tests.conftest import PRIORITY
from tests.support.command import Command
from tests.support.disk import small_disk
from tests.support.media import look, make_video, picture

SIZE = 64, 48
UNEVEN = [0, 1, 2, 5, 6, 10, 11, 20, 21, 22]


def info(pixel_format: str = "yuv420p", **more: object) -> StreamInfo:
    known: dict[str, object] = {"rate": Fraction(25), "color": ColorTags().resolved(*SIZE)}
    return StreamInfo(*SIZE, Fraction(1, 25), pixel_format=pixel_format, **(known | more))  # type: ignore[arg-type]


def video_of(path: Path) -> tuple[str, str, str, av.VideoFrame]:
    """The main video's codec, tag, pixel format, and its first frame."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        frame = next(film.decode(stream))
        codec = stream.codec_context
        return codec.codec.canonical_name, codec.codec_tag, frame.format.name, frame


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is given real-time priority")
@pytest.mark.parametrize(
    "words", [["--codec", "av1"], ["--codec", "av1", "--resume"], ["--encoder", "libsvtav1"]]
)
def test_no_encoder_gets_in_front_of_all_else(
    tmp_path: Path, upscale: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """SVT-AV1 would, with its threads and the one that opens it."""
    seen: list[int] = []
    encode = FrameEncoder.encode

    def watched(self: FrameEncoder, *args: object) -> object:
        packets = encode(self, *args)  # type: ignore[arg-type]  # as it is called
        for thread in map(int, os.listdir("/proc/self/task")):
            with suppress(ProcessLookupError):  # it has ended
                seen.append(os.sched_getparam(thread).sched_priority)
        return packets

    monkeypatch.setattr(FrameEncoder, "encode", watched)
    film = make_video(tmp_path / "in.mkv", pts=range(3))
    assert upscale(film, tmp_path / "out.mkv", "--preset", "13", *words).status == 0
    assert len(seen) > 3 * 2  # the encoder's too
    assert set(seen) == {PRIORITY.sched_priority}


@pytest.mark.parametrize("resume", [False, True], ids=["at once", "resumable"])
@pytest.mark.parametrize(
    ("encoder", "target", "options", "codec"),
    [
        ("libvpx-vp9", "out.webm", ["--encoder-option", "cpu-used=8", "--crf", "30"], "vp9"),
        ("prores_ks", "out.mov", ["--encoder-option", "profile=0"], "prores"),
        ("mpeg4", "out.mp4", [], "mpeg4"),
        ("mpeg2video", "out.mkv", [], "mpeg2video"),
        ("libx264", "out.mkv", ["--preset", "ultrafast", "--encoder-option", "tune=film"], "h264"),
    ],
)
def test_any_encoder_keeps_times_and_colours(
    tmp_path: Path,
    upscale: Command,
    encoder: str,
    target: str,
    options: list[str],
    codec: str,
    resume: bool,
) -> None:
    # ticks of 1/90000, which MPEG-4 does not have, at an uneven rate
    ticks = [3600 * when for when in UNEVEN]
    source = make_video(
        tmp_path / "in.mp4", pts=ticks, time_base=Fraction(1, 90000), options={"g": "4", "bf": "0"}
    )
    more = ["--resume", "--segment", "0:00.2"] if resume else []
    done = upscale(source, tmp_path / target, "--encoder", encoder, *options, *more, "--audit")
    assert done.status == 0, done.out + done.err
    assert video_of(tmp_path / target)[0] == codec
    times = look(tmp_path / target).times
    near = [abs(a - Fraction(b, 25)) for a, b in zip(times, UNEVEN, strict=True)]
    assert max(near) <= Fraction(1, 2000), times


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoder", "libx26"], "unknown encoder 'libx26'; there are amv,"),
        (["--encoder", "aac"], "unknown encoder 'aac'"),
        (
            ["--encoder", "libvpx-vp9", "--encoder-option", "cpu-use=8"],
            "libvpx-vp9 has no option 'cpu-use'; its own: aq-mode,",
        ),
        (
            ["--encoder", "libvpx-vp9", "--encoder-option", "cpu-used=99"],
            "libvpx-vp9: Value 99.000000 for parameter 'cpu-used' out of range",
        ),
        (["--encoder", "prores_ks", "--crf", "3"], "prores_ks has no crf; its options: alpha_bits"),
        (["--encoder", "prores_ks", "--preset", "fast"], "prores_ks has no preset"),
        (["--pixel-format", "yuv421p"], "libx264 takes no 'yuv421p'; it takes yuv420p, yuvj420p,"),
        (["--codec", "av1", "--pixel-format", "yuv444p"], "libsvtav1 takes no 'yuv444p'"),
        (["--codec", "hevc", "--encoder", "libx265"], "--codec and --encoder exclude each other"),
        (["--codec", "h264", "--encoder", "libx265"], "--codec and --encoder exclude each other"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(
    tmp_path: Path, upscale: Command, words: list[str], said: str
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(2))
    done = upscale(source, tmp_path / "out.mkv", *words)
    assert done.status in (1, 2)
    assert said in done.lines[-1]
    assert len([line for line in done.lines if line.startswith(("streamsr:", "Error"))]) == 1
    assert not (tmp_path / "out.mkv").exists()


def test_encoders_and_their_options_are_ffmpegs_own() -> None:
    names = encoder_names()
    assert {"libx264", "libvpx-vp9", "prores_ks"} <= set(names)
    assert not {"aac", "wrapped_avframe"} & set(names)
    own, general = options_of("libvpx-vp9")
    assert {"crf", "cpu-used", "row-mt"} <= own
    assert {"b", "g", "bf"} <= general
    assert "good" not in own, "a value of an option is none"


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "ffv1", "libvpx-vp9", "libx264rgb"])
def test_every_pixel_format_of_an_encoder_shows_the_same_picture(encoder: str) -> None:
    rgb = picture(0, *SIZE)
    for name in formats_of(encoder):
        tags = ColorTags().resolved(*SIZE)
        kind = av.VideoFormat(name)
        if kind.is_rgb:
            tags = ColorTags(0, tags.primaries, tags.transfer, FULL)
        elif name.startswith("yuvj"):
            tags = ColorTags(tags.matrix, tags.primaries, tags.transfer, FULL)
        frame = FrameWriter(tags, name, *SIZE).of(Frame(rgb, 0, Fraction(1)))
        assert frame.format.name == name
        assert tags_of(frame) == tags, name
        seen = np.empty_like(rgb)
        FrameReader(tags.resolved(*SIZE)).read(frame, seen)
        if len(kind.components) > 2:
            # Of the smooth ramp only; chroma samples of 4:1:0 reach over the square's edge.
            off = np.abs(seen.astype(int) - rgb)[16:, 16:].mean()
            assert off < 2, f"{name}: {off}"
        else:
            luma = rgb @ (0.299, 0.587, 0.114)
            assert np.abs(seen.mean(axis=2) - luma).mean() < 2, name


def test_formats_that_no_picture_can_be_written_in_are_not_offered() -> None:
    assert not can_write("cuda")
    assert not can_write("pal8")
    assert can_write("nv12")
    assert "qsv" not in formats_of("h264_qsv")


@pytest.mark.parametrize(
    ("encoder", "source", "chosen"),
    [
        ("prores_ks", "yuv420p", "yuv422p10le"),
        ("prores_ks", "yuva420p", "yuva444p10le"),
        ("prores_ks", "gbrp", "yuv444p10le"),
        ("libvpx-vp9", "yuv420p10le", "yuv420p"),
        ("libvpx-vp9", "nv12", "yuv420p"),
        ("libvpx-vp9", "yuyv422", "yuv422p"),
        ("libvpx-vp9", "gray", "yuv420p"),
        ("libx264rgb", "yuv420p", "bgr0"),
        ("h264_qsv", "yuv420p", "nv12"),
    ],
)
def test_the_format_that_loses_least_is_taken(encoder: str, source: str, chosen: str) -> None:
    assert Encoder(Encoding(encoder=encoder)).coded(info(source), SIZE).pixel_format == chosen


@pytest.mark.parametrize(
    ("encoder", "container", "matrix", "level"),
    [
        ("libvpx", "webm", 5, LIMITED),  # VP8 has one matrix
        ("mjpeg", "mov", 5, FULL),
        ("libvpx-vp9", "webm", 1, LIMITED),
        ("prores_ks", "mov", 1, LIMITED),
        ("mpeg4", "mp4", 1, LIMITED),
    ],
)
def test_samples_have_the_colours_that_a_player_will_take_them_for(
    encoder: str, container: str, matrix: int, level: int
) -> None:
    source = info(color=ColorTags(1, 1, 1, LIMITED))
    tags = tried(Encoder(Encoding(encoder=encoder)), source, SIZE, container).tags
    assert (tags.matrix, tags.range) == (matrix, level)


def test_a_full_range_that_an_encoder_cannot_say_becomes_limited() -> None:
    source = info(color=ColorTags(1, 1, 1, FULL))
    coded = tried(Encoder(Encoding(encoder="prores_ks")), source, SIZE, "mov")
    assert coded.tags.range == LIMITED


def test_yuv420p_is_of_limited_range_and_what_it_loses_is_said() -> None:
    source = info("yuv444p10le", color=ColorTags(1, 1, 1, FULL))
    encoder = Encoder(Encoding(pixel_format="yuv420p"))
    coded = encoder.coded(source, SIZE)
    assert coded.tags == ColorTags(1, 1, 1, LIMITED)
    assert lost(encoder, source, SIZE, coded) == [
        "yuv420p holds 8 of the picture's 10 bits",
        "yuv420p holds 4:2:0 of the picture's 4:4:4: colours are less sharp than brightness",
        "yuv420p has limited range: 219 levels of the picture's 255",
    ]


def test_hdr_metadata_that_an_encoder_is_not_told_is_named() -> None:
    source = info("yuv420p10le", hdr=HdrMetadata(light=(1000, 400)))
    for name, said in (("prores_ks", 1), ("libx265", 0)):
        encoder = Encoder(Encoding(encoder=name))
        lines = lost(encoder, source, SIZE, encoder.coded(source, SIZE))
        assert len(lines) == said, lines
    options = Encoder(
        Encoding(encoder="libx265", encoder_options={"x265-params": "aq-mode=3"})
    ).options(source.hdr)["x265-params"]
    assert "max-cll=1000,400" in options
    assert options.endswith(":aq-mode=3")


@pytest.mark.parametrize(
    ("codec", "container", "source", "said"),
    [
        ("h264", "mp4", "yuv420p", None),
        ("h264", "mp4", "yuv444p", "h264 of 4:4:4;"),
        ("h264", "mov", "yuv422p10le", "h264 of 4:2:2, 10 bits;"),
        ("h264", "mp4", "rgb24", "h264 of 4:4:4;"),
        ("h264", "matroska", "yuv444p", None),
        ("hevc", "mp4", "yuv420p10le", None),
        ("hevc", "mp4", "yuv420p12le", "hevc of 12 bits;"),
        ("av1", "mp4", "yuv444p", None),
        ("ffv1", "mp4", "yuv444p", None),
    ],
)
def test_what_phones_do_not_play_is_said(
    codec: str, container: str, source: str, said: str | None
) -> None:
    encoder = Encoder(Encoding(codec))
    line = hard_to_play(encoder, container, encoder.coded(info(source), SIZE))
    assert (line is None) == (said is None), line
    if said is not None:
        assert line is not None
        assert said in line
        assert "--pixel-format yuv420p" in line


def test_full_range_is_said_and_yuv420p_mends_it(tmp_path: Path, upscale: Command) -> None:
    source = make_video(tmp_path / "in.avi", codec="mjpeg", pix_fmt="yuvj422p")
    said = upscale(source, tmp_path / "as_is.mp4")
    assert said.err.count("do not play h264 of 4:2:2, full range; --pixel-format yuv420p") == 1
    mended = upscale(source, tmp_path / "out.mp4", "--pixel-format", "yuv420p", "--audit")
    assert mended.status == 0, mended.out
    assert "do not play" not in mended.err
    assert "note  colour tags" in mended.out
    assert "kept  colour " in mended.out
    _, _, name, frame = video_of(tmp_path / "out.mp4")
    assert (name, tags_of(frame).range) == ("yuv420p", LIMITED)
    refused = upscale(source, tmp_path / "no.mp4", "--pixel-format", "yuv420p", "--strict")
    assert refused.status == 1
    assert "refused by --strict" in refused.err


@pytest.mark.parametrize("resume", [False, True], ids=["at once", "resumable"])
@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov"])
def test_apple_plays_hevc_and_the_index_is_in_front(
    tmp_path: Path, upscale: Command, suffix: str, resume: bool
) -> None:
    source = make_video(tmp_path / "in.mp4", audio=["aac"], options={"g": "5"})
    target = tmp_path / f"out.{suffix}"
    more = ["--resume", "--segment", "0:00.2"] if resume else []
    done = upscale(source, target, "--codec", "hevc", "--preset", "ultrafast", *more)
    assert done.status == 0, done.err
    assert video_of(target)[:2] == ("hevc", "hvc1")
    content = target.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")
    assert look(target).times == look(source).times


def test_a_disk_that_is_full_when_the_index_moves_to_the_front_leaves_nothing_half(
    tmp_path: Path,
) -> None:
    """The film fits, its index not."""
    frames = 300
    index = 16 * frames

    def written(path: Path) -> None:
        sink = FileSink(path, info(), SIZE, encoding=Encoding(preset="ultrafast", threads=1))
        with sink:
            for pts in range(frames):
                sink.write(Frame(picture(pts, *SIZE), pts, Fraction(1, 25)))
            sink.commit()

    written(tmp_path / "whole.mp4")
    whole = (tmp_path / "whole.mp4").stat().st_size
    assert whole > 2 * index
    with small_disk(tmp_path / "disk", (whole - index // 4) // 4096 * 4) as disk:
        with pytest.raises(SinkError, match="No space left"):
            written(disk / "out.mp4")
        assert list(disk.iterdir()) == []


def test_another_encoder_or_option_does_not_go_on_with_a_ledger(
    tmp_path: Path, upscale: Command
) -> None:
    source = make_video(tmp_path / "in.mp4", pts=range(20), options={"g": "5"})
    words = ["--resume", "--segment", "0:00.2", "--encoder", "mpeg4"]
    with small_disk(tmp_path / "disk", 24) as disk:
        done = upscale(source, disk / "out.mkv", *words, "--encoder-option", "g=1")
        assert done.status == 1
        assert "run the same command again" in done.err
        for other, said in (
            (["--encoder-option", "g=2"], "g was 1, now 2"),
            (["--encoder-option", "g=1", "--pixel-format", "yuv420p"], "pixel format was auto"),
        ):
            refused = upscale(source, disk / "out.mkv", *words, *other)
            assert refused.status == 1
            assert said in refused.err, refused.err
        refused = upscale(source, disk / "out.mkv", *words[:3])
        assert "encoder was mpeg4, now None" in refused.err


def test_an_encoder_by_name_is_that_of_its_codec(tmp_path: Path) -> None:
    """The encoder of a codec, by FFmpeg's name, makes the same of the same settings."""
    made: dict[str, bytes] = {}
    ways: dict[str, Callable[[], Encoding]] = {
        "codec": lambda: Encoding("h264", 25, "fast", 1),
        "encoder": lambda: Encoding(encoder="libx264", crf=25, preset="fast", threads=1),
    }
    for name, encoding in ways.items():
        path = tmp_path / f"{name}.mkv"
        with FileSink(path, info(), SIZE, encoding=encoding()) as sink:
            for pts in range(5):
                sink.write(Frame(picture(pts, *SIZE), pts, Fraction(1, 25)))
            sink.commit()
        made[name] = path.read_bytes()
    assert made["codec"] == made["encoder"]


def test_a_codec_and_an_encoder_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="no codec beside an encoder"):
        Encoding("hevc", encoder="libx265")
