"""Waiting for what another process or thread does: always with an end, and with what was seen until
then."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

PATIENCE_S = 100.0
"""Far more than the slowest machine needs for one step, and well below the time limit of a test."""

PAUSE_S = 0.02


def until(
    condition: Callable[[], Value],
    *,
    timeout_s: float = PATIENCE_S,
    seen: Callable[[], object] | None = None,
) -> Value:
    """What ``condition`` gives as soon as that is true.

    For what gives no sign that could be waited for. Raises AssertionError after ``timeout_s``, with
    what ``seen`` tells then, or with what the condition gave last.
    """
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(
                f"waited {timeout_s:g} s in vain; seen last: {seen() if seen else repr(value)}"
            )
        time.sleep(PAUSE_S)
    return value
