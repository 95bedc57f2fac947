"""The words and tables of docs/scaling.md."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from scaling_model import LIVE_LOAD, Costs, Outcome, Stream

HOURS = 1_000_000
DAYS = 30
MACHINE_CORES = 64
PROCESS_MIB = 340
"""Peak of a live process, 640x360 to 1920x1080: docs/benchmarks.md."""

GUIDE = """
# Scaling

<!-- not run: installs from the package registry -->
```sh
pip install 'streamsr[cluster]'
```

Ray is started on this machine, and stopped again:

<!-- not run: starts Ray, half a minute on a busy machine; tests/streamsr/cluster/test_cluster.py does -->
```sh
streamsr upscale old/*.mp4 -o larger --cluster auto
```

On a Ray cluster that this machine is a node of; the first line makes it one, which only drives:

<!-- not run: needs a cluster; tests/streamsr/cluster/test_cluster.py has one -->
```sh
ray start --address=HOST:6379 --num-cpus=0
streamsr upscale old/*.mp4 -o larger --cluster HOST:6379
```

Films are cut at key frames into segments of `--segment` seconds (10), which become Ray tasks; a film whose segments are all
there is joined. Pictures are upscaled by the driver itself.

## What you can rely on

- **The same bytes** as one machine gives with `--resume`, whatever the number and kind of workers: the segments, their
  ledger and the join are the same code. (Without `--resume` a film is one encoder's work from end to end: the same pictures go
  into it, but its compressed bytes are others.) Engines `fused` and `litert` mix freely; with `--engine openvino` or a delegate
  every node must have that engine, and the bytes are as equal as it is from machine to machine.
- **A worker or node that dies** costs the segments it was making: they are queued again, with a line that says so. A segment that
  loses 8 workers ends its film with an error.
- **A driver that dies** is started again with the same command (`--resume` may be added, it is implied); so does `--resume` on one
  machine go on with what a cluster began, and the other way round. Ctrl-C finishes the segments that are being made, a second one stops at once.
- **Nodes must be alike.** Each segment's worker compares the versions of streamsr and its libraries, the model, and whether the
  input under that path is the driver's (size and 16 samples). What differs ends the film in one line that names the node.
- **No shared disk is needed.** A node that does not see the input reads it from the driver's machine through Ray's object store, in
  blocks of 1 MiB, only those its segment needs; one that does not see the output's folder sends its segment back the same way.

## Memory

A segment asks Ray for a core (`--threads N`: N) and for as much memory as its worker may need, and Ray begins no more on a node
than fit there (it gives out 70 % of the memory): 200 MiB, and for each pixel of the output 300 bytes (h264, hevc), 500 (av1)
or 100 (ffv1). Measured peaks of one-thread workers, 80 frames that all change:

| output | h264 veryfast | h264 slower | hevc fast | av1 10 | ffv1 | asked for (h264) |
|---|---|---|---|---|---|---|
| 960x540 | 172 MiB | 275 | 298 | 418 | 145 | 348 MiB |
| 1920x1080 | 307 MiB | 681 | 600 | 1034 | 228 | 793 MiB |
| 3840x2160 | 812 MiB | | | | | 2573 MiB |

A film that asks for more than any node has runs alone on the largest. If memory leaves cores idle, `--threads 2` or 4 makes
fewer, faster segments. Beside that: 8 MiB of input blocks a worker where there is no shared disk, one block on its way back;
the driver 200 MiB and its actor 100; in a cluster that `auto` starts, an object store of 100 MiB. Two segments are under way for each
place there is, so that a worker that is done finds the next one waiting, and no more.

## Kubernetes

[`kubernetes/rayjob.yaml`](kubernetes/rayjob.yaml) is a RayJob for the KubeRay operator: a head that drives, workers that come and
go with the queue, one volume that all mount. The image is Ray's with streamsr installed, of the same Ray version:

