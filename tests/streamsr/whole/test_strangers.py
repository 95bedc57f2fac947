"""Whatever stands where a run works, and whatever happens meanwhile: every byte that was not ours
is as it was.

The world is a folder with an input and with strangers' files, links, pipes and folders under every
name that a run might use, and a folder elsewhere that the links lead to. What is right is computed
here from names and kinds alone.
"""

import errno
import gc
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.segments.ledger import LEDGER
from tests.support.command import Command
from tests.support.media import look, make_video, picture
from tests.support.processes import run, running

OUT = "out.mkv"

NAMES = (
    OUT,
    f"{OUT}.part",
    f".{OUT}.part",
    f"{OUT}.resume",
    f"{OUT}.lock",
    f"{OUT}.tmp",
    f"{OUT}~",
    f"{OUT}.resume.part",
    "stats.json",
    "stats.json.part",
)


def a_file(path: Path, _elsewhere: Path) -> None:
    path.write_bytes(b"precious")


def an_empty_file(path: Path, _elsewhere: Path) -> None:
    path.touch()


def a_link_to_a_file(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "victim")


def a_link_to_a_folder(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def a_link_to_nothing(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "missing")


def a_link_to_the_input(path: Path, _elsewhere: Path) -> None:
    path.symlink_to("in.mkv")


def a_second_name_of_the_input(path: Path, _elsewhere: Path) -> None:
    os.link(path.with_name("in.mkv"), path)


def a_second_name_of_a_file(path: Path, elsewhere: Path) -> None:
    os.link(elsewhere / "victim", path)


def a_pipe(path: Path, _elsewhere: Path) -> None:
    os.mkfifo(path)


def an_empty_folder(path: Path, _elsewhere: Path) -> None:
    path.mkdir()


def a_folder(path: Path, _elsewhere: Path) -> None:
    (path / "deeper").mkdir(parents=True)
    for name in ("thesis.txt", "000000.segment", "000000.part", "joined.mkv", "deeper/notes.txt"):
        (path / name).write_bytes(b"precious")


def a_folder_with_somebodys_ledger(path: Path, _elsewhere: Path) -> None:
    path.mkdir()
    (path / LEDGER).write_bytes(b'{"format": 1, "theirs": true}\n{"segment": 0}\nno newline')
    (path / "000000.segment").write_bytes(b"precious")


def a_folder_with_a_linked_ledger(path: Path, elsewhere: Path) -> None:
    path.mkdir()
    (path / LEDGER).symlink_to(elsewhere / "victim")


KINDS = (
    a_file,
    an_empty_file,
    a_link_to_a_file,
    a_link_to_a_folder,
    a_link_to_nothing,
    a_link_to_the_input,
    a_second_name_of_the_input,
    a_second_name_of_a_file,
    a_pipe,
    an_empty_folder,
    a_folder,
    a_folder_with_somebodys_ledger,
    a_folder_with_a_linked_ledger,
)

State = dict[Path, tuple[object, ...]]


def state(*folders: Path) -> State:
    """All there is: what each name is, and what it holds."""
    found: State = {}
    for path in itertools.chain.from_iterable((folder, *folder.rglob("*")) for folder in folders):
        mode = path.lstat().st_mode
        holds: object = None
        if stat.S_ISLNK(mode):
            holds = os.readlink(path)
        elif stat.S_ISREG(mode):
            holds = path.read_bytes()
        found[path] = (stat.S_IFMT(mode), stat.S_IMODE(mode), path.lstat().st_uid, holds)
    return found


def may_be_replaced(out: Path, source: Path) -> set[Path]:
    """What a run with leave to overwrite ``out`` may change: a file that is not the input, also
    behind a link."""
    real = Path(os.path.realpath(out))
    if real.is_file() and not real.samefile(source):
        return {real}
    return set()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    make_video(folder / "in.mkv", size=(16, 12), pts=range(6), options={"g": "2"})
    cv2.imwrite(str(folder / "in.png"), np.ascontiguousarray(picture(0, 16, 12)[..., ::-1]))
    return folder


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "plain": lambda w: ["upscale", w / "in.mkv", "-o", w / OUT, "--preset", "ultrafast"],
    "resume": lambda w: [*COMMANDS["plain"](w), "--resume", "--segment", "0.04"],
    "into a folder": lambda w: [
        "upscale",
        w / "in.mkv",
        "-o",
        w / "a folder",
        "--preset",
        "ultrafast",
    ],
    "record": lambda w: ["live", w / "in.mkv", "--record", w / OUT],
    "picture": lambda w: ["upscale", w / "in.png", "-o", w / "out.png"],
}

