"""``streamsr`` as if on another system: a script.

``python -m tests.support.elsewhere PLATFORM [WORD ...]`` runs the command on win32 or darwin, or
with ``-c CODE`` that; without words it imports every module of streamsr, and tells how many. Gone
is every name of Python's library that the type checker's stubs give to Linux and not to that
system. Whatever is not ours is loaded before that: it is made for Linux.

On win32 a file that is open is neither renamed nor removed, unless all who have it open share that.
Of Windows' own calls there are those that `xlsr_model.system` uses, made of Linux's.
"""

import ast
import ctypes
import errno
import fcntl
import importlib
import os
import select
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mypy

ROOT = Path(__file__).parents[2]
STUBS = Path(mypy.__file__).with_name("typeshed") / "stdlib"

KEPT = {"WNOHANG", "O_TMPFILE"}
"""What Python's own modules, being Linux's, ask for when a child is started or a file made."""

MODULES = (
    "os", "signal", "select", "socket", "time", "mmap", "fcntl", "resource", "termios", "tty",
    "pty", "pwd", "grp", "syslog", "readline", "curses",
)  # fmt: skip
"""Those that are not the same everywhere."""

SHARED = os.O_NOATIME
"""Marks the files whose opener lets others rename and remove them."""

OTHERS = {"gi", "vapoursynth"}
"""What programs that load us have, and pip has not everywhere."""


