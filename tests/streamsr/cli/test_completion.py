"""Completion in the shells that the guide names, set up as it says."""

import os
import pty
import re
import select
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.processes import run, running
from tests.support.until import PATIENCE_S

CASES = {
    "streamsr upsc": {"upscale"},
    "streamsr upscale --consist": {"--consistency"},
    "streamsr upscale --codec h": {"h264", "hevc"},
    "streamsr upscale --model vid": {"video"},
    "streamsr pipe --model xlsr-video_x2": {"xlsr-video_x2_u8"},
    "streamsr compare fi": {"film.mkv"},
    "streamsr upscale --model fi": {"film.mkv"},
}
"""What is typed, and what the last word may become."""


def script_of(shell: str) -> str:
    """The guide's line that writes the completion's script, without where it goes."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    lines = re.findall(rf"`(_STREAMSR_COMPLETE={shell}_source streamsr) > ", text)
    assert len(lines) == 1
    return str(lines[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "film.mkv").write_text("")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "streamsr"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m streamsr "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    python = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PATH": path, "PYTHONPATH": python, "HOME": str(folder)}


def written(shell: str, folder: Path) -> Path:
    """The script, by the guide's line."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    target = folder / f"complete.{shell}"
    line = f"{script_of(shell)} > {target}"
    run(["sh", "-c", line], env=environment(folder), check=True)
    return target


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(folder: Path, line: str) -> None:
    script = written("bash", folder)
    # What readline does with a function that completes; `default` stands for files.
    ask = (
        f'. {script}; compopt() {{ COMPREPLY=($(compgen -f -- "$last")); }}; '
        'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); last="${!#}"; '
        '$(complete -p streamsr | sed "s/.*-F \\([^ ]*\\).*/\\1/") streamsr; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    words = ["bash", "--norc", "-c", ask, "bash", *line.split()]
    done = run(words, env=environment(folder), cwd=folder, check=True)
    assert set(done.stdout.split()) == CASES[line]


@pytest.mark.parametrize("line", CASES)
def test_fish_completes(folder: Path, line: str) -> None:
    script = written("fish", folder)
    words = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
    done = run(words, env=environment(folder), cwd=folder, check=True)
    found = {text.split("\t")[0].removeprefix("./") for text in done.stdout.splitlines() if text}
    assert found == CASES[line]


@pytest.mark.parametrize("line", CASES)
def test_zsh_completes(folder: Path, line: str) -> None:
    """In a terminal, for zsh completes nowhere else: the line is typed, the key pressed."""
    script = written("zsh", folder)
    (folder / ".zshrc").write_text(
        f"autoload -U compinit; compinit -u -D\n. {script}\nPS1='ready '\n"
    )
    ours, theirs = pty.openpty()
    env = {**environment(folder), "ZDOTDIR": str(folder), "TERM": "dumb"}
    with running(["zsh", "-i"], env=env, cwd=folder, stdin=theirs, stdout=theirs) as shell:
        os.close(theirs)

        seen = ""

        def until_shown(pattern: str) -> None:
            nonlocal seen
            end_s = time.monotonic() + PATIENCE_S
            while not re.search(pattern, seen):
                assert time.monotonic() < end_s, f"no {pattern} in {seen!r}; {shell.said()}"
                if select.select([ours], [], [], 1)[0]:
                    seen += os.read(ours, 4096).decode(errors="replace")

        until_shown("ready ")
        os.write(ours, f"{line}\t".encode())
        found = CASES[line]
        if len(found) == 1:  # the rest of the word, typed by the shell
            until_shown(re.escape(f"{line.rpartition(' ')[0]} {next(iter(found))}"))
        else:  # a list of them
            for each in found:
                until_shown(rf"\b{each}\b")
        os.write(ours, b"\x15exit\n")
        shell.ended()
    os.close(ours)