FAULTS = ("fsync", "link", "replace", "write", "unlink", "mkdir", "fchmod")


def failing(
    real: Callable[..., object], at: int, error: type[BaseException]
) -> Callable[..., object]:
    """Its first calls work, and from number ``at`` on none does; a Ctrl-C comes once."""
    count = itertools.count()

    def call(*args: object, **how: object) -> object:
        number = next(count)
        if number >= at and error is OSError:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if number == at:
            raise error
        return real(*args, **how)

    return call


@settings(max_examples=150)
@given(
    strangers=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(KINDS), max_size=4),
    command=st.sampled_from(sorted(COMMANDS)),
    overwrite=st.booleans(),
    stats=st.booleans(),
    fault=st.none()
    | st.tuples(
        st.sampled_from(FAULTS), st.integers(0, 12), st.sampled_from((OSError, KeyboardInterrupt))
    ),
)
def test_what_is_not_ours_stays(
    strangers: dict[str, Callable[[Path, Path], None]],
    command: str,
    overwrite: bool,
    stats: bool,
    fault: tuple[str, int, type[BaseException]] | None,
    sources: Path,
    tmp_path: Path,
    streamsr: Command,
    model: Path,
) -> None:
    world, elsewhere = tmp_path / "world", tmp_path / "elsewhere"
    for folder in (world, elsewhere):
        shutil.rmtree(folder, ignore_errors=True)
    elsewhere.mkdir()
    (elsewhere / "victim").write_bytes(b"a victim")
    shutil.copytree(sources, world)
    out = world / ("out.png" if command == "picture" else OUT)
    for name, kind in strangers.items():
        kind(world / name.replace(OUT, out.name), elsewhere)
    if command == "into a folder":  # the same names, but in a folder that is named as the output
        (world / "a folder").mkdir()
        out = world / "a folder" / "in.mkv"
        for name, kind in strangers.items():
            if kind not in (a_link_to_the_input, a_second_name_of_the_input):
                kind(out.with_name(name.replace(OUT, out.name)), elsewhere)
    before = state(world, elsewhere)
    source = world / ("in.png" if command == "picture" else "in.mkv")
    if out.is_dir() and command != "record":  # then the output goes into it
        out = Path(os.path.realpath(out)) / source.name
    changeable = may_be_replaced(out, source) if overwrite else set()
    words = [*COMMANDS[command](world), "--model", model, "--engine", "litert", "--threads", "1"]
    words += ["--overwrite"] * overwrite + ["--stats-json", world / "stats.json"] * stats
    with pytest.MonkeyPatch.context() as patch:
        if fault is not None:
            name, at, error = fault
            patch.setattr(os, name, failing(getattr(os, name), at, error))
        result = streamsr(*words)
    gc.collect()  # a Ctrl-C in the middle of clearing up leaves what is cleared up with the objects
    after = state(world, elsewhere)

    empty_stats = world / "stats.json"
    if before.get(empty_stats, (0,))[-1] == b"" and stats:
        changeable.add(empty_stats)  # an empty file may become one of numbers
    gone_or_changed = {
        path for path in before if path not in changeable and after.get(path) != before[path]
    }
    empty = {
        path
        for path in gone_or_changed
        if path.name == f"{out.name}.resume" and before[path][0] == stat.S_IFDIR
    }
    assert not gone_or_changed - empty, (result, gone_or_changed)
    assert result.status in (0, 1, 130), result
    new = {path for path in after if path not in before}
    ours = {out, world / "stats.json", Path(os.path.realpath(out))}
    resume = out.with_name(out.name + ".resume")
    if fault is None or fault[0] != "unlink":  # who cannot remove anything leaves what it has made
        assert all(
            path in ours or (command == "resume" and (path == resume or resume in path.parents))
            for path in new
        )
    if result.status == 0:
        assert out.stat().st_size > 0
    if fault is None and result.status == 0:
        assert resume not in new


