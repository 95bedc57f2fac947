"""The rule of the folders: whatever a path says, what is opened lies in a folder that was given."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsr.desk.places import Places
from streamsr.errors import SourceError

SECRET = b"secret"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``root`` with films, folders and links, and what is outside of it."""
    base = tmp_path_factory.mktemp("tree")
    root, outside = base / "root", base / "outside"
    for folder in (root / "a" / "b", outside / "deep", base / "rootless"):
        folder.mkdir(parents=True)
    for folder in (root, root / "a", root / "a" / "b"):
        (folder / "film.mp4").write_bytes(b"film")
    for folder in (outside, outside / "deep", base / "rootless", base):
        (folder / "film.mp4").write_bytes(SECRET)
    links = {
        "out": outside,
        "out.mp4": outside / "film.mp4",
        "up": Path(".."),
        "a/far": Path("../../outside/deep"),
        "in": Path("a/b"),
        "in.mp4": Path("a/film.mp4"),
        "loop": Path("loop"),
        "a/b/chain": Path("../../out"),
        "gone.mp4": Path("nowhere.mp4"),
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.mp4")
    return base


PARTS = [
    "..", ".", "", "a", "b", "root", "outside", "rootless", "deep", "film.mp4", "out", "out.mp4",
    "up", "far", "in", "in.mp4", "loop", "chain", "gone.mp4", "pipe.mp4", "~", "a\0b", "\udcff",
    "\ud800", "x" * 300,
]  # fmt: skip


@given(parts=st.lists(st.sampled_from(PARTS), max_size=8), begin=st.sampled_from(["", "/", "root"]))
@settings(max_examples=1500)
def test_nothing_outside_is_ever_opened(tree: Path, parts: list[str], begin: str) -> None:
    places = Places([tree / "root"])
    start = {"": "", "/": "/", "root": f"{tree}/root/"}[begin]
    path = start + "/".join(parts)
    fd, said = -1, ""
    try:
        fd = places.opened(path)
    except SourceError as error:
        said = str(error)
    if fd < 0:
        real = os.path.realpath(path) if "\0" not in path and "\ud800" not in path else ""
        inside = os.path.isabs(path) and real.startswith(f"{tree}/root")
        assert inside or said == f"{path}: is not in a folder of this desk"
        return
    try:
        assert os.read(fd, 100) == b"film"
        assert os.path.realpath(f"/proc/self/fd/{fd}").startswith(f"{tree}/root/")
    finally:
        os.close(fd)


@given(parts=st.lists(st.sampled_from(PARTS), max_size=6))
def test_no_list_names_what_leads_outside(tree: Path, parts: list[str]) -> None:
    try:
        entries = Places([tree / "root"]).entries(f"{tree}/root/" + "/".join(parts))
    except SourceError:
        return
    for entry in entries:
        assert os.path.realpath(entry.path).startswith(f"{tree}/root")


def test_a_list_has_folders_and_films_by_name(tree: Path) -> None:
    names = [entry.path.name for entry in Places([tree / "root"]).entries(tree / "root")]
    assert names == ["a", "in", "film.mp4", "in.mp4"]


def test_a_link_that_changes_after_the_look_is_caught(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "film.mp4").write_bytes(b"film")

    class Swapping(Places):
        """Somebody who may write in the folder acts between the look and the opening."""

        looks = 0

        def resolved(self, path: str | Path) -> Path:
            found = super().resolved(path)
            self.looks += 1
            if self.looks == 1:
                os.rename(root / "sub", root / "away")
                (root / "sub").symlink_to(tree / "outside")
            return found

    with pytest.raises(SourceError):
        Swapping([root]).opened(root / "sub" / "film.mp4")


def test_a_folder_that_is_none_is_refused(tree: Path) -> None:
    for path in (tree / "nothing", tree / "film.mp4", tree / "root" / "loop"):
        with pytest.raises(SourceError):
            Places([path])
