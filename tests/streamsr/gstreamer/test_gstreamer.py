"""The GStreamer element: the library's own bytes, negotiated, in time, and errors as GStreamer
tells them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamsr.color import FULL, LIMITED, ColorTags
from streamsr.frame import Frame
from streamsr.gstreamer import __main__ as where
from streamsr.picture.planes import YuvPlanes
from streamsr.picture.yuv import Converter, Plane
from streamsr.sources.file import FileSource
from streamsr.upscaler import Upscaler
from tests.support.engine import EXACT
from tests.support.markdown import blocks, run_script
from tests.support.media import look, make_video
from tests.support.processes import run, running
from tests.support.screen import screen as screen
from tests.support.screen import seen
from xlsr_model import weights

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Script = Callable[[str], dict[str, Any]]
SIZE = 160, 92
COUNT = 3
YUV = {
    "I420": ("420", 8),
    "Y42B": ("422", 8),
    "Y444": ("444", 8),
    "GRAY8": ("400", 8),
    "I420_10LE": ("420", 10),
    "I422_10LE": ("422", 10),
    "Y444_10LE": ("444", 10),
}


def needs_gstreamer() -> None:
    """Skip where GStreamer or its bindings are not installed, or are for another Python."""
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("gst-launch-1.0 is not installed")
    words = [where.SYSTEM_PYTHON, "-I", "-c", where.BINDINGS]
    done = run(words)
    if done.returncode:
        pytest.skip(f"no GStreamer for Python: {done.stderr.splitlines()[-1]}")
    if done.stdout.split()[:2] != [str(part) for part in sys.version_info[:2]]:
        pytest.skip(f"GStreamer is for Python {'.'.join(done.stdout.split()[:2])}")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What ``python -m streamsr.gstreamer`` sets, as a shell takes it."""
    needs_gstreamer()
    done = run([sys.executable, "-m", "streamsr.gstreamer"], check=True)
    words = [shlex.split(line)[1] for line in done.stdout.splitlines()]
    return {**os.environ, **dict(word.split("=", 1) for word in words)}


def named(lines: str) -> str:
    """The same lines with the exact engine named for every element in them that names none."""
    return re.sub(r"! streamsr\b(?![^!]*engine=)", f"! streamsr engine={EXACT}", lines)


