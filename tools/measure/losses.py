"""Tries the ways to lose a file and writes docs/data/losses.json, of which docs/fidelity.md has a
table.

    python -m tools.measure.losses [--before CODE]

Each way runs the command on a small film in a folder of its own, then looks whether all bytes that
were not the command's are still there. ``--before`` names a checkout of other code, to be tried in
the same way.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "docs" / "data" / "losses.json"

HELD = """
import sys
from streamsr.upscaler import Upscaler
real = Upscaler.frames
def frames(self, frames):
    if frames[0].index == 1:
        print("working", flush=True)
        sys.stdin.readline()
    return real(self, frames)
Upscaler.frames = frames
from streamsr.cli import main
main()
"""
"""The command, which waits for a line after a frame."""

PRECIOUS = b"precious"


class Try:
    """A folder with ``in.mkv`` and ``other.mkv``, and the command of one checkout."""

    def __init__(self, folder: Path, code: Path) -> None:
        self.folder = folder
        self._env = {
            **os.environ,
            "PYTHONPATH": str(code),
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
        }

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def start(
        self, *words: object, script: str = "from streamsr.cli import main; main()"
    ) -> "subprocess.Popen[str]":
        given = ["--model", "clean", "--engine", "litert", "--threads", "1"]
        given += (
            ["--preset", "ultrafast"]
            if words[0] == "upscale" and str(words[1]).endswith("v")
            else []
        )
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, words), *given],
            cwd=self.folder,
            env=self._env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, *words: object) -> int:
        process = self.start(*words)
        process.communicate(timeout=120)
        return process.returncode

    def stranger(self, name: str) -> Path:
        path = self / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PRECIOUS)
        return path

    def holds(self, name: str, content: bytes = PRECIOUS) -> bool:
        path = self / name
        return path.is_file() and path.read_bytes() == content


Outcome = tuple[bool, int]
"""Whether something was lost, and the command's exit status."""


def unfinished_name(t: Try) -> Outcome:
    content = (t / "in.mkv").read_bytes()
    (t / "in.mkv").rename(t / "film.mkv.part")
    status = t.run("upscale", "film.mkv.part", "-o", "film.mkv")
    return not t.holds("film.mkv.part", content), status


def part(name: str, source: str) -> Callable[[Try], Outcome]:
    def way(t: Try) -> Outcome:
        t.stranger(f"{name}.part")
        status = t.run("upscale", source, "-o", name)
        return not t.holds(f"{name}.part"), status

    return way


def linked_part(t: Try) -> Outcome:
    t.stranger("victim.txt")
    (t / "film.mkv.part").symlink_to("victim.txt")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv")
    return not (t.holds("victim.txt") and (t / "film.mkv.part").is_symlink()), status


def folder_of_somebody(t: Try) -> Outcome:
    t.stranger("film.mkv.resume/thesis.txt")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--resume")
    return not t.holds("film.mkv.resume/thesis.txt"), status


def linked_folder(t: Try) -> Outcome:
    t.stranger("thesis/thesis.txt")
    (t / "film.mkv.resume").symlink_to("thesis")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--resume")
    return not t.holds("thesis/thesis.txt"), status


def somebodys_ledger(t: Try) -> Outcome:
    t.stranger("film.mkv.resume/ledger.jsonl")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--resume")
    return not t.holds("film.mkv.resume/ledger.jsonl"), status


def second_run_stopped(t: Try) -> Outcome:
    first = t.start("upscale", "in.mkv", "-o", "film.mkv", script=HELD)
    assert first.stdout is not None
    first.stdout.readline()
    second = t.start("upscale", "in.mkv", "-o", "film.mkv", script=HELD)
    assert second.stdout is not None
    second.stdout.readline()
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=60)
    first.communicate("\n", timeout=60)
    return not (first.returncode == 0 and (t / "film.mkv").exists()), first.returncode


def two_runs(t: Try) -> Outcome:
    """The second one is of another film: what is there at the end must be what the successful one
    made."""
    first = t.start("upscale", "in.mkv", "-o", "film.mkv", script=HELD)
    assert first.stdout is not None
    first.stdout.readline()
    second = t.start("upscale", "other.mkv", "-o", "film.mkv", "--scale", "2", script=HELD)
    assert second.stdout is not None
    second.stdout.readline()
    first.communicate("\n", timeout=60)
    second.communicate("\n", timeout=60)
    t.run("upscale", "in.mkv", "-o", "right.mkv")
    right = (t / "right.mkv").read_bytes()
    return first.returncode == 0 and not t.holds("film.mkv", right), first.returncode


def appears(*more: str) -> Callable[[Try], Outcome]:
    def way(t: Try) -> Outcome:
        process = t.start("upscale", "in.mkv", "-o", "film.mkv", *more, script=HELD)
        assert process.stdout is not None
        process.stdout.readline()
        t.stranger("film.mkv")
        process.communicate("\n", timeout=60)
        return not t.holds("film.mkv"), process.returncode

    return way


