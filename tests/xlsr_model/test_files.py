"""Files are written under names of our own, and only what we made is ever replaced or removed."""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import Helper, running
from xlsr_model.files import NAME_BYTES, Output, is_unfinished, write_file
from xlsr_model.inputs import Input


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_nothing_has_the_name_before_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "film.mkv"
    with Output(target) as output:
        output.write(b"all of it")
        assert not target.exists()
        assert [is_unfinished(name) for name in names(tmp_path)] == [True]
        output.publish()
        assert names(tmp_path) == ["film.mkv"]
    assert target.read_bytes() == b"all of it"


def test_what_is_not_published_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Output(tmp_path / "film.mkv") as output:  # noqa: PT012
        output.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        write_file(tmp_path / "a", b"x")
        (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o400])
def test_a_replaced_file_keeps_its_mode_and_owner(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "film.mkv"
    target.write_bytes(b"old")
    target.chmod(mode)
    owner = (1234, 2345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(target, *owner)
    with Output(target, overwrite=True) as output:
        assert stat.S_IMODE(output.path.stat().st_mode) == 0o600, (
            "as secret as the old one while it is made"
        )
        output.write(b"new")
        output.publish()
    status = target.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, *owner)
    assert target.read_bytes() == b"new"


def test_without_leave_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("old", "link", "folder", "pipe"):
        with pytest.raises(FileExistsError), Output(tmp_path / name):
            pass
    assert names(tmp_path) == ["folder", "link", "old", "pipe"]
    assert (tmp_path / "old").read_bytes() == b"precious"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # as on the file systems of memory cards

        def refused(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    target = tmp_path / "film.mkv"
    with pytest.raises(FileExistsError) as refusal, Output(target) as output:  # noqa: PT012
        output.write(b"ours")
        target.write_bytes(b"theirs")
        output.publish()
    assert refusal.value.strerror == "appeared meanwhile; not overwritten"
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["film.mkv"]
    write_file(tmp_path / "other", b"ours")
    assert (tmp_path / "other").read_bytes() == b"ours"
    assert names(tmp_path) == ["film.mkv", "other"]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_files_are_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "film.mkv"
    (os.mkfifo if kind == "pipe" else os.mkdir)(target)
    with pytest.raises(FileExistsError), Output(target, overwrite=True):
        pass
    assert names(tmp_path) == ["film.mkv"]


def test_a_link_is_followed_only_with_leave(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "film.mkv", tmp_path / "film.mkv"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with pytest.raises(FileExistsError):
        write_file(link, b"new")
    assert real.read_bytes() == b"old"
    write_file(link, b"new", overwrite=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert names(tmp_path / "disk") == ["film.mkv"]


IN_CLOSE_WRITE, IN_MOVED_TO, IN_NONBLOCK = 0x8, 0x80, 0o4000
"""Of linux/inotify.h."""


@pytest.mark.parametrize("overwrite", [False, True])
def test_who_watches_the_folder_hears_of_the_finished_file(tmp_path: Path, overwrite: bool) -> None:
    """As media servers watch: for files under their names that are closed, or moved there."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "inotify_init1"):
        pytest.skip("no inotify here")
    watch = libc.inotify_init1(IN_NONBLOCK)
    try:
        mask = IN_CLOSE_WRITE | IN_MOVED_TO
        assert libc.inotify_add_watch(watch, os.fsencode(tmp_path), mask) > 0
        with Output(tmp_path / "film.mkv", overwrite=overwrite) as output:
            output.write(b"all of it")
            with pytest.raises(BlockingIOError):
                os.read(watch, 4096)
            output.publish()
            events = os.read(watch, 4096)
    finally:
        os.close(watch)
    *_, length = struct.unpack_from("iIII", events)
    assert events[16 : 16 + length].rstrip(b"\0") == b"film.mkv"
    assert (tmp_path / "film.mkv").read_bytes() == b"all of it"


def test_a_file_of_ours_that_was_taken_away_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Output(tmp_path / "film.mkv") as output:  # noqa: PT012
        output.path.rename(tmp_path / "elsewhere")
        output.path.write_bytes(b"a stranger's")
        output.publish()
    assert names(tmp_path) == sorted([output.path.name, "elsewhere"])
    assert output.path.read_bytes() == b"a stranger's"


@pytest.mark.parametrize("name", ["a" * 255, "漢" * 85, "a" * 251 + ".mkv", "é" * 120 + ".mp4"])
def test_any_name_that_a_file_can_have_works(tmp_path: Path, name: str) -> None:
    assert len(os.fsencode(name)) <= NAME_BYTES
    with Output(tmp_path / name) as output:
        assert len(os.fsencode(output.path.name)) <= NAME_BYTES
        output.publish()
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a" * 256, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="name"), Output(tmp_path / name):
        pass
    with pytest.raises(OSError, match="name"):
        Input(tmp_path / name)


STRANGERS = (
    "film.mkv.part", ".film.mkv.part", ".film.mkv.0123456789ab-00000000.part",
    ".film.mkv.0123456789ab.part", "film.mkv.lock", ".film.mkv.tmp", "film.mkv~",
)  # fmt: skip


def test_files_with_names_like_ours_are_left_alone(tmp_path: Path) -> None:
    for name in STRANGERS:
        (tmp_path / name).write_bytes(name.encode())
    for _ in range(3):
        write_file(tmp_path / "film.mkv", b"x", overwrite=True)
    assert names(tmp_path) == sorted([*STRANGERS, "film.mkv"])
    assert all((tmp_path / name).read_bytes() == name.encode() for name in STRANGERS)


WORKS = """
import sys
from xlsr_model.files import Output
with Output(sys.argv[1]) as output:
    output.write(b"half")
    print(flush=True)
    sys.stdin.read()
    output.publish()
"""


@contextlib.contextmanager
def worker(target: Path) -> Iterator[Helper]:
    """Another process that makes a file until its input ends."""
    words = [sys.executable, "-c", WORKS, target]
    with running(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helper:
        yield helper


def told_to_go_on(helper: Helper) -> int:
    """The worker's exit status once its input has ended."""
    assert helper.process.stdin is not None
    helper.process.stdin.close()
    return helper.ended()


def test_a_second_run_to_one_output_is_refused_until_the_first_is_over(tmp_path: Path) -> None:
    target = tmp_path / "film.mkv"
    with worker(target) as other:
        next(iter(other.process.stdout or ()))
        for _ in range(2):
            with (
                pytest.raises(BlockingIOError, match="another run is working on it"),
                Output(target, overwrite=True),
            ):
                pass
        write_file(tmp_path / "other.mkv", b"x")
        assert told_to_go_on(other) == 0
    assert names(tmp_path) == ["film.mkv", "other.mkv"]
    assert target.read_bytes() == b"half"


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    target = tmp_path / "film.mkv"
    with worker(target) as other:
        next(iter(other.process.stdout or ()))
        other.kill()
    assert [is_unfinished(name) for name in names(tmp_path)] == [True]
    write_file(tmp_path / "unrelated.mkv", b"x")
    assert len(names(tmp_path)) == 2, "another output's is not this one's business"
    write_file(target, b"whole")
    assert names(tmp_path) == ["film.mkv", "unrelated.mkv"]


def test_of_many_that_begin_at_once_one_works(tmp_path: Path) -> None:
    target = tmp_path / "film.mkv"
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(worker(target)) for _ in range(4)]
        said = [other.said() for other in others if told_to_go_on(other) in (0, 1)]
    lines = [err.strip().splitlines()[-1] if err.strip() else "done" for err in said]
    assert len(lines) == 4
    assert "done" in lines, lines
    allowed = ("done", "BlockingIOError", "FileExistsError")
    assert all(line.startswith(allowed) for line in lines), lines
    assert target.read_bytes() == b"half"
    assert names(tmp_path) == ["film.mkv"]


CALLS: dict[str, Callable[[], OSError]] = {
    "open": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "write": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "fsync": lambda: OSError(errno.EIO, "Input/output error"),
    "link": lambda: OSError(errno.EIO, "Input/output error"),
    "replace": lambda: OSError(errno.EIO, "Input/output error"),
    "fchmod": lambda: OSError(errno.EIO, "Input/output error"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_fails_at_any_call_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, overwrite: bool
) -> None:
    target = tmp_path / "film.mkv"
    if overwrite:
        target.write_bytes(b"old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    real = getattr(os, call)
    for fails_at in range(20):
        left = fails_at

        def failing(*args: object, **how: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise CALLS[call]()
            return real(*args, **how)

        monkeypatch.setattr(os, call, failing)
        try:
            write_file(target, b"new", overwrite=overwrite)
        except OSError:
            if target.exists() and target.read_bytes() == b"new":
                # Only the folder could not be synced: the file is whole, under its name, and the
                # error is said.
                assert call in ("fsync", "open")
            else:
                assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
                continue
        finally:
            monkeypatch.setattr(os, call, real)
        break
    assert names(tmp_path) == ["film.mkv"]
    assert target.read_bytes() == b"new"
