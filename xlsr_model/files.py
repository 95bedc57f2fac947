"""Files written so that nothing of anybody else is harmed. Standard library only.

Every file that this project writes is an `Output`: a new file with a name of its own beside the
target, which takes the target's name when it is complete. What is refused is an OSError whose
``strerror`` says why in words.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from hashlib import blake2s
from pathlib import Path
from types import TracebackType
from typing import Self

from xlsr_model import system
from xlsr_model.inputs import is_protected

SUFFIX = ".part"
NAME_BYTES = 255
"""Longest name of a file in nearly all file systems."""

TOKEN_BYTES, CHECK_BYTES = 6, 4
LOCK_S = 5.0
"""Longest wait for another process that looks around in the same folder: it takes a millisecond."""

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}
"""What file systems answer that cannot sync a folder; a disk that fails answers otherwise."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


class Output:
    """A file in the making. A context manager, for one thread.

    target     the name it gets by `publish`. A link is followed with ``overwrite``, else refused
    overwrite  replace what has that name, whose mode and owner stay
    shared     other processes may be making it at the same time: the last one's stays
    path, fd   once entered: the unfinished file, beside the target, new, empty, and nobody else's.
               It is removed on leaving unless it was published

    Entering raises OSError: FileExistsError when something has the name, BlockingIOError when
    another process is making the same target, and what the disk says. Neither entering nor
    publishing ever takes the place of an input (`protected`, `Input`) or of anything but a regular
    file.
    """

    def __init__(
        self, target: str | os.PathLike[str], *, overwrite: bool = False, shared: bool = False
    ) -> None:
        self.target = Path(target)
        self.overwrite = overwrite
        self._shared = shared
        self.published = False
        self.fd = -1

    def __enter__(self) -> Self:
        self._final = self.target
        if self.overwrite and self.target.is_symlink():
            self._final = Path(os.path.realpath(self.target))
        old = self._replaced()
        try:
            self._make()
            if old is not None:
                # As secret as the old one may be; `publish` gives it the old mode.
                system.set_mode(self.fd, 0o600)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _replaced(self) -> os.stat_result | None:
        """What has the target's name. Raises OSError when it may not be replaced."""
        if not self.overwrite and os.path.lexists(self._final):
            raise FileExistsError(errno.EEXIST, "exists already; --overwrite replaces it")
        try:
            old = os.stat(self._final)
        except FileNotFoundError:
            return None
        except ValueError:
            raise OSError(errno.EINVAL, "no file can have this name") from None
        if is_protected(old):
            raise FileExistsError(errno.EEXIST, "is the input")
        if not stat.S_ISREG(old.st_mode):
            what = "is a directory" if stat.S_ISDIR(old.st_mode) else "is not a regular file"
            raise FileExistsError(errno.EEXIST, what)
        return old

    def _make(self) -> None:
        """Make the file, locked until this process ends: so others know that it is made."""
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        folder, name = self._final.parent.absolute(), self._final.name
        with _alone(folder):
            try:
                _clear_dead(folder, name)
                _check_dead(self._final, remove=False)  # a recording has its name already
            except BlockingIOError:
                if not self._shared:
                    raise
            self.path = folder / _temporary_name(name, secrets.token_hex(TOKEN_BYTES))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | system.NO_FOLLOW
            self.fd = system.open_file(self.path, flags, 0o666)
            # Some file systems have no locks: there two runs are not told apart.
            with contextlib.suppress(OSError):
                system.lock(self.fd)

    def write(self, content: bytes) -> None:
        """Append to the file."""
        view = memoryview(content)
        while view:
            view = view[os.write(self.fd, view) :]

    def publish(self) -> None:
        """Give the file its name, with its bytes and its name on the disk.

        What is written later is in it too. Raises FileExistsError when the name was taken meanwhile
        and ``overwrite`` is not set.
        """
        os.fsync(self.fd)
        if not self._is_ours():
            raise FileNotFoundError(errno.ENOENT, "the unfinished file was taken away")
        old = self._replaced() if self.overwrite else None
        if old is not None:
            if (old.st_uid, old.st_gid) != (os.fstat(self.fd).st_uid, os.fstat(self.fd).st_gid):
                with contextlib.suppress(PermissionError):
                    system.set_owner(self.fd, old.st_uid, old.st_gid)
            system.set_mode(self.fd, stat.S_IMODE(old.st_mode))
        if self.overwrite:
            os.replace(self.path, self._final)
        else:
            _rename_to_free_name(self.path, self._final)
        self.published = True
        sync_folder(self._final.parent)

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.fd < 0:
            return
        try:
            if not self.published and self._is_ours():
                self.path.unlink(missing_ok=True)
        finally:
            fd, self.fd = self.fd, -1
            os.close(fd)


