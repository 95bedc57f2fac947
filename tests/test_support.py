"""The suite itself: no helper outlives it, waiting has an end, a crash is seen, and the user's
cache is left alone."""

import ast
import os
import signal
import sys
from pathlib import Path

import platformdirs
import psutil
import pytest

from streamsr.native import cache
from tests.conftest import CACHE, ROOT
from tests.support import processes
from tests.support.command import streamsr
from tests.support.engine import EXACT
from tests.support.processes import run, running
from tests.support.until import until

SLEEPS = ["sleep", "1000"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_waiting_ends_and_says_what_was_seen() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.1 s in vain; seen last: 3 pictures"):
        until(lambda: False, timeout_s=0.1, seen=lambda: "3 pictures")
    with pytest.raises(AssertionError, match=r"seen last: \[\]"):
        until(list, timeout_s=0.1)
    assert until(lambda: "there") == "there"


def test_waiting_for_a_program_that_has_ended_fails_at_once_with_what_it_said() -> None:
    fails = pytest.raises(AssertionError, match=r"(?s)ended with 1 before.*no such camera")
    with running(python("import sys; sys.exit('no such camera')")) as process, fails:
        process.until(lambda: False)


def test_a_failure_shows_what_the_program_said() -> None:
    words = ["sh", "-c", "echo a word >&2; sleep 1000"]
    with pytest.raises(ZeroDivisionError) as raised, running(words) as process:  # noqa: PT012 - said before it fails
        process.says("a word")
        1 / 0  # noqa: B018
    assert "a word" in "".join(raised.value.__notes__)
    assert not process.running


@pytest.mark.parametrize("tree", [False, True], ids=["alone", "with all that comes of it"])
def test_leaving_the_block_ends_the_program(tree: bool) -> None:
    with running(SLEEPS, tree=tree) as process:
        others = psutil.Process(process.pid).children(recursive=True)
    assert not process.running
    assert not [other for other in others if other.is_running()]


def test_a_program_that_heeds_no_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    stubborn = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', "
        "file=sys.stderr)"
    )
    with running(python(f"{stubborn}; sys.stderr.flush(); time.sleep(1000)")) as process:
        process.says("on")
    assert process.returncode == -signal.SIGKILL


PARENT = """
import os, sys, time
from tests.support.processes import running
with running({words!r}, tree={tree}) as process:
    print(process.pid, file=sys.stderr, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("words", "tree", "sleeping"),
    [
        (SLEEPS, False, 1),
        (SLEEPS, True, 1),
        (
            ["sh", "-c", "setsid sleep 1000 & sleep 1000 & sleep 1000"],
            True,
            3,
        ),  # one in a session of its own
    ],
    ids=["alone", "on a leash", "with all that comes of it"],
)
def test_a_helper_dies_with_its_parent_however_that_dies(
    words: list[str], tree: bool, sleeping: int
) -> None:
    with running(python(PARENT.format(words=words, tree=tree)), cwd=ROOT) as parent:
        helper = psutil.Process(int(parent.says(r"^\d+$")[0]))

        def all_of_it() -> list[psutil.Process]:
            found = [helper, *helper.children(recursive=True)]
            return found if sum(each.name() == "sleep" for each in found) == sleeping else []

        family = parent.until(all_of_it)
        parent.kill()
        until(lambda: not alive(family), seen=lambda: alive(family))


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_without_setpriv_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda _name: None)
    with running(SLEEPS) as process:
        process.until(lambda: psutil.Process(process.pid).name() == "sleep")


def test_a_leash_ends_as_its_command_does() -> None:
    assert run(["sh", "-c", "exit 7"], tree=True).returncode == 7
    assert run(["sh", "-c", "kill -SEGV $$"], tree=True).returncode == -signal.SIGSEGV
    assert run(["no-such-program"], tree=True).returncode == 127


CRASHES = {
    "in_the_command": "    cli.cli.command('crash')(lambda: ctypes.string_at(0))\n    "
    "streamsr('crash')\n",
    "after_the_command": "    assert streamsr('--version').status == 0\n    ctypes.string_at(0)\n",
}


@pytest.mark.parametrize("where", CRASHES)
def test_a_native_crash_is_seen_although_the_command_hides_what_libraries_say(
    tmp_path: Path, where: str
) -> None:
    test = tmp_path / "test_crash.py"
    test.write_text(
        f"import ctypes\nfrom streamsr import cli\ndef test_{where}(streamsr):\n{CRASHES[where]}"
    )
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.streamsr.conftest",
        "-p",
        "no:cacheprovider",
    ]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = run(
        [*words, f"--rootdir={tmp_path}", "-c", os.devnull, test],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == -signal.SIGSEGV, done.stdout + done.stderr
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert f"in test_{where}" in done.stderr


def test_a_test_that_hangs_where_no_signal_helps_is_ended_and_says_where(tmp_path: Path) -> None:
    test = tmp_path / "test_hang.py"
    test.write_text(
        "import pytest, signal, time\n"
        "@pytest.mark.timeout(1)\n"
        "def test_hangs():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as native code that "
        "never comes back\n"
        "    time.sleep(1000)\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = run(
        [*words, f"--rootdir={tmp_path}", "-c", os.devnull, test],
        cwd=tmp_path,
        timeout_s=60,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", "STREAMSR_TEST_GRACE_S": "1"},
    )
    assert done.returncode == 1
    assert "in test_hangs" in done.stderr


def test_the_cache_is_this_runs_own() -> None:
    assert cache.folder().is_relative_to(CACHE)
    assert platformdirs.user_cache_dir().startswith(CACHE)
    done = run(python("from streamsr.native import cache; print(cache.folder())"))
    assert Path(done.stdout.strip()).is_relative_to(CACHE), "programs inherit it"


def test_packages_can_be_hidden_as_if_an_extra_were_not_installed() -> None:
    folder = ROOT / "tests" / "support" / "without"
    environment = {**os.environ, "STREAMSR_TEST_WITHOUT": "av,numpy", "PYTHONPATH": str(folder)}
    code = (
        "from importlib.util import find_spec; print(*(find_spec(name) for name in ('av', 'numpy', "
        "'json')))"
    )
    said = run(python(code), env=environment, check=True).stdout
    assert said.startswith("None None ModuleSpec(name='json'")


def test_the_commands_engine_is_named() -> None:
    assert streamsr("upscale", "a.mp4")[-2:] == ["--engine", EXACT]
    assert streamsr("live", "0", "--engine=openvino")[-1:] == ["--engine=openvino"]
    assert "--engine" not in streamsr("info")


SLEEPERS = {
    "test_cluster.py": "its blows are to fall at any moment",
    "test_long_live.py": "a stream is to run for minutes",
    "test_streams.py": "stand-ins of cameras and servers send at their own rate",
}


def test_no_test_starts_a_program_or_waits_in_a_way_of_its_own() -> None:
    ours = {"subprocess.Popen", "threading.Event().wait", "time.sleep", "asyncio.sleep"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node) != "asyncio.sleep(0)"  # no wait
        }
        allowed = {"time.sleep"} if path.name in SLEEPERS else set()
        assert not calls & ours - allowed, f"{path}: see tests/support"
