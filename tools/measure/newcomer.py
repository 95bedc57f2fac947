"""Times a newcomer's way, from nothing to an upscaled film, into docs/data/newcomer.json.

    python -m tools.measure.newcomer [PYTHON]...

For each Python (by default the one that runs this): an empty environment, the wheel installed into
it from the network with the page's packages, and then the installed command as a user types it, at
last a film in the desk, which is asked as its page asks it. Shows also that the wheel
and its list of dependencies are enough. pip's cache is used where it has the packages: the time of
the installation is that of unpacking then.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, ParamSpec
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from streamsr.machine import processor_name, usable_cores
from xlsr_model.files import write_file

P = ParamSpec("P")

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = ROOT / "docs" / "data" / "newcomer.json"
FILM = ROOT / "samples" / "bbb_640x360.mp4"

STEPS = {
    "look at the machine: `streamsr info`": ["info"],
    "compare the choices: `streamsr compare film.mp4 -o sheet.html`": [
        "compare", "film.mp4", "-o", "sheet.html",
    ],
    "upscale 5 s of 640x360: `streamsr upscale film.mp4 -o larger.mp4`": [
        "upscale", "film.mp4", "-o", "larger.mp4",
    ],
}  # fmt: skip
"""By what the page says of them: the words of the command."""

DESK = "the same in a page, start and end of it included: `streamsr desk --root .`"

PATIENCE_S = 600.0
"""For the desk's job."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    found: dict[str, Any] = {}  # JSON
    with tempfile.TemporaryDirectory(prefix="streamsr-newcomer-") as name:
        wheel = _wheel(Path(name))
        for number, python in enumerate(parser.parse_args().pythons):
            version, numbers = _way(python, wheel, Path(name) / str(number))
            found[version] = numbers
            print(version, json.dumps(numbers, indent=2))
    numbers = {
        "date": date.today().isoformat(),
        "machine": f"{processor_name()}, {usable_cores()} usable cores",
        "load": round(os.getloadavg()[2], 1),
        "pythons": found,
    }
    write_file(NUMBERS, (json.dumps(numbers, indent=1) + "\n").encode(), overwrite=True)


def _wheel(folder: Path) -> Path:
    """The wheel of this tree."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def _way(python: str, wheel: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """Go it with this Python: its version, and what each step took."""
    # Nothing of this tree or its environment may help.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["XDG_CACHE_HOME"] = str(folder / "cache")
    pip_cache = {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip")}
    folder.mkdir()
    (folder / "film.mp4").write_bytes(FILM.read_bytes())
    programs = folder / "environment" / "bin"
    install = f"{python} -m venv environment && environment/bin/pip install -q '{wheel}[web]'"
    steps = {"install": _timed(_run, ["sh", "-c", install], folder, env | pip_cache)}
    size = sum(path.lstat().st_size for path in (folder / "environment").rglob("*"))
    command = str(programs / "streamsr")
    for name, words in STEPS.items():
        steps[name] = _timed(_run, [command, *words], folder, env)
    steps[DESK] = _timed(_desk_job, command, folder, env)
    version = subprocess.run(
        [programs / "python", "-c", "import platform; print(platform.python_version())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return version, {"steps": steps, "megabytes": round(size / 1e6)}


def _timed(act: Callable[P, None], *args: P.args, **named: P.kwargs) -> dict[str, float]:
    """Wall and processor time of the processes that this starts, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    act(*args, **named)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1)}


def _run(words: list[str], folder: Path, env: dict[str, str]) -> None:
    """Raises CalledProcessError."""
    subprocess.run(words, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


def _desk_job(command: str, folder: Path, env: dict[str, str]) -> None:
    """Start the desk, queue the film, wait for it and end the desk. Raises ValueError when the
    film was not made."""
    words = ["desk", "--root", ".", "-o", "done", "--state", "state", "--port", "0"]
    with subprocess.Popen(
        [command, *words], cwd=folder, env=env, stderr=subprocess.PIPE, text=True
    ) as desk:
        try:
            assert desk.stderr is not None
            said = desk.stderr.readline()
            address = urlsplit(said.removeprefix("open ").strip())
            jobs = f"{address.scheme}://{address.netloc}/api/jobs"
            headers = {"Authorization": f"Bearer {parse_qs(address.query)['token'][0]}"}
            wanted = json.dumps({"path": str(folder / "film.mp4"), "container": "mp4"}).encode()
            number = _answer(Request(jobs, wanted, headers))["number"]
            until = time.monotonic() + PATIENCE_S
            state = "waiting"
            while state in {"waiting", "running"} and time.monotonic() < until:
                time.sleep(0.1)
                state = _answer(Request(f"{jobs}/{number}", headers=headers))["state"]
            if state != "done":
                raise ValueError(f"the film is {state}")
        finally:
            desk.send_signal(signal.SIGINT)


def _answer(request: Request) -> Any:  # JSON
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
