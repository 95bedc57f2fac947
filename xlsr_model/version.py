"""Which code trained a model: the git commit of this checkout, "-dirty" appended if the package was changed since."""

import subprocess
from pathlib import Path


def code_version() -> str:
    folder = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # an installed package, not a checkout
    return commit.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
