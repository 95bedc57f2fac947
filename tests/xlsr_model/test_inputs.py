"""What is read is neither replaced nor changed unseen."""

import os
from pathlib import Path

import pytest

from xlsr_model.files import Output
from xlsr_model.inputs import Input, protected


@pytest.mark.parametrize("name", ["in.mkv", "hard.mkv", "soft.mkv", "folder/../in.mkv"])
def test_an_input_is_never_replaced_whatever_its_name(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.mkv"
    source.write_bytes(b"precious")
    os.link(source, tmp_path / "hard.mkv")
    (tmp_path / "soft.mkv").symlink_to(source)
    (tmp_path / "folder").mkdir()
    for reading in (lambda: Input(source), lambda: protected([source, tmp_path / "missing"])):
        with (
            reading(),
            pytest.raises(FileExistsError) as refusal,
            Output(tmp_path / name, overwrite=True),
        ):
            pass
        assert refusal.value.strerror == "is the input"
    with Output(tmp_path / "out.mkv", overwrite=True) as output:
        with Input(source):
            os.link(source, tmp_path / "out.mkv")  # an input gets the target's name while we work
            with pytest.raises(FileExistsError):
                output.publish()
        output.publish()
    assert source.read_bytes() == b"precious"


def test_a_change_of_the_input_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"

    def grown() -> None:
        with open(path, "ab") as file:
            file.write(b"more")

    def rewritten() -> None:
        with open(path, "r+b") as file:
            file.write(b"X")
        os.utime(path, ns=(0, 0))

    def replaced() -> None:
        other = tmp_path / "other"
        other.write_bytes(b"content")
        os.utime(other, ns=(1, path.stat().st_mtime_ns))
        other.replace(path)

    for change in (grown, rewritten, replaced):
        path.write_bytes(b"content")
        with Input(path) as original:
            original.check()
            change()
            with pytest.raises(OSError, match="while it was read"):
                original.check()
    path.write_bytes(b"content")
    with Input(path) as original:
        path.unlink()
        original.check()


def test_what_cannot_be_read_twice_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="read twice"):
        Input(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        Input(tmp_path)
