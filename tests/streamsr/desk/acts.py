"""A program in place of ``streamsr upscale``, which does what its input's name says."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from streamsr.desk.queue import State
from streamsr.desk.runner import Runner
from tests.support.until import PATIENCE_S

PROGRAM = """
import json, os, signal, sys, time
source, output = sys.argv[2], sys.argv[4]
name, folder = os.path.basename(source), os.path.dirname(source)
stop = lambda *_: sys.exit(130)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in name else stop)
say = lambda **line: print(json.dumps(line), flush=True)
with open(os.path.join(folder, "begun"), "a", errors="surrogateescape") as log:
    log.write(" ".join([name, *sys.argv[5:]]) + "\\n")
if "usage" in name:
    print("Error: no such option", file=sys.stderr)
    sys.exit(2)
if "renamed" in name:
    output += ".mkv"
print(f"{name} -> {output}: a network", file=sys.stderr)
say(began={"input": source, "output": output, "frames": 100, "how": "a network"})
say(progress={"frames": 10, "total": 100, "seconds": 0.5})
if "chatty" in name:
    print("x" * 200_000, file=sys.stderr)
    print("no json", "[" * 70_000, '{"began": 5}', '{"progress": {"frames": []}}', "7", sep="\\n")
if "crash" in name:
    os.kill(os.getpid(), signal.SIGSEGV)
if "killed" in name:
    os.kill(os.getpid(), signal.SIGKILL)
if "fail" in name and not os.path.exists(os.path.join(folder, "mended")):
    print("streamsr: it cannot be read", file=sys.stderr)
    say(failed="streamsr: it cannot be read")
    sys.exit(1)
while "slow" in name and not os.path.exists(os.path.join(folder, "release")):
    say(progress={"frames": 20, "total": 100, "seconds": 1.0})
    time.sleep(0.02)
with open(output, "xb") as file:
    file.write(os.fsencode(name))
say(done={"output": output, "frames": 100})
"""

FAKE = (sys.executable, "-I", "-S", "-c", PROGRAM)


def begun(folder: Path) -> list[str]:
    """The inputs that the program was started with, in that order, and its further words."""
    path = folder / "begun"
    return path.read_text().splitlines() if path.exists() else []


def films(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"film of " + name.encode(errors="surrogateescape"))
    return [folder / name for name in names]


async def until(condition: Callable[[], object], runner: Runner) -> None:
    """Wait in an event loop, with an end."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, runner.jobs
        await asyncio.sleep(0.01)


def states(runner: Runner) -> list[State]:
    return [job.state for job in runner.jobs]
