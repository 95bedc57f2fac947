"""What is done otherwise on one system than on another. Standard library only.

What Windows lacks of files, locks, pipes, signals and processes is asked for here and nowhere else.
Linux is what the tests run on; for the others see `tests.support.elsewhere`.
"""

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

if sys.platform == "win32":
    import _thread
    import ctypes
    import msvcrt
    import time
    from ctypes import wintypes

    NO_FOLLOW, NO_WAIT = 1 << 30, 0
    OPEN_HOLDS_NAME = True
    RENAME_REFUSES = True
    READS_BY_DESCRIPTOR = False
    APART = 0x200  # CREATE_NEW_PROCESS_GROUP

    _KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
    _KERNEL.CreateFileW.restype = wintypes.HANDLE
    _KERNEL.CreateFileW.argtypes = [
        wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, wintypes.LPVOID, wintypes.DWORD,
        wintypes.DWORD, wintypes.HANDLE,
    ]  # fmt: skip
    _KERNEL.CloseHandle.argtypes = [wintypes.HANDLE]
    _KERNEL.LockFileEx.argtypes = [
        wintypes.HANDLE, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD,
        wintypes.LPVOID,
    ]  # fmt: skip
    _KERNEL.PeekNamedPipe.argtypes = [
        wintypes.HANDLE, wintypes.LPVOID, wintypes.DWORD, wintypes.LPVOID, wintypes.LPDWORD,
        wintypes.LPVOID,
    ]  # fmt: skip
    _KERNEL.OpenProcess.restype = wintypes.HANDLE
    _KERNEL.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    _KERNEL.GetProcessTimes.argtypes = [wintypes.HANDLE, *[wintypes.LPVOID] * 4]

    _ACCESS = {os.O_RDONLY: 0x80000000, os.O_WRONLY: 0x40000000, os.O_RDWR: 0xC0000000}
    _SHARED = 0x1 | 0x2 | 0x4  # others may read, write, and rename or remove
    _NORMAL, _LINK_ITSELF = 0x80, 0x200000
    _DISPOSITION = {
        0: 3, os.O_CREAT: 4, os.O_TRUNC: 5, os.O_CREAT | os.O_TRUNC: 2,
        os.O_CREAT | os.O_EXCL: 1, os.O_CREAT | os.O_EXCL | os.O_TRUNC: 1,
    }  # fmt: skip
    _NO_HANDLE = ctypes.c_void_p(-1).value

    class _Overlapped(ctypes.Structure):
        """OVERLAPPED (minwinbase.h): where in a file a call works."""

        _fields_ = (
            ("internal", ctypes.c_void_p),
            ("internal_high", ctypes.c_void_p),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    _LOCK_NOW, _LOCK_VIOLATION = 0x1 | 0x2, 33
    _FAR = 0x7FFFFFFF
    """A locked byte can be neither read nor written, so it is one that no file has: 2**63."""

    _DEATHS = {
        0xC000001D: "SIGILL", 0xC0000096: "SIGILL", 0xC0000005: "SIGSEGV", 0xC00000FD: "SIGSEGV",
        0x80000002: "SIGBUS", 0xC0000094: "SIGFPE", 0xC000008E: "SIGFPE",
    }  # fmt: skip
    """By the exit status: illegal and privileged instruction, access violation, stack overflow,
    misalignment, division by zero (ntstatus.h)."""
else:
    import fcntl
    import resource

    NO_FOLLOW, NO_WAIT = os.O_NOFOLLOW, os.O_NONBLOCK
    OPEN_HOLDS_NAME = False
    RENAME_REFUSES = False
    READS_BY_DESCRIPTOR = True
    APART = 0

    _DEATHS = {
        -number: number.name
        for number in (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)
    }

# NO_FOLLOW, NO_WAIT   for `open_file`: fail at a link; do not wait for the other end of a pipe
# OPEN_HOLDS_NAME      a file that others than `open_file` have open can be neither renamed nor
#                      removed, as FFmpeg's
# RENAME_REFUSES       os.rename raises FileExistsError where the name is taken
# READS_BY_DESCRIPTOR  waits for a pipe's bytes can be ended, see `has_bytes`
# APART                ``creationflags`` of a child that Ctrl-C does not reach; on POSIX
#                      ``start_new_session`` says so

Handler = Callable[[int, FrameType | None], None]


# Files


def open_file(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
    """Open a file as os.open does, so that it can be renamed and removed meanwhile. Raises OSError.

    flags  os's, NO_FOLLOW and NO_WAIT; bytes are bytes without O_BINARY
    """
    if sys.platform == "win32":
        name = os.fspath(path)
        if "\0" in name:
            raise ValueError("embedded null character")
        handle = _KERNEL.CreateFileW(
            name,
            _ACCESS[flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)],
            _SHARED,
            None,
            _DISPOSITION[flags & (os.O_CREAT | os.O_EXCL | os.O_TRUNC)],
            _NORMAL | (_LINK_ITSELF if flags & NO_FOLLOW else 0),
            None,
        )
        if handle == _NO_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            return msvcrt.open_osfhandle(handle, flags & os.O_APPEND | os.O_BINARY | os.O_NOINHERIT)
        except OSError:
            _KERNEL.CloseHandle(handle)
            raise
    else:
        return os.open(path, flags, mode)


def open_folder(path: str | os.PathLike[str]) -> int:
    """Open a folder, to lock it or to sync it. Raises OSError: PermissionError on Windows."""
    if sys.platform == "win32":
        raise PermissionError(errno.EACCES, "folders are not opened on this system")
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def lock(fd: int) -> None:
    """Lock an open file or folder until it is closed, or its process ends.

    Raises BlockingIOError when it is locked already, another OSError where there are no locks.
    """
    if sys.platform == "win32":
        where = _Overlapped(offset_high=_FAR)
        handle = msvcrt.get_osfhandle(fd)
        if not _KERNEL.LockFileEx(handle, _LOCK_NOW, 0, 1, 0, ctypes.byref(where)):
            if ctypes.get_last_error() == _LOCK_VIOLATION:
                raise BlockingIOError(errno.EAGAIN, "locked by another process")
            raise ctypes.WinError(ctypes.get_last_error())
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_own(status: os.stat_result) -> bool:
    """Whether a file is this process's user's; always on Windows, whose files say it otherwise."""
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def is_secret(status: os.stat_result) -> bool:
    """Whether a file is this process's user's and nobody else's may read it; as `is_own`."""
    return sys.platform == "win32" or (is_own(status) and not status.st_mode & 0o077)


def is_written(path: str | os.PathLike[str]) -> bool:
    """Whether a process has a file open for writing, as far as can be told: Linux gives a lease on
    a file of this user's that nobody has; elsewhere, and of others' files, nobody knows."""
    if sys.platform == "linux":
        try:
            fd = os.open(path, os.O_RDONLY | NO_FOLLOW | NO_WAIT)
        except OSError:
            return False
        try:
            # Who opens it at this moment breaks the lease. SIGIO, which tells, ends programs.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:  # another user's, or a file system without leases
            return False
        finally:
            os.close(fd)
    return False


def path_of(fd: int, path: str) -> str:
    """A path by which an open file is opened again, whatever has its name meanwhile; on Windows
    the name."""
    return path if sys.platform == "win32" else f"/dev/fd/{fd}"


def set_mode(fd: int, mode: int) -> None:
    """Set who may do what with an open file. On Windows its folder decides that."""
    if sys.platform != "win32":
        os.fchmod(fd, mode)


def set_owner(fd: int, uid: int, gid: int) -> None:
    """Set whose an open file is, where there is such a number. Raises PermissionError."""
    if sys.platform != "win32":
        os.fchown(fd, uid, gid)


# Pipes


def has_bytes(fd: int, wait_ms: int = 0) -> bool:
    """Whether a read would not wait: there are bytes, or the end. ``wait_ms`` not on Windows,
    which waits for no pipe and tells no end."""
    if sys.platform == "win32":
        found = wintypes.DWORD(0)
        handle = msvcrt.get_osfhandle(fd)
        return bool(
            _KERNEL.PeekNamedPipe(handle, None, 0, None, ctypes.byref(found), None) and found.value
        )
    look = select.poll()
    look.register(fd, select.POLLIN)
    return bool(look.poll(wait_ms))


def reader_left(fd: int) -> bool:
    """Whether nobody reads a pipe any more. On Windows only the next write tells."""
    if sys.platform == "win32":
        return False
    look = select.poll()
    look.register(fd, 0)
    return bool(look.poll(0))


def read_into(fd: int, view: memoryview) -> int:
    """Read as much as there is into ``view`` (bytes). Returns how much; 0 at the end."""
    if sys.platform == "win32":
        content = os.read(fd, len(view))
        view[: len(content)] = content
        return len(content)
    return os.readv(fd, [view])


@contextlib.contextmanager
def not_waiting(fd: int) -> Iterator[None]:
    """Within it reads raise BlockingIOError where they would wait; on Windows they do wait."""
    if sys.platform == "win32":
        yield
        return
    blocking = os.get_blocking(fd)
    os.set_blocking(fd, False)
    try:
        yield
    finally:
        os.set_blocking(fd, blocking)


def open_device(path: str | os.PathLike[str]) -> int:
    """Open what is not a regular file, to append to it. Raises OSError, also when nobody reads a
    pipe."""
    if sys.platform == "win32":
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_BINARY)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


