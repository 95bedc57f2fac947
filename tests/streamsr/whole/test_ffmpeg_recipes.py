"""The commands of docs/ffmpeg.md, run as they stand there, and what comes out."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsr.picture.files import read_image
from tests.support.markdown import blocks, run_script
from tests.support.media import SRT, Seen, look, make_video
from tests.support.servers import ffmpeg, free_port, needs_ffmpeg

PLAIN, SOUND, EVERYTHING, COLOURS, CHROMA, SIZED, PICTURES, RAW, RECORD, PUBLISH, SEND = blocks(
    "ffmpeg.md", "sh"
)
CAMERA = "-f v4l2 -framerate 25 -video_size 640x360 -i /dev/video0"
PATTERN = "-re -f lavfi -i testsrc=size=64x48:rate=25 -t 3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a film in two containers, as the commands read them."""
    needs_ffmpeg()
    (tmp_path / "a.srt").write_text(SRT)
    make_video(tmp_path / "in.mp4", pts=range(8), audio=["aac"])
    make_video(
        tmp_path / "in.mkv", pts=range(8), audio=["aac", "libopus"], subtitle=tmp_path / "a.srt"
    )
    return tmp_path


def planes(frame: VideoFrame) -> list[NDArray[np.uint8]]:
    """Y, U and V, without padding."""
    flat = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]  # type: ignore[call-overload]  # PyAV's planes are buffers
    return [
        rows[: plane.height, : plane.width] for rows, plane in zip(flat, frame.planes, strict=True)
    ]


def run(recipe: str, folder: Path, output: str) -> Seen:
    done = run_script(recipe, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return look(folder / output)


def test_the_plain_pipe(folder: Path) -> None:
    seen = run(PLAIN, folder, "plain.mp4")
    assert seen.size == (192, 144)
    assert len(seen.times) == 8


def test_sound_is_kept(folder: Path) -> None:
    seen, before = run(SOUND, folder, "sound.mp4"), look(folder / "in.mp4")
    assert seen.kinds == ["video:h264", "audio:aac"]
    assert [content for _, content in seen.packets[1]] == [
        content for _, content in before.packets[1]
    ]


def test_everything_beside_the_picture_is_kept(folder: Path) -> None:
    seen, before = run(EVERYTHING, folder, "everything.mkv"), look(folder / "in.mkv")
    assert seen.size == (128, 96)
    assert (
        seen.kinds == ["video:h264", "audio:aac", "audio:opus", "subtitle:subrip"] == before.kinds
    )
    assert seen.languages[3] == "deu"
    for index in (1, 2, 3):
        assert [content for _, content in seen.packets[index]] == [
            content for _, content in before.packets[index]
        ]


def test_colours_are_tagged_and_not_changed(folder: Path) -> None:
    run(COLOURS, folder, "colours.mp4")
    with av.open(str(folder / "in.mp4")) as before, av.open(str(folder / "colours.mp4")) as after:
        frame, large = next(before.decode(video=0)), next(after.decode(video=0))
        assert (large.colorspace, large.color_primaries, large.color_trc, large.color_range) == (
            1,
            1,
            1,
            1,
        )
        for small, plane in zip(planes(frame), planes(large), strict=True):
            assert abs(small.mean() - plane.mean()) < 1.5


def test_chroma_is_kept(folder: Path) -> None:
    run(CHROMA, folder, "chroma.mkv")
    with av.open(str(folder / "chroma.mkv")) as container:
        assert next(container.decode(video=0)).format.name == "yuv422p"


def test_filters_before_and_after(folder: Path) -> None:
    seen = run(SIZED, folder, "sized.mp4")
    assert seen.size == (240, 180)
    assert seen.kinds == ["video:hevc"]


def test_pictures(folder: Path) -> None:
    assert run_script(PICTURES, folder).returncode == 0
    files = sorted(folder.glob("frame_*.png"))
    assert len(files) == 8
    assert read_image(files[0]).rgb.shape == (144, 192, 3)


def test_raw_video(folder: Path) -> None:
    seen = run(RAW, folder, "raw.mp4")
    assert seen.size == (192, 144)
    assert len(seen.times) == 8


def test_a_device_is_upscaled_within_a_budget_and_recorded(folder: Path) -> None:
    assert CAMERA in RECORD
    done = run_script(RECORD.replace(CAMERA, PATTERN), folder)
    assert done.returncode == 0, done.stderr
    assert look(folder / "camera.mkv").size == (192, 144)


@pytest.mark.parametrize("recipe", [PUBLISH, SEND], ids=["streamsr", "ffmpeg"])
def test_a_device_is_sent_to_a_server(folder: Path, recipe: str) -> None:
    """ffmpeg stands in for the server, and a pattern for the device."""
    assert CAMERA in recipe
    url = f"rtmp://127.0.0.1:{free_port()}/live/camera"
    script = recipe.replace(CAMERA, PATTERN).replace("rtmp://server/live/camera", url)
    with ffmpeg("-listen", "1", "-i", url, "-c", "copy", str(folder / "got.mkv")) as server:
        listening = f":{int(url.split(':')[2].split('/')[0]):04X} 00000000:0000 0A"
        # Before it listens, a sender is refused.
        wait = (
            f"until grep -q '{listening}' /proc/net/tcp; do kill -0 {server.pid}; sleep 0.1; done"
        )
        done = run_script(f"{wait}\n{script}", folder)
        assert done.returncode == 0, done.stderr
        server.ended()
    seen = look(folder / "got.mkv")
    assert seen.size == (192, 144)
    assert seen.times
