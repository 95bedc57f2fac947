"""Fills docs/scaling.md from docs/data/scaling.json, which tools/measure/scaling.py makes, and from
docs/data/benchmarks.json.

    python -m tools.pages.scaling
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from tools.pages.scaling_model import (
    LIVE_LOAD,
    Costs,
    Film,
    Outcome,
    Stream,
    live_streams,
    packed,
    simulate,
)
from xlsr_model.report.markdown import table
from xlsr_model.report.page import fill

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "scaling.md"

HOURS = 1_000_000
DAYS = 30
MACHINE_CORES = 64
PROCESS_MIB = 340
"""Peak of a live process, 640x360 to 1920x1080: docs/benchmarks.md."""

FRAMES = 500
"""Of the clip that one worker and two upscaled."""

FSYNCS_S = 0.05
"""What a slow disk takes for the three of a segment."""

ORDERS = {
    "in order": "in the order given",
    "longest": "longest first, exactly",
    "classes": "ours",
}


def parts() -> dict[str, str]:
    """The page's generated parts by their names."""
    numbers = json.loads((DOCS / "data" / "scaling.json").read_text(encoding="utf-8"))
    benchmarks = json.loads((DOCS / "data" / "benchmarks.json").read_text(encoding="utf-8"))
    measured = Costs.of(numbers)
    streams = live_streams(benchmarks)
    machines = packed(streams, LIVE_LOAD, MACHINE_CORES)
    return {
        "start": start(numbers),
        "speed": speed(numbers),
        "costs": costs(measured),
        "simulated": simulated(measured),
        "limits": limits(measured),
        "orders": orders(measured),
        "catalogue": catalogue(numbers),
        "live": live(streams),
        "machines": placed(streams, machines),
        "totals": totals(streams, machines),
    }


def start(numbers: Mapping[str, Any]) -> str:
    short = numbers["short"]
    return (
        f"Starting Ray takes {numbers['start']['start_s']:.0f} s on the 2-core machine of "
        "[benchmarks.md](benchmarks.md), so a short film gains nothing: 8 seconds\n"
        f"of 320x180 take {short['auto_s']:.1f} s with `--cluster auto` (2 workers) and "
        f"{short['resume_s']:.1f} s with `--resume`, with the same bytes."
    )


def speed(numbers: Mapping[str, Any]) -> str:
    one, two = numbers["one"], numbers["two"]
    rows = [
        [
            name,
            *(f"{run[key]:.1f}" for key in ("wall_s", "start_s", "work_s")),
            f"{FRAMES / run['work_s']:.1f}",
        ]
        for name, run in (
            ("1 worker on 1 core", one),
            ("2 workers on 2 cores", two),
            ("`--resume`, no Ray, 2 cores", numbers["resume"]),
        )
    ]
    header = ["run", "whole command, s", "of that Ray's start, s", "work, s", "frames/s of work"]
    return (
        f"{table(header, rows)}\n\n"
        f"Two workers do the work **{one['work_s'] / two['work_s']:.2f} times** as fast as one; "
        f"with Ray's start the command is\n{one['wall_s'] / two['wall_s']:.2f} times as fast."
    )


def costs(c: Costs) -> str:
    return (
        "Ten seconds of film (250 frames, 640x360 to 1920x1080, h264 veryfast) take a core "
        f"{min(c.segment_s):.1f} to {max(c.segment_s):.1f} s; the driver takes\n"
        f"{c.send_s * 1e3:.1f} ms to send a segment and {c.record_s * 1e3:.1f} ms to check its "
        "digest and put it into the ledger; opening\n"
        f"takes {c.film_s:.2f} s, and {c.open_s * 600:.2f} s more for ten minutes of film (digest, "
        f"index of key frames), joining {c.join_s * 60:.1f} s for as much;\n"
        f"Ray is there after {c.start_s:.0f} s."
    )


def simulated(c: Costs) -> str:
    jobs = {
        "one film of two hours": [Film.of(c, 7200)],
        "100 films of 90 minutes": [Film.of(c, 5400)] * 100,
    }
    rows = [
        run_row(name, workers, simulate(films, c, workers), c)
        for name, films in jobs.items()
        for workers in (1, 10, 100, 1000)
    ]
    header = ["job", "workers", "time", "speed-up", "efficiency", "busiest single thread", "Gbit/s"]
    return table(header, rows)


def run_row(name: str, workers: int, out: Outcome, c: Costs) -> list[Any]:
    speedup = out.work_s / out.seconds
    busy = {"driver": out.driver_s / out.seconds, "joining": out.joiner_s / out.seconds}
    most = max(busy, key=lambda key: busy[key])
    gbit = speedup * (c.input_bytes + c.output_bytes) * 8 / c.cores_a_stream / 1e9
    return [
        name,
        workers,
        duration(out.seconds),
        f"{speedup:.1f}",
        f"{speedup / workers:.0%}",
        f"{busy[most]:.0%} ({most})",
        f"{gbit:.2f}",
    ]


