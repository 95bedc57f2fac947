"""Fills docs/live.md from docs/data/streams.json, which tools/measure/streams.py makes.

python -m tools.pages.streams
"""

import json
from pathlib import Path

from xlsr_model.report.markdown import table
from xlsr_model.report.page import fill

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "live.md"


def parts() -> dict[str, str]:
    """The page's generated parts by their names."""
    numbers = json.loads((DOCS / "data" / "streams.json").read_text(encoding="utf-8"))
    width, height = numbers["size"]
    words = (
        f"Measured by `python -m tools.measure.streams` on {numbers['date']}: "
        f"{numbers['machine']}, load average {numbers['load']}; "
        f"{width}x{height} at {numbers['rate']} a second, {numbers['seconds']:g} s of each, twice "
        f"as large within 100 ms."
    )
    head = (
        "stream",
        "frames in",
        "shown",
        "by network",
        "damaged",
        "pace error p50 / p99, ms",
        "jitter buffer, ms",
        "reconnections",
        "A/V offset median / worst, ms",
    )
    rows = [
        (
            name,
            case["in"],
            case["shown"],
            case["network"],
            case["damaged"],
            f"{case['pace_error_p50_ms']} / {case['pace_error_ms']}",
            case["jitter_buffer_ms"],
            case["reconnections"],
            offset_of(case["sound"]),
        )
        for name, case in numbers["cases"].items()
    ]
    return {"streams": f"{words}\n\n{table(head, rows)}"}


def offset_of(sound: dict[str, float] | None) -> str:
    """How much later the sound is than its pictures."""
    if sound is None:
        return "no sound"
    return f"{sound['median_ms']:.0f} / {sound['worst_ms']:.0f}".replace("-0", "0")


def main() -> None:
    fill(PAGE, parts())


if __name__ == "__main__":
    main()
