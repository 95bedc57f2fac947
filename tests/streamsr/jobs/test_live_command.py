"""``streamsr live`` from end to end: test pattern, films at their own rate, recordings,
publishing."""

import itertools
import json
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsr.errors import SinkError
from streamsr.frame import Frame, StreamInfo
from streamsr.media.decode import display_matrix
from streamsr.picture.upright import upright
from streamsr.sinks.publish import PublishSink
from streamsr.sinks.recording import StreamSink
from streamsr.sources.pattern import read_time
from streamsr.stats import Event, Fate, Recorder
from tests.support.command import Command, started
from tests.support.fakes import Hurried
from tests.support.media import HELD_UPRIGHT, look, make_video, picture
from tests.support.processes import Helper
from tests.support.servers import ffmpeg, free_port, listening
from tests.support.until import until

PATTERN = "test:160x96@20"


def numbers(path: Path) -> dict[str, dict[str, int]]:
    stats: dict[str, dict[str, int]] = json.loads(path.read_text())
    return stats


def test_a_pattern_is_upscaled_recorded_and_accounted_for(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    film, stats = tmp_path / "out.mkv", tmp_path / "stats.json"
    result = streamsr(
        "live",
        PATTERN,
        "--duration",
        1.5,
        "--record",
        film,
        "--stats-json",
        stats,
        "--model",
        model,
    )
    assert result.status == 0, result.err
    seen = look(film, keep_frames=True)
    frames = numbers(stats)["frames"]
    assert seen.size == (480, 288)
    assert frames["in"] == sum(frames[fate] for fate in Fate) > 10
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
    assert frames["in"] == 12 == sum(frames[fate] for fate in Fate)


def test_a_film_without_realtime_loses_no_frame(
    streamsr: Command, tmp_path: Path, model: Path
) -> None:
    film, out = make_video(tmp_path / "in.mp4", pts=range(12)), tmp_path / "out.mp4"
    assert streamsr("live", film, "--record", out, "--model", model).status == 0
    assert len(look(out).times) == 12


@pytest.mark.parametrize("reuse", ["--reuse", "--no-reuse"])
def test_parts_that_stand_still_are_taken_over_if_wanted(
    streamsr: Command, tmp_path: Path, model: Path, reuse: str
) -> None:
    """Of a film, which no machine is too slow for, and without losses, so that what stands still
    does."""
    film = make_video(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv444p", pts=range(6))
    stats = tmp_path / "stats.json"
    assert streamsr("live", film, reuse, "--stats-json", stats, "--model", model).status == 0
    assert (json.loads(stats.read_text())["reuse_share"] > 0) is (reuse == "--reuse")


def test_a_film_can_be_verified(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film = make_video(tmp_path / "in.mp4", pts=range(3))
    assert streamsr("live", film, "--verify-reuse", "--model", model).status == 0


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["test:1x1"], "at least"),
        (["nowhere.mp4"], "No such file"),
        (["45"], "cannot be opened"),
        (["tcp://127.0.0.1:9"], "refused"),
        (["srt://127.0.0.1:9"], "built without srt"),
        ([PATTERN, "--record", "a.txt"], "unknown kind of recording"),
        ([PATTERN, "--record", "nowhere/a.mkv"], "no directory"),
        ([PATTERN, "--publish", "ftp://127.0.0.1/a"], "cannot publish to ftp"),
        ([PATTERN, "--publish", "tcp://127.0.0.1:9"], "refused"),
        ([PATTERN, "--publish", "srt://127.0.0.1:9"], "built without srt"),
        ([PATTERN, "--scale", "4", "--model", "MODEL"], "scale"),
        ([PATTERN, "--verify-reuse"], "no time"),
    ],
)
def test_what_cannot_work_is_one_clear_line(
    streamsr: Command, model: Path, args: list[str], reason: str
) -> None:
    args = [str(model) if arg == "MODEL" else arg for arg in args]
    result = streamsr(
        "live", *args, *([] if "--model" in args else ["--model", model]), "--duration", 1
    )
    assert result.status == 1
    assert reason in result.err
    assert "Traceback" not in result.err


def test_an_existing_recording_is_kept(streamsr: Command, tmp_path: Path, model: Path) -> None:
    film = tmp_path / "a.mkv"
    film.write_text("precious")
    assert (
        streamsr("live", PATTERN, "--record", film, "--duration", 1, "--model", model).status == 1
    )
    assert film.read_text() == "precious"


def size_of(path: Path) -> int:
    """Of a file that need not be there yet."""
    return path.stat().st_size if path.exists() else 0


