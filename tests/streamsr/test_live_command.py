"""``streamsr live`` from end to end: test pattern, films at their own rate, recordings, publishing."""

import collections
import itertools
import json
import signal
import subprocess
import sys
import threading
import types
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.sinks.publish import StreamSink
from streamsr.sources.pattern import read_time
from streamsr.stats import FATES
from tests.streamsr.conftest import Command
from tests.streamsr.media import look, make_video, picture
from tests.streamsr.servers import ffmpeg, free_port

PATTERN = "test:160x96@20"


def numbers(path: Path) -> dict[str, dict[str, int]]:
    stats: dict[str, dict[str, int]] = json.loads(path.read_text())
    return stats


def test_a_pattern_is_upscaled_recorded_and_accounted_for(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film, stats = tmp_path / "out.mkv", tmp_path / "stats.json"
    result = streamsr("live", PATTERN, "--duration", 1.5, "--record", film, "--stats-json", stats, "--model", model)
    assert result.status == 0, result.err
    seen = look(film, keep_frames=True)
    frames = numbers(stats)["frames"]
    assert seen.size == (480, 288)
    assert frames["in"] == sum(frames[fate] for fate in FATES) > 10
    assert frames["out"] == len(seen.frames)
    times = [read_time(rgb) for rgb in seen.frames]
    assert None not in times
    assert all(a < b for a, b in itertools.pairwise(filter(None, times)))
    assert "frames in" in result.lines[-1]
    assert numbers(stats)["live"]["budget_ms"] == 100


def test_a_film_at_its_own_rate_is_live(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film, stats = make_video(tmp_path / "in.mp4", pts=range(12)), tmp_path / "stats.json"
    result = streamsr("live", film, "--realtime", "--stats-json", stats, "--model", model)
    assert result.status == 0, result.err
    frames = numbers(stats)["frames"]
    assert frames["in"] == 12 == sum(frames[fate] for fate in FATES)


def test_a_film_without_realtime_loses_no_frame(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film, out = make_video(tmp_path / "in.mp4", pts=range(12)), tmp_path / "out.mp4"
    assert streamsr("live", film, "--record", out, "--model", model).status == 0
    assert len(look(out).times) == 12


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["test:1x1"], "at least"),
        (["nowhere.mp4"], "No such file"),
        (["45"], "cannot be opened"),
        (["tcp://127.0.0.1:9"], "refused"),
        ([PATTERN, "--record", "a.txt"], "unknown kind of recording"),
        ([PATTERN, "--record", "nowhere/a.mkv"], "no directory"),
        ([PATTERN, "--publish", "ftp://127.0.0.1/a"], "cannot publish to ftp"),
        ([PATTERN, "--publish", "tcp://127.0.0.1:9"], "refused"),
        ([PATTERN, "--scale", "4", "--model", "MODEL"], "scale"),
    ],
)
def test_what_cannot_work_is_one_clear_line(streamsr: Command, model: Path, args: list[str], reason: str) -> None:
    args = [str(model) if arg == "MODEL" else arg for arg in args]
    result = streamsr("live", *args, *([] if "--model" in args else ["--model", model]), "--duration", 1)
    assert result.status == 1
    assert reason in result.err
    assert "Traceback" not in result.err


