"""Sends every clip and every odd file through the command, and writes what the audit says of the
outputs into docs/data/fidelity.json, for docs/fidelity.md.

    python -m tools.measure.fidelity [DATA] [--seconds S]

DATA has ``video/clips`` and ``video/odd``; by default ../shared/data beside the repository.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "docs" / "data" / "fidelity.json"
TIMEOUT_S = 600

Row = tuple[str, str, str, str, str]
"""File; what it is; kind of output; kept, lost or refused; what the audit or the command says."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    rows = []
    for row in outputs(given.data / "video", given.seconds):
        print(*row, sep=" | ", flush=True)
        rows.append(row)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "python": f"{platform.python_version()} on {platform.machine()}",
        "seconds": given.seconds,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def outputs(folder: Path, seconds: float) -> Iterator[Row]:
    """Each file into Matroska, and MP4 files into MP4 as well."""
    odd = folder / "odd"
    known = {entry["name"]: entry for entry in json.loads((odd / "manifest.json").read_text())}
    files = sorted((folder / "clips").iterdir()) + sorted(
        path for path in odd.iterdir() if path.suffix != ".json"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for source in files:
            about = known.get(source.name, {})
            what = ", ".join(filter(None, [about.get("codec"), *about.get("flags", [])]))
            for kind in ("mkv", "mp4") if source.suffix.lower() in (".mp4", ".mov") else ("mkv",):
                result, words = run(source, Path(scratch, f"out.{kind}"), seconds)
                yield source.name, what, kind, result, words


def run(source: Path, target: Path, seconds: float) -> tuple[str, str]:
    """(kept, lost or refused; the words for the table)."""
    words = [
        "upscale",
        source,
        "-o",
        target,
        "--audit",
        "--overwrite",
        "--preset",
        "ultrafast",
        "--duration",
        seconds,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "streamsr", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=ROOT,
    )
    said = [line.replace(str(source), source.name) for line in done.stderr.splitlines()]
    if "Traceback" in done.stderr or done.returncode not in (0, 1):
        raise SystemExit(f"{source}: {done.stderr}")
    checks = [line.split(None, 1) for line in done.stdout.splitlines()]
    if not checks:
        return "refused", said[-1].removeprefix("streamsr: ")
    lost = [" ".join(rest.split()) for verdict, rest in checks if verdict == "LOST"]
    notes = [" ".join(rest.split()) for verdict, rest in checks if verdict == "note"]
    kept = [rest.split("  ")[0].strip() for verdict, rest in checks if verdict == "kept"]
    times = next(
        (" ".join(rest.split()) for verdict, rest in checks if rest.startswith("timestamps")), ""
    )
    moved = [
        line.split(": ", 1)[1].split(": all goes")[0] for line in said if "all goes into" in line
    ]
    for made in (target, target.with_suffix(".mkv")):
        made.unlink(missing_ok=True)
    parts = [
        *(f"made a .mkv: {line}" for line in moved),
        times,
        *(f"**lost** {line}" for line in lost),
        *(f"changed: {line}" for line in notes),
    ]
    parts.append("kept: " + ", ".join(name for name in kept if name != "timestamps"))
    return ("lost" if lost else "kept"), "; ".join(parts).replace("|", "/")


if __name__ == "__main__":
    main()
