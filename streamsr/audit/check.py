"""The result of an audit: a row for each thing that was compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

KEPT, NOTE, LOST = "kept", "note", "LOST"
"""Verdicts: equal; different, but nothing is lost; lost."""


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table.

    what     was compared, such as ``audio 1``
    verdict  KEPT, NOTE or LOST
    detail   what was seen, for the user
    """

    what: str
    verdict: str
    detail: str


def lost(checks: Sequence[Check]) -> list[Check]:
    """The rows whose verdict is LOST."""
    return [check for check in checks if check.verdict == LOST]


def table(checks: Sequence[Check]) -> Iterator[str]:
    """The rows as aligned lines of text."""
    width = max((len(check.what) for check in checks), default=0)
    for check in checks:
        yield f"{check.verdict:<5} {check.what:<{width}}  {check.detail}"


def ms(seconds: Fraction) -> str:
    """Format seconds as milliseconds."""
    return f"{float(seconds * 1000):.6g} ms"
