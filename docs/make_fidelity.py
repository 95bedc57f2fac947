"""Writes docs/fidelity.md: every clip and every odd file through the command, and what the audit says of the outputs.

    python docs/make_fidelity.py [DATA] [--seconds S] [--kills FILE]

DATA has ``video/clips`` and ``video/odd``; by default ../shared/data beside the repository. ``--kills`` is what the
test of a hundred kills printed.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 600

HEAD = """# Fidelity

Made by `python docs/make_fidelity.py` on {date}; do not edit. Each file went through

`streamsr upscale FILE -o OUT --audit --preset ultrafast --duration {seconds}`

into Matroska, which holds the most, and MP4 files into MP4 as well. The audit decodes both files side by side and
compares every frame's time, every packet of every other stream, chapters, metadata, flags, shape, rotation, depth and
colours (`streamsr audit IN OUT`). *kept* means that nothing was lost; what was lost is named; *refused* files leave
nothing behind, and the line is what the user sees.

## Numbers

{numbers}

## Rules

- **Times.** Every frame keeps its own time, exactly, up to the output's tick: MP4 takes the input's time base,
  Matroska has ticks of 1 ms. Nothing is moved, also where sound begins before zero (the priming samples of AAC):
  such packets stay before zero. Only a film whose first *picture* stands before zero is moved to zero, all of it
  alike, and the audit notes the shift. A first frame that claims to come after the second, as cut transport streams
  have it, is put before it.
- **Streams.** Everything beside the main video is copied packet by packet, with language, title and flags. What a
  container cannot hold is named before the work starts, with a word if a .mkv output would hold it; text subtitles
  become the container's own kind, without their styles. `--strict` refuses instead of either.
- **Picture.** Depth is kept as far as the codec goes (h264 and av1 10 bits, hevc 12, ffv1 16): the network sees 8
  bits, its detail is added to a bicubic of the full depth, except differences within one level of 8 bits. HDR10 and
  HLG keep their tags and mastering metadata; of Dolby Vision and HDR10+ the base layer is upscaled, which is said.
  Interlaced films are deinterlaced by bwdif unless `--interlaced keep` or `error`. Opacity is kept by ffv1 and
  named as lost elsewhere.
- **Interruptions.** `--resume` works in closed segments cut at key frames, each a pure function of input, model and
  settings, in a folder `OUT.resume` beside the output with a synced ledger; running the same command again goes on.
  A changed input, model, setting or library version is named and refused. The encoder has four threads, on every
  machine, and x264 does without AVX-512, with which it gives different bytes from run to run.
- **Limits.** `--max-pixels` (default 67108864), 200 streams, eight damaged frames in a row; a file may not name
  others to open.
- **Length.** Memory grows with FFmpeg's index of the packets only: two minutes of a small film peak at 155 MiB, two
  hours at 245, resumable at 256 (`pytest -m slow tests/streamsr/test_long.py`).

## Files

| file | what it is | into | result | what was kept, changed or refused |
|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--kills", type=Path)
    given = parser.parse_args()
    odd = given.data / "video" / "odd"
    known = {entry["name"]: entry for entry in json.loads((odd / "manifest.json").read_text())}
    files = sorted((given.data / "video" / "clips").iterdir()) + sorted(p for p in odd.iterdir() if p.suffix != ".json")
    rows, counts = [], {"kept": 0, "lost": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        for source in files:
            for suffix in [".mkv", *([".mp4"] if source.suffix.lower() in (".mp4", ".mov") else [])]:
                result, words = run(source, Path(folder) / f"out{suffix}", given.seconds)
                counts[result] += 1
                about = known.get(source.name, {})
                what = ", ".join([str(about.get("codec") or ""), *about.get("flags", [])]).strip(", ")
                rows.append(f"| {source.name} | {what} | {suffix[1:]} | {result} | {words} |")
                print(rows[-1], flush=True)
    numbers = [
        f"- {len(files)} files, {len(rows)} outputs: {counts['kept']} with nothing lost, {counts['lost']} with the loss"
        f" named, {counts['refused']} refused in one line. No traceback, no time-out, no crash."
    ]
    if given.kills is not None:
        said = next(line for line in given.kills.read_text().splitlines() if "kills" in line)
        test = "pytest -m slow tests/streamsr/test_segments.py"
        numbers.append(f"- `kill -9` at random moments of `upscale --resume`: {said} (`{test}`).")
    numbers.append(f"- Python {platform.python_version()} on {platform.machine()}.")
    head = HEAD.format(date=time.strftime("%Y-%m-%d"), seconds=given.seconds, numbers="\n".join(numbers))
    (ROOT / "docs" / "fidelity.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


def run(source: Path, target: Path, seconds: float) -> tuple[str, str]:
    """(kept, lost or refused; the words for the table)."""
    words = ["upscale", source, "-o", target, "--audit", "--overwrite", "--preset", "ultrafast", "--duration", seconds]
    done = subprocess.run(
        [sys.executable, "-m", "streamsr.cli", *map(str, words)],
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
    times = next((" ".join(rest.split()) for verdict, rest in checks if rest.startswith("timestamps")), "")
    target.unlink(missing_ok=True)
    parts = [times, *(f"**lost** {line}" for line in lost), *(f"changed: {line}" for line in notes)]
    parts.append("kept: " + ", ".join(name for name in kept if name != "timestamps"))
    return ("lost" if lost else "kept"), "; ".join(parts).replace("|", "/")


if __name__ == "__main__":
    main()
