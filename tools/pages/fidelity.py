"""Fills docs/fidelity.md from docs/data/fidelity.json, losses.json and situations.json, which
tools/measure makes.

python -m tools.pages.fidelity
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from xlsr_model.report.markdown import table
from xlsr_model.report.page import fill

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "fidelity.md"


def recorded(name: str) -> Any:
    return json.loads((DOCS / "data" / f"{name}.json").read_text(encoding="utf-8"))


def parts() -> dict[str, str]:
    """The page's generated parts by their names."""
    outputs, tried = recorded("fidelity"), recorded("losses")
    rows = outputs["rows"]
    counts = Counter(result for *_, result, _ in rows)
    files = len({name for name, *_ in rows})
    losses = [
        [way, " ".join(map(str, tried["before"][way])), " ".join(map(str, outcome))]
        for way, outcome in tried["now"].items()
    ]
    return {
        "made": f"Made by `python -m tools.measure.fidelity` on {outputs['date']}. Each file went "
        "through\n\n`streamsr upscale FILE -o OUT --audit --preset ultrafast --duration "
        f"{outputs['seconds']}`",
        "numbers": f"- {files} files, {len(rows)} outputs: {counts['kept']} with nothing lost, "
        f"{counts['lost']} with the loss named, {counts['refused']} refused in one line. No "
        f"traceback, no time-out, no crash.\n- Python {outputs['python']}.",
        "losses": table(["way", "before", "now"], losses),
        "situations": situations(recorded("situations")),
        "files": table(
            ["file", "what it is", "into", "result", "what was kept, changed or refused"], rows
        ),
    }


def situations(tried: Any) -> str:
    """How many came out right, and each of them."""
    rows = tried["rows"]
    right = sum(verdict in ("right", "refused") for *_, verdict, _ in rows)
    return f"On {tried['date']}, {right} of {len(rows)} as they should.\n\n" + table(
        ["kind", "input, output", "by FFmpeg's programs", "by the audit"], rows
    )


def main() -> None:
    fill(PAGE, parts())


if __name__ == "__main__":
    main()
