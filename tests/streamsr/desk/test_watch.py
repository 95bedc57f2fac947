"""Watched folders: what appears and has stopped growing is done once, whatever is restarted."""

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsr.desk.queue import Stamp, State
from streamsr.desk.runner import Runner
from streamsr.desk.store import Store
from streamsr.desk.watch import STILL_S, Sight, Watcher, into, looked, stamps
from streamsr.errors import SourceError
from streamsr.segments.ledger import LEDGER, Ledger
from tests.streamsr.desk.acts import FAKE, begun, films, states, until
from tests.support.command import Command, started
from tests.support.media import look, make_video
from tests.support.processes import Helper
from xlsr_model.system import is_written

STAMPS = st.dictionaries(st.sampled_from("abc"), st.builds(Stamp, st.integers(1, 3), st.just(0)))


@given(st.lists(STAMPS, min_size=1, max_size=12))
def test_only_what_has_not_changed_for_a_while_is_ready(rounds: list[dict[str, Stamp]]) -> None:
    sights: dict[str, Sight] = {}
    for second, now in enumerate(rounds):
        sights, still = looked(sights, now, float(second))
        assert sights.keys() == now.keys()
        for name in now:
            since = second
            while since and rounds[since - 1].get(name) == now[name]:
                since -= 1
            assert (name in still) == (second - since >= STILL_S)