# Signals and processes

_ringing: object = None


def ring(seconds: float, handler: Handler) -> None:
    """Call a handler of SIGINT again in a while, in the main thread, unless an embedding program
    has the timer. Called in the main thread only."""
    if sys.platform == "win32":
        global _ringing
        _ringing = ours = object()

        def later() -> None:
            time.sleep(seconds)
            if _ringing is ours and signal.getsignal(signal.SIGINT) is handler:
                _thread.interrupt_main()

        # Not threading's: its locks may be held by what the handler interrupted.
        _thread.start_new_thread(later, ())
        return
    if signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, handler):
        signal.signal(signal.SIGALRM, handler)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def silence(handler: Handler) -> None:
    """Take back what `ring` was asked for."""
    if sys.platform == "win32":
        global _ringing
        _ringing = None
    elif signal.getsignal(signal.SIGALRM) is handler:
        signal.setitimer(signal.ITIMER_REAL, 0)


def inherited(fds: Sequence[int]) -> Sequence[int]:
    """A child's ``pass_fds``: files that it keeps open, and locked; none on Windows."""
    return () if sys.platform == "win32" else fds


def death_of(status: int) -> str | None:
    """The signal by which a child's own code ended it, by its exit status as `subprocess` tells it;
    None where that is not so: other signals come from outside."""
    return _DEATHS.get(status)


