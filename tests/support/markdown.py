"""The code blocks of a document: each with its kind, and run as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.support.processes import run

_FENCE = re.compile(r"( *)```(\S*)")
_EXCUSE = re.compile(r" *<!-- not run: (.+) -->")
_SHELL = set("|&;<>$`(){}~!\"'")
"""What only a shell understands; of its patterns we know the star."""


@dataclass(frozen=True)
class Snippet:
    """``kind`` as the fence says, ``indented`` without one; ``excuse`` why no test can run it."""

    where: str
    kind: str
    text: str
    excuse: str | None


def snippets(document: Path, root: Path) -> Iterator[Snippet]:
    """All code blocks of a Markdown file. ``<!-- not run: REASON -->`` in the line before excuses
    one."""
    lines = iter(enumerate(document.read_text(encoding="utf-8").splitlines(), 1))
    excuse, before, in_list = None, "", False
    for number, line in lines:
        where = f"{document.relative_to(root)}:{number}"
        if fence := _FENCE.match(line):
            text = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                text.append(inner.removeprefix(fence[1]))
            yield Snippet(where, fence[2], "\n".join(text) + "\n", excuse)
        elif line.startswith("    ") and not before and not in_list:
            yield Snippet(where, "indented", line.strip() + "\n", excuse)
        excuse = match[1] if (match := _EXCUSE.fullmatch(line)) else None
        in_list = bool(re.match(r" *([-*]|\d+\.) ", line)) or (
            in_list and (not line or line.startswith(" "))
        )
        before = line.strip()


def words_of(line: str, folder: Path) -> list[str] | None:
    """The words of a command line that no shell is needed for; None where one is."""
    if _SHELL & set(line.split(" #")[0]):
        return None
    words = []
    for word in shlex.split(line, comments=True):
        words += (
            sorted(str(path.relative_to(folder)) for path in folder.glob(word))
            if "*" in word
            else [word]
        )
    return words


def commands_of(script: str) -> list[str]:
    """Its command lines, continued ones joined, comments left out."""
    joined = script.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks(document: str, kind: str) -> list[str]:
    """The texts of this kind in a file in docs/, in order."""
    found = snippets(ROOT / "docs" / document, ROOT)
    return [snippet.text for snippet in found if snippet.kind == kind]


def run_script(
    script: str, folder: Path, env: Mapping[str, str] = os.environ
) -> "subprocess.CompletedProcess[str]":
    """Run it in the folder, with the environment's commands first in the path, as in an activated
    one."""
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    done: subprocess.CompletedProcess[str] = run(
        ["bash", "-euo", "pipefail", "-c", script],
        tree=True,
        timeout_s=200,
        cwd=folder,
        env={**env, "PATH": path, "VIRTUAL_ENV": sys.prefix},
    )
    return done