```text
FROM rayproject/ray:2.60.0-py311
RUN python3 -m pip install 'streamsr[cluster]' 'ray==2.60.0'
```

Tests check the manifest's shape and that its command is one that streamsr takes. It has not run on Kubernetes here; the same
command has, on a head without cores and a worker that were started by hand.
"""


def page(
    numbers: Mapping[str, Any],
    costs: Costs,
    runs: Mapping[str, Sequence[tuple[int, Outcome]]],
    orders: Mapping[str, Outcome],
    streams: Sequence[Stream],
    machines: Sequence[Sequence[Stream]],
) -> str:
    parts = [
        GUIDE,
        _speed(numbers),
        _simulation(costs, runs),
        _orders(orders),
        _catalogue(numbers),
        _live(streams, machines),
    ]
    return "\n".join(part.strip() + "\n" for part in parts)


def _speed(numbers: Mapping[str, Any]) -> str:
    short = numbers["short"]
    words = f"""
## Measured here: one worker and two

Starting Ray takes {numbers["start"]["start_s"]:.0f} s on the 2-core machine of [benchmarks.md](benchmarks.md), so a short film gains nothing: 8 seconds
of 320x180 take {short["auto_s"]:.1f} s with `--cluster auto` (2 workers) and {short["resume_s"]:.1f} s with `--resume`, with the same bytes.
"""
    if not {"one", "two", "resume"} <= set(numbers):
        return f"""{words}
**The speed-up from one worker to two is not measured yet**: it needs both cores for itself, and this machine was shared all the
time. `python docs/make_scaling.py measure one`, then `two`, `resume` and without arguments puts it here.
"""
    one, two, resume = numbers["one"], numbers["two"], numbers["resume"]
    return f"""{words}
`streamsr upscale CLIP -o OUT --cluster auto --segment 2 --preset superfast` held to one core and to both with `taskset`: `samples/bbb_640x360.mp4` repeated to 20
seconds, 500 frames to 1920x1080, 10 segments. The best of three runs each, taken in turn.

| run | whole command, s | of that Ray's start, s | work, s | frames/s of work |
|---|---|---|---|---|
| 1 worker on 1 core | {one["wall_s"]:.1f} | {one["start_s"]:.1f} | {one["work_s"]:.1f} | {500 / one["work_s"]:.1f} |
| 2 workers on 2 cores | {two["wall_s"]:.1f} | {two["start_s"]:.1f} | {two["work_s"]:.1f} | {500 / two["work_s"]:.1f} |
| `--resume`, no Ray, 2 cores | {resume["wall_s"]:.1f} | {resume["start_s"]:.1f} | {resume["work_s"]:.1f} | {500 / resume["work_s"]:.1f} |

Two workers do the work **{one["work_s"] / two["work_s"]:.2f} times** as fast as one; with Ray's start the command is
{one["wall_s"] / two["wall_s"]:.2f} times as fast. Driver, Ray's own processes and the workers' starts share these cores, which
on a cluster they do not. That all outputs have the same bytes is tested in `tests/streamsr/cluster/test_cluster.py`.
"""


def _simulation(costs: Costs, runs: Mapping[str, Sequence[tuple[int, Outcome]]]) -> str:
    rows = []
    for name, run in runs.items():
        for workers, out in run:
            speedup = out.work_s / out.seconds
            busy = {"driver": out.driver_s / out.seconds, "joining": out.joiner_s / out.seconds}
            most = max(busy, key=lambda key: busy[key])
            gbit = (
                speedup * (costs.input_bytes + costs.output_bytes) * 8 / costs.cores_a_stream / 1e9
            )
            rows.append(
                f"| {name} | {workers} | {_time(out.seconds)} | {speedup:.1f} | {speedup / workers:.0%} |"
                f" {busy[most]:.0%} ({most}) | {gbit:.2f} |"
            )
    table = "\n".join(rows)
    seconds = mean(costs.segment_s)
    most = seconds / max(costs.record_s + costs.send_s, costs.join_s)
    return f"""
