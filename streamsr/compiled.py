"""Loops compiled by numba, stored beside the package or in the user's cache folder where either can be written."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # Any: numba's dispatchers
    """``numba.njit(nogil=True, **options)`` that stores its result when it can; else every process compiles anew."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(nogil=True, cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # a read-only installation and no home: numba has no place
            return njit(nogil=True, **options)(function)  # type: ignore[no-any-return]

    return decorate
