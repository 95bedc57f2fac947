"""The shell commands of a document, to be run as they stand there."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT
from tests.support.processes import run as run_program


def commands(document: str) -> list[str]:
    """The ``sh`` blocks of a file in docs/, in order."""
    return blocks(document, "sh")


def blocks(document: str, language: str) -> list[str]:
    """Those of any language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```",
        (ROOT / "docs" / document).read_text(),
        re.DOTALL | re.MULTILINE,
    )


def run(
    script: str, folder: Path, env: Mapping[str, str] = os.environ
) -> "subprocess.CompletedProcess[str]":
    """Run it in the folder, with the environment's commands first in the path, as in an activated
    one."""
    path = f"{Path(sys.executable).parent}:{env['PATH']}"
    done: subprocess.CompletedProcess[str] = run_program(
        ["bash", "-euo", "pipefail", "-c", script],
        tree=True,
        timeout_s=200,
        cwd=folder,
        env={**env, "PATH": path, "VIRTUAL_ENV": sys.prefix},
    )
    return done