## Simulated: 10, 100, 1,000 workers

`docs/scaling_model.py` plays a run through, event by event, with what was measured (`docs/scaling.json`): ten seconds of film
(250 frames, 640x360 to 1920x1080, h264 veryfast) take a core {min(costs.segment_s):.1f} to {max(costs.segment_s):.1f} s; the driver takes
{costs.send_s * 1e3:.1f} ms to send a segment and {costs.record_s * 1e3:.1f} ms to check its digest and put it into the ledger; opening
takes {costs.film_s:.2f} s, and {costs.open_s * 600:.2f} s more for ten minutes of film (digest, index of key frames), joining {costs.join_s * 60:.1f} s for as much;
Ray is there after {costs.start_s:.0f} s. These are CPU times; the disk and the network are taken to be fast enough; what the network must carry is in the last column.

| job | workers | time | speed-up | efficiency | busiest single thread | Gbit/s |
|---|---|---|---|---|---|---|
{table}

Where it stops, and why:

- **One film** stops at as many workers as it has segments: two hours have 720. Before that it loses to the steps that only one
  can do: opening, joining, Ray's start. With 1,000 workers these, and the one segment that each worker makes, are all there is.
- **Many films** scale until one of the driver's threads is the limit. Its joiner takes {costs.join_s * 1e3:.1f} ms for a segment that took a worker
  {seconds:.1f} s: at most **{seconds / costs.join_s:,.0f} workers'** films. Its main thread records a segment in {costs.record_s * 1e3:.1f} ms and sends one in {costs.send_s * 1e3:.1f} ms:
  at most {seconds / (costs.record_s + costs.send_s):,.0f} workers. A disk's fsyncs, three for each segment, come on top: at 50 ms in all that is
  {seconds / (0.05 + costs.record_s + costs.send_s):,.0f}. Longer segments have fewer of them: `--segment 60` a sixth.
- Past that, **more drivers**: each takes its own films, they share nothing. A job for each {most / 2:.0f} workers is at half of what its driver can.
"""


def _orders(orders: Mapping[str, Outcome]) -> str:
    names = {
        "in order": "in the order given",
        "longest": "longest first, exactly",
        "classes": "ours",
    }
    rows = "\n".join(
        f"| {names[key]} | {_time(out.seconds)} | {out.waiting_s / 3600:.1f} h |"
        for key, out in orders.items()
    )
    return f"""
## The order of work

60 films of half an hour to two hours, of which every twentieth cannot be cut (an AVI, see [fidelity.md](fidelity.md)), on
100 workers, simulated:

| order of the segments | time | most unjoined film on the disk |
|---|---|---|
{rows}

In the order given, the last film that is one long segment begins last and one worker ends alone. Sorted by exact length, the segments of
all films mix, films are finished late and their segments pile up. Ours takes the longest first to a factor of two, and within that film after film.
"""


def _catalogue(numbers: Mapping[str, Any]) -> str:
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
            f"| {name} | {clip['rate']:.0f} | {each * 1e3:.1f} | {cores:.2f} | {HOURS * cores / 1e6:.2f} M | {need:,.0f} |"
            f" {into * 8 / 1e6:.2f} | {into * 3600 * HOURS / 1e15:.2f} | {out * 8 / 1e6:.2f} | {out * 3600 * HOURS / 1e15:.2f} |"
            f" {into * gbit:.1f} + {out * gbit:.1f} |"
        )
    table = "\n".join(rows)
    return f"""
## A catalogue of a million hours

640x360 to 1920x1080, h264 veryfast at CRF 18, by the measured segments of the two samples: an animated film with much motion,
and a fixed camera, much of whose picture is reused.

