"""Takes a file that is dropped into the page."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from streamsr.desk.places import is_film
from streamsr.errors import SinkError, one_line, reason_of, shortened
from xlsr_model.files import NAME_BYTES, Output

RESERVE_BYTES = 256 << 20
"""Of the disk that is left free, for whatever else writes to it."""

CHECKED_BYTES = 16 << 20
"""Between two looks at the free space."""


class NoRoom(SinkError):  # noqa: N818 - it says what is
    """The disk has no room for a file."""


def room(folder: Path) -> int:
    """Bytes that a dropped file may have now. Raises OSError."""
    return max(shutil.disk_usage(folder).free - RESERVE_BYTES, 0)


def checked_name(name: str) -> str:
    """The name of a file that is dropped. Raises ValueError for what cannot be one here."""
    said = shortened(one_line(name))
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= NAME_BYTES or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{said}: no file can have this name")
    if not is_film(Path(name)):
        raise ValueError(f"{said}: is not the name of a film or a picture")
    return name


async def received(
    content: AsyncIterator[bytes], name: str, length: int | None, dropped: Path
) -> tuple[Path, int]:
    """Write a file into a new folder in ``dropped``; its path and size. Nothing stays of one that
    breaks off. Raises ValueError for its name or when less came than ``length`` says, NoRoom, and
    SinkError."""
    folder = dropped / secrets.token_hex(8)
    path = folder / checked_name(name)
    taken = 0
    try:
        free = room(dropped)
        if length is not None and length > free:
            raise _no_room(name, length, free, dropped)
        folder.mkdir()
        with Output(path) as output:
            async for part in content:
                looks = taken // CHECKED_BYTES != (taken + len(part)) // CHECKED_BYTES
                taken += len(part)
                if looks and not (free := room(dropped)):
                    raise _no_room(name, taken, free, dropped)
                await asyncio.to_thread(output.write, part)
            if length is not None and taken < length:
                raise ValueError(f"{shortened(one_line(name))}: broke off")
            await asyncio.to_thread(output.publish)
    except OSError as error:
        raise NoRoom(f"{shortened(one_line(name))}: {reason_of(error)}") from error
    finally:
        if not path.exists():
            shutil.rmtree(folder, ignore_errors=True)
    return path, taken


def _no_room(name: str, size: int, free: int, folder: Path) -> NoRoom:
    return NoRoom(
        f"{shortened(one_line(name))}: {size / 1e6:.0f} MB; {free / 1e6:.0f} MB are free for it in "
        f"{folder}"
    )
