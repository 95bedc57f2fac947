"""``streamsr desk`` as a program: killed and started again, and what it refuses to start with."""

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from tests.support.command import STREAMSR, Command, run, started
from tests.support.disk import enlarge, small_disk
from tests.support.media import make_video, noise
from tests.support.processes import Helper, running
from tests.support.servers import free_port

pytest.importorskip("uvicorn", reason="the extra [web] is not installed")
pytest.importorskip("starlette", reason="the extra [web] is not installed")


class Remote:
    """The interface of a desk that runs."""

    def __init__(self, process: Helper, url: str) -> None:
        self.process, self.url = process, url

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url.replace("/?", f"{path}?"), content, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def state(self, number: int, state: str) -> dict[str, Any]:
        job: dict[str, Any] = {}

        def there() -> bool:
            job.update(self.ask(f"/api/jobs/{number}"))
            return bool(job["state"] == state)

        self.process.until(there, seen=lambda: job)
        return job


@contextmanager
def desk(folder: Path, *more: object) -> Iterator[Remote]:
    (folder / "in").mkdir(exist_ok=True)
    words = ("--root", folder / "in", "-o", folder / "out", "--state", folder / "state")
    with started("desk", *words, "--port", "0", *more) as process:
        yield Remote(process, process.says(r"open (http\S+)")[1])


def test_a_killed_desk_goes_on_where_it_was(tmp_path: Path) -> None:
    """The finished segments are not done again, and the film is that of a run without a kill."""
    with desk(tmp_path) as first:
        film = make_video(
            tmp_path / "in" / "film.mp4", pts=range(1000), size=(320, 180),
            options={"g": "25", "preset": "ultrafast"}, audio=["aac"],
        )  # fmt: skip
        options = {"scale": 2, "preset": "ultrafast"}
        number = first.ask("/api/jobs", {"path": str(film), "options": options})["number"]
        waiting = first.ask("/api/jobs", {"path": str(film), "options": options})["number"]
        ledger = tmp_path / "out" / "film.mp4.resume" / "ledger.jsonl"
        first.process.until(lambda: ledger.exists() and '"segment"' in ledger.read_text())
        children = psutil.Process(first.process.pid).children(recursive=True)
        first.process.kill()
        # Whoever wrote to us has nobody to read it, and ends by itself.
        assert children
        psutil.wait_procs(children, timeout=60)
        assert not any(child.is_running() for child in children)
    with desk(tmp_path) as second:
        assert second.url.partition("?")[2] == first.url.partition("?")[2]  # pages stay valid
        job = second.state(number, "done")
        second.process.says(r"^streamsr: going on: [123] of 4 segments are finished")
        second.state(waiting, "done")
        assert (job["frames"], job["total"]) == (1000, 1000)
        second.process.send(signal.SIGINT)
        assert second.process.ended() == 0, second.process.told()
        assert "Traceback" not in second.process.said()
    plain = tmp_path / "plain.mp4"
    words = ("--resume", "--scale", "2", "--preset", "ultrafast")
    done = run("upscale", film, "-o", plain, *words, "--engine", "auto")
    assert done.returncode == 0, done.stderr
    assert plain.read_bytes() == (tmp_path / "out" / "film.mp4").read_bytes()
    assert sorted(os.listdir(tmp_path / "out")) == ["film (2).mp4", "film.mp4"]


def test_a_job_is_paused_and_goes_on_as_it_was(tmp_path: Path) -> None:
    with desk(tmp_path) as served:
        film = make_video(
            tmp_path / "in" / "film.mp4", pts=range(600), size=(320, 180), options={"g": "25"}
        )
        options = {"scale": 2, "preset": "ultrafast"}
        number = served.ask("/api/jobs", {"path": str(film), "options": options})["number"]
        served.process.until(lambda: served.ask(f"/api/jobs/{number}")["frames"] > 5)
        served.ask(f"/api/jobs/{number}", {"state": "paused"}, "PATCH")
        process = psutil.Process(served.process.pid)
        served.process.until(lambda: not process.children())
        assert os.path.exists(tmp_path / "out" / "film.mp4.resume")
        film.rename(tmp_path / "away.mp4")
        make_video(film, pts=range(50))
        served.ask(f"/api/jobs/{number}", {"state": "waiting"}, "PATCH")
        job = served.state(number, "failed")
        assert "the input has changed" in job["error"]
        served.ask(f"/api/jobs/{number}", {"state": "waiting", "anew": True}, "PATCH")
        assert served.state(number, "done")["frames"] == 50