def until_larger(process: Helper, path: Path, size: int) -> None:
    process.until(
        lambda: size_of(path) > size,
        seen=lambda: f"{path.name} has {size_of(path)} of {size} bytes",
    )


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_ctrl_c_ends_a_recording_cleanly(tmp_path: Path, model: Path, suffix: str) -> None:
    film = tmp_path / f"a{suffix}"
    with started("live", PATTERN, "--record", film, "--model", model, "--threads", 1) as process:
        until_larger(process, film, 60_000)
        process.send(signal.SIGINT)
        status = process.ended()
        said = process.said()
    assert status == 0, said
    assert "Traceback" not in said
    assert len(look(film).times) > 3


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_killed_run_leaves_a_playable_recording(tmp_path: Path, model: Path, suffix: str) -> None:
    film = tmp_path / f"a{suffix}"
    with started("live", PATTERN, "--record", film, "--model", model, "--threads", 1) as process:
        until_larger(process, film, 100_000)
        assert process.running, process.told()
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


LISTENING = {
    "tcp": ("-i", "{}?listen=1"),
    "udp": ("-i", "{}"),
    "rtmp": ("-listen", "1", "-i", "{}"),
    "rtsp": ("-rtsp_flags", "listen", "-i", "{}"),
}


def receiver(url: str, got: Path) -> AbstractContextManager[Helper]:
    """A server that takes one stream and keeps it."""
    words = [word.format(url) for word in LISTENING[url.split(":")[0]]]
    return ffmpeg(*words, "-c", "copy", "-f", "matroska", "-flush_packets", "1", str(got))


def publish_until(sink: PublishSink, condition: Callable[[], object]) -> None:
    """Write moving pictures, no faster than a slow machine keeps up with, until something has
    happened."""
    numbers = itertools.count()

    def after_another() -> object:
        sink.write(frame(next(numbers)))
        return condition()

    until(after_another, seen=lambda: f"after {next(numbers)} pictures the sink is {sink.state!r}")


def publish_one(sink: PublishSink) -> None:
    sink.write(frame(0))
    sink.commit()


def refused(url: str, why: str) -> None:
    """A first connection fails with this reason, in whichever call is the first to know."""
    with PublishSink(url, INFO, (96, 64)) as sink, pytest.raises(SinkError, match=why):
        publish_one(sink)


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


def until_listening(receiver: Helper, url: str) -> None:
    kind = socket.SOCK_DGRAM if url.startswith("udp") else socket.SOCK_STREAM
    receiver.until(lambda: listening(port_of(url), kind))


