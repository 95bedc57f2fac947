"""``streamsr``, which dies or waits at its Nth act that makes something last in a folder: a script.

``python -m tests.support.acts FOLDER WHAT COMMAND ...``. An act opens a file for writing, syncs,
renames, links or removes one, or makes or removes a folder. WHAT is

    count     every act is told on standard output, a line each
    die:N     exit with 9 just before the Nth act, as by a kill: nothing is flushed, closed or
              removed
    hold:N,M  say "holding N" on standard error before the Nth act, and go on after a byte on
              standard input
"""

import os
import sys
from pathlib import Path

STATUS = 9
"""Of a command that has died."""

PATHS = {
    "open": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.remove": 1,
    "os.truncate": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
}
"""How many paths come first among the arguments of each of Python's audit events."""


def main() -> None:
    folder, (what, _, numbers) = str(Path(sys.argv[1]).resolve()), sys.argv[2].partition(":")
    places = {int(number) for number in numbers.split(",")} if numbers else set()
    errors = os.dup(2)  # which the command hides
    done = 0

    def act(name: str, paths: list[str]) -> None:
        nonlocal done
        if not any(path == folder or path.startswith(f"{folder}/") for path in paths):
            return
        done += 1
        if what == "count":
            print(name, *paths, flush=True)
        elif what == "die" and done in places:
            os._exit(STATUS)
        elif what == "hold" and done in places:
            os.write(errors, f"holding {done}\n".encode())
            os.read(0, 1)

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event in PATHS and not (event == "open" and not _writes(arguments[2])):
            directories = [number for number in arguments[PATHS[event] :] if event != "open"]
            act(event, [_path(path, directories) for path in arguments[: PATHS[event]]])

    synced = os.fsync

    def fsync(file: int) -> None:
        act("fsync", [_path(file, [])])
        synced(file)

    sys.addaudithook(heard)
    os.fsync = fsync  # which has no event
    sys.argv[:] = ["streamsr", *sys.argv[3:]]
    from streamsr.cli import main

    main()


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _path(path: object, directories: list[object]) -> str:
    """In full; of a descriptor, that of its file. A relative one may belong to the last of the
    ``directories``."""
    if isinstance(path, int):
        return _of_descriptor(path)
    name = os.fsdecode(path)  # type: ignore[arg-type]  # a path, as the event says
    base = (
        directories[-1]
        if directories and isinstance(directories[-1], int) and directories[-1] >= 0
        else None
    )
    return os.path.join(_of_descriptor(base) if base is not None else os.getcwd(), name)


def _of_descriptor(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
