"""Receives streams as they are met, from servers of its own, into docs/data/streams.json.

    python -m tools.measure.streams [--sound] [NAME]...

Every picture carries the time when it was taken: what is measured is when it leaves, against that.
In a run of its own, a film that flashes and beeps is recorded: `tools.measure.stream_sound`.
Takes half a minute for each; those that are named replace their numbers, with --sound only those of
the sound.
"""

import argparse
import itertools
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from streamsr.machine import processor_name, usable_cores, versions
from streamsr.pipeline import Pipeline
from streamsr.sources.network import network
from streamsr.sources.pattern import read_time
from streamsr.stats import Fate, Recorder
from streamsr.upscaler import Upscaler
from tests.support.streams import RATE, SIZE, coded
from tools.measure.stream_servers import CASES, FILM_S
from tools.measure.stream_sound import recorded_offsets, signal

NUMBERS = Path(__file__).resolve().parents[2] / "docs" / "data" / "streams.json"

RUN_S = 14.0
GOP = 50
"""Pictures between key frames: two seconds, as broadcasts have them."""

BUDGET_S = 0.1


def measured(url: str) -> dict[str, Any]:
    """What a run shows of this stream, and when."""
    record = Recorder()
    left: list[tuple[float, float]] = []  # on our clock, in the picture
    with ExitStack() as stack:
        source = stack.enter_context(network(url, record=record))
        upscaler = stack.enter_context(Upscaler(scale=2, record=record))
        pipeline = stack.enter_context(Pipeline(source, upscaler, budget_s=BUDGET_S))
        begun = time.monotonic()
        while time.monotonic() < begun + RUN_S:
            try:
                frame = pipeline.get(0.1)
            except TimeoutError:
                continue
            if frame is None:
                break
            taken_s = None if frame.lr is None else read_time(frame.lr)
            if taken_s is not None:
                left.append((time.monotonic(), taken_s))
    stats = record.snapshot()
    assert stats.live is not None
    errors = [
        abs((now - before) - (taken - taken_before))
        for (before, taken_before), (now, taken) in itertools.pairwise(left)
        if 0 < taken - taken_before < 1  # not over a cut
    ]
    again = sum(b <= a for (_, a), (_, b) in itertools.pairwise(left))
    return {
        "in": stats.frames["in"],
        "shown": stats.frames["out"],
        "network": sum(stats.frames[fate] for fate in (Fate.NETWORK, Fate.PARTIAL, Fate.REUSED)),
        "damaged": stats.frames["damaged"],
        "pace_error_ms": round(float(np.percentile(errors, 99)) * 1e3, 1),
        "pace_error_p50_ms": round(statistics.median(errors) * 1e3, 1),
        "jitter_buffer_ms": round(stats.live.jitter_buffer_ms),
        "reconnections": stats.live.reconnects,
        "backwards": again,
    }


def sound_of(name: str, scratch: Path) -> dict[str, Any]:
    """How far a recording of this stream has moved its sound from its pictures."""
    # RTSP describes AAC before it sends any, which a transport stream does not.
    suffix = ".mkv" if "RTSP" in name else suffix_of(name)
    film = signal(scratch / f"signal{suffix}", FILM_S, gop=GOP)
    with CASES[name](film) as url:
        offsets = recorded_offsets(url, scratch / "recorded.mkv", RUN_S, budget_s=BUDGET_S)
    if not offsets:
        return {"sound": None}
    worst = max(offsets, key=abs)
    return {
        "sound": {
            "beeps": len(offsets),
            "median_ms": round(statistics.median(offsets), 1),
            "worst_ms": round(worst, 1),
        }
    }


def suffix_of(name: str) -> str:
    return ".flv" if "RTMP" in name else ".ts"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sound", action="store_true", help="only that of the recordings")
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(CASES))
    asked = parser.parse_args()
    logging.getLogger("streamsr").setLevel(logging.ERROR)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    cases = numbers.get("cases", {})
    for name in asked.names or list(CASES):
        with tempfile.TemporaryDirectory() as scratch:
            if not asked.sound:
                film = coded(Path(scratch) / f"film{suffix_of(name)}", FILM_S, gop=GOP)
                with CASES[name](film) as url:
                    cases[name] = measured(url)
            cases[name] |= sound_of(name, Path(scratch))
        print(f"{name}: {cases[name]}", file=sys.stderr)
        if not asked.sound:
            numbers |= {
                "date": date.today().isoformat(),
                "machine": f"{processor_name()}, {usable_cores()} usable cores",
                "load": round(os.getloadavg()[0]),
                "versions": versions(),
                "size": list(SIZE),
                "rate": RATE,
                "seconds": RUN_S,
            }
        numbers["cases"] = {name: cases[name] for name in CASES if name in cases}
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
