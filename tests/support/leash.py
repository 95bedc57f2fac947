"""Run a command so that everything that comes of it ends with it, and with whoever started this: a
script.

``python leash.py COMMAND ...``. A process whose parent has ended becomes our child, as we are a
subreaper (Linux), so that none gets away, whatever it forked. SIGINT goes to it and all of its
group, as from a terminal; SIGTERM ends it and all the others at once, and comes by itself when our
parent dies.
"""

import contextlib
import ctypes
import os
import signal
import sys
from typing import NoReturn

PDEATHSIG, SUBREAPER = 1, 36  # of prctl(2)


def main() -> NoReturn:
    prctl = ctypes.CDLL(None).prctl
    parent = os.getppid()
    prctl(SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    prctl(PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before
        sys.exit(1)
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        prctl(PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            os.execvp(sys.argv[1], sys.argv[1:])
        except OSError as error:
            print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)
    signal.signal(signal.SIGINT, lambda *_: os.killpg(command, signal.SIGINT))
    try:
        ended, status = 0, 0
        while ended != command:  # others that end meanwhile are ours to bury too
            ended, status = os.wait()
    finally:
        _end_all()
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))


def _end_all() -> None:
    """Kill our children until there are none: those of a killed one are ours then."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.wait()


def _children() -> list[int]:
    found = []
    for folder in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{folder}/stat", "rb") as file:
            if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(folder))
    return found


main()
