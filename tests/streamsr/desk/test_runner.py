"""The runner, with a program that does as it is told in place of the command."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamsr.desk import child
from streamsr.desk.queue import Job, Jobs, State
from streamsr.desk.runner import Runner
from streamsr.desk.store import Store
from streamsr.errors import SinkError, SourceError
from streamsr.segments.ledger import LEDGER, Ledger
from tests.streamsr.desk.acts import FAKE, begun, films, states, until

DONE, FAILED, PAUSED = State.DONE, State.FAILED, State.PAUSED
RUNNING, WAITING = State.RUNNING, State.WAITING


@asynccontextmanager
async def at_work(store: Store, **how: Any) -> AsyncIterator[Runner]:
    runner = Runner(store, program=FAKE, **how)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def played(tmp_path: Path, act: Callable[[Runner], Awaitable[None]], **how: Any) -> Jobs:
    """The queue that is on the disk after this."""

    async def main() -> None:
        async with at_work(store, **how) as runner:
            await act(runner)

    with Store(tmp_path / "state") as store:
        asyncio.run(main())
        return store.read()[0]


def add(runner: Runner, folder: Path, *names: str, **how: Any) -> list[Job]:
    return [
        runner.add(path, folder / f"{path.stem}.out", **how)
        for path in films(folder, *names)
    ]  # fmt: skip


def test_jobs_are_done_in_their_order_and_one_that_fails_holds_up_none(tmp_path: Path) -> None:
    said: list[str] = []

    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "a", "fail", "crash", "killed", "usage", "b", options=("--scale=2",))
        await until(lambda: not {RUNNING, WAITING} & set(states(runner)), runner)

    jobs = played(tmp_path, act, said=said.append)
    assert [job.state for job in jobs] == [DONE, FAILED, FAILED, FAILED, FAILED, DONE]
    assert [line.split()[0] for line in begun(tmp_path)] == [Path(job.source).name for job in jobs]
    assert begun(tmp_path)[0] == "a --resume --progress-json --scale=2"
    errors = [job.error for job in jobs]
    assert errors[1] == "streamsr: it cannot be read"
    assert errors[2] == "streamsr: crashed (SIGSEGV); what is finished is kept"
    assert "SIGKILL" in errors[3]
    assert "not enough memory" in errors[3]
    assert errors[4] == "Error: no such option"
    assert [error for error in errors if error] == [
        line for line in said if line.startswith(("streamsr", "Error"))
    ]
    assert (tmp_path / "a.out").read_text() == "a"
    assert jobs[0].how == "a network"
    assert (jobs[0].done, jobs[0].total) == (100, 100)


def test_a_job_rests_and_goes_on(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        slow, _ = add(runner, tmp_path, "slow", "b")
        await until(lambda: runner.progress and runner.progress.frames == 20, runner)
        assert runner.progress is not None
        assert runner.progress.fps == 20
        runner.pause(slow.number)
        await until(lambda: states(runner) == [PAUSED, DONE], runner)  # the next one has its turn
        assert runner.job(slow.number).done == 20
        (tmp_path / "release").touch()
        runner.go_on(slow.number)
        await until(lambda: states(runner) == [DONE, DONE], runner)

    played(tmp_path, act)


def test_who_changes_their_mind_at_once_is_heard(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        (slow,) = add(runner, tmp_path, "slow")
        for _ in range(20):
            await until(lambda: runner.job(slow.number).state is RUNNING, runner)
            runner.pause(slow.number)
            runner.go_on(slow.number)
            await asyncio.sleep(0)
        (tmp_path / "release").touch()
        await until(lambda: states(runner) == [DONE], runner)

    played(tmp_path, act)


def test_what_is_removed_leaves_nothing(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        slow, b = add(runner, tmp_path, "slow", "slow b")
        for job in (slow, b):
            work = Ledger.folder_of(Path(job.output))
            work.mkdir()
            (work / LEDGER).write_text('{"format": 1}\n')
            (work / "000000.segment").touch()
        await until(lambda: runner.progress and runner.progress.frames, runner)
        runner.remove(b.number)
        assert not Ledger.begun(Path(b.output))
        runner.remove(slow.number)
        await until(lambda: not Ledger.begun(Path(slow.output)), runner)
        assert runner.jobs == ()
        with pytest.raises(KeyError):
            runner.remove(slow.number)

    assert played(tmp_path, act) == ()
    assert sorted(os.listdir(tmp_path)) == ["begun", "slow", "slow b", "state"]


def test_a_dropped_file_goes_with_its_job(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        folder = tmp_path / "state" / "dropped" / "0123"
        (job,) = add(runner, folder, "a", ours=True)
        await until(lambda: states(runner) == [DONE], runner)
        assert Path(job.source).exists()  # for the player
        runner.remove(job.number)
        assert not folder.exists()

    played(tmp_path, act)


def test_what_fails_is_tried_again_when_asked(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        first, second = add(runner, tmp_path, "fail", "fail again")
        await until(lambda: states(runner) == [FAILED, FAILED], runner)
        with pytest.raises(ValueError, match="is failed"):
            runner.pause(first.number)
        (tmp_path / "mended").touch()
        for job, anew in ((first, False), (second, True)):
            runner.go_on(job.number, anew=anew)
            assert runner.job(job.number).error == ""
        await until(lambda: states(runner) == [DONE, DONE], runner)
        with pytest.raises(ValueError, match="is done"):
            runner.go_on(first.number)

    played(tmp_path, act)


def test_an_output_of_another_name_is_known(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "renamed")
        await until(lambda: states(runner) == [DONE], runner)

    assert played(tmp_path, act)[0].output == str(tmp_path / "renamed.out.mkv")


def test_what_a_program_says_at_length_or_wrongly_harms_nothing(tmp_path: Path) -> None:
    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "chatty")
        await until(lambda: states(runner) == [DONE], runner)
        assert all(len(line) <= 1000 for line in runner.jobs[0].said)

    played(tmp_path, act)


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE_S", 0.1)

    async def act(runner: Runner) -> None:
        (job,) = add(runner, tmp_path, "slow deaf")
        await until(lambda: runner.progress and runner.progress.frames == 20, runner)
        runner.pause(job.number)
        await until(lambda: runner.progress is None, runner)

    assert played(tmp_path, act)[0].state is PAUSED
    assert not psutil.Process().children()


def test_a_program_that_ends_stops_its_job_which_goes_on_first_at_the_next_start(
    tmp_path: Path,
) -> None:
    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "slow", "b")
        await until(lambda: runner.progress and runner.progress.frames == 20, runner)
        runner.move(2, 0)

    jobs = played(tmp_path, act)
    assert not psutil.Process().children()
    assert [(job.number, job.state) for job in jobs] == [(2, WAITING), (1, RUNNING)]
    assert jobs[1].fresh

    async def again(runner: Runner) -> None:
        (tmp_path / "release").touch()
        await until(lambda: states(runner) == [DONE, DONE], runner)

    assert [job.number for job in played(tmp_path, again)] == [1, 2]
    assert [line.split()[0] for line in begun(tmp_path)] == ["slow", "slow", "b"]


def test_what_was_finished_while_nobody_was_told_is_not_done_again(tmp_path: Path) -> None:
    """Killed between the end of the work and the note of it."""

    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "slow")
        await until(lambda: runner.progress and runner.progress.frames == 20, runner)

    played(tmp_path, act)
    (tmp_path / "slow.out").write_text("made by the command")

    async def again(runner: Runner) -> None:
        await until(lambda: states(runner) == [DONE], runner)

    played(tmp_path, again)
    assert len(begun(tmp_path)) == 1


def test_a_file_that_had_the_outputs_name_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "slow.out").write_text("somebody else's")

    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "slow")
        await until(lambda: runner.progress and runner.progress.frames == 20, runner)

    assert not played(tmp_path, act)[0].fresh

    async def again(runner: Runner) -> None:
        (tmp_path / "release").touch()
        await until(lambda: states(runner) == [FAILED], runner)

    played(tmp_path, again)
    assert (tmp_path / "slow.out").read_text() == "somebody else's"


def test_a_job_waits_for_the_process_of_an_earlier_program(tmp_path: Path) -> None:
    with Store(tmp_path / "state") as store:
        orphan = store.work_lock()
        assert orphan is not None

        async def main() -> None:
            async with at_work(store) as runner:
                slow, _ = add(runner, tmp_path, "a", "b")
                await until(lambda: states(runner) == [RUNNING, WAITING], runner)
                runner.pause(slow.number)
                await until(lambda: states(runner) == [PAUSED, RUNNING], runner)
                assert begun(tmp_path) == []
                os.close(orphan)
                await until(lambda: states(runner) == [PAUSED, DONE], runner)

        asyncio.run(main())


def test_a_job_whose_file_is_no_longer_allowed_is_not_begun(tmp_path: Path) -> None:
    def allowed(job: Job) -> None:
        raise SourceError(f"{job.source}: is not in a folder of this desk")

    async def act(runner: Runner) -> None:
        add(runner, tmp_path, "a")
        await until(lambda: states(runner) == [FAILED], runner)

    (job,) = played(tmp_path, act, allowed=allowed)
    assert job.error == f"streamsr: {tmp_path}/a: is not in a folder of this desk"
    assert begun(tmp_path) == []


class Failing(Store):
    """A disk that takes nothing while it is full."""

    full = False

    def write(self, jobs: Jobs, next_number: int) -> None:
        if self.full:
            raise SinkError("queue.json: No space left on device")
        super().write(jobs, next_number)


def test_a_full_disk_refuses_what_users_ask_and_holds_no_job_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with at_work(store) as runner:
            slow, b = add(runner, tmp_path, "slow", "b")
            await until(lambda: runner.progress and runner.progress.frames == 20, runner)
            store.full = True
            for asks in (
                lambda: runner.pause(slow.number),
                lambda: runner.remove(b.number),
                lambda: runner.move(b.number, 0),
                lambda: add(runner, tmp_path, "c"),
            ):
                with pytest.raises(SinkError, match="No space"):
                    asks()
            assert states(runner) == [RUNNING, WAITING]
            (tmp_path / "release").touch()
            await until(lambda: states(runner) == [DONE, DONE], runner)
            assert "No space" in runner.trouble
            store.full = False
            add(runner, tmp_path, "d")
            assert runner.trouble == ""
            await until(lambda: states(runner) == [DONE, DONE, DONE], runner)

    with Failing(tmp_path / "state") as store:
        asyncio.run(main())
        assert [job.state for job in store.read()[0]] == [DONE] * 3
    assert [record.message for record in caplog.records] == ["queue.json: No space left on device"]