def test_a_file_in_a_watched_folder_is_queued_by_itself(tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    with desk(tmp_path, "--watch", tmp_path / "watched") as served:
        shutil.copy(make_video(tmp_path / "film.mp4"), tmp_path / "watched" / "new.mp4")
        served.process.until(lambda: served.ask("/api/jobs")["jobs"])
        (job,) = served.ask("/api/jobs")["jobs"]
        assert job["watched"]
        served.state(job["number"], "done")
    assert (tmp_path / "out" / "new.mp4").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--root", "nothing"], "nothing: No such file or directory"),
        (["--root", "file"], "file: is not a directory"),
        (["--watch", "file"], "file: is not a directory"),
        (["-o", "file"], "file: "),
        (["-o", "out", "--watch", "out"], "is the watched folder itself"),
        (["--state", "file"], "file: "),
    ],
)
def test_what_it_cannot_start_with_is_said(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "out").mkdir()
    given = [] if "--state" in words else ["--state", "state"]
    given += [] if "-o" in words else ["-o", "out"]
    result = streamsr("desk", *words, *given, "--port", "0")
    assert (result.status, said in result.err) == (1, True), result.err
    assert len(result.err.splitlines()) == 1


def test_one_port_and_one_queue_have_one_desk(tmp_path: Path, streamsr: Command) -> None:
    port = free_port()
    with desk(tmp_path, "--port", port):
        base = ("-o", tmp_path / "out", "--port", port)
        other = streamsr("desk", *base, "--state", tmp_path / "state")
        assert (other.status, "another run is working with this queue" in other.err) == (1, True)
        other = streamsr("desk", *base, "--state", tmp_path / "other")
        assert (other.status, f"port {port}" in other.err) == (1, True)


@pytest.mark.parametrize(("module", "command"), [("uvicorn", "desk"), ("watchfiles", "watch")])
def test_an_extra_that_is_not_installed_is_named(tmp_path: Path, module: str, command: str) -> None:
    folder = Path(__file__).parents[2] / "support" / "without"
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "STREAMSR_TEST_WITHOUT": module, "PYTHONPATH": path}
    words = ["desk"] if command == "desk" else ["watch", tmp_path]
    (tmp_path / "out").mkdir()
    with running([*STREAMSR, *words, "-o", tmp_path / "out"], env=environment) as process:
        assert process.ended() == 1
        assert f"needs {module}: pip install 'streamsr[web]'" in process.said()


def test_a_full_disk_costs_one_job_which_can_be_tried_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "out", 256) as disk, desk(tmp_path) as served:
        large = tmp_path / "in" / "large.mkv"
        with av.open(str(large), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            for seed in range(40):
                rgb = av.VideoFrame.from_ndarray(noise(160, 96, seed), format="rgb24")
                container.mux(stream.encode(rgb))
            container.mux(stream.encode(None))
        small = make_video(tmp_path / "in" / "small.mp4")
        options = {"scale": 2, "preset": "ultrafast"}
        first, second = (
            served.ask("/api/jobs", {"path": str(film), "options": options})["number"]
            for film in (large, small)
        )
        job = served.state(first, "failed")
        assert "No space left on device" in job["error"]
        assert job["error"] in served.process.said()
        served.state(second, "done")
        enlarge(disk)
        served.ask(f"/api/jobs/{first}", {"state": "waiting"}, "PATCH")
        assert served.state(first, "done")["frames"] == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_desk_and_its_work_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    with desk(tmp_path) as served:
        film = make_video(tmp_path / "in" / "film.mp4", pts=range(400), size=(160, 90))
        body = {"path": str(film), "options": {"preset": "veryslow"}}
        job = served.ask("/api/jobs", body)["number"]
        served.process.until(lambda: served.ask(f"/api/jobs/{job}")["frames"])
        children = psutil.Process(served.process.pid).children()
        served.process.send(number)
        assert served.process.ended() == 0, served.process.told()
        assert "Traceback" not in served.process.said()
        assert not any(child.is_running() for child in children)
    kept = json.loads((tmp_path / "state" / "queue.json").read_text())["jobs"]
    assert [job["state"] for job in kept] == ["running"]
