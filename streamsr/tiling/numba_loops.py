"""Loops compiled by numba, kept in the part of the user's cache that nobody else can write to, or
nowhere.

What numba keeps are pickles: whoever writes one runs code here. It would read them beside the
package, in a folder that an environment variable names or under HOME, whoever owns that (`sudo`
keeps HOME in places).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config

from streamsr.native import cache


def compiled(
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # Any: numba's dispatchers
    """``numba.njit(nogil=True, **options)`` that keeps its result where it can; else every process
    compiles anew."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        folder = cache.private_folder("numba")
        kept = None
        if folder is not None and cache.is_private_tree(folder):
            kept = _kept_in(folder, function, options)
        return njit(nogil=True, **options)(function) if kept is None else kept

    return decorate


def _kept_in(folder: Path, function: Callable[..., Any], options: Any) -> Callable[..., Any] | None:
    """The function with ``folder`` for its cache; None where numba does not take it."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]  # made at run time
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]  # read once, when the function is decorated
    try:
        made = njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # it can write nowhere
        return None
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    # Where it cannot write to ours it takes another: beside the package, or under HOME.
    return made if Path(made.stats.cache_path).is_relative_to(folder) else None