def write_file(target: str | os.PathLike[str], content: bytes, *, overwrite: bool = False) -> None:
    """Make a file with this content, or leave all as it was. Raises OSError as `Output` does."""
    with Output(target, overwrite=overwrite) as output:
        output.write(content)
        output.publish()


def clear_dead(target: Path) -> None:
    """Remove what killed processes left of a published target, unless it is made again now."""
    with _alone(target.parent.absolute()), contextlib.suppress(BlockingIOError):
        _clear_dead(target.parent, target.name)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk. Raises OSError when the disk fails."""
    try:
        fd = system.open_folder(folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def fitting_name(name: str, ending: str) -> str:
    """The name with this ending, cut before it to what a file's name may have."""
    while len(os.fsencode(name + ending)) > NAME_BYTES:
        name = name[:-1]
    return name + ending


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is an unfinished `Output`; which one is not said."""
    return _TEMPORARY.fullmatch(name) is not None


_TEMPORARY = re.compile(
    rf"\..*\.[0-9a-f]{{{2 * TOKEN_BYTES}}}-[0-9a-f]{{{2 * CHECK_BYTES}}}\{SUFFIX}", re.DOTALL
)


def _temporary_name(name: str, token: str) -> str:
    """Return a hidden name for an unfinished ``name``; its last part is a digest of the rest."""
    content = os.fsencode(name) + token.encode()
    check = blake2s(content, digest_size=CHECK_BYTES, person=b"streamsr").hexdigest()
    return fitting_name(f".{name}", f".{token}-{check}{SUFFIX}")


def _clear_dead(folder: Path, name: str) -> None:
    """Remove the unfinished files for ``name`` in a folder.

    Raises BlockingIOError when a process is making one.
    """
    try:
        names = os.listdir(folder)
    except OSError:  # a folder that may be written but not read
        return
    ending = 2 * TOKEN_BYTES + 1 + 2 * CHECK_BYTES + len(SUFFIX)
    for found in names:
        token = found[-ending:][: 2 * TOKEN_BYTES]
        if is_unfinished(found) and found == _temporary_name(name, token):
            _check_dead(folder / found, remove=True)


def _check_dead(path: Path, *, remove: bool) -> None:
    """Raise BlockingIOError when a process is making this file.

    Else ``remove`` what it left, if it is this user's.
    """
    try:
        fd = system.open_file(path, os.O_RDONLY | system.NO_FOLLOW | system.NO_WAIT)
    except OSError:  # there is none, it is a link, or another user's
        return
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return
        system.lock(fd)
        if remove and system.is_own(status):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, "another run is working on it") from None
    except OSError:  # no locks here: nobody can say whether it is dead
        return
    finally:
        os.close(fd)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes that ask from looking into the folder and making files there.

    Only where a folder can be locked.
    """
    try:
        fd = system.open_folder(folder)
    except PermissionError:
        yield
        return
    try:
        end_s = time.monotonic() + LOCK_S
        while time.monotonic() < end_s:
            try:
                system.lock(fd)
                break
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:  # network file systems lock no folders
                break
        yield
    finally:
        os.close(fd)


def _rename_to_free_name(path: Path, target: Path) -> None:
    """Rename, or raise FileExistsError: never over anything."""
    taken = FileExistsError(errno.EEXIST, "appeared meanwhile; not overwritten")
    try:
        if system.RENAME_REFUSES:
            os.rename(path, target)
            return
        os.link(path, target)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: take the name with an empty file of ours, then rename over that.
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.NO_FOLLOW
            os.close(system.open_file(target, flags))
        except FileExistsError:
            raise taken from None
        os.replace(path, target)
        return
    path.unlink(missing_ok=True)
    # Media servers that watch the folder wait for a file that is closed there, or moved; a link is
    # neither (minidlna never saw one).
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | system.NO_FOLLOW | system.NO_WAIT
        os.close(system.open_file(target, flags))