| like | frames/s | core-ms a frame | cores to keep up | core-hours | cores for {DAYS} days | Mbit/s in | PB in | Mbit/s out | PB out | Gbit/s in + out |
|---|---|---|---|---|---|---|---|---|---|---|
{table}

- core-hours = {HOURS:,} h x frames/s x core-ms a frame / 1000; cores = core-hours / ({DAYS} x 24 h).
- PB = Mbit/s / 8 x 3600 s x {HOURS:,} h / 10^9; Gbit/s = PB x 8 x 10^6 / ({DAYS} x 86,400 s), the mean over the {DAYS} days.
- Bits a second decide the storage, and CRF decides them: measure your own films with `--stats-json` and the sizes of the outputs.
- Disk beside the outputs: a film's segments lie beside its output until it is joined, and the joined file for a moment too. With at
  most 64 films in work for each driver and 90 minutes each, that is 64 x 1.5 h x 3600 x bytes/s out, twice: below 1 TB a driver
  at the rates above.
- The driver reads each output twice (digest, join) and writes it once: three times the share of its workers' Gbit/s out is its network.
  Every input is read once whole to know it again, and once by its segments.
"""


def _live(streams: Sequence[Stream], machines: Sequence[Sequence[Stream]]) -> str:
    rows = "\n".join(
        f"| {s.name} | {s.count} | {s.network_cores:.2f} | {s.cores:.2f} | {s.threads} | {s.count * s.cores:.0f} |"
        f" {s.count * s.input_mbit / 1e3:.2f} | {s.count * s.output_mbit / 1e3:.2f} |"
        for s in streams
    )
    total = sum(s.count * s.cores for s in streams)
    count = sum(s.count for s in streams)
    kinds = Counter(
        ", ".join(f"{n} x {name}" for name, n in Counter(s.name for s in m).items())
        for m in machines
    )
    placed = "\n".join(f"| {n} | {kind} |" for kind, n in kinds.most_common(6))
    into, out = (
        sum(s.count * mbit(s) for s in streams) / 1e3
        for mbit in (lambda s: s.input_mbit, lambda s: s.output_mbit)
    )
    fullest = max(len(m) for m in machines)
    return f"""
## A thousand live streams

One process a stream (`streamsr live URL --publish URL --threads N --budget-ms 100`): a stream that fails takes no other with it, and Ray
has no part in it. Placed by measured cost: cores = frames/s x (decode + network x share that changes + YUV and h264 superfast),
CPU times of [benchmarks.md](benchmarks.md), growing with the area; threads = network's cores / {LIVE_LOAD}, rounded up.

| kind | streams | network, cores | all, cores | `--threads` | cores together | Gbit/s in | Gbit/s out |
|---|---|---|---|---|---|---|---|
{rows}
| **all** | **{count}** | | | | **{total:.0f}** | **{into:.2f}** | **{out:.2f}** |

The mix and its bit rates are an example; the costs are measured. A machine of {MACHINE_CORES} cores is filled to {LIVE_LOAD:.0%}, so that a stream that
changes everywhere at once finds room before its budget degrades it. First-fit, the dearest stream first: **{len(machines)} machines**
({total:.0f} / ({LIVE_LOAD} x {MACHINE_CORES}) = {total / LIVE_LOAD / MACHINE_CORES:.1f} would be no machine left with a gap). The commonest:

| machines | streams on each |
|---|---|
{placed}

- Memory: {PROCESS_MIB} MiB a process at 1080p output, so at most {fullest} x {PROCESS_MIB} MiB = {fullest * PROCESS_MIB / 1024:.0f} GiB a machine; 720p sources take 0.9 GiB each.
- Storage: none, unless `--record`: {out:.2f} Gbit/s are {out / 8 * 86400 / 1e3:.0f} TB a day.
- Where it stops: nowhere before the network, streams share nothing. Measure a stream of each kind with `--stats-json` or
  [`--metrics`](metrics.md), and place by that: a fixed camera at night costs a tenth of one by day.
"""


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
