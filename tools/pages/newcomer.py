"""Fills docs/index.md from docs/data/newcomer.json, which tools/measure/newcomer.py makes.

python -m tools.pages.newcomer
"""

import json
from pathlib import Path

from xlsr_model.report.markdown import table
from xlsr_model.report.page import fill

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "index.md"


def parts() -> dict[str, str]:
    """The page's generated parts by their names."""
    numbers = json.loads((DOCS / "data" / "newcomer.json").read_text(encoding="utf-8"))
    pythons = numbers["pythons"]
    words = (
        f"Timed by `python -m tools.measure.newcomer` on {numbers['date']}: {numbers['machine']}, "
        f"load average {numbers['load']}; seconds by the clock (of processor time), each with an "
        f"environment of its own, {max(way['megabytes'] for way in pythons.values())} MB large."
    )
    rows = [
        (step, *(spent(way["steps"][step]) for way in pythons.values()))
        for step in next(iter(pythons.values()))["steps"]
    ]
    return {"newcomer": f"{words}\n\n{table(('', *(f'Python {v}' for v in pythons)), rows)}"}


def spent(step: dict[str, float]) -> str:
    return f"{step['wall_s']:.0f} ({step['cpu_s']:.0f})"


if __name__ == "__main__":
    fill(PAGE, parts())