def names(statements: list[ast.stmt], platform: str) -> Iterator[str]:
    """The names that a stub defines on a platform."""
    for statement in statements:
        if isinstance(statement, ast.If):
            here = SimpleNamespace(platform=platform, version_info=sys.version_info)
            test = compile(ast.Expression(statement.test), "stub", "eval")
            taken = eval(test, {"sys": here, "TYPE_CHECKING": True})
            yield from names(statement.body if taken else statement.orelse, platform)
        elif isinstance(statement, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def lacking(module: str, platform: str) -> tuple[set[str], bool]:
    """The names of a module that Linux has and a platform has not; whether none are left."""
    stub = STUBS / f"{module}.pyi"
    stub = stub if stub.exists() else STUBS / module / "__init__.pyi"
    tree = ast.parse(stub.read_text(encoding="utf-8")).body
    imported = {
        alias.asname or alias.name
        for statement in tree
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    }
    linux, there = (set(names(tree, one)) - imported for one in ("linux", platform))
    return linux - there, not there


def load_what_is_not_ours() -> None:
    """Import all that any module of ours imports, wherever in it."""
    wanted = {"encodings.idna"}
    for package in ("streamsr", "xlsr_model"):
        for path in (ROOT / package).rglob("*.py"):
            if package == "xlsr_model" and path.parent != ROOT / package:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    wanted |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    wanted |= {node.module or ""}
                    wanted |= {f"{node.module}.{alias.name}" for alias in node.names}
    training = {"tensorflow", "keras", "torch", "jax", "matplotlib", "numba"}
    for name in sorted(wanted):
        top = name.partition(".")[0]
        if top not in {"streamsr", "xlsr_model", *training}:
            with suppress(ImportError):
                importlib.import_module(name)
    sysconfig.get_config_vars()  # which reads a file of this system's name


def take_away(platform: str) -> None:
    """Have Python's library as it is on this platform, as far as its names go."""
    for module in MODULES:
        gone, wholly = lacking(module, platform)
        if wholly:
            sys.modules[module] = None  # so that no import finds it
            continue
        for name in gone - KEPT:
            with suppress(AttributeError):  # newer than this Python, or older
                delattr(importlib.import_module(module), name)
    sys.platform = platform


class Call:
    """One of the kernel's functions, which ctypes lets anybody describe."""

    argtypes: object = None
    restype: object = None

    def __init__(self, does: Callable[..., Any]) -> None:
        self._does = does

    def __call__(self, *arguments: Any) -> Any:
        return self._does(*arguments)


class Kernel:
    """kernel32, as far as it is called. Handles are file descriptors."""

    def __init__(self, _name: str, use_last_error: bool) -> None:
        assert use_last_error
        self.error = 0
        self.CreateFileW = Call(self.create_file)
        self.CloseHandle = Call(os.close)
        self.LockFileEx = Call(self.lock_file)
        self.PeekNamedPipe = Call(self.peek_pipe)
        self.SetErrorMode = Call(lambda _mode: 0)
        self.OpenProcess = self.GetProcessTimes = Call(lambda *_: None)  # never called here
        ctypes.get_last_error = lambda: self.error
        ctypes.WinError = lambda code: OSError(code, os.strerror(code))

    def create_file(self, path: str, *how: Any) -> int | None:
        access, share, _, creation, attributes, _ = how
        assert (share, attributes & 0x80) == (7, 0x80)
        flags = {1 << 31: os.O_RDONLY, 1 << 30: os.O_WRONLY, 3 << 30: os.O_RDWR}[access]
        made = os.O_CREAT
        flags |= {1: made | os.O_EXCL, 2: made | os.O_TRUNC, 3: 0, 4: made, 5: os.O_TRUNC}[creation]
        try:
            if os.path.isdir(path):
                raise PermissionError(errno.EACCES, "a folder")
            return os.open(path, flags | SHARED, 0o666)
        except OSError as error:
            self.error = error.errno or errno.EIO
            return ctypes.c_void_p(-1).value

    def lock_file(self, handle: int, *how: Any) -> int:
        flags, _, low, high, where = how
        assert (flags, low, high, where._obj.offset_high) == (3, 1, 0, 0x7FFFFFFF)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.error = 33
            return 0
        return 1

    def peek_pipe(self, handle: int, *how: Any) -> int:
        *nothing, found, _ = how
        assert nothing == [None, 0, None]
        found._obj.value = len(select.select([handle], [], [], 0)[0])
        return 1


def _holders(path: str) -> Iterator[str]:
    """Who has a file open that may not be renamed or removed meanwhile."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.path.samefile(f"/proc/self/fd/{number}", path) and not (
                fcntl.fcntl(int(number), fcntl.F_GETFL) & SHARED
            ):
                yield number


def hold_what_is_open() -> None:
    """Refuse what Windows refuses."""

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("os.remove", "os.rename"):
            return
        count = len(arguments) // 2
        for path, folder in zip(arguments[:count], arguments[count:], strict=True):
            where = os.fspath(path) if folder == -1 else f"/proc/self/fd/{folder}/{path}"
            if list(_holders(where)):
                raise PermissionError(errno.EACCES, f"{event}: {where} is open")

    rename = os.rename

    def renamed(path: str, target: str) -> None:
        if os.path.lexists(target):
            raise FileExistsError(17, "File exists", target)
        rename(path, target)

    started = subprocess.Popen.__init__

    def start(self: object, *arguments: Any, creationflags: int = 0, **how: Any) -> None:
        assert creationflags in (0, 0x200)
        started(self, *arguments, **how)

    sys.addaudithook(heard)
    subprocess.Popen.__init__ = start
    os.rename = renamed
    os.O_BINARY = os.O_NOINHERIT = 0
    sys.modules["msvcrt"] = SimpleNamespace(get_osfhandle=lambda fd: fd, open_osfhandle=_taken)
    ctypes.WinDLL = Kernel


def _taken(handle: int, flags: int) -> int:
    """The file descriptor of a handle."""
    if flags & os.O_APPEND:
        fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) | os.O_APPEND)
    return handle


def import_all() -> None:
    """Import every module of streamsr, and with it those of xlsr_model that it needs."""
    modules = 0
    for path in sorted((ROOT / "streamsr").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        try:
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        except ModuleNotFoundError as error:
            if error.name not in OTHERS:
                raise
        modules += 1
    print(modules)


def main() -> None:
    platform, words = sys.argv[1], sys.argv[2:]
    load_what_is_not_ours()
    assert not any(name.partition(".")[0] == "streamsr" for name in sys.modules)
    if platform == "win32":
        hold_what_is_open()
    take_away(platform)
    if not words:
        import_all()
    elif words[0] == "-c":
        exec(words[1], {})
    else:
        sys.argv[:] = ["streamsr", *words]
        from streamsr.cli import main as command

        command()


if __name__ == "__main__":
    main()
