"""The reference engine: LiteRT, on the CPU in parallel strips, or on an NPU through a delegate."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from streamsr.engines import Tile, check_tiles
from streamsr.engines.difference import CLOSE, EXACT
from streamsr.engines.tflite import receptive_radius
from streamsr.engines.trial import check
from streamsr.errors import ModelError, first_line
from streamsr.frame import Image
from streamsr.machine import usable_cores
from streamsr.model import ModelFile
from streamsr.region import Region

SHAPES_KEPT = 8
"""Interpreters kept ready a worker. A whole frame cut in strips needs one, a live frame's tiles of
one size up to five at its edges; other changed regions vary more."""

TILE_STEP = 32
"""Input widths and heights of tiles that are parts of a frame are rounded up to multiples of this,
so that few shapes are ever prepared."""

BATCHES = (1, 2, 4)
BATCH_GAIN = 0.9
"""A larger batch must cost less than this share of the frames one by one, or it only adds
latency."""


class _Job(NamedTuple):
    tile: Tile
    seen: Region
    """What the network must see to compute the tile's region exactly."""


class LiteRTEngine:
    """Runs a uint8 super-resolution .tflite file. See `streamsr.engines.Engine` for the contract.

    threads   single-thread interpreters working in parallel, default one for each usable core: two
              on two halves of a frame are up to 1.9 times as fast as one, two threads in one
              interpreter 1.2 to 1.5 times
    delegate  as returned by ``ai_edge_litert.interpreter.load_delegate``; then one interpreter does
              everything
    batch     same-shaped tiles given to the device in one call; a CPU gains nothing from more than
              1. None takes the number with which the device is fastest, measured here
    trusted   the file cannot harm LiteRT: it is not tried in a process of its own first (see
              `trial`)

    Raises ModelError when the file is not such a model.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        threads: int | None = None,
        delegate: Any = None,  # the wheel has no types
        name: str = "litert",
        batch: int | None = 1,
        trusted: bool = False,
    ) -> None:
        self.name = name
        self.bound = EXACT if delegate is None else CLOSE
        self.sparse = False
        self.region_cost = 1024  # about 80 us for a call, in pixels computed in that time
        if delegate is not None:
            threads = 1  # it brings its own
        self.threads = usable_cores() if threads is None else threads
        if self.threads < 1 or (batch is not None and batch < 1):
            raise ValueError(
                f"expected at least 1 thread and a batch of at least 1, got {threads} and {batch}"
            )
        self.halo = receptive_radius(model)
        if not trusted:
            check(model)
        # One worker thread for each interpreter pool, because an interpreter belongs to one thread.
        self._interpreters = [_Interpreters(model, delegate) for _ in range(self.threads)]
        self._workers: list[ThreadPoolExecutor] = []
        self.scale = self._interpreters[0].scale
        self._workers = [
            ThreadPoolExecutor(1, thread_name_prefix=f"streamsr-litert-{i}")
            for i in range(self.threads)
        ]
        self.batch = 1 if batch is None else batch
        if batch is None:
            try:
                self.batch = self._fastest_batch()
            except BaseException:
                self.close()
                raise

    def run(self, tiles: Sequence[Tile]) -> None:
        self._run(tiles, self.batch)

    def _run(self, tiles: Sequence[Tile], batch: int) -> None:
        if not self._workers:
            raise ModelError("the engine is closed")
        check_tiles(tiles, self.scale)
        loads: list[list[_Job]] = [[] for _ in self._workers]
        areas = [0] * len(loads)
        for job in sorted(self._cut(tiles), key=lambda job: -job.seen.area):
            worker = areas.index(min(areas))
            loads[worker].append(job)
            areas[worker] += job.seen.area
        futures = [
            worker.submit(interpreters.run, jobs, batch)
            for worker, interpreters, jobs in zip(
                self._workers, self._interpreters, loads, strict=True
            )
            if jobs
        ]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]

    def _fastest_batch(self) -> int:
        """The batch with the least time a frame, 1 unless a larger one clearly gains."""
        lr = np.zeros((180, 320, 3), np.uint8)
        hr = np.empty((180 * self.scale, 320 * self.scale, 3), np.uint8)
        best = 1
        best_s = float("inf")
        for size in BATCHES:
            tiles = [Tile(lr, hr, Region.of(320, 180))] * size
            try:
                self._run(tiles, size)  # prepares the shape
                start = time.perf_counter()
                self._run(tiles, size)
            except ModelError:  # the device takes single frames only
                break
            each_s = (time.perf_counter() - start) / size
            if each_s < best_s * BATCH_GAIN:
                best = size
                best_s = each_s
        return best

    def _cut(self, tiles: Sequence[Tile]) -> list[_Job]:
        total = sum(tile.region.area for tile in tiles)
        jobs = []
        for lr, hr, region, _ in tiles:
            height, width = lr.shape[:2]
            for strip in region.strips(round(region.area * self.threads / total)):
                seen = strip.grown(self.halo, width, height)
                if seen.width < width:
                    seen = rounded_up(seen, width, height)
                jobs.append(_Job(Tile(lr, hr, strip), seen))
        return jobs

    def close(self) -> None:
        for worker in self._workers:
            worker.shutdown()
        self._workers = []
        self._interpreters = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def rounded_up(region: Region, width: int, height: int) -> Region:
    """Enlarge the region to multiples of TILE_STEP, as far as a picture of this size has room."""
    wider = min(-(-region.width // TILE_STEP) * TILE_STEP, width)
    higher = min(-(-region.height // TILE_STEP) * TILE_STEP, height)
    return Region(min(region.x, width - wider), min(region.y, height - higher), wider, higher)


class _Interpreters:
    """Interpreters of one worker thread, one for each recent input shape."""

    def __init__(self, model: ModelFile, delegate: Any) -> None:
        self._model = model
        self._delegate = delegate
        self._ready: dict[tuple[int, ...], Any] = {}
        interpreter = self._new()
        try:
            self.scale = _check_interface(interpreter, model)
        except (UnicodeDecodeError, IndexError) as error:  # names and indices of a damaged file
            raise ModelError(f"{model.path}: damaged ({first_line(error)})") from error

    def _new(self) -> Any:
        # Imported here: 0.1 s, not needed where another engine serves.
        from ai_edge_litert.interpreter import Interpreter

        delegates = None if self._delegate is None else [self._delegate]
        try:
            return Interpreter(
                model_content=self._model.content, num_threads=1, experimental_delegates=delegates
            )
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self._model.path}: not a model LiteRT can load ({first_line(error)})"
            ) from error

    def _get(self, shape: tuple[int, ...]) -> Any:
        interpreter = self._ready.pop(shape, None)
        if interpreter is None:
            if len(self._ready) >= SHAPES_KEPT:
                interpreter = self._ready.pop(next(iter(self._ready)))
            else:
                interpreter = self._new()
            try:
                interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{self._model.path}: cannot take a {shape} input ({first_line(error)})"
                ) from error
        self._ready[shape] = interpreter  # most recently used last
        return interpreter

    def run(self, jobs: list[_Job], batch: int) -> None:
        by_size: defaultdict[tuple[int, int], list[_Job]] = defaultdict(list)
        for job in jobs:
            by_size[job.seen.height, job.seen.width].append(job)
        for (height, width), same in by_size.items():
            for i in range(0, len(same), batch):
                part = same[i : i + batch]  # one or a full batch: each number is a shape to prepare
                self._invoke(self._get((batch if len(part) > 1 else 1, height, width, 3)), part)

    def _invoke(self, interpreter: Any, jobs: list[_Job]) -> None:
        lr: Image = interpreter.tensor(interpreter.get_input_details()[0]["index"])()
        for i, (tile, seen) in enumerate(jobs):
            lr[i] = tile.lr[seen.slices]
        del lr  # views of the interpreter's memory forbid invoke()
        try:
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self._model.path}: the engine failed ({first_line(error)})"
            ) from error
        hr: Image = interpreter.tensor(interpreter.get_output_details()[0]["index"])()
        for i, (tile, seen) in enumerate(jobs):
            region = tile.region
            inner = Region(
                region.x - seen.x, region.y - seen.y, region.width, region.height
            ).scaled(self.scale)
            tile.hr[region.scaled(self.scale).slices] = hr[i][inner.slices]


def _check_interface(interpreter: Any, model: ModelFile) -> int:
    """Find the scale of a model that takes and gives uint8 RGB pixels. Raises ModelError for any
    other."""
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    problem = f"{model.path}: not a uint8 super-resolution model: "
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            problem + f"{len(inputs)} inputs and {len(outputs)} outputs, expected one each"
        )
    source = inputs[0]
    result = outputs[0]
    for tensor in (source, result):
        shape = tensor["shape"]
        if tensor["dtype"] is not np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ModelError(
                problem
                + f"tensor {[int(side) for side in shape]} {np.dtype(tensor['dtype'])}, "
                + "expected [N, H, W, 3] uint8"
            )
    # The network takes any size; a probe tells the scale even where the file's own shapes are
    # placeholders.
    probe = (1, 8, 12, 3)
    try:
        interpreter.resize_tensor_input(source["index"], probe)
        interpreter.allocate_tensors()
        shape = interpreter.get_output_details()[0]["shape"]
    except (ValueError, RuntimeError) as error:
        raise ModelError(problem + first_line(error)) from error
    scale = int(shape[1]) // 8
    if scale < 1 or tuple(shape) != (1, 8 * scale, 12 * scale, 3):
        raise ModelError(problem + f"an 8x12 picture becomes {list(shape)}")
    return scale
