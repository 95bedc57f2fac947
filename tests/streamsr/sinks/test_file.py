"""Video files as a sink: names that are refused, times, durations, colors."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr import FileSink, Frame, SinkError, StreamInfo
from streamsr.color import SMPTE170M, ColorTags
from streamsr.options import Encoding
from tests.support.media import look, make_video, picture

TICK = Fraction(1, 25)
INFO = StreamInfo(32, 24, TICK, rate=Fraction(25), color=ColorTags(1, 1, 1, 1))


def frames(pts: Sequence[int] = range(10)) -> list[Frame]:
    return [Frame(picture(i), when, TICK, 1, i) for i, when in enumerate(pts)]


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    with pytest.raises(SinkError, match="exists already"):
        FileSink(tmp_path / "out.mp4", INFO, (64, 48))
    assert (tmp_path / "out.mp4").read_text() == "precious"


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.mp4", INFO, (64, 48))
    with pytest.raises(SinkError, match="appeared meanwhile"), sink:  # noqa: PT012
        sink.write(frames()[0])
        (tmp_path / "out.mp4").write_text("precious")
        sink.commit()
    assert (tmp_path / "out.mp4").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_overwriting_happens_at_commit(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("old")
    with FileSink(tmp_path / "out.mp4", INFO, (64, 48), overwrite=True) as sink:
        sink.write(frames()[0])
        assert (tmp_path / "out.mp4").read_text() == "old"
        sink.commit()
    assert len(look(tmp_path / "out.mp4").times) == 1


@pytest.mark.parametrize("name", ["missing/out.mp4", "out.xyz", "out", ".mp4/x"])
def test_an_impossible_name_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError):
        FileSink(tmp_path / name, INFO, (64, 48))
    assert not list(tmp_path.iterdir())


def test_a_container_without_place_for_the_codec_says_so(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out.webm", INFO, (64, 48), codec="h264")
    with pytest.raises(SinkError, match="cannot hold h264"), sink:
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("codec", "how"), [("nonsense", {}), ("ffv1", {"crf": 3}), ("ffv1", {"preset": "fast"})]
)
def test_wrong_arguments_are_value_errors(
    tmp_path: Path, codec: str, how: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        FileSink(tmp_path / "out.mkv", INFO, (64, 48), codec=codec, **how)  # type: ignore[arg-type]


def test_the_input_cannot_be_the_output(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4")
    sink = FileSink(path, INFO, (64, 48), overwrite=True, copy_from=path)
    with pytest.raises(SinkError, match="is the input"), sink:
        pass


@pytest.mark.parametrize(
    ("name", "pts"),
    [
        ("out.mp4", [0, 1, 2, 3]),
        ("out.mp4", [100, 105, 106, 150]),
        ("out.mkv", [100, 105, 106, 150]),
    ],
)
def test_times_are_written_as_they_are(tmp_path: Path, name: str, pts: list[int]) -> None:
    with FileSink(tmp_path / name, INFO, (64, 48)) as sink:
        for frame in frames(pts):
            sink.write(frame)
        sink.commit()
    assert look(tmp_path / name).times == [when * TICK for when in pts]


def test_durations_are_written_too(tmp_path: Path) -> None:
    with FileSink(tmp_path / "out.mp4", INFO, (64, 48), preset="ultrafast") as sink:  # no B-frames
        for i, (when, length) in enumerate([(0, 2), (2, 5), (7, 9)]):
            sink.write(Frame(picture(i), when, TICK, length, i))
        sink.commit()
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        lengths = sorted((p.pts, p.duration * p.time_base) for p in packets)
        assert [length for _, length in lengths] == [2 * TICK, 5 * TICK, 9 * TICK]


def test_a_lossless_codec_keeps_colours_within_the_rounding_of_yuv(tmp_path: Path) -> None:
    info = StreamInfo(32, 24, TICK, color=ColorTags(1, 1, 1, 2), pixel_format="yuv444p")
    with FileSink(tmp_path / "out.mkv", info, (64, 48), codec="ffv1") as sink:
        sink.write(frames()[0])
        sink.commit()
    got = look(tmp_path / "out.mkv", keep_frames=True).frames[0].astype(int)
    assert np.abs(got - picture(0)).max() <= 3


def test_pictures_that_came_as_rgb_are_written_with_the_tags_of_their_size(tmp_path: Path) -> None:
    info = StreamInfo(32, 24, TICK, pixel_format="rgb24")
    with FileSink(tmp_path / "out.mkv", info, (64, 48), codec="ffv1") as sink:
        sink.write(frames()[0])
        sink.commit()
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.colorspace == SMPTE170M


BASE = Fraction(1, 25)


def test_an_encoding_given_whole_is_that_of_its_parts(tmp_path: Path) -> None:
    info = StreamInfo(64, 48, BASE, rate=1 / BASE, color=ColorTags().resolved(64, 48))
    noise = np.random.default_rng(1).integers(0, 256, (3, 48, 64, 3), np.uint8)
    parts = FileSink(
        tmp_path / "parts.mkv",
        info,
        (64, 48),
        codec="hevc",
        crf=40,
        preset="ultrafast",
        encoder_threads=1,
    )
    whole = FileSink(
        tmp_path / "whole.mkv", info, (64, 48), encoding=Encoding("hevc", 40, "ultrafast", 1)
    )
    for sink in (parts, whole):
        with sink:
            for pts, rgb in enumerate(noise):
                sink.write(Frame(rgb, pts, BASE))
            sink.commit()
    assert look(tmp_path / "whole.mkv").size == (64, 48)
    assert (tmp_path / "whole.mkv").read_bytes() == (tmp_path / "parts.mkv").read_bytes()