@pytest.mark.parametrize("command", ["plain", "resume", "record"])
def test_killed_at_any_moment_nothing_of_a_stranger_is_lost(
    command: str, sources: Path, tmp_path: Path, model: Path
) -> None:
    """And the next run finds its way, and leaves nothing of the dead one."""
    world, elsewhere = tmp_path / "world", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "victim").write_bytes(b"a victim")
    shutil.copytree(sources, world)
    for name in (f"{OUT}.part", f".{OUT}.part", f"{OUT}.lock"):
        a_file(world / name, elsewhere)
    before = state(world, elsewhere)
    words = [
        *map(str, COMMANDS[command](world)),
        "--model",
        str(model),
        "--engine",
        "litert",
        "--threads",
        "1",
    ]
    killed = 0
    for at in range(1, 12):
        done = run([sys.executable, "-c", KILLED, at, *words])
        after = state(world, elsewhere)
        assert {path: after.get(path) for path in before} == before
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        if (world / OUT).exists():  # a recording has its name already, and a film that was complete
            (world / OUT).unlink()
    assert killed >= 3
    (world / OUT).unlink(missing_ok=True)
    done = run([sys.executable, "-m", "streamsr", *words])
    assert done.returncode == 0, done.stderr
    assert set(state(world, elsewhere)) == {*before, world / OUT}


KILLED = """
import itertools, os, signal, sys
at, sys.argv[1:] = int(sys.argv[1]), sys.argv[2:]
calls = itertools.count(1)
def dies(name):
    real = getattr(os, name)
    def call(*args, **how):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **how)
    setattr(os, name, call)
for name in ("open", "fsync", "link", "replace", "unlink"):
    dies(name)
from streamsr.cli import main
main()
"""
"""The command, killed before its call of this number that could change what a disk holds."""


