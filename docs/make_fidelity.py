"""Writes docs/fidelity.md: every clip and every odd file through the command, and what the audit
says of the outputs.

    python docs/make_fidelity.py [DATA] [--seconds S] [--kills FILE]

DATA has ``video/clips`` and ``video/odd``; by default ../shared/data beside the repository.
``--kills`` is what the test of a hundred kills printed.
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
- **Streams.** Everything beside the main video is copied packet by packet, with language, title and flags. When the
  named container cannot hold something that Matroska can (a stream, a font, the styles of ASS subtitles, the codec),
  the whole goes into a .mkv of the same name, said in one line before the work starts. A .mkv that stands there already
  is never replaced, whatever `--overwrite` says of the other name. What neither holds is left out and named; plain text
  subtitles become the container's own kind; sound that neither takes (WMA, ADPCM, G.711, AMR) becomes the same samples.
  `--strict` refuses instead of any of these. Chapters and timecodes that an MP4 keeps as tracks are carried as chapters
  and metadata. AVI has no times of its own: it is made only of AVI.
- **Picture.** Depth is kept as far as the codec goes (h264 and av1 10 bits, hevc 12, ffv1 16): the network sees 8
  bits, its detail is added to a bicubic of the full depth, except differences within two levels of 8 bits. HDR10 and
  HLG keep their tags and mastering metadata, in the coded stream (the boxes that MP4 and Matroska have for it besides
  are not written); of Dolby Vision and HDR10+ the base layer is upscaled, which is said; Dolby Vision profile 5, which
  has none, is refused. Interlaced films are deinterlaced by bwdif unless `--interlaced keep` or `error`. Opacity, also
  of WebM, is kept by ffv1 and named as lost elsewhere. Bitmap subtitles keep their own canvas, which players stretch.
- **Colour.** Colour bars of 75 and 100 % come back from 8 bits within 1 of 255 for every matrix, range and chroma
  format, and from 10 and 12 bits unchanged. Of all colours, 0.1 to 0.3 % of the samples are off by 2 in 8 bits and
  limited range, which has 219 levels for 255; none elsewhere by more than 1.
- **Interruptions.** `--resume` works in closed segments cut at key frames, each a pure function of input, model and
  settings, in a folder `OUT.resume` beside the output with a synced ledger; running the same command again goes on.
  A changed input, model, setting or library version is named and refused. The encoder has four threads, on every
  machine, and x264 does without AVX-512, with which it gives different bytes from run to run.
  A full disk ends the run with what was finished kept; with space made, the same command goes on.
- **Limits.** `--max-pixels` (default 67108864), `--max-duration` (100 hours, claimed or delivered), 200 streams, eight
  damaged frames in a row; a file may not name others to open. A model file that is not ours is tried in a process of
  its own first, since LiteRT dies of some damaged ones: of 5,500 copies with bits flipped outside the weights 8 killed
  it, and of the 622 that passed the trial none killed it later at other sizes.
- **Length.** Memory grows with FFmpeg's index of the packets only: two minutes of a small film peak at 155 MiB, two
  hours at 245, resumable at 257 (`pytest -m slow tests/streamsr/whole/test_long.py`). An MP4 track of 216,000 packets, two
  hours of frames, takes 17 MiB while it is written and 24 when it is read; sound has half as many again.

## Files of others

Ways to lose a file, each tried on a small film by `python docs/make_losses.py`: *lost* is a byte, a link or a mode that
was not the command's and is not as it was, or a picture of another film with status 0; the number is the exit status.
Before: version 1.0.0, commit 6912d0d. Beside these, a property test draws worlds of strangers' files, links, pipes and
folders under every name that a run might use, with errors and Ctrl-C at any call of the system, and kills
(`tests/streamsr/whole/test_strangers.py`; 2,500 worlds by hand, nothing lost).

| way | before | now |
|---|---|---|
{losses}

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
    files = sorted((given.data / "video" / "clips").iterdir()) + sorted(
        p for p in odd.iterdir() if p.suffix != ".json"
    )
    rows, counts = [], {"kept": 0, "lost": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        for source in files:
            for suffix in [
                ".mkv",
                *([".mp4"] if source.suffix.lower() in (".mp4", ".mov") else []),
            ]:
                result, words = run(source, Path(folder) / f"out{suffix}", given.seconds)
                counts[result] += 1
                about = known.get(source.name, {})
                what = ", ".join([str(about.get("codec") or ""), *about.get("flags", [])]).strip(
                    ", "
                )
                rows.append(f"| {source.name} | {what} | {suffix[1:]} | {result} | {words} |")
                print(rows[-1], flush=True)
    numbers = [
        f"- {len(files)} files, {len(rows)} outputs: {counts['kept']} with nothing lost, "
        f"{counts['lost']} with the loss"
        f" named, {counts['refused']} refused in one line. No traceback, no time-out, no crash."
    ]
    if given.kills is not None:
        said = next(line for line in given.kills.read_text().splitlines() if "kills" in line)
        test = "pytest -m slow tests/streamsr/segments/test_segments.py"
        numbers.append(f"- `kill -9` at random moments of `upscale --resume`: {said} (`{test}`).")
    numbers.append(f"- Python {platform.python_version()} on {platform.machine()}.")
    tried = json.loads((ROOT / "docs" / "losses.json").read_text())
    losses = [
        f"| {way} | {' '.join(map(str, tried['before'][way]))} | {' '.join(map(str, outcome))} |"
        for way, outcome in tried["now"].items()
    ]
    head = HEAD.format(
        date=time.strftime("%Y-%m-%d"),
        seconds=given.seconds,
        numbers="\n".join(numbers),
        losses="\n".join(losses),
    )
    (ROOT / "docs" / "fidelity.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


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
