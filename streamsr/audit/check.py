"""What an audit says: one row for each thing that was compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

KEPT, NOTE, LOST = "kept", "note", "LOST"


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the table: ``verdict`` is KEPT, NOTE (different, but nothing lost) or LOST."""

    what: str
    verdict: str
    detail: str


def lost(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.verdict == LOST]


def table(checks: Sequence[Check]) -> Iterator[str]:
    """Lines of text, aligned."""
    width = max((len(check.what) for check in checks), default=0)
    for check in checks:
        yield f"{check.verdict:<5} {check.what:<{width}}  {check.detail}"


def ms(seconds: Fraction) -> str:
    """Milliseconds for people."""
    return f"{float(seconds * 1000):.6g} ms"
