"""What the desk keeps on the disk."""

import os
import stat
from pathlib import Path

import pytest

from streamsr.desk.queue import Job, State
from streamsr.desk.store import KEPT_S, QUEUE, TOKEN, Store
from streamsr.errors import SinkError
from tests.support.disk import small_disk

ONE = Job(number=3, source="/in/\udcff\n<b>.mp4", output="/out/a.mp4", state=State.PAUSED)


def test_the_queue_is_read_as_it_was_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "deep" / "state") as store:
        assert store.read() == ((), 1)
        store.write((ONE,), 7)
    with Store(tmp_path / "deep" / "state") as store:
        assert store.read() == ((ONE,), 7)


def test_two_programs_do_not_share_a_queue(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(SinkError, match="another run is working with this queue"):
        Store(tmp_path).__enter__()
    with Store(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", '{"format": 1}', '{"format": 2, "next": 1, "jobs": []}',
     '{"format": 1, "next": 1, "jobs": [{}]}', '{"format": 1, "next": 1, "jobs": 5}',
     '{"format": 1, "next": true, "jobs": []}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_queue_is_said_and_left_alone(tmp_path: Path, content: str) -> None:
    with Store(tmp_path) as store:
        (tmp_path / QUEUE).write_text(content)
        with pytest.raises(SinkError, match="damaged, or of another version; move it"):
            store.read()
    assert (tmp_path / QUEUE).read_text() == content


def test_the_token_stays_and_is_nobody_elses(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        token = store.token()
        assert len(token) >= 20
        assert stat.S_IMODE((tmp_path / TOKEN).stat().st_mode) == 0o600
        assert store.token() == token
        (tmp_path / TOKEN).chmod(0o644)  # others may have read it
        second = store.token()
        assert second != token
        (tmp_path / TOKEN).unlink()
        (tmp_path / "theirs").write_text(second)
        (tmp_path / TOKEN).symlink_to("theirs")
        assert store.token() not in (token, second)
        assert (tmp_path / "theirs").read_text() == second


def test_a_full_disk_leaves_the_queue_as_it_was(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, Store(disk) as store:
        store.write((ONE,), 4)
        (disk / "rest").write_bytes(b"x" * 20_000)
        many = tuple(Job(number=n, source="/in/a" * 50, output="/out/b") for n in range(200))
        with pytest.raises(SinkError, match="No space left on device"):
            store.write(many, 300)
        assert store.read() == ((ONE,), 4)
        assert not [name for name in os.listdir(disk) if name.endswith(".part")]


def test_dropped_files_that_no_job_asks_for_go_after_a_day(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for name in ("asked", "old"):
            (store.dropped / name).mkdir()
            (store.dropped / name / "a.mp4").write_bytes(b"film")
        jobs = (Job(number=1, source=str(store.dropped / "asked/a.mp4"), output="", ours=True),)
        now_s = (store.dropped / "old").stat().st_mtime
        store.sweep(jobs, now_s=now_s + KEPT_S / 2)
        assert sorted(os.listdir(store.dropped)) == ["asked", "old"]
        store.sweep(jobs, now_s=now_s + KEPT_S * 2)
        assert os.listdir(store.dropped) == ["asked"]
        store.forget(tmp_path / "elsewhere" / "a.mp4")
        store.forget(store.dropped / "asked" / "a.mp4")
        assert os.listdir(store.dropped) == []