@pytest.fixture
def launch(environment: dict[str, str], tmp_path: Path) -> Run:
    """``gst-launch-1.0`` with these words, in the test's folder."""

    def launched(
        pipeline: str, *words: str, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return run(
            ["gst-launch-1.0", *words, *shlex.split(named(pipeline))],
            timeout_s=120,
            tree=True,
            cwd=tmp_path,
            env=env or environment,
        )

    return launched


@pytest.fixture
def script(environment: dict[str, str], tmp_path: Path) -> Script:
    """Run lines in GStreamer's Python; what they leave in ``result``."""
    begin = (
        "import gi, json\ngi.require_version('Gst', '1.0')\nfrom gi.repository import Gst, GLib\n"
        "Gst.init(None)\n"
    )

    def answered(lines: str) -> dict[str, Any]:
        done = run(
            [where.SYSTEM_PYTHON, "-c", f"{begin}{named(lines)}\nprint(json.dumps(result))"],
            timeout_s=120,
            check=True,
            cwd=tmp_path,
            env=environment,
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return answered


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


def upscaled(content: bytes, form: str, tags: ColorTags, model: Path, *, centered: bool) -> bytes:
    """What the library makes of raw pictures."""
    width, height = SIZE
    step = len(content) // COUNT
    yuv = YuvPlanes(tags, depth=YUV[form][1], centered=centered)
    results = bytearray()
    with Upscaler(model, engine=EXACT) as upscaler:
        for i in range(COUNT):
            rgb = np.empty((height, width, 3), np.uint8)
            deep = yuv.read(planes_of(bytearray(content[i * step :][:step]), form, SIZE), rgb)
            [large] = upscaler.frames([Frame(rgb, i, Fraction(1, 25), deep=deep)])
            out = bytearray(step * upscaler.scale**2)
            yuv.write(
                large, planes_of(out, form, (width * upscaler.scale, height * upscaler.scale))
            )
            results += out
    return bytes(results)


def before_and_after(
    launch: Run, folder: Path, caps: str, element: str = "streamsr"
) -> tuple[bytes, bytes]:
    """Raw pictures before and after the element."""
    done = launch(
        f"videotestsrc num-buffers={COUNT} ! video/x-raw,width={SIZE[0]},height={SIZE[1]},{caps} ! "
        f"tee name=t "
        f"t. ! queue ! filesink location=in.raw t. ! queue ! {element} ! filesink location=out.raw"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return (folder / "in.raw").read_bytes(), (folder / "out.raw").read_bytes()


@pytest.mark.parametrize("form", YUV)
def test_yuv_is_upscaled_to_the_librarys_own_bytes(
    launch: Run, tmp_path: Path, model: Path, form: str
) -> None:
    before, after = before_and_after(
        launch, tmp_path, f"format={form},colorimetry=bt601,chroma-site=jpeg"
    )
    tags = ColorTags(6, range=LIMITED).resolved(*SIZE)
    assert after == upscaled(before, form, tags, model, centered=YUV[form][0] == "420")


@pytest.mark.parametrize(
    ("colorimetry", "tags"),
    [("bt709", ColorTags(1, range=LIMITED)), ("1:4:0:0", ColorTags(5, range=FULL))],
)
def test_colours_are_read_as_the_caps_say(
    launch: Run, tmp_path: Path, colorimetry: str, tags: ColorTags
) -> None:
    before, after = before_and_after(
        launch,
        tmp_path,
        f"format=I420,colorimetry={colorimetry},chroma-site=mpeg2",
        "streamsr model=xlsr_x2_u8",
    )
    assert after == upscaled(
        before, "I420", tags.resolved(*SIZE), weights.path("xlsr_x2_u8"), centered=False
    )


@pytest.mark.parametrize("form", ["RGB", "BGR", "RGBx", "BGRx"])
def test_rgb_is_upscaled_to_the_librarys_own_bytes(
    launch: Run, tmp_path: Path, model: Path, form: str
) -> None:
    before, after = before_and_after(launch, tmp_path, f"format={form}")
    order = [form.index(letter) for letter in "RGB"]
    pictures = np.frombuffer(before, np.uint8).reshape(COUNT, SIZE[1], SIZE[0], len(form))[
        ..., order
    ]
    got = np.frombuffer(after, np.uint8).reshape(COUNT, SIZE[1] * 3, SIZE[0] * 3, len(form))
    with Upscaler(model, engine=EXACT) as upscaler:
        for picture, result in zip(pictures, got, strict=True):
            np.testing.assert_array_equal(
                result[..., order], upscaler(np.ascontiguousarray(picture))
            )
    assert len(form) == 3 or (got[..., 3] == 255).all()


def test_a_decoders_padding_is_skipped_and_every_frame_keeps_its_time(
    launch: Run, tmp_path: Path
) -> None:
    """A film through decoder, element, encoder and muxer, against the library's own way through the
    same film."""
    times = [0, 3, 4, 9, 10, 20]
    film = make_video(tmp_path / "in.mp4", size=(102, 90), pts=times)
    done = launch(
        "filesrc location=in.mp4 ! decodebin ! streamsr ! avenc_ffv1 ! matroskamux ! filesink "
        "location=out.mkv"
    )
    assert done.returncode == 0, done.stderr
    seen = look(tmp_path / "out.mkv")
    assert seen.size == (306, 270)
    assert [round(float(time) * 25, 1) for time in seen.times] == times
    upscaler = Upscaler(engine=EXACT)
    with av.open(str(tmp_path / "out.mkv")) as container, FileSource(film) as source, upscaler:
        converter = Converter(source.info.color.resolved(102, 90))
        for frame, written in zip(source, container.decode(video=0), strict=True):
            planes = [np.empty((270 >> i, 306 >> i), np.uint8) for i in (0, 1, 1)]
            converter.from_rgb(upscaler.frames([frame])[0].rgb, (planes[0], planes[1], planes[2]))
            for plane, got in zip(planes, written.planes, strict=True):
                np.testing.assert_array_equal(
                    np.frombuffer(got, np.uint8).reshape(-1, got.line_size)[:, : plane.shape[1]],
                    plane,
                )


def test_sizes_are_negotiated_both_ways_and_the_rest_is_passed_on(launch: Run) -> None:
    kept = (
        "framerate=(fraction)30000/1001",
        "pixel-aspect-ratio=(fraction)4/3",
        "colorimetry=(string)bt2020",
    )
    wanted = "framerate=30000/1001,pixel-aspect-ratio=4/3,colorimetry=bt2020,format=I420"
    done = launch(
        f"videotestsrc num-buffers=1 ! video/x-raw,{wanted} ! streamsr scale=2 ! "
        "video/x-raw,width=320,height=184 ! fakesink",
        "-v",
    )
    assert done.returncode == 0, done.stderr
    inner = next(
        line for line in done.stdout.splitlines() if "Streamsr" in line and ".GstPad:sink" in line
    )
    outer = next(
        line for line in done.stdout.splitlines() if "Streamsr" in line and ".GstPad:src" in line
    )
    assert "width=(int)160, height=(int)92" in inner
    assert "width=(int)320, height=(int)184" in outer
    assert all(word in line for word in kept for line in (inner, outer))


def test_another_format_or_other_colours_are_made_where_they_are_asked_for(
    launch: Run, tmp_path: Path
) -> None:
    done = launch(
        "videotestsrc num-buffers=1 pattern=red ! "
        "video/x-raw,format=I420,colorimetry=bt601,width=32,height=32 ! "
        "streamsr ! video/x-raw,format=Y444,colorimetry=bt709 ! filesink location=out.raw"
    )
    assert done.returncode == 0, done.stderr
    y, u, v = (
        np.frombuffer((tmp_path / "out.raw").read_bytes(), np.uint8)
        .reshape(3, 96, 96)[:, 48, 48]
        .tolist()
    )
    assert (abs(y - 63) < 3, abs(u - 102) < 3, abs(v - 240) < 3) == (
        True,
        True,
        True,
    )  # red in BT.709


def test_a_size_that_the_scale_cannot_give_is_refused(script: Script) -> None:
    seen = script(
        FAILURE + "result = failure('videotestsrc ! streamsr ! video/x-raw,width=100 ! fakesink')"
    )
    assert "not-negotiated" in seen["debug"]


def test_the_size_may_change_in_the_stream(launch: Run) -> None:
    done = launch(
        "concat name=c ! streamsr ! fakesink videotestsrc num-buffers=2 ! "
        "video/x-raw,width=64,height=48 ! c. "
        "videotestsrc num-buffers=2 ! video/x-raw,width=80,height=60 ! c.",
        "-v",
    )
    assert done.returncode == 0, done.stderr
    sizes = [line for line in done.stdout.splitlines() if "FakeSink" in line and "caps" in line]
    assert ["width=(int)192" in line for line in sizes] == [True, False]
    assert "width=(int)240, height=(int)180" in sizes[1]


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("videotestsrc ! streamsr model=nonsense ! fakesink", "no model file 'nonsense'"),
        ("videotestsrc ! streamsr engine=nonsense ! fakesink", "expected an engine"),
        ("videotestsrc ! streamsr consistency=no ! fakesink", "to be auto, on or off, got 'no'"),
        ("videotestsrc ! streamsr quality=huge ! fakesink", "expected a quality of auto, lite"),
        ("videotestsrc ! streamsr quality=max model=xlsr_x3_u8 ! fakesink", "not max"),
        (
            "videotestsrc ! streamsr model=xlsr_x3_u8 scale=2 ! fakesink",
            "expected a model of scale 2",
        ),
        ("videotestsrc ! streamsr scale=1 ! fakesink", "scale"),
    ],
)
def test_what_cannot_work_is_the_elements_error(launch: Run, pipeline: str, reason: str) -> None:
    done = launch(pipeline)
    assert done.returncode != 0
    line = next(line for line in done.stderr.splitlines() if line.startswith("ERROR: from element"))
    assert "streamsr0: " in line
    assert reason in line
    assert "Traceback" not in done.stderr


def test_interlaced_video_is_the_elements_error(script: Script) -> None:
    pipeline = "videotestsrc ! video/x-raw,interlace-mode=interleaved ! streamsr ! fakesink"
    seen = script(f"{FAILURE}result = failure('{pipeline}')")
    assert seen["from"] == "streamsr0"
    assert seen["said"] == "interlaced video would be garbled; put deinterlace before streamsr"


def test_without_the_librarys_packages_the_element_says_so(
    launch: Run, environment: dict[str, str]
) -> None:
    bare = environment | {"PYTHONPATH": environment["PYTHONPATH"].split(":")[-1]}
    done = launch("videotestsrc ! streamsr ! fakesink", env=bare)
    assert done.returncode != 0
    assert "No module named 'streamsr'; run: eval" in done.stderr


FAILURE = """
def failure(pipeline):
    # Not with gst-launch-1.0: where a running pipeline fails at once, it may wait for ever.
    p = Gst.parse_launch(pipeline)
    p.set_state(Gst.State.PLAYING)
    m = p.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.ERROR)
    assert m is not None, "no error within 60 s"
    error, debug = m.parse_error()
    p.set_state(Gst.State.NULL)
    return {"from": m.src.get_name(), "said": error.message, "debug": debug}
"""

FRAMES = """
def frames(pipeline, *, at=lambda element: None):
    p = Gst.parse_launch(pipeline)
    element, sink = p.get_by_name("s"), p.get_by_name("k")
    seen = {"in": [], "out": [], "qos": 0, "upstream": 0}
    def pad(pad, info, way):
        buffer = info.get_buffer()
        seen[way].append([buffer.pts, buffer.duration])
        if way == "out":
            at(element)
        return Gst.PadProbeReturn.OK
    def event(pad, info):
        seen["upstream"] += info.get_event().type == Gst.EventType.QOS
        return Gst.PadProbeReturn.OK
    element.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, pad, "in")
    element.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, pad, "out")
    element.get_static_pad("sink").get_peer().add_probe(Gst.PadProbeType.EVENT_UPSTREAM, event)
    p.set_state(Gst.State.PLAYING)
    end = GLib.get_monotonic_time() + 90 * 1000000
    while True:
        m = p.get_bus().timed_pop(60 * Gst.SECOND)
        alive = m is not None and GLib.get_monotonic_time() < end
        assert alive, f"neither end nor error; seen: {seen}"
        if m.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
            assert m.type == Gst.MessageType.EOS, m.parse_error()
            break
        seen["qos"] += m.type == Gst.MessageType.QOS and m.src == element
    q = Gst.Query.new_latency()
    element.get_static_pad("src").query(q)
    seen["latency"] = q.parse_latency()[1]
    seen["fates"] = json.loads(element.get_property("stats"))["frames"]
    p.set_state(Gst.State.NULL)
    return seen
"""


def test_times_and_durations_are_passed_on(script: Script) -> None:
    seen = script(
        FRAMES
        + "result = frames('videotestsrc num-buffers=4 timestamp-offset=7000000000 ! video/x-raw,"
        "width=64,height=48,framerate=30000/1001 ! streamsr name=s ! fakesink name=k')"
    )
    assert len(seen["in"]) == 4
    assert seen["in"] == seen["out"]
    assert seen["in"][0][0] == 7 * 10**9


def test_quality_events_go_upstream_and_late_frames_are_left_out(script: Script) -> None:
    """What a sink says that is late: everything up to a minute from now."""
    late = (
        "e.get_static_pad('src').send_event(Gst.Event.new_qos(Gst.QOSType.UNDERFLOW, 2.0, 60 * "
        "Gst.SECOND, 0))"
    )
    source = (
        "videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48 ! streamsr name=s QOS ! "
        "fakesink name=k"
    )
    line = f"result = frames({source!r}, at=lambda e: {late})"
    seen = script(FRAMES + line.replace(" QOS ", " "))
    assert (len(seen["in"]), len(seen["out"]), seen["upstream"], seen["qos"]) == (5, 1, 1, 4)
    seen = script(FRAMES + line.replace(" QOS ", " qos=false "))
    assert (len(seen["out"]), seen["upstream"]) == (5, 5)


SMALL = "pattern=snow ! video/x-raw,width=64,height=48"


def test_a_budget_too_small_for_the_network_degrades_the_frames(script: Script) -> None:
    pipeline = (
        f"videotestsrc num-buffers=8 {SMALL} ! streamsr name=s budget-ms=0.001 ! fakesink name=k"
    )
    seen = script(f"{FRAMES}result = frames('{pipeline}')")
    fates = seen["fates"]
    assert fates["network"] == fates["partial"] == 0
    assert fates["resized"] + fates["dropped"] == 8
    assert len(seen["out"]) == 8 - seen["qos"] > 0


def test_a_live_budget_is_latency_and_gives_full_quality_where_there_is_time(
    script: Script,
) -> None:
    seen = {}
    for budget in (0, 60000):
        pipeline = (
            f"videotestsrc is-live=true num-buffers=4 {SMALL},framerate=5/1 ! streamsr name=s "
            f"budget-ms={budget} ! "
            "queue ! fakesink name=k"
        )
        seen[budget] = script(f"{FRAMES}result = frames('{pipeline}')")
        assert seen[budget]["fates"]["network"] + seen[budget]["fates"]["partial"] == 4
        assert len(seen[budget]["out"]) == 4
    assert seen[60000]["latency"] - seen[0]["latency"] == 60 * 10**9


def test_the_budget_may_change_while_it_runs(script: Script) -> None:
    pipeline = f"videotestsrc num-buffers=6 {SMALL} ! streamsr name=s ! fakesink name=k"
    seen = script(
        f"{FRAMES}result = frames('{pipeline}', at=lambda e: e.set_property('budget-ms', 0.001))"
    )
    assert seen["fates"]["network"] == 1
    assert seen["fates"]["resized"] + seen["fates"]["dropped"] == 5


def test_the_lines_for_a_shell_work_also_where_the_loader_has_failed_before(tmp_path: Path) -> None:
    """As in an active environment, where the loader's Python does not find the bindings, and
    GStreamer notes that."""
    needs_gstreamer()
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GST_PLUGIN_PATH", "PYTHONPATH")
    }
    env = clean | {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    run_script("gst-inspect-1.0 python || true", tmp_path, env)
    done = run_script(
        'eval "$(python -m streamsr.gstreamer)"; gst-inspect-1.0 streamsr', tmp_path, env
    )
    assert done.returncode == 0, done.stderr
    assert "budget-ms" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (
            "BINDINGS",
            "print(3, 9, '/usr/lib/python3/dist-packages/gi')",
            "GStreamer runs Python 3.9 here",
        ),
        (
            "BINDINGS",
            "import no_such_thing",
            "No module named 'no_such_thing'; on Debian and Ubuntu: apt-get install",
        ),
        (
            "ELEMENT",
            "assert False, 'it does not load the element'",
            "GStreamer cannot use the element: it does not",
        ),
        ("SYSTEM_PYTHON", "/nowhere/python3", "/nowhere/python3: No such file"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    reason: str,
) -> None:
    if name == "ELEMENT":
        minor = "{}, {}".format(*sys.version_info[:2])
        monkeypatch.setattr(
            where, "BINDINGS", f"print({minor}, '/usr/lib/python3/dist-packages/gi')"
        )
    monkeypatch.setattr(where, name, value)
    assert where.main() == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert reason in shown.err
    assert shown.err.count("\n") == 1


WINDOW, FILE, SIZED, LIVE = blocks("gstreamer.md", "sh")


@pytest.mark.parametrize(
    ("recipe", "size"), [(FILE, (192, 144)), (SIZED, (1920, 1080))], ids=["file", "sized"]
)
def test_the_recipes_for_files_work(
    environment: dict[str, str], tmp_path: Path, recipe: str, size: tuple[int, int]
) -> None:
    missing = [
        name
        for name in ("x264enc", "avenc_aac")
        if run(["gst-inspect-1.0", "--exists", name]).returncode
    ]
    if missing:
        pytest.skip(f"GStreamer has no {', '.join(missing)}")
    make_video(tmp_path / "in.mp4", pts=range(10), audio=["aac"], audio_frames=20)
    done = run_script(recipe, tmp_path, environment)
    assert done.returncode == 0, done.stderr
    [out] = {*tmp_path.glob("*.mp4")} - {tmp_path / "in.mp4"}
    seen = look(out)
    assert seen.size == size
    assert len(seen.times) == 10
    assert len(seen.packets.get(1, [])) >= 20 * (recipe is FILE)


def test_the_recipe_for_live_works(environment: dict[str, str], tmp_path: Path) -> None:
    """With a pattern for a camera and nobody looking."""
    recipe = LIVE.replace("v4l2src", "videotestsrc is-live=true num-buffers=10").replace(
        "autovideosink", "fakesink"
    )
    assert recipe.count("=10") == recipe.count("fakesink") == 1
    done = run_script(recipe, tmp_path, environment)
    assert done.returncode == 0, done.stderr


def test_the_window_shows_the_upscaled_pattern(
    environment: dict[str, str], tmp_path: Path, screen: str
) -> None:
    """The guide's first lines as they stand, on a virtual screen of 800x600: the pattern's white
    and yellow bars."""
    words = ["bash", "-c", named(WINDOW).replace("gst-launch-1.0", "exec gst-launch-1.0")]
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with running(words, tree=True, env=environment | {"DISPLAY": screen, "PATH": path}) as shown:
        counts: dict[str, int] = {}

        def bars() -> bool:
            picture = seen(screen, tmp_path / "screen.png").astype(int)
            for name, color in (("white", (255, 255, 255)), ("yellow", (255, 255, 0))):
                counts[name] = int((abs(picture - color).max(axis=2) < 3).sum())
            counts["brightest"] = int(picture.max())
            return (
                counts["white"] > 20_000 and counts["yellow"] > 20_000
            )  # x3: a bar has 137 x 480 pixels

        shown.until(bars, seen=lambda: f"pixels on the screen: {counts}")