def test_the_name_of_an_unfinished_download_is_a_name_like_any_other(
    sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    source = tmp_path / f"{OUT}.part"
    shutil.copy(sources / "in.mkv", source)
    held = source.read_bytes()
    done = streamsr("upscale", source, "-o", tmp_path / OUT, "--model", model, "--engine", "litert")
    assert done.status == 0, done.err
    assert source.read_bytes() == held
    assert sorted(path.name for path in tmp_path.iterdir()) == [OUT, source.name]


@pytest.mark.parametrize(
    "name", ["2024-05-01T10:30:00.mkv", "漢" * 83 + ".mkv", "a b%20c?d#e.mkv", "file:x.mkv"]
)
@pytest.mark.parametrize("command", ["upscale", "resume", "live"])
def test_a_name_is_only_a_name(
    name: str,
    command: str,
    sources: Path,
    tmp_path: Path,
    streamsr: Command,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Relative, as people type it: FFmpeg would take a part of it for a protocol."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    shutil.copy(sources / "in.mkv", name)
    words = ["--model", model, "--engine", "litert"]
    target = Path("out", name)
    if command == "live":
        done = streamsr("live", f"./{name}", "--record", target, *words)
    else:
        words += ["--preset", "ultrafast", *(["--resume"] if command == "resume" else [])]
        done = streamsr("upscale", name, "-o", target, *words)
    assert done.status == 0, done.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


@pytest.mark.parametrize("way", ["same name", "a link", "another name"])
def test_a_recording_does_not_take_its_source(
    way: str, sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    source = target = tmp_path / "in.mkv"
    shutil.copy(sources / "in.mkv", source)
    if way != "same name":
        target = tmp_path / "other.mkv"
        (target.symlink_to if way == "a link" else target.hardlink_to)(source)
    before = state(tmp_path)
    done = streamsr(
        "live", source, "--record", target, "--overwrite", "--model", model, "--engine", "litert"
    )
    assert done.status == 1
    assert done.err.splitlines()[-1] == f"streamsr: {target}: is the input"
    assert state(tmp_path) == before


def test_an_old_recording_stays_until_there_is_a_new_one(
    sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    target = tmp_path / OUT
    target.write_bytes(b"an old recording")
    for words in (
        ["--preview", "web", "--port", "1", "--host", "203.0.113.1"],
        ["--publish", "nonsense://x"],
    ):
        done = streamsr(
            "live", sources / "in.mkv", "--record", target, "--overwrite", "--model", model, *words
        )
        assert done.status == 1, done
        assert target.read_bytes() == b"an old recording"
    done = streamsr(
        "live",
        sources / "in.mkv",
        "--record",
        target,
        "--overwrite",
        "--model",
        model,
        "--engine",
        "litert",
    )
    assert done.status == 0, done.err
    assert target.stat().st_size > 100
    assert [path.name for path in tmp_path.iterdir()] == [OUT]


@pytest.mark.parametrize("resume", [[], ["--resume", "--segment", "0.04"]], ids=["plain", "resume"])
@pytest.mark.parametrize("change", ["replaced", "rewritten", "grown"])
def test_an_input_that_changes_ends_the_run(
    change: str, resume: list[str], sources: Path, tmp_path: Path, model: Path
) -> None:
    """The film is exchanged after the first frame, by a source that says so."""
    source, target = tmp_path / "in.mkv", tmp_path / OUT
    shutil.copy(sources / "in.mkv", source)
    words = [
        *map(
            str,
            ["upscale", source, "-o", target, "--preset", "ultrafast", "--model", model, *resume],
        )
    ]
    done = run([sys.executable, "-c", CHANGES, change, source, *words, "--engine", "litert"])
    assert done.returncode == 1, done.stderr
    assert "while it was read" in done.stderr.splitlines()[-1]
    assert not target.exists()
    if not resume:
        assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


CHANGES = """
import os, shutil, sys
change, source, sys.argv[1:] = sys.argv[1], sys.argv[2], sys.argv[3:]
from streamsr.upscaler import Upscaler
real = Upscaler.frames
def frames(self, frames):
    if frames[0].index == 1:
        if change == "replaced":
            shutil.copy(source, source + ".new")
            os.replace(source + ".new", source)
        elif change == "rewritten":
            with open(source, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                file.write(b"?")
        else:
            with open(source, "ab") as file:
                file.write(bytes(100))
    return real(self, frames)
Upscaler.frames = frames
from streamsr.cli import main
main()
"""


def test_a_film_cannot_be_written_over_another_input_of_the_run(
    sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    """The name that the first one becomes leads to the second one."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.mkv", "b.mkv"):
        shutil.copy(sources / "in.mkv", tmp_path / name)
    (folder / "a.mkv").symlink_to(tmp_path / "b.mkv")
    before = state(tmp_path)
    words = ["--overwrite", "--model", model, "--engine", "litert", "--preset", "ultrafast"]
    done = streamsr("upscale", tmp_path / "a.mkv", tmp_path / "b.mkv", "-o", folder, *words)
    assert done.status == 1
    assert "a.mkv: is the input" in done.err
    after = state(tmp_path)
    assert {path: after[path] for path in before} == before
    assert (folder / "b.mkv").exists()


def test_statistics_replace_only_statistics(
    sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    numbers = tmp_path / "stats.json"
    words = ["--model", model, "--engine", "litert", "--preset", "ultrafast", "--stats-json"]
    numbers.write_text('{"name": "somebody\'s", "versions": {"1.0": {}}}')
    held = numbers.read_bytes()
    done = streamsr("upscale", sources / "in.mkv", "-o", tmp_path / OUT, *words, numbers)
    assert done.status == 1
    assert "stats.json: exists already and holds something else" in done.err
    assert numbers.read_bytes() == held
    assert not (tmp_path / OUT).exists(), "said before the work"
    numbers.write_bytes(b"")
    for frames in (6, 6):
        done = streamsr(
            "upscale", sources / "in.mkv", "-o", tmp_path / OUT, "--overwrite", *words, numbers
        )
        assert done.status == 0, done.err
        assert json.loads(numbers.read_bytes())["frames"]["out"] == frames
    done = streamsr(
        "upscale",
        sources / "in.mkv",
        "-o",
        tmp_path / OUT,
        "--overwrite",
        *words,
        sources / "in.mkv",
    )
    assert done.status == 1
    assert "in.mkv: " in done.err


@pytest.mark.parametrize("first", [[], ["--resume"]], ids=["plain", "resume"])
@pytest.mark.parametrize("second", [[], ["--resume"]], ids=["plain", "resume"])
def test_a_second_run_into_one_output_is_refused_at_once(
    first: list[str],
    second: list[str],
    sources: Path,
    tmp_path: Path,
    streamsr: Command,
    model: Path,
) -> None:
    target = tmp_path / OUT
    words = [
        "upscale",
        sources / "in.mkv",
        "-o",
        target,
        "--model",
        model,
        "--engine",
        "litert",
        "--preset",
        "ultrafast",
    ]
    with held([*words, *first], frame=1) as go_on:
        before = state(tmp_path)
        done = streamsr(*words, "--overwrite", *second)
        assert done.status == 1
        assert done.err.splitlines()[-1].endswith(f"{target}: another run is working on it")
        assert state(tmp_path) == before
        assert go_on() == 0
    assert [path.name for path in tmp_path.iterdir()] == [OUT]


def test_a_second_recording_into_one_file_is_refused(
    sources: Path, tmp_path: Path, streamsr: Command, model: Path
) -> None:
    """It has its name since its first frame, and is still written."""
    target = tmp_path / OUT
    words = [
        "live",
        sources / "in.mkv",
        "--record",
        target,
        "--overwrite",
        "--model",
        model,
        "--engine",
        "litert",
    ]
    with held(words, frame=3) as go_on:
        for more in (
            words,
            ["upscale", sources / "in.mkv", "-o", target, "--overwrite", "--model", model],
        ):
            done = streamsr(*more)
            assert done.status == 1
            assert "another run is working on it" in done.err
        assert go_on() == 0
    assert [path.name for path in tmp_path.iterdir()] == [OUT]
    assert len(look(target).times) == 6


@contextmanager
def held(words: list[object], *, frame: int) -> Iterator[Callable[[], int]]:
    """The command, which waits before it upscales this frame until it is told to go on; that gives
    its exit status."""
    command = [sys.executable, "-c", HELD, frame, *words]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helper:
        stdin, stdout = helper.process.stdin, helper.process.stdout
        assert stdin is not None
        assert stdout is not None
        assert stdout.readline() == "working\n", helper.told()

        def go_on() -> int:
            stdin.close()
            return helper.ended()

        yield go_on


HELD = """
import sys
frame = int(sys.argv.pop(1))
from streamsr.upscaler import Upscaler
real = Upscaler.frames
def frames(self, frames):
    if frames[0].index == frame:
        print("working", flush=True)
        sys.stdin.readline()
    return real(self, frames)
Upscaler.frames = frames
from streamsr.cli import main
main()
"""