def crash_quietly() -> None:
    """Have a crash of this process leave neither a core file nor a window behind."""
    if sys.platform == "win32":
        _KERNEL.SetErrorMode(0x1 | 0x2)
    else:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(size: int) -> None:
    """Let this process have so many bytes of address space, where the system limits that: Linux."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


@contextlib.contextmanager
def ordinary_threads() -> Iterator[None]:
    """Keep a library from making threads of this process real-time ones of the highest priority, in
    front of everything else on the machine: SVT-AV1 does so on Linux, as root, with those that it
    starts and the one that opens it. They get the scheduling that this thread has."""
    if sys.platform != "linux" or not os.path.isdir("/proc/self/task"):
        yield
        return
    own, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    highest = os.sched_get_priority_max(os.SCHED_FIFO)

    def foremost() -> set[int]:
        found = set()
        for thread in map(int, os.listdir("/proc/self/task")):
            with contextlib.suppress(OSError):  # it has ended
                if os.sched_getparam(thread).sched_priority == highest:
                    found.add(thread)
        return found

    before = foremost()
    try:
        yield
    finally:
        for thread in foremost() - before:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread, own, priority)


def cpu_of(child: "subprocess.Popen[bytes]") -> float:
    """Wait for the end of a child. Returns its CPU time in seconds, its own children's included;
    not these on Windows."""
    if sys.platform == "win32":
        child.wait()
        times = [wintypes.FILETIME() for _ in range(4)]  # begin, end, kernel, user
        handle = _KERNEL.OpenProcess(0x1000, False, child.pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        _KERNEL.GetProcessTimes(handle, *(ctypes.byref(one) for one in times))
        _KERNEL.CloseHandle(handle)
        return sum(one.dwHighDateTime * 2**32 + one.dwLowDateTime for one in times[2:]) / 1e7
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
