"""The GStreamer element: the library's own bytes, negotiated, in time, and errors as GStreamer tells them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.convert import Converter, Plane
from streamsr.frame import Frame
from streamsr.gstreamer import __main__ as where
from streamsr.planes import YuvPlanes
from streamsr.sources.file import FileSource
from streamsr.upscaler import Upscaler
from tests.streamsr.media import look, make_video
from xlsr_model import weights

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SIZE = 160, 92
COUNT = 3
YUV = {"I420": ("420", 8), "Y42B": ("422", 8), "Y444": ("444", 8), "GRAY8": ("400", 8),
       "I420_10LE": ("420", 10), "I422_10LE": ("422", 10), "Y444_10LE": ("444", 10)}  # fmt: skip


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What ``python -m streamsr.gstreamer`` sets, as a shell takes it."""
    done = subprocess.run([sys.executable, "-m", "streamsr.gstreamer"], capture_output=True, text=True, check=False)
    if done.returncode or shutil.which("gst-launch-1.0") is None:
        pytest.skip(done.stderr.strip() or "gst-launch-1.0 is not installed")
    words = [shlex.split(line)[1] for line in done.stdout.splitlines()]
    return {**os.environ, **dict(word.split("=", 1) for word in words)}


@pytest.fixture
def launch(environment: dict[str, str], tmp_path: Path) -> Run:
    """``gst-launch-1.0`` with these words, in the test's folder."""

    def run(pipeline: str, *words: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["gst-launch-1.0", *words, *shlex.split(pipeline)],
            capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=env or environment,
        )  # fmt: skip

    return run


@pytest.fixture
def script(environment: dict[str, str], tmp_path: Path) -> Callable[[str], dict[str, object]]:
    """Run lines in GStreamer's Python; what they leave in ``result``."""
    begin = "import gi, json\ngi.require_version('Gst', '1.0')\nfrom gi.repository import Gst, GLib\nGst.init(None)\n"

    def run(lines: str) -> dict[str, object]:
        done = subprocess.run(
            [where.SYSTEM_PYTHON, "-c", f"{begin}{lines}\nprint(json.dumps(result))"],
            capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result: dict[str, object] = json.loads(done.stdout)
        return result

    return run


def planes_of(memory: bytearray, form: str, size: tuple[int, int]) -> list[Plane]:
    """Views of the planes of one picture of even size, without padding."""
    chroma, depth = YUV[form]
    width, height = size
    shapes = [(height, width)]
    if chroma != "400":
        shapes += [(height >> (chroma == "420"), width >> (chroma != "444"))] * 2
    dtype = np.dtype(np.uint8 if depth == 8 else "<u2")
    planes, at = [], 0
    for shape in shapes:
        planes.append(np.ndarray(shape, dtype, memory, at))
        at += shape[0] * shape[1] * dtype.itemsize
    return planes


def upscaled(content: bytes, form: str, tags: ColorTags, model: Path, *, centred: bool) -> bytes:
    """What the library makes of raw pictures."""
    width, height = SIZE
    step = len(content) // COUNT
    yuv = YuvPlanes(tags, depth=YUV[form][1], centred=centred)
    results = bytearray()
    with Upscaler(model) as upscaler:
        for i in range(COUNT):
            rgb = np.empty((height, width, 3), np.uint8)
            deep = yuv.read(planes_of(bytearray(content[i * step :][:step]), form, SIZE), rgb)
            [large] = upscaler.frames([Frame(rgb, i, Fraction(1, 25), deep=deep)])
            out = bytearray(step * upscaler.scale**2)
            yuv.write(large, planes_of(out, form, (width * upscaler.scale, height * upscaler.scale)))
            results += out
    return bytes(results)


def before_and_after(launch: Run, folder: Path, caps: str, element: str = "streamsr") -> tuple[bytes, bytes]:
    """Raw pictures before and after the element."""
    done = launch(
        f"videotestsrc num-buffers={COUNT} ! video/x-raw,width={SIZE[0]},height={SIZE[1]},{caps} ! tee name=t "
        f"t. ! queue ! filesink location=in.raw t. ! queue ! {element} ! filesink location=out.raw"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return (folder / "in.raw").read_bytes(), (folder / "out.raw").read_bytes()


@pytest.mark.parametrize("form", YUV)
def test_yuv_is_upscaled_to_the_librarys_own_bytes(launch: Run, tmp_path: Path, model: Path, form: str) -> None:
    before, after = before_and_after(launch, tmp_path, f"format={form},colorimetry=bt601,chroma-site=jpeg")
    tags = ColorTags(6, range=LIMITED).resolved(*SIZE)
    assert after == upscaled(before, form, tags, model, centred=YUV[form][0] == "420")


@pytest.mark.parametrize(
    ("colorimetry", "tags"), [("bt709", ColorTags(1, range=LIMITED)), ("1:4:0:0", ColorTags(5, range=FULL))]
)
def test_colours_are_read_as_the_caps_say(launch: Run, tmp_path: Path, colorimetry: str, tags: ColorTags) -> None:
    before, after = before_and_after(
        launch, tmp_path, f"format=I420,colorimetry={colorimetry},chroma-site=mpeg2", "streamsr model=xlsr_x2_u8"
    )
    assert after == upscaled(before, "I420", tags.resolved(*SIZE), weights.path("xlsr_x2_u8"), centred=False)


@pytest.mark.parametrize("form", ["RGB", "BGR", "RGBx", "BGRx"])
def test_rgb_is_upscaled_to_the_librarys_own_bytes(launch: Run, tmp_path: Path, model: Path, form: str) -> None:
    before, after = before_and_after(launch, tmp_path, f"format={form}")
    order = [form.index(letter) for letter in "RGB"]
    pictures = np.frombuffer(before, np.uint8).reshape(COUNT, SIZE[1], SIZE[0], len(form))[..., order]
    got = np.frombuffer(after, np.uint8).reshape(COUNT, SIZE[1] * 3, SIZE[0] * 3, len(form))
    with Upscaler(model) as upscaler:
        for picture, result in zip(pictures, got, strict=True):
            np.testing.assert_array_equal(result[..., order], upscaler(np.ascontiguousarray(picture)))
    assert len(form) == 3 or (got[..., 3] == 255).all()


def test_a_decoders_padding_is_skipped_and_every_frame_keeps_its_time(launch: Run, tmp_path: Path) -> None:
    """A film through decoder, element, encoder and muxer, against the library's own way through the same film."""
    times = [0, 3, 4, 9, 10, 20]
    film = make_video(tmp_path / "in.mp4", size=(102, 90), pts=times)
    done = launch(
        "filesrc location=in.mp4 ! decodebin ! streamsr ! avenc_ffv1 ! matroskamux ! filesink location=out.mkv"
    )
    assert done.returncode == 0, done.stderr
    seen = look(tmp_path / "out.mkv")
    assert seen.size == (306, 270)
    assert [round(float(time) * 25, 1) for time in seen.times] == times
    with av.open(str(tmp_path / "out.mkv")) as container, FileSource(film) as source, Upscaler() as upscaler:
        converter = Converter(source.info.color.resolved(102, 90))
        for frame, written in zip(source, container.decode(video=0), strict=True):
            planes = [np.empty((270 >> i, 306 >> i), np.uint8) for i in (0, 1, 1)]
            converter.from_rgb(upscaler.frames([frame])[0].rgb, (planes[0], planes[1], planes[2]))
            for plane, got in zip(planes, written.planes, strict=True):
                np.testing.assert_array_equal(
                    np.frombuffer(got, np.uint8).reshape(-1, got.line_size)[:, : plane.shape[1]], plane
                )