def some(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 3000


@pytest.mark.parametrize("scheme", LISTENING)
def test_what_is_published_is_received(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}" + ("/live/a" if scheme.startswith("rt") else "")
    with receiver(url, tmp_path / "got.mkv") as process:
        until_listening(process, url)
        with PublishSink(url, INFO, (96, 64)) as sink:
            publish_until(sink, lambda: some(tmp_path / "got.mkv"))
            sink.commit()
    seen = look(tmp_path / "got.mkv", keep_frames=True)
    assert abs(seen.frames[0].astype(int) - frame(0).rgb).mean() < 12  # the first picture already
    assert sink.connections == 1


def test_every_picture_published_is_received(tmp_path: Path) -> None:
    """Also the first, a large one: without it a viewer sees nothing for a second."""
    size = 960, 544
    url, got = f"tcp://127.0.0.1:{free_port()}", tmp_path / "got.mkv"
    pictures = [Frame(picture(i, *size), 3600 * i, INFO.time_base, index=i) for i in range(5)]
    with receiver(url, got) as process:
        until_listening(process, url)
        with PublishSink(url, replace(INFO, live=False), size) as sink:
            for each in pictures:
                sink.write(each)
            sink.commit()
        process.ended()
    seen = look(got, keep_frames=True)
    assert len(seen.frames) == 5
    assert (
        max(abs(a.astype(int) - b.rgb).mean() for a, b in zip(seen.frames, pictures, strict=True))
        < 12
    )


@pytest.mark.parametrize("scheme", ["tcp", "rtmp"])
def test_a_receiver_that_is_killed_is_published_to_again(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}/live/a"
    record, pause = Recorder(), Hurried()
    with PublishSink(url, INFO, (96, 64), record=record, pause=pause) as sink:
        for life in range(3):
            got = tmp_path / f"{life}.mkv"
            with receiver(url, got) as process:
                if life == 0:
                    until_listening(process, url)
                publish_until(sink, lambda got=got: some(got))  # type: ignore[misc]  # a default argument
                assert sink.state == "live"
            publish_until(sink, lambda: sink.state != "live")
            assert look(got).size == (96, 64)
        publish_until(sink, lambda: "next try in" in sink.state)
        assert "127.0.0.1" in sink.state
    assert sink.connections == 3
    assert record.counted(Event.PUBLISH_RECONNECT) == 2
    assert pause.waits[0] == 0.25
    assert max(pause.waits) <= 8


def test_what_cannot_be_started_for_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ends for want of file handles or processes, but a first connection."""
    url = f"tcp://127.0.0.1:{free_port()}/live/a"
    works = sys.executable
    with PublishSink(url, INFO, (96, 64), pause=Hurried()) as sink:
        with receiver(url, tmp_path / "0.mkv") as process:
            until_listening(process, url)
            publish_until(sink, lambda: sink.state == "live")
            monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
        publish_until(sink, lambda: "the process that publishes: No such file" in sink.state)
        monkeypatch.setattr(sys, "executable", works)
        with receiver(url, tmp_path / "1.mkv"):
            publish_until(sink, lambda: sink.connections == 2)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    refused(url, "the process that publishes: No such file")


def test_a_server_that_never_answers_holds_up_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"rtmp://user:secret@127.0.0.1:{mute.getsockname()[1]}/live/a"
        with PublishSink(url, INFO, (96, 64)) as sink:
            for i in range(200):
                sink.write(frame(i))
            assert sink.state == "connecting"
            assert "secret" not in sink.name
    assert "streamsr-publish" not in [thread.name for thread in threading.enumerate()]


def test_publishing_without_a_frame_is_no_error() -> None:
    with PublishSink(f"tcp://127.0.0.1:{free_port()}", INFO, (96, 64)) as sink:
        sink.commit()
    assert sink.connections == 0


def test_a_frame_that_cannot_be_encoded_is_the_callers_error() -> None:
    wrong = replace(frame(0), rgb=np.zeros((64, 96), np.uint8))
    with PublishSink(f"udp://127.0.0.1:{free_port()}", INFO, (96, 64)) as sink:
        sink.write(wrong)
        with pytest.raises((ValueError, IndexError, TypeError)):
            sink.commit()


def test_nobody_there_is_the_callers_error() -> None:
    refused(f"tcp://127.0.0.1:{free_port()}", "refused")


def test_the_recording_goes_on_while_the_receiver_is_away(tmp_path: Path, model: Path) -> None:
    url, film, stats = f"tcp://127.0.0.1:{free_port()}", tmp_path / "a.mkv", tmp_path / "stats.json"
    options = (
        "--publish",
        url,
        "--record",
        film,
        "--stats-json",
        stats,
        "--model",
        model,
        "--threads",
        1,
    )
    with ExitStack() as run:
        with receiver(url, tmp_path / "0.mkv") as first:
            until_listening(first, url)
            process = run.enter_context(started("live", PATTERN, *options))
            until_larger(process, tmp_path / "0.mkv", 3000)
        until_larger(process, film, size_of(film) + 50_000)  # it grows while nobody receives
        with receiver(url, tmp_path / "1.mkv"):
            until_larger(process, tmp_path / "1.mkv", 3000)
            process.send(signal.SIGINT)
            status = process.ended()
            said = process.said()
    assert status == 0, said
    assert "connecting again" in said
    assert json.loads(stats.read_text())["live"]["publish_reconnects"] == 1
    assert look(tmp_path / "1.mkv").size == (480, 288)
    assert len(look(film).times) > 3


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


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_film_that_was_held_upright_is_recorded_upright(
    streamsr: Command, tmp_path: Path, model: Path, suffix: str
) -> None:
    """By its rotation where the container holds one, else by its pixels."""
    film = make_video(
        tmp_path / "in.mp4",
        pts=range(3),
        prepare=lambda _container, stream: stream.set_display_matrix(HELD_UPRIGHT),
    )
    out = tmp_path / f"a{suffix}"
    assert streamsr("live", film, "--record", out, "--model", model).status == 0
    with av.open(str(out)) as container:
        first = next(container.decode(video=0))
        matrix = display_matrix(first)
        stored = Frame(first.to_ndarray(format="rgb24"), 0, Fraction(1, 25))
    assert matrix == (None if suffix == ".ts" else HELD_UPRIGHT)
    shown = upright(stored, matrix).rgb
    expected = np.repeat(np.repeat(np.rot90(picture(0), -1), 3, axis=0), 3, axis=1)
    assert abs(shown.astype(int) - expected).mean() < 12


def test_a_film_that_was_held_upright_is_shown_and_sent_upright(
    streamsr: Command, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Camera, "seen", [])
    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    film = make_video(
        tmp_path / "in.mp4",
        pts=range(2),
        prepare=lambda _container, stream: stream.set_display_matrix(HELD_UPRIGHT),
    )
    assert streamsr("live", film, "--publish", "camera:", "--model", model).status == 0
    assert Camera.seen == [(144, 192, 25.0), *[(192, 144, 3)] * 2, ("closed",)]
