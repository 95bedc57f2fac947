"""What runs from a cache is this user's own: files, folders, folders above and links on the way."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsr.native import cache
from tests.conftest import ROOT

root_only = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="becomes other users, which root alone may",
)
OWNER, VICTIM = 51234, 54321


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="streamsr-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the cache, three folders down."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    cache.store("kept", b"good")
    assert cache.load("kept") == b"good"
    return tmp_path / "home" / "cache" / "streamsr" / "kept"


@pytest.mark.parametrize("above", range(4))
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_above_that_others_may_write_to_is_enough(
    kept: Path, above: int, mode: int
) -> None:
    target = [kept, *kept.parents][above]
    target.chmod(mode)
    assert cache.load("kept") is None
    assert not cache.is_private(kept)
    assert cache.private_folder("folder") is None or above == 0
    target.chmod(0o700)
    assert cache.load("kept") == b"good"


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_sticky_folder_above_is_no_danger_to_what_is_ours(kept: Path, above: int) -> None:
    kept.parents[above].chmod(0o1777)
    assert cache.load("kept") == b"good"


@root_only
@pytest.mark.parametrize("above", range(4))
def test_what_belongs_to_another_user_is_not_loaded(kept: Path, above: int) -> None:
    os.chown([kept, *kept.parents][above], OWNER, -1)
    assert cache.load("kept") is None


@root_only
def test_a_link_that_another_user_could_turn_is_not_followed(kept: Path, place: Path) -> None:
    """What it points to is ours, for now."""
    link = place / "link"
    link.symlink_to(kept.parent)
    assert cache.is_private(link / "kept")
    os.lchown(link, OWNER, -1)
    assert not cache.is_private(link / "kept")
    os.lchown(link, 0, -1)
    place.chmod(0o777)
    assert not cache.is_private(link / "kept")


def test_links_that_lead_nowhere_or_in_circles_are_not_private(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("nowhere")
    assert not cache.is_private(tmp_path / "a")
    assert not cache.is_private(tmp_path / "c")
    assert not cache.is_private(tmp_path / "missing")


def test_nothing_is_written_where_it_could_not_be_trusted(kept: Path) -> None:
    kept.parent.chmod(0o777)
    cache.store("more", b"x")
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_a_generous_umask_costs_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "home" / ".cache"))
    before = os.umask(0o002)
    try:
        cache.store("kept", b"good")
        assert cache.load("kept") == b"good"
        assert cache.private_folder("folder") is not None
    finally:
        os.umask(before)


def test_files_that_a_generous_umask_made_count_in_a_folder_nobody_can_enter(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    (folder / "file").touch()
    (folder / "file").chmod(0o664)
    assert cache.is_private_tree(folder)
    folder.chmod(0o755)
    assert not cache.is_private_tree(folder)
    (folder / "file").chmod(0o644)
    assert cache.is_private_tree(folder)
    (folder / "link").symlink_to("file")
    assert not cache.is_private_tree(folder)


def setpriv(user: int) -> list[str]:
    """The words before a command that run it as this user, who may read all files: Python may lie
    in root's home."""
    may_read = "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"
    return ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", *may_read]


def as_user(
    user: int, home: Path | None, *words: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    dropped = ("HOME", "XDG_CACHE_HOME")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    if home is not None:
        env["HOME"] = str(home)
    env |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(
        [*setpriv(user), sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd="/",
        env=env,
    )


USES = """
import numpy as np
from streamsr.picture.yuv import Converter
from streamsr.color import ColorTags
out = np.zeros((2, 2, 3), np.uint8)
y, c = np.full((2, 2), 235, np.uint8), np.full((1, 1), 128, np.uint8)
Converter(ColorTags(1, 1, 1, 1)).to_rgb((y, c, c), out)
assert (out == 255).all()
print("done")
"""


@root_only
def test_loops_are_kept_in_ones_own_cache(place: Path) -> None:
    os.chown(place, OWNER, -1)
    for _ in range(2):
        done = as_user(OWNER, place, "-c", USES)
        assert done.stdout == "done\n", done.stderr
    assert list((place / ".cache" / "streamsr").glob("to_rgb_8_8-*.o"))


@root_only
def test_a_user_without_home_or_name_has_no_cache_and_no_trouble() -> None:
    done = as_user(
        VICTIM, None, "-c", "from streamsr.native import cache\nprint(cache.folder())\n" + USES
    )
    assert done.stdout == "None\ndone\n", done.stderr
    done = as_user(VICTIM, None, "-m", "streamsr", "info")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@root_only
def test_gstreamers_registry_is_never_in_a_folder_of_another_user(place: Path) -> None:
    home = place / "home"
    planted = home / ".cache" / "streamsr" / "gstreamer"
    planted.mkdir(parents=True)
    for path in (home, *home.rglob("*")):
        os.chown(path, OWNER, -1)
        path.chmod(0o777)
    mine = place / "mine"
    mine.mkdir()
    os.chown(mine, VICTIM, -1)
    for given, kept in ((home, False), (None, False), (mine, True)):
        done = as_user(VICTIM, given, "-m", "streamsr.gstreamer", TMPDIR=str(mine))
        if "GStreamer" in done.stderr:
            pytest.skip(done.stderr.splitlines()[-1])
        assert done.returncode == 0, done.stderr
        registry = Path(done.stdout.split("GST_REGISTRY=")[1].strip())
        assert registry.is_relative_to(mine / ".cache" if kept else mine)
        assert registry.parent.stat().st_uid == VICTIM
        assert not registry.parent.stat().st_mode & 0o022
