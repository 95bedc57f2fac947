"""Measures what docs/scaling.md computes with into docs/data/scaling.json, on a quiet machine.

    python -m tools.measure.scaling one|two|resume|segments|driver|opening|joining

Each takes under two minutes; of several runs of the first three the best stays.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamsr.jobs.options import FileOptions
from streamsr.options import EngineChoice

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = ROOT / "docs" / "data" / "scaling.json"
CLIPS = ("bbb", "bottle")
CLIP_S, SPEED_SEGMENT_S, SEGMENT_S = 20, 2, 10
NO_TASKS = 400
LONG_S, JOINED = 1800, 40


def clip(name: str, folder: Path) -> Path:
    """The sample, repeated to CLIP_S seconds, with a key frame every two seconds as broadcasts and
    services have it."""
    path = folder / f"{name}.mp4"
    sample = ROOT / "samples" / f"{name}_640x360.mp4"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-stream_loop",
            "-1",
            "-i",
            sample,
            "-t",
            str(CLIP_S),
            "-an",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-force_key_frames",
            "expr:gte(t,n_forced*2)",
            path,
        ],
        check=True,
    )
    return path


def speed(cores: int, *, cluster: bool) -> dict[str, float]:
    """One command on so many cores: seconds in all, and from the first frame begun to the output
    complete."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, target = clip("bbb", folder), folder / "out.mkv"
        how = ["--cluster", "auto"] if cluster else ["--resume"]
        command: list[str | Path] = [
            "taskset",
            "-c",
            ",".join(map(str, range(cores))),
            sys.executable,
            "-m",
            "streamsr",
            "upscale",
            source,
            "-o",
            target,
            "--segment",
            str(SPEED_SEGMENT_S),
            "--preset",
            "superfast",
            *how,
        ]
        start, first = time.perf_counter(), 0.0
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if not first and list(folder.glob("out.mkv.resume/.0*.part")):
                    first = time.perf_counter()
                if not target.exists():
                    done = time.perf_counter()
                time.sleep(0.02)
        assert process.returncode == 0
        return {
            "wall_s": time.perf_counter() - start,
            "work_s": done - first,
            "start_s": first - start,
            "load": os.getloadavg()[0],
        }


def _one_core() -> FileOptions:
    return FileOptions(choice=EngineChoice(threads=1), segment_s=SEGMENT_S)


def segments() -> dict[str, Any]:
    """Core seconds of the segments of both clips, and the time that opening a film takes."""
    from streamsr.jobs.files import FileJob
    from streamsr.segments.segment import upscale_segment

    os.sched_setaffinity(0, {0})
    found: dict[str, Any] = {}
    for name in CLIPS:
        with tempfile.TemporaryDirectory() as scratch:
            source = clip(name, Path(scratch))
            with FileJob(_one_core()) as job:
                job.segmented(
                    source, Path(scratch) / "out.mkv"
                )  # opens the engine, which happens once in a run
                start = time.perf_counter()
                film, upscaler = job.segmented(source, Path(scratch) / "out.mkv")
                made = []
                with film:
                    opened = time.perf_counter() - start
                    for number, span in enumerate(film.spans):
                        begin = time.process_time()
                        frames = upscale_segment(
                            film.work,
                            span,
                            film.ledger.path(number),
                            upscaler=upscaler,
                            record=job.record,
                        )
                        used = time.process_time() - begin
                        size = film.ledger.path(number).stat().st_size
                        made.append({"seconds": used, "frames": frames, "bytes": size})
                found[name] = {
                    "segments": made,
                    "open_s": opened,
                    "input_bytes": source.stat().st_size,
                    "seconds": CLIP_S,
                    "rate": float(film.work.info.rate or 0),
                    "model": upscaler.model.name,
                }
    return found


def opening() -> dict[str, float]:
    """What opening a film takes for each second of it: knowing it again by its bytes, finding its
    key frames."""
    from streamsr.segments.plan import plan
    from streamsr.segments.settings import input_identity
    from xlsr_model.inputs import Input

    with tempfile.TemporaryDirectory() as scratch:
        short, film = clip("bbb", Path(scratch)), Path(scratch) / "long.mp4"
        repeat = ("-stream_loop", str(LONG_S // CLIP_S - 1), "-i", short, "-c", "copy", film)
        subprocess.run(["ffmpeg", "-v", "error", *repeat], check=True)
        start = time.process_time()
        with Input(film) as source:
            input_identity(source)
        found = len(plan(film, seconds=SEGMENT_S))
        return {"seconds": (time.process_time() - start) / LONG_S, "segments": found}


def joining() -> dict[str, float]:
    """What recording and joining take for each segment: a real one, written so often that it is a
    film."""
    from streamsr.jobs.files import FileJob
    from streamsr.segments.ledger import file_digest
    from streamsr.segments.segment import MAGIC, PACKET, packets, upscale_segment

    with (
        tempfile.TemporaryDirectory() as scratch,
        FileJob(_one_core()) as job,
    ):
        source = clip("bbb", Path(scratch))
        film, upscaler = job.segmented(source, Path(scratch) / "out.mkv")
        with film:
            first = film.ledger.path(0)
            upscale_segment(
                film.work,
                film.spans[0],
                first,
                upscaler=upscaler,
                record=job.record,
            )
            content_of = list(packets(first))
            head = first.read_bytes()[
                : len(first.read_bytes()) - sum(PACKET.size + len(p[3]) for p in content_of)
            ]
            assert head.startswith(MAGIC)
            length = round(SEGMENT_S / film.work.info.time_base)
            for number in range(JOINED):
                with open(film.ledger.path(number), "wb") as file:
                    file.write(head)
                    for pts, duration, key, content in content_of:
                        file.write(
                            PACKET.pack(pts + number * length, duration, key, len(content))
                            + content
                        )
            film.spans = [film.spans[0]] * JOINED
            digests = [file_digest(film.ledger.path(number)) for number in range(JOINED)]
            start = time.process_time()
            for number, digest in enumerate(digests):
                film.ledger.finish(number, frames=len(content_of), blake2b=digest)
            middle = time.process_time()
            film.finish()
            return {
                "record_s": (middle - start) / JOINED,
                "join_s": (time.process_time() - middle) / JOINED,
            }


def driver() -> dict[str, float]:
    """What sending an empty task and taking its answer costs the driver."""
    import ray

    from streamsr.cluster.ray_client import RayCluster

    with RayCluster("auto") as cluster:
        cluster.connect()
        nothing = ray.remote(lambda: None)
        ray.get([nothing.remote() for _ in range(20)])  # the workers start
        start = time.process_time()
        for _ in range(NO_TASKS // 4):
            ray.get([nothing.remote() for _ in range(4)])
        return {"task_cpu_s": (time.process_time() - start) / NO_TASKS}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "one": lambda: speed(1, cluster=True),
    "two": lambda: speed(2, cluster=True),
    "resume": lambda: speed(2, cluster=False),
    "segments": segments,
    "driver": driver,
    "opening": opening,
    "joining": joining,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    part = parser.parse_args().part
    numbers = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    made, before = PARTS[part](), numbers.get(part)
    # The best of several: others run here too.
    if before is None or before.get("work_s", 0) >= made.get("work_s", 0):
        numbers[part] = made
    NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
