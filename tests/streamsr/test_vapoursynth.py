"""The VapourSynth filter: the library's own bytes, in any order, with the properties that belong to
them.

VapourSynth has wheels for Python 3.12 and newer; `.ci/run` runs this file with such a Python too.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.errors import ModelError
from streamsr.frame import Frame
from streamsr.picture.planes import YuvPlanes
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT
from tests.support.markdown import blocks, run_script
from tests.support.media import look, make_video, picture

vs = pytest.importorskip("vapoursynth")
from streamsr.vapoursynth import upscale  # noqa: E402 - needs it

WIDTH, HEIGHT, COUNT = 70, 46, 4
RGB = "RGB24"


def clip_of(name: str, **props: int) -> "vs.VideoNode":
    """Pictures that move, in the format of this name, with these properties."""
    blank = vs.core.std.BlankClip(
        width=WIDTH, height=HEIGHT, format=getattr(vs, name), length=COUNT, keep=True
    )
    depth = blank.format.bits_per_sample

    def draw(n: int, f: "vs.VideoFrame") -> "vs.VideoFrame":
        frame = f.copy()
        for i in range(frame.format.num_planes):
            plane = np.asarray(frame[i])
            plane[:] = (
                picture(n, plane.shape[1], plane.shape[0])[..., i].astype(plane.dtype) << depth - 8
            )
        frame.props.update(props)
        return frame

    return vs.core.std.ModifyFrame(blank, blank, draw)


def planes(frame: "vs.VideoFrame") -> list["np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"]:
    return [np.asarray(frame[i]) for i in range(frame.format.num_planes)]


def expected(
    frame: "vs.VideoFrame", tags: ColorTags, upscaler: Upscaler, *, centered: bool
) -> list[bytes]:
    """What the library makes of a frame."""
    yuv = YuvPlanes(
        tags.resolved(WIDTH, HEIGHT), depth=frame.format.bits_per_sample, centered=centered
    )
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    deep = yuv.read(planes(frame), rgb)
    [large] = upscaler.frames([Frame(rgb, 0, Fraction(1), deep=deep)])
    scale = upscaler.scale
    out = [
        np.empty((scale * plane.shape[0], scale * plane.shape[1]), plane.dtype)
        for plane in planes(frame)
    ]
    yuv.write(large, out)
    return [plane.tobytes() for plane in out]


@pytest.mark.parametrize(
    "name",
    ["YUV420P8", "YUV422P8", "YUV444P8", "GRAY8", "YUV420P10", "YUV422P12", "YUV444P16", "GRAY16"],
)
def test_every_format_is_upscaled_to_the_librarys_own_bytes(model: Path, name: str) -> None:
    clip = clip_of(name)
    result = upscale(clip, model=model, engine=EXACT)
    assert (result.width, result.height, result.format.id) == (
        3 * WIDTH,
        3 * HEIGHT,
        clip.format.id,
    )
    assert (result.num_frames, result.fps) == (COUNT, clip.fps)
    with Upscaler(model, engine=EXACT) as upscaler:
        for before, after in zip(clip.frames(), result.frames(), strict=True):
            assert [p.tobytes() for p in planes(after)] == expected(
                before, ColorTags(), upscaler, centered=False
            )


def test_rgb_is_upscaled_to_the_librarys_own_bytes(model: Path) -> None:
    clip = clip_of(RGB)
    with Upscaler(model, engine=EXACT) as upscaler:
        for before, after in zip(
            clip.frames(), upscale(clip, model=model, engine=EXACT).frames(), strict=True
        ):
            hr = upscaler(np.stack(planes(before), axis=2))
            for channel, plane in enumerate(planes(after)):
                np.testing.assert_array_equal(plane, hr[..., channel])


@pytest.mark.parametrize(
    ("props", "tags", "centered"),
    [
        ({"_Matrix": 1, "_Range": 1}, ColorTags(1, range=FULL), False),
        ({"_Matrix": 5, "_Range": 0, "_ChromaLocation": 1}, ColorTags(5, range=LIMITED), True),
        ({"_Matrix": 9, "_Range": 1, "_ChromaLocation": 0}, ColorTags(9, range=FULL), False),
        ({"_Range": 0, "_ChromaLocation": 3}, ColorTags(range=LIMITED), True),
    ],
)
def test_colours_are_read_from_the_properties(
    model: Path, props: dict[str, int], tags: ColorTags, centered: bool
) -> None:
    clip = clip_of("YUV420P8", **props)
    with Upscaler(model, engine=EXACT) as upscaler:
        after = upscale(clip, model=model, engine=EXACT).get_frame(2)
        assert [p.tobytes() for p in planes(after)] == expected(
            clip.get_frame(2), tags, upscaler, centered=centered
        )


def test_properties_are_kept_and_what_a_player_would_guess_is_said(model: Path) -> None:
    clip = clip_of(
        "YUV420P8", _SARNum=4, _SARDen=3, _ChromaLocation=1, _DurationNum=7, _DurationDen=90, mine=3
    )
    props = dict(upscale(clip, model=model, engine=EXACT).get_frame(1).props)
    assert [
        props[key] for key in ("_SARNum", "_SARDen", "_ChromaLocation", "_DurationNum", "mine")
    ] == [4, 3, 1, 7, 3]
    assert (props["_Matrix"], props["_Primaries"], props["_Transfer"], props["_Range"]) == (
        6,
        1,
        1,
        0,
    )


def test_frames_may_be_asked_for_in_any_order_and_by_many(model: Path) -> None:
    result = upscale(clip_of("YUV420P8"), model=model, engine=EXACT)
    inorder = [planes(frame)[0].tobytes() for frame in result.frames(prefetch=4)]
    again = upscale(clip_of("YUV420P8"), model=model, engine=EXACT)
    assert [planes(again.get_frame(i))[0].tobytes() for i in (3, 0, 2, 1)] == [
        inorder[i] for i in (3, 0, 2, 1)
    ]
    futures = [again.get_frame_async(i) for i in (2, 3, 1, 0)]
    assert [planes(future.result())[0].tobytes() for future in futures] == [
        inorder[i] for i in (2, 3, 1, 0)
    ]


@pytest.mark.parametrize("name", ["YUV444PS", "RGB48", "RGBS", "YUV410P8", "YUV440P8", "GrayS"])
def test_other_formats_are_refused_with_advice(name: str) -> None:
    with pytest.raises(ValueError, match=f"got {name}; convert it with resize"):
        upscale(
            vs.core.std.BlankClip(width=64, height=48, format=getattr(vs, name.upper()), length=1)
        )


def test_a_clip_of_several_sizes_is_refused() -> None:
    a, b = (
        vs.core.std.BlankClip(width=width, height=48, format=vs.YUV420P8, length=1)
        for width in (64, 80)
    )
    with pytest.raises(ValueError, match="one size"):
        upscale(vs.core.std.Splice([a, b], mismatch=True))


def test_an_interlaced_frame_is_an_error() -> None:
    with pytest.raises(vs.Error, match="deinterlace before"):
        upscale(clip_of("YUV420P8", _FieldBased=2)).get_frame(0)


def test_what_the_upscaler_refuses_is_refused() -> None:
    clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=1)
    with pytest.raises(ModelError, match="nonsense"):
        upscale(clip, model="nonsense")
    with pytest.raises(ModelError, match="expected a quality of auto, lite"):
        upscale(clip, quality="huge")
    assert upscale(clip, scale=2).width == 128


def test_the_guides_script_runs(tmp_path: Path) -> None:
    """With vspipe and ffmpeg, as it stands there; the script's source filter is replaced by a blank
    clip."""
    script, command = (
        blocks("vapoursynth.md", "python")[0],
        blocks("vapoursynth.md", "sh")[0],
    )
    source = 'clip = core.bs.VideoSource("in.mkv")'
    assert source in script
    blank = (
        "clip = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=5, fpsnum=25)"
    )
    (tmp_path / "upscale.vpy").write_text(script.replace(source, blank))
    make_video(tmp_path / "in.mkv", pts=range(5), audio=["aac"])
    done = run_script(command, tmp_path)
    assert done.returncode == 0, done.stderr
    seen = look(tmp_path / "out.mkv")
    assert (seen.size, len(seen.times), seen.kinds[1:]) == ((192, 144), 5, ["audio:aac"])
