"""Files through the command line, end to end: the input's times and everything beside the picture
come out."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from streamsr import Upscaler
from tests.support.command import Command
from tests.support.engine import EXACT
from tests.support.media import SRT, look, make_video, picture

MS = Fraction(1, 1000)


def test_frames_are_three_times_as_large_and_all_there(upscale: Command, tmp_path: Path) -> None:
    result = upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert result.status == 0, result.err
    seen = look(tmp_path / "out.mp4")
    assert seen.size == (192, 144)
    assert len(seen.times) == 10


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize(
    ("pts", "options"),
    [
        pytest.param(range(10), {"bf": "0"}, id="constant"),
        pytest.param(range(7, 17), {"bf": "0"}, id="late-start"),
        pytest.param([0, 1, 2, 5, 6, 11, 12, 13, 20, 24], {"bf": "0"}, id="variable"),
        pytest.param(range(12), {"bf": "2", "b_strategy": "0", "sc_threshold": "0"}, id="b-frames"),
        pytest.param(
            [3, 4, 9, 10, 11, 12, 20, 22], {"bf": "2", "b_strategy": "0"}, id="variable-b-frames"
        ),
    ],
)
def test_every_frame_keeps_its_time(
    upscale: Command, tmp_path: Path, suffix: str, pts: list[int], options: dict[str, str]
) -> None:
    source = make_video(tmp_path / f"in{suffix}", pts=pts, options=options)
    result = upscale(source, tmp_path / f"out{suffix}")
    assert result.status == 0, result.err
    before, after = look(source).times, look(tmp_path / f"out{suffix}").times
    if suffix == ".ts":  # whose clock stands anywhere: the output begins at its beginning
        before, after = [[time - times[0] for time in times] for times in (before, after)]
    assert after == before


@pytest.mark.parametrize("time_base", [Fraction(1, 90000), Fraction(1001, 30000)])
@pytest.mark.parametrize("first", [0, 5])
def test_times_are_exact_to_the_tick(
    upscale: Command, tmp_path: Path, time_base: Fraction, first: int
) -> None:
    pts = [first, 3003, 6007, 9009, 12345] if time_base.numerator == 1 else range(first, first + 5)
    source = make_video(tmp_path / "in.mp4", pts=pts, time_base=time_base, options={"bf": "0"})
    assert upscale(source, tmp_path / "out.mp4").status == 0
    assert look(tmp_path / "out.mp4").times == look(source).times


@pytest.mark.parametrize("frames", ["0", "2"])
def test_avi_frames_come_at_the_ticks_of_their_packets(
    upscale: Command, tmp_path: Path, frames: str
) -> None:
    source = make_video(
        tmp_path / "in.avi", pts=range(12), options={"bf": frames, "b_strategy": "0"}
    )
    assert upscale(source, tmp_path / "out.mp4").status == 0
    assert look(tmp_path / "out.mp4").times == [Fraction(i, 25) for i in range(12)]


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", ".mp4"),
        ("mp3", ".mp4"),
        ("aac", ".mkv"),
        ("libopus", ".mkv"),
        ("flac", ".mkv"),
        ("pcm_s16le", ".mkv"),
        ("ac3", ".ts"),
        ("mp3", ".avi"),
        ("mp2", ".mkv"),
        ("mp2", ".ts"),
    ],
)
def test_sound_is_copied_byte_for_byte_with_its_times(
    upscale: Command, tmp_path: Path, codec: str, suffix: str
) -> None:
    source = make_video(tmp_path / f"in{suffix}", audio=[codec])
    result = upscale(source, tmp_path / f"out{suffix}")
    assert result.status == 0, result.err
    before, after = look(source), look(tmp_path / f"out{suffix}")
    assert after.kinds == before.kinds, result.err
    assert [data for _, data in after.packets[1]] == [data for _, data in before.packets[1]]
    heard = [[time for time, _ in seen.packets[1]] for seen in (before, after)]
    if suffix == ".ts":  # which begins with what comes first, sound or picture
        start = min(before.times[0], heard[0][0])
        heard[0] = [time - start for time in heard[0]]
    assert heard[1] == heard[0]


def test_several_sounds_keep_their_languages_and_which_is_the_default(
    upscale: Command, tmp_path: Path
) -> None:
    def prepare(container: av.container.OutputContainer, _video: object) -> None:
        for stream, language in zip(container.streams.audio, ("deu", "fra"), strict=True):
            stream.metadata["language"] = language
        container.streams.audio[0].disposition = av.stream.Disposition(0)
        container.streams.audio[1].disposition = av.stream.Disposition.default

    source = make_video(tmp_path / "in.mkv", audio=["aac", "aac"], prepare=prepare)
    assert upscale(source, tmp_path / "out.mkv").status == 0
    before, after = look(source), look(tmp_path / "out.mkv")
    assert after.languages == before.languages
    assert after.packets == before.packets
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        assert [s.disposition for s in b.streams] == [s.disposition for s in a.streams]


def test_subtitles_chapters_attachments_and_titles_survive(
    upscale: Command, tmp_path: Path
) -> None:
    (tmp_path / "text.srt").write_text(SRT)

    def prepare(container: av.container.OutputContainer, video: av.VideoStream) -> None:
        container.metadata["title"] = "A film"
        video.metadata["title"] = "The picture"
        container.add_attachment("font.ttf", "font/ttf", b"not really a font")
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 200, "time_base": MS, "metadata": {"title": "One"}},
                {"id": 2, "start": 200, "end": 400, "time_base": MS, "metadata": {"title": "Two"}},
            ]
        )

    source = make_video(
        tmp_path / "in.mkv", audio=["aac"], subtitle=tmp_path / "text.srt", prepare=prepare
    )
    result = upscale(source, tmp_path / "out.mkv")
    assert result.status == 0, result.err
    before, after = look(source), look(tmp_path / "out.mkv")
    assert after.kinds == before.kinds
    assert after.packets == before.packets
    assert after.languages == before.languages
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        assert b.metadata["title"] == "A film"
        assert b.streams.video[0].metadata["title"] == "The picture"
        assert [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"])
            for c in b.chapters()
        ] == [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"])
            for c in a.chapters()
        ]
        assert [s.data for s in b.streams.attachments] == [b"not really a font"]
        assert b.streams.attachments[0].metadata["filename"] == "font.ttf"


def test_text_the_container_cannot_hold_as_it_is_becomes_its_own_kind(
    upscale: Command, tmp_path: Path
) -> None:
    (tmp_path / "text.srt").write_text(SRT)
    source = make_video(tmp_path / "in.mkv", subtitle=tmp_path / "text.srt")
    result = upscale(source, tmp_path / "out.mp4")
    assert result.status == 0, result.err
    assert "subtitle stream 1 (subrip) becomes mov_text" in result.err
    assert look(tmp_path / "out.mp4").kinds == ["video:h264", "subtitle:mov_text"]


def test_pixel_shape_survives(upscale: Command, tmp_path: Path) -> None:
    def prepare(_container: object, video: av.VideoStream) -> None:
        video.codec_context.sample_aspect_ratio = Fraction(64, 45)

    source = make_video(tmp_path / "in.mp4", prepare=prepare)
    assert upscale(source, tmp_path / "out.mp4").status == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotation_survives(upscale: Command, tmp_path: Path, suffix: str) -> None:
    turn = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    source = make_video(
        tmp_path / f"in{suffix}", prepare=lambda _container, video: video.set_display_matrix(turn)
    )
    assert upscale(source, tmp_path / f"out{suffix}").status == 0

    def rotation(path: Path) -> int:
        with av.open(str(path)) as container:
            return next(container.decode(video=0)).rotation

    assert abs(rotation(source)) == 90
    assert rotation(tmp_path / f"out{suffix}") == rotation(source)


@pytest.mark.parametrize(
    ("size", "tags", "expected"),
    [
        pytest.param((64, 48), {}, (6, 1), id="untagged-small-is-601"),
        pytest.param((1280, 20), {}, (1, 1), id="untagged-hd-is-709"),
        pytest.param((64, 48), {"colorspace": 1, "color_range": 1}, (1, 1), id="709-limited"),
        pytest.param((64, 48), {"colorspace": 5, "color_range": 2}, (5, 2), id="470bg-full"),
        pytest.param((64, 48), {"colorspace": 9, "color_range": 1}, (9, 1), id="2020"),
    ],
)
def test_colours_are_tagged_as_the_input_is_meant(
    upscale: Command,
    tmp_path: Path,
    size: tuple[int, int],
    tags: dict[str, int],
    expected: tuple[int, int],
) -> None:
    def prepare(_container: object, video: av.VideoStream) -> None:
        for name, value in tags.items():
            setattr(video, name, value)

    source = make_video(tmp_path / "in.mp4", size=size, pts=range(2), prepare=prepare)
    assert upscale(source, tmp_path / "out.mp4").status == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range)) == expected


def test_full_range_source_keeps_its_range(upscale: Command, tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.avi", codec="mjpeg", pix_fmt="yuvj420p", pts=range(3))
    assert upscale(source, tmp_path / "out.mp4").status == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert int(next(container.decode(video=0)).color_range) == 2


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (2, 2), (8, 48), (7, 3)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p"])
def test_odd_and_tiny_sizes_are_upscaled_to_the_next_even_size(
    upscale: Command, tmp_path: Path, size: tuple[int, int], pix_fmt: str
) -> None:
    source = make_video(
        tmp_path / "in.nut", size=size, codec="rawvideo", pix_fmt=pix_fmt, pts=range(2)
    )
    result = upscale(source, tmp_path / "out.mkv")
    assert result.status == 0, result.err
    width, height = (3 * side for side in size)
    even_x, even_y = pix_fmt != "yuv444p", pix_fmt == "yuv420p"
    assert look(tmp_path / "out.mkv").size == (
        width + width % 2 * even_x,
        height + height % 2 * even_y,
    )


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p"])
def test_finer_chroma_is_kept(upscale: Command, tmp_path: Path, pix_fmt: str) -> None:
    source = make_video(tmp_path / "in.mp4", pix_fmt=pix_fmt, pts=range(2))
    assert upscale(source, tmp_path / "out.mp4").status == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].pix_fmt == pix_fmt


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        *(
            ("ffv1", pix_fmt, ".mkv")
            for pix_fmt in ("yuv420p10le", "gray", "gray10le", "bgr0", "yuva420p")
        ),
        *(("ffv1", pix_fmt, ".mkv") for pix_fmt in ("yuv410p", "yuv411p", "yuv440p")),
        ("rawvideo", "yuyv422", ".avi"),
        ("rawvideo", "nv12", ".nut"),
        ("png", "rgb24", ".mov"),
        ("gif", "rgb8", ".gif"),
        ("mpeg2video", "yuv420p", ".ts"),
        ("mjpeg", "yuvj422p", ".mkv"),
    ],
)
def test_the_picture_looks_the_same_from_every_pixel_format(
    upscale: Command, tmp_path: Path, model: Path, codec: str, pix_fmt: str, suffix: str
) -> None:
    source = make_video(
        tmp_path / f"in{suffix}", codec=codec, pix_fmt=pix_fmt, options=BEST.get(codec)
    )
    result = upscale(source, tmp_path / "out.mkv", "--codec", "ffv1")
    assert result.status == 0, result.err
    got = look(tmp_path / "out.mkv", keep_frames=True).frames[0].astype(float)
    with Upscaler(model, engine=EXACT, threads=1) as upscaler:
        expected = upscaler(picture(0)).astype(float)
    if pix_fmt.startswith("gray"):
        expected = np.repeat((expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
    difference = got - expected
    assert np.abs(difference).mean() < COARSE.get(pix_fmt, 5)
    assert np.abs(difference.mean(axis=(0, 1))).max() < COARSE.get(pix_fmt, 3), "shifted as a whole"


BEST = {
    "mpeg2video": {"qmin": "1", "qmax": "2", "b": "8M"},
    "mjpeg": {"qmin": "1", "qmax": "2", "b": "8M"},
}
COARSE = {"rgb8": 40, "yuv410p": 8, "gray": 12, "gray10le": 12}
"""Formats that lose much by themselves; untagged grey is full range to FFmpeg, which writes it, and
limited to us."""


@pytest.mark.parametrize(("codec", "name"), [("hevc", "hevc"), ("av1", "av1"), ("ffv1", "ffv1")])
def test_other_codecs(upscale: Command, tmp_path: Path, codec: str, name: str) -> None:
    source = make_video(tmp_path / "in.mkv", pts=[0, 1, 2, 4, 7])
    result = upscale(source, tmp_path / "out.mkv", "--codec", codec)
    assert result.status == 0, result.err
    seen = look(tmp_path / "out.mkv")
    assert seen.kinds == [f"video:{name}"]
    assert seen.times == look(source).times
    assert len(result.lines) == 2, "the encoder's own chatter stays away"


def test_start_and_duration_cut_picture_and_sound(upscale: Command, tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", pts=range(50), audio=["aac"], audio_frames=94, options={"g": "10"}
    )
    result = upscale(source, tmp_path / "out.mp4", "--start", "0.52", "--duration", "0.8")
    assert result.status == 0, result.err
    before, after = look(source), look(tmp_path / "out.mp4")
    assert after.times == [Fraction(i, 25) for i in range(20)]
    kept = [
        data for when, data in before.packets[1] if Fraction(52, 100) <= when < Fraction(132, 100)
    ]
    assert [data for _, data in after.packets[1]] == kept
    first = next(when for when, _ in before.packets[1] if when >= Fraction(52, 100)) - Fraction(
        52, 100
    )
    assert abs(after.packets[1][0][0] - first) <= Fraction(1, 48000)


def test_start_moves_chapters_to_the_new_zero(upscale: Command, tmp_path: Path) -> None:
    def prepare(container: av.container.OutputContainer, _video: object) -> None:
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 500, "time_base": MS, "metadata": {"title": "One"}},
                {"id": 2, "start": 500, "end": 1000, "time_base": MS, "metadata": {"title": "Two"}},
            ]
        )

    source = make_video(tmp_path / "in.mkv", pts=range(25), prepare=prepare)
    assert upscale(source, tmp_path / "out.mkv", "--start", "0.6").status == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [
            (c["start"] * c["time_base"], c["metadata"]["title"]) for c in container.chapters()
        ] == [(0, "Two")]


def test_a_start_beyond_the_end_is_an_error(upscale: Command, tmp_path: Path) -> None:
    result = upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4", "--start", "1:00")
    assert result.status == 1
    assert len(result.lines) <= 2
    assert not list(tmp_path.glob("out*"))


def test_a_size_that_is_no_multiple(upscale: Command, tmp_path: Path) -> None:
    result = upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4", "--to", "100x80")
    assert result.status == 0, result.err
    assert look(tmp_path / "out.mp4").size == (100, 76), "it fits, and keeps its shape"


def test_a_size_that_would_shrink_is_refused(upscale: Command, tmp_path: Path) -> None:
    result = upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4", "--to", "32x24")
    assert result.status == 1
    assert "would not enlarge" in result.err


def test_several_inputs_go_into_a_directory(streamsr: Command, tmp_path: Path, model: Path) -> None:
    for name in ("a.mp4", "b.mkv"):
        make_video(tmp_path / name, pts=range(3))
    (tmp_path / "out").mkdir()
    result = streamsr(
        "upscale", tmp_path / "a.mp4", tmp_path / "b.mkv", "-o", tmp_path / "out", "--model", model
    )
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mkv"]
    assert "2 of 2 files upscaled" in result.err


def test_inputs_of_kinds_that_are_not_made_become_matroska(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    make_video(tmp_path / "a.flv", codec="flv1", pts=range(3))
    make_video(tmp_path / "b.mp4", pts=range(3)).rename(tmp_path / "b")
    (tmp_path / "out").mkdir()
    result = streamsr(
        "upscale", tmp_path / "a.flv", tmp_path / "b", "-o", tmp_path / "out", "--model", model
    )
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mkv", "b.mkv"]


def test_one_bad_input_of_several_does_not_stop_the_others(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    make_video(tmp_path / "a.mp4", pts=range(3))
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "out").mkdir()
    result = streamsr(
        "upscale",
        tmp_path / "bad.mp4",
        tmp_path / "a.mp4",
        "-o",
        tmp_path / "out",
        "--model",
        model,
    )
    assert result.status == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]
    assert "1 of 2 files upscaled" in result.err


def test_stats_say_what_happened(upscale: Command, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    assert (
        upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4", "--stats-json", stats).status
        == 0
    )
    seen = json.loads(stats.read_text())
    frames = seen["frames"]
    assert set(frames) >= {
        "in",
        "out",
        "network",
        "reused",
        "partial",
        "resized",
        "dropped",
        "damaged",
    }
    assert frames["in"] == frames["out"] == 10
    assert frames["in"] == sum(
        frames[fate] for fate in ("network", "reused", "partial", "resized", "dropped")
    )
    assert set(seen["latency_ms"]) == {"p50", "p95", "p99", "max"}
    assert {"wall", "decode", "network", "convert", "encode"} <= set(seen["seconds"])
    assert seen["fps"] > 0
    assert {"engine", "model", "threads", "versions"} <= set(seen)


@pytest.mark.parametrize(
    ("name", "codec", "options", "model"),
    [
        ("in.mp4", "libx264", (), "xlsr-video_x3_u8"),
        ("in.mkv", "ffv1", (), "xlsr_x3_u8"),
        ("in.mp4", "libx264", ("--model", "clean"), "xlsr_x3_u8"),
        ("in.mkv", "ffv1", ("--model", "video", "--to", "240p"), "xlsr-video_x2_u8"),
    ],
)
def test_the_model_is_by_what_the_film_went_through(
    streamsr: Command, tmp_path: Path, name: str, codec: str, options: tuple[str, ...], model: str
) -> None:
    stats = tmp_path / "stats.json"
    film = make_video(tmp_path / name, codec=codec, size=(160, 120), pts=range(3))
    done = streamsr("upscale", film, "-o", tmp_path / "out.mkv", "--stats-json", stats, *options)
    assert done.status == 0
    assert json.loads(stats.read_text())["model"] == model


@pytest.mark.parametrize(
    ("name", "model", "why"),
    [
        ("in.png", "xlsr_x3_u8", "clean (no lossy codec)"),
        ("in.jpg", "xlsr-video_x3_u8", "video (jpeg, quantiser 58 on average, sharpness "),
    ],
)
def test_the_model_of_a_picture_is_by_its_file(
    streamsr: Command, tmp_path: Path, name: str, model: str, why: str
) -> None:
    stats = tmp_path / "stats.json"
    PillowImage.fromarray(picture(0)).save(tmp_path / name, quality=50)
    asked = ("upscale", tmp_path / name, "-o", tmp_path / "out.png", "--stats-json", stats)
    done = streamsr(*asked)
    assert done.status == 0
    said = json.loads(stats.read_text())
    assert (said["model"], said["model_reason"][: len(why)]) == (model, why)
    assert f"; model: {said['model_reason']}" in done.lines[0]


def test_the_first_line_says_why_a_model_was_taken(streamsr: Command, tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", options={"qp": "30", "x264-params": "ipratio=1"})
    asked = ("upscale", film, "-o", tmp_path / "out.mp4", "--preset", "ultrafast", "--dry-run")
    assert "; model: video (h264, quantiser 30 on average, sharpness " in streamsr(*asked).lines[0]
    assert "; model:" not in streamsr(*asked, "--model", "video").lines[0]


def test_stats_are_written_for_a_failed_run_too(upscale: Command, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    assert upscale(tmp_path / "none.mp4", tmp_path / "out.mp4", "--stats-json", stats).status == 1
    assert json.loads(stats.read_text())["frames"]["in"] == 0


def test_piped_progress_is_one_line_at_each_end(upscale: Command, tmp_path: Path) -> None:
    result = upscale(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert result.out == ""
    assert len(result.lines) == 2, result.err
    assert result.lines[1].startswith(f"{tmp_path / 'out.mp4'}: 10 frames in ")


@pytest.mark.parametrize(
    ("words", "look_of"),
    [
        ((), {}),
        (("--no-consistency",), {"consistency": False}),
        (("--sharpen", "1"), {"sharpen": 1.0}),
        (("--strength", "0", "--consistency"), {"strength": 0.0}),
    ],
)
def test_the_picture_is_the_networks_finished_as_asked(
    upscale: Command, tmp_path: Path, model: Path, words: tuple[str, ...], look_of: dict[str, Any]
) -> None:
    source = make_video(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", pts=range(2))
    result = upscale(source, tmp_path / "out.mkv", "--codec", "ffv1", *words)
    assert result.status == 0, result.err
    with Upscaler(model, engine=EXACT, threads=1, **look_of) as upscaler:
        expected = upscaler(picture(1)).astype(int)
    got = look(tmp_path / "out.mkv", keep_frames=True).frames[1].astype(int)
    # FFmpeg converts back to RGB here, with its own rounding.
    assert np.abs(got - expected).max() <= 4