def test_only_whole_films_and_pictures_of_the_folder_itself_are_seen(tmp_path: Path) -> None:
    films(tmp_path, "a.mp4", "b.PNG", "c.txt", ".hidden.mp4", "d.mp4.part", "e.mp4.crdownload")
    films(tmp_path / "deeper", "f.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    unfinished = ".x.mp4.0123456789ab-01234567.part"
    films(tmp_path, unfinished)
    assert sorted(stamps(tmp_path)) == ["a.mp4", "b.PNG"]


def test_a_file_that_is_open_for_writing_is_known(tmp_path: Path) -> None:
    (film,) = films(tmp_path, "a.mp4")
    assert not is_written(film)
    with film.open("ab"):
        if not is_written(film):
            pytest.skip("this file system gives no leases")
    assert not is_written(film)
    with film.open("rb"):
        assert not is_written(film)
    assert not is_written(tmp_path / "nothing.mp4")


def test_looking_whether_a_file_is_written_ends_nobody(tmp_path: Path) -> None:
    """Who opens it at that moment breaks the lease, of which a signal tells that ends programs."""
    (film,) = films(tmp_path, "a.mp4")
    ended = threading.Event()

    def writes() -> None:
        while not ended.is_set():
            with film.open("ab"):
                pass

    thread = threading.Thread(target=writes)
    thread.start()
    for _ in range(3000):
        is_written(film)
    ended.set()
    thread.join()


class Folder:
    """A watched folder with its queue, whose clock is the test's."""

    def __init__(self, base: Path, store: Store, options: tuple[str, ...]) -> None:
        self.folder, self.out = base / "in", base / "out"
        for folder in (self.folder, self.out):
            folder.mkdir(exist_ok=True)
        self.said: list[str] = []
        self.runner = Runner(store, program=FAKE)
        self.watcher = Watcher(
            self.folder,
            self.runner,
            output=into(self.out),
            options=options,
            said=self.said.append,
        )
        self.now_s = 0.0

    async def looks(self, times: int = 2) -> bool:
        """Look so often, each time when what was seen last time is still."""
        waits = False
        for _ in range(times):
            waits = await self.watcher.look(self.now_s)
            self.now_s += STILL_S
        return waits

    async def settled(self) -> None:
        """Until nothing is left to do."""
        await self.looks()
        done = (State.WAITING, State.RUNNING)
        await until(lambda: not set(done) & set(states(self.runner)), self.runner)
        await until(lambda: self.runner.progress is None, self.runner)

    @property
    def begun(self) -> list[str]:
        return [line.split()[0] for line in begun(self.folder)]


def watched(base: Path, act: Callable[[Folder], Awaitable[None]], *options: str) -> None:
    """A program that watches until this is done; called again, it is started again."""

    async def main() -> None:
        folder = Folder(base, store, options)
        task = asyncio.create_task(folder.runner.run())
        try:
            await act(folder)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with Store(base / "state") as store:
        asyncio.run(main())


def test_each_file_is_done_once_also_after_a_restart(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        assert sorted(os.listdir(folder.out)) == ["a.mp4", "b.mp4"]
        assert folder.begun == ["a.mp4", "b.mp4"]

    films(tmp_path / "in", "a.mp4", "b.mp4")
    for _ in range(3):
        watched(tmp_path, act)


def test_a_file_that_grows_is_left_alone(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        for size in range(1, 5):
            (folder.folder / "a.mp4").write_bytes(b"x" * size)
            assert await folder.looks(1)
        with (folder.folder / "a.mp4").open("ab"):  # it does not grow, but somebody holds it
            if not is_written(folder.folder / "a.mp4"):
                pytest.skip("this file system gives no leases")
            assert await folder.looks(3)
            assert folder.begun == []
        await folder.settled()
        assert folder.begun == ["a.mp4"]

    watched(tmp_path, act)


def test_what_fails_is_said_once_and_tried_again_when_it_changes(tmp_path: Path) -> None:
    async def fails(folder: Folder) -> None:
        await folder.settled()
        await folder.settled()
        assert folder.begun == ["fail.mp4"]

    async def mended(folder: Folder) -> None:
        (folder.folder / "mended").touch()
        await folder.settled()
        assert folder.begun == ["fail.mp4"]  # the film itself has not changed
        films(folder.folder, "fail.mp4")
        os.utime(folder.folder / "fail.mp4", (1, 1))
        await folder.settled()
        assert folder.begun == ["fail.mp4"] * 2
        assert states(folder.runner) == [State.DONE]

    films(tmp_path / "in", "fail.mp4")
    watched(tmp_path, fails)
    watched(tmp_path, fails)
    watched(tmp_path, mended)


def test_what_was_not_done_is_tried_again_with_other_options(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()

    films(tmp_path / "in", "a.mp4", "fail.mp4")
    for words in ((), (), ("--scale=2",), ("--scale=2",)):
        watched(tmp_path, act, *words)
    lines = [line.split() for line in begun(tmp_path / "in")]
    assert [(line[0], line[-1]) for line in lines] == [
        ("a.mp4", "--progress-json"),
        ("fail.mp4", "--progress-json"),
        ("fail.mp4", "--scale=2"),
    ]


def test_a_file_that_was_only_touched_is_not_done_again_and_another_one_is(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        os.utime(folder.folder / "a.mp4", (1, 1))
        await folder.settled()
        assert folder.begun == ["a.mp4"]
        (folder.folder / "a.mp4").write_bytes(b"another film")
        (folder.out / "a.mp4").unlink()
        await folder.settled()
        assert folder.begun == ["a.mp4"] * 2
        (folder.folder / "a.mp4").write_bytes(b"a third film")
        await folder.settled()
        assert states(folder.runner) == [State.FAILED]  # the output of the second is in its place

    films(tmp_path / "in", "a.mp4")
    watched(tmp_path, act)


def test_an_output_that_is_gone_is_made_again(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        (folder.out / "a.mp4").unlink()
        await folder.settled()
        assert (folder.out / "a.mp4").exists()

    films(tmp_path / "in", "a.mp4")
    watched(tmp_path, act)


def test_the_unfinished_work_of_another_film_is_not_gone_on_with(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        work = Ledger.folder_of(folder.out / "fail.mp4")
        work.mkdir()
        (work / LEDGER).write_text('{"format": 1}\n')
        (folder.folder / "fail.mp4").write_bytes(b"another film")
        await folder.settled()
        assert not work.exists()
        assert folder.begun == ["fail.mp4"] * 2

    films(tmp_path / "in", "fail.mp4")
    watched(tmp_path, act)


def test_what_is_taken_out_of_the_queue_does_not_come_back(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        for job in folder.runner.jobs:
            if job.state is not State.CANCELLED:
                folder.runner.remove(job.number)
        await folder.settled()
        assert folder.begun == ["a.mp4"]

    films(tmp_path / "in", "a.mp4")
    watched(tmp_path, act)
    watched(tmp_path, act)


def test_two_inputs_of_one_output_are_said(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        await folder.settled()
        await folder.looks()
        (line,) = folder.said
        assert line.endswith("out/a.mkv: is already the output of another input")
        assert folder.begun == ["a.flv"]

    films(tmp_path / "in", "a.flv", "a.mkv")
    watched(tmp_path, act)


def test_a_folder_that_goes_away_and_comes_back_is_said_once(tmp_path: Path) -> None:
    async def act(folder: Folder) -> None:
        folder.folder.rename(tmp_path / "away")
        await folder.looks(3)
        (line,) = folder.said
        assert "No such file" in line
        (tmp_path / "away").rename(folder.folder)
        await folder.settled()
        assert folder.begun == ["a.mp4"]

    films(tmp_path / "in", "a.mp4")
    watched(tmp_path, act)


def test_a_watched_folder_must_be_one(tmp_path: Path) -> None:
    with Store(tmp_path / "state") as store:
        runner = Runner(store)
        for path in (tmp_path / "nothing", *films(tmp_path, "a.mp4")):
            with pytest.raises(SourceError):
                Watcher(path, runner, output=into(tmp_path))


# The command


@contextmanager
def watching(tmp_path: Path, model: Path, *more: object) -> Iterator[Helper]:
    (tmp_path / "in").mkdir(exist_ok=True)
    options = ["--model", model, "--preset", "ultrafast", *more]
    with started("watch", tmp_path / "in", "-o", tmp_path / "out", *options) as process:
        process.says("^watching ")
        yield process


def test_the_command_does_what_appears_and_goes_on_after_a_kill(
    tmp_path: Path, model: Path
) -> None:
    with watching(tmp_path, model) as process:
        film = make_video(tmp_path / "made.mp4")
        shutil.copy(film, tmp_path / "in" / "a.mp4")
        (tmp_path / "in" / "bad.mp4").write_bytes(b"no film")
        process.says(r"/out/a\.mp4: 10 frames")
        process.says(r"^streamsr: .*/in/bad\.mp4: ")
        kept = tmp_path / "out" / ".streamsr-watch" / "queue.json"
        process.until(lambda: '"failed"' in kept.read_text())
        process.kill()
    assert look(tmp_path / "out" / "a.mp4").size == (192, 144)
    with watching(tmp_path, model) as process:
        shutil.copy(film, tmp_path / "in" / "b.mp4")
        process.says(r"/out/b\.mp4: 10 frames")
        assert "a.mp4" not in process.said()
        assert "bad.mp4" not in process.said()
        process.send(signal.SIGINT)
        assert process.ended() == 0, process.told()
        assert "Traceback" not in process.said()
    assert sorted(os.listdir(tmp_path / "out")) == [".streamsr-watch", "a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["in", "-o", "in"], 1, "is the watched folder itself"),
        (["in", "-o", "a/../in"], 1, "is the watched folder itself"),
        (["nothing", "-o", "out"], 1, "nothing: No such file or directory"),
        (["in"], 2, "Missing option '-o'"),
        (["in", "-o", "out", "--nonsense"], 2, "No such option"),
        (["in", "-o", "out", "--crf", "99"], 2, "99 is not in the range"),
        (["in", "-o", "out", "--scale", "2", "--to", "1080p"], 2, "exclude each other"),
        (["in", "-o", "out", "--dry-run"], 2, "--dry-run does not go with a queue"),
        (["in", "-o", "out", "--print-pipeline"], 2, "--print-pipeline does not go with a queue"),
        (["in", "-o", "file"], 1, "file: "),
    ],
)
def test_what_cannot_be_watched_is_said(
    streamsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], status: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("in", "a"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    result = streamsr("watch", *words)
    assert (result.status, said in result.err) == (status, True), result.err
    assert "Traceback" not in result.err


def test_two_do_not_watch_into_one_folder(tmp_path: Path, model: Path, streamsr: Command) -> None:
    with watching(tmp_path, model):
        result = streamsr("watch", tmp_path / "in", "-o", tmp_path / "out")
    assert result.status == 1
    assert "another run is working with this queue" in result.err