def changed_input(*more: str) -> Callable[[Try], Outcome]:
    def way(t: Try) -> Outcome:
        process = t.start("upscale", "in.mkv", "-o", "film.mkv", *more, script=HELD)
        assert process.stdout is not None
        process.stdout.readline()
        (t / "other.mkv").replace(t / "in.mkv")
        process.communicate("\n", timeout=60)
        return process.returncode == 0, process.returncode

    return way


def record_over_source(name: str, kind: str) -> Callable[[Try], Outcome]:
    def way(t: Try) -> Outcome:
        content = (t / "in.mkv").read_bytes()
        if kind == "link":
            (t / name).symlink_to("in.mkv")
        status = t.run("live", "in.mkv", "--record", name, "--overwrite")
        return not t.holds("in.mkv", content), status

    return way


def record_in_vain(t: Try) -> Outcome:
    t.stranger("old.mkv")
    status = t.run(
        "live",
        "in.mkv",
        "--record",
        "old.mkv",
        "--overwrite",
        "--preview",
        "web",
        "--host",
        "203.0.113.1",
    )
    return not t.holds("old.mkv"), status


def statistics(name: str) -> Callable[[Try], Outcome]:
    def way(t: Try) -> Outcome:
        content = t.stranger(name).read_bytes() if name != "in.mkv" else (t / name).read_bytes()
        status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--stats-json", name)
        return not t.holds(name, content), status

    return way


def output_leads_to_an_input(t: Try) -> Outcome:
    content = (t / "other.mkv").read_bytes()
    (t / "folder").mkdir()
    (t / "folder" / "in.mkv").symlink_to(t / "other.mkv")
    status = t.run("upscale", "in.mkv", "other.mkv", "-o", "folder", "--overwrite")
    return not ((t / "folder" / "in.mkv").is_symlink() and t.holds("other.mkv", content)), status


def a_link_as_output(t: Try) -> Outcome:
    (t / "film.mkv").symlink_to("nowhere.mkv")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv")
    return not (t / "film.mkv").is_symlink(), status


def a_pipe_as_output(t: Try) -> Outcome:
    os.mkfifo(t / "film.mkv")
    status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--overwrite")
    return not (t / "film.mkv").is_fifo(), status


def mode_of_a_secret(t: Try) -> Outcome:
    t.stranger("film.mkv").chmod(0o600)
    status = t.run("upscale", "in.mkv", "-o", "film.mkv", "--overwrite")
    return (t / "film.mkv").stat().st_mode & 0o777 != 0o600, status


WAYS: dict[str, Callable[[Try], Outcome]] = {
    "the input is called OUT.part, as unfinished downloads are": unfinished_name,
    "a stranger's OUT.part, film": part("film.mkv", "in.mkv"),
    "a stranger's OUT.part, picture": part("out.png", "in.png"),
    "OUT.part is a link to a stranger's file": linked_part,
    "OUT.resume is somebody's folder, `--resume`": folder_of_somebody,
    "OUT.resume is a link to somebody's folder": linked_folder,
    "OUT.resume holds somebody's ledger.jsonl": somebodys_ledger,
    "a second run into OUT is started and stopped": second_run_stopped,
    "two runs into OUT, of two films": two_runs,
    "a file appears under the name OUT meanwhile": appears(),
    "the same with `--resume`": appears("--resume"),
    "the input is exchanged meanwhile": changed_input(),
    "the same with `--resume`, between two segments": changed_input(
        "--resume", "--segment", "0.04"
    ),
    "`live X --record X --overwrite`": record_over_source("in.mkv", "same"),
    "the same through a link": record_over_source("link.mkv", "link"),
    "`--record OLD --overwrite` and a page that cannot be opened": record_in_vain,
    "`--stats-json` names somebody's file": statistics("thesis.json"),
    "`--stats-json` names the input": statistics("in.mkv"),
    "the output of one input is another input, `--overwrite`": output_leads_to_an_input,
    "OUT is a link to nothing": a_link_as_output,
    "OUT is a pipe, `--overwrite`": a_pipe_as_output,
    "a replaced file's mode 0600": mode_of_a_secret,
}


def films(folder: Path) -> None:
    for name, pattern in (("in.mkv", "testsrc2"), ("other.mkv", "smptebars")):
        words = [
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            f"{pattern}=s=32x24:r=25:d=0.4",
            "-g",
            "2",
            "-c:v",
            "libx264",
        ]
        subprocess.run(["ffmpeg", *words, str(folder / name)], check=True)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "in.mkv", "-frames:v", "1", "in.png"],
        check=True,
        cwd=folder,
    )


def tried(code: Path) -> dict[str, tuple[str, int]]:
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        originals = Path(scratch, "originals")
        originals.mkdir()
        films(originals)
        for number, (name, way) in enumerate(WAYS.items()):
            folder = Path(shutil.copytree(originals, Path(scratch, str(number), "work")))
            lost, status = way(Try(folder, code))
            found[name] = "lost" if lost else "kept", status
            print(f"{name}: {found[name]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path)
    given = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if given.before:
        result["before"] = tried(given.before.resolve())
    result["now"] = tried(ROOT)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