def test_an_existing_recording_is_kept(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film = tmp_path / "a.mkv"
    film.write_text("precious")
    assert streamsr("live", PATTERN, "--record", film, "--duration", 1, "--model", model).status == 1
    assert film.read_text() == "precious"


def started(*args: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "streamsr.cli", "live", *map(str, args)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def until_recorded(process: "subprocess.Popen[str]", film: Path, size: int) -> None:
    while process.poll() is None and not (film.exists() and film.stat().st_size > size):
        threading.Event().wait(0.05)  # another process gives no other sign


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_ctrl_c_ends_a_recording_cleanly(tmp_path: Path, model: Path, suffix: str) -> None:
    film = tmp_path / f"a{suffix}"
    with started(PATTERN, "--record", film, "--model", model, "--threads", 1) as process:
        until_recorded(process, film, 60_000)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert len(look(film).times) > 3


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_killed_run_leaves_a_playable_recording(tmp_path: Path, model: Path, suffix: str) -> None:
    film = tmp_path / f"a{suffix}"
    with started(PATTERN, "--record", film, "--model", model, "--threads", 1) as process:
        until_recorded(process, film, 100_000)
        process.kill()
    with av.open(str(film)) as container:
        frames = 0
        try:
            for _ in container.decode(video=0):
                frames += 1
        except av.error.InvalidDataError:
            pass  # the frame it was writing
    assert frames > 5


INFO = StreamInfo(96, 64, Fraction(1, 90000), rate=Fraction(25), live=True)


def frame(index: int) -> Frame:
    return Frame(picture(index, 96, 64), 5_000_000 + 3600 * index, INFO.time_base, index=index)


def test_a_recording_begins_at_zero_and_keeps_the_gaps(tmp_path: Path) -> None:
    with StreamSink(tmp_path / "a.mkv", INFO, (96, 64)) as sink:
        for i in (0, 1, 5):
            sink.write(frame(i))
        sink.commit()
    assert look(tmp_path / "a.mkv").times == [0, Fraction(40, 1000), Fraction(200, 1000)]


def test_a_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    with StreamSink(tmp_path / "a.mkv", INFO, (96, 64)):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["tcp", "udp", "rtmp", "rtsp"])
def test_what_is_published_is_received(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}" + ("/live/a" if scheme.startswith("rt") else "")
    listening = {
        "tcp": ["-i", url + "?listen=1"],
        "udp": ["-i", url],
        "rtmp": ["-listen", "1", "-i", url],
        "rtsp": ["-rtsp_flags", "listen", "-i", url],
    }[scheme]
    got = tmp_path / "got.mkv"
    with ffmpeg(*listening, "-c", "copy", "-f", "matroska", "-flush_packets", "1", str(got)) as receiver:
        for _ in range(100):
            try:
                sink = StreamSink(url, INFO, (96, 64)).__enter__()
                break
            except SinkError:
                threading.Event().wait(0.1)  # a server gives no other sign of being ready
        with sink:
            index = 0
            while not (got.exists() and got.stat().st_size > 3000) and receiver.poll() is None:
                sink.write(frame(index))
                index += 1
                threading.Event().wait(0.01)
    assert look(got).size == (96, 64)


def test_a_receiver_that_goes_is_an_error(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    rng = np.random.default_rng(0)
    with ffmpeg("-i", url + "?listen=1", "-c", "copy", str(tmp_path / "got.mkv")) as receiver:
        for _ in range(100):
            try:
                sink = StreamSink(url, INFO, (96, 64)).__enter__()
                break
            except SinkError:
                threading.Event().wait(0.1)
        receiver.kill()
        receiver.wait()
        frames = (Frame(rng.integers(0, 256, (64, 96, 3), np.uint8), 3600 * i, INFO.time_base) for i in range(2000))
        with sink, pytest.raises(SinkError):
            collections.deque(map(sink.write, frames), maxlen=0)


class Camera:
    """In place of pyvirtualcam's, which needs a kernel module."""

    seen: ClassVar[list[tuple[object, ...]]] = []

    def __init__(self, *arguments: object) -> None:
        self.seen.append(arguments)

    def send(self, rgb: NDArray[np.uint8]) -> None:
        self.seen.append(rgb.shape)

    def close(self) -> None:
        self.seen.append(("closed",))


def test_a_virtual_camera_gets_the_frames(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    film = make_video(tmp_path / "in.mp4", pts=range(3))
    assert streamsr("live", film, "--publish", "camera:", "--model", model).status == 0
    assert Camera.seen == [(192, 144, 25.0), *[(144, 192, 3)] * 3, ("closed",)]


def test_a_missing_virtual_camera_is_one_clear_line(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    result = streamsr("live", PATTERN, "--publish", "camera:", "--model", model)
    assert result.status == 1
    assert "pip install pyvirtualcam" in result.err