def limits(c: Costs) -> str:
    """How many workers each of the driver's threads can serve."""
    seconds = mean(c.segment_s)
    driver_s = c.record_s + c.send_s
    most = seconds / max(driver_s, c.join_s)
    return (
        "- **Many films** scale until one of the driver's threads is the limit. Its joiner takes "
        f"{c.join_s * 1e3:.1f} ms for a segment that took a worker\n"
        f"  {seconds:.1f} s: at most **{seconds / c.join_s:,.0f} workers'** films. Its main thread "
        f"records a segment in {c.record_s * 1e3:.1f} ms and sends one in {c.send_s * 1e3:.1f} "
        "ms:\n"
        f"  at most {seconds / driver_s:,.0f} workers. A disk's fsyncs, three for each segment, "
        f"come on top: at {FSYNCS_S * 1e3:.0f} ms in all\n"
        f"  that is {seconds / (FSYNCS_S + driver_s):,.0f}. Longer segments have fewer of them: "
        "`--segment 60` a sixth.\n"
        "- Past that, **more drivers**: each takes its own films, they share nothing. A job for "
        f"each {most / 2:.0f} workers is at half of what its driver can."
    )


def orders(c: Costs) -> str:
    chance = random.Random(1)
    films = [Film.of(c, chance.uniform(1800, 7200), whole=i % 20 == 19) for i in range(60)]
    rows = []
    for order, name in ORDERS.items():
        out = simulate(films, c, 100, order=order)
        rows.append([name, duration(out.seconds), f"{out.waiting_s / 3600:.1f} h"])
    return table(["order of the segments", "time", "most unjoined film on the disk"], rows)


def catalogue(numbers: Mapping[str, Any]) -> str:
    rows = []
    for name, clip in numbers["segments"].items():
        frames = sum(s["frames"] for s in clip["segments"])
        each = sum(s["seconds"] for s in clip["segments"]) / frames
        cores = each * clip["rate"]
        into = clip["input_bytes"] / clip["seconds"]
        out = sum(s["bytes"] for s in clip["segments"]) / clip["seconds"]
        need = HOURS * cores / (DAYS * 24)
        gbit = HOURS * 3600 * 8 / (DAYS * 86400) / 1e9
        rows.append(
            [
                name,
                f"{clip['rate']:.0f}",
                f"{each * 1e3:.1f}",
                f"{cores:.2f}",
                f"{HOURS * cores / 1e6:.2f} M",
                f"{need:,.0f}",
                f"{into * 8 / 1e6:.2f}",
                f"{into * 3600 * HOURS / 1e15:.2f}",
                f"{out * 8 / 1e6:.2f}",
                f"{out * 3600 * HOURS / 1e15:.2f}",
                f"{into * gbit:.1f} + {out * gbit:.1f}",
            ]
        )
    header = ["like", "frames/s", "core-ms a frame", "cores to keep up", "core-hours"]
    traffic = ["Mbit/s in", "PB in", "Mbit/s out", "PB out", "Gbit/s in + out"]
    return table([*header, f"cores for {DAYS} days", *traffic], rows)


def live(streams: Sequence[Stream]) -> str:
    rows = [
        [
            s.name,
            s.count,
            f"{s.network_cores:.2f}",
            f"{s.cores:.2f}",
            s.threads,
            f"{s.count * s.cores:.0f}",
            f"{s.count * s.input_mbit / 1e3:.2f}",
            f"{s.count * s.output_mbit / 1e3:.2f}",
        ]
        for s in streams
    ]
    into = sum(s.count * s.input_mbit for s in streams) / 1e3
    together = [f"{all_cores(streams):.0f}", f"{into:.2f}", f"{output_gbit(streams):.2f}"]
    count = sum(s.count for s in streams)
    rows.append(["**all**", f"**{count}**", "", "", "", *(f"**{n}**" for n in together)])
    header = ["kind", "streams", "network, cores", "all, cores", "`--threads`", "cores together"]
    return table([*header, "Gbit/s in", "Gbit/s out"], rows)


def placed(streams: Sequence[Stream], machines: Sequence[Sequence[Stream]]) -> str:
    """The commonest six fillings of a machine."""
    kinds = Counter(
        ", ".join(f"{n} x {name}" for name, n in Counter(s.name for s in m).items())
        for m in machines
    )
    cores = all_cores(streams)
    rows = [[n, kind] for kind, n in kinds.most_common(6)]
    return (
        f"First-fit, the dearest stream first: **{len(machines)} machines**\n"
        f"({cores:.0f} / ({LIVE_LOAD} x {MACHINE_CORES}) = {cores / LIVE_LOAD / MACHINE_CORES:.1f} "
        "would be no machine left with a gap). The commonest:\n\n"
        + table(["machines", "streams on each"], rows)
    )


def totals(streams: Sequence[Stream], machines: Sequence[Sequence[Stream]]) -> str:
    fullest = max(len(m) for m in machines)
    gbit = output_gbit(streams)
    return (
        f"- Memory: {PROCESS_MIB} MiB a process at 1080p output, so at most {fullest} x "
        f"{PROCESS_MIB} MiB = {fullest * PROCESS_MIB / 1024:.0f} GiB a machine; 720p sources take "
        "0.9 GiB each.\n"
        f"- Storage: none, unless `--record`: {gbit:.2f} Gbit/s are {gbit / 8 * 86400 / 1e3:.0f} "
        "TB a day."
    )


def all_cores(streams: Sequence[Stream]) -> float:
    return sum(s.count * s.cores for s in streams)


def output_gbit(streams: Sequence[Stream]) -> float:
    return sum(s.count * s.output_mbit for s in streams) / 1e3


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def main() -> None:
    fill(PAGE, parts())


if __name__ == "__main__":
    main()
