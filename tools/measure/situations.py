"""Tries every situation of tools/situations.py, by the audit and by FFmpeg's own programs, and
writes docs/data/situations.json, for docs/fidelity.md.

    python -m tools.measure.situations
"""

import json
import tempfile
import time
from pathlib import Path

from tools.situations import SITUATIONS, Run, Situation, Wrong

RESULT = Path(__file__).resolve().parents[2] / "docs" / "data" / "situations.json"


def main() -> None:
    rows = []
    for situation in SITUATIONS:
        for more in ((), *situation.also):
            row = [situation.kind, " ".join((situation.name, *more)), *tried(situation, more)]
            print(*row, sep=" | ", flush=True)
            rows.append(row)
    result = {"date": time.strftime("%Y-%m-%d"), "rows": rows}
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def tried(situation: Situation, more: tuple[str, ...]) -> tuple[str, str]:
    """What the judge says, and what the audit."""
    with tempfile.TemporaryDirectory() as folder:
        run = situation.run(Path(folder), *more, "--audit")
        try:
            situation.judge(run)
        except Wrong as error:
            return f"wrong: {str(error).splitlines()[0]}", audited(run)
        return ("refused" if run.status else "right"), audited(run)


def audited(run: Run) -> str:
    """What is not simply kept."""
    lines = [line for line in run.said.splitlines() if line.startswith(("kept ", "note ", "LOST "))]
    odd = [" ".join(line.split()) for line in lines if not line.startswith("kept ")]
    return "; ".join(odd) or ("kept" if lines else "-")


if __name__ == "__main__":
    main()
