"""OpenVINO, when it is installed: the same .tflite file; also for Intel GPUs and NPUs. Not byte-exact to LiteRT."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamsr.engines import Tile, check_tiles
from streamsr.engines.litert import SHAPES_KEPT, LiteRTEngine, rounded_up
from streamsr.errors import ModelError
from streamsr.machine import usable_cores
from streamsr.model import ModelFile
from streamsr.region import Region


class OpenVINOEngine:
    """Runs a uint8 super-resolution .tflite file. See `streamsr.engines.Engine` for the contract.

    device  OpenVINO's name, such as ``CPU``, ``GPU`` or ``NPU``

    Raises ModelError when OpenVINO is not installed, lacks the device or cannot run the model.
    """

    name = "openvino"
    region_cost = 2048  # about 80 us for a call, in pixels computed in that time
    batch = 1
    sparse = False

    def __init__(self, model: ModelFile, *, threads: int | None = None, device: str = "CPU") -> None:
        try:
            import openvino  # optional, and 0.3 s
        except ImportError as error:
            raise ModelError("OpenVINO is not installed; pip install 'streamsr[openvino]'") from error
        # LiteRT's reading of the file tells scale and reach, and refuses what is no such model.
        with LiteRTEngine(model, threads=1) as reference:
            self.scale, self.halo = reference.scale, reference.halo
        self.threads = threads or usable_cores()
        self._device = device
        self._options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if device == "CPU":
            self._options["INFERENCE_NUM_THREADS"] = str(self.threads)
        self._failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)
        self._core: Any = openvino.Core()  # OpenVINO's types are incomplete
        self._path = model.path
        self._requests: dict[tuple[int, ...], Any] = {}
        if device not in self._core.available_devices:
            raise ModelError(f"OpenVINO has no device {device} here ({', '.join(self._core.available_devices)})")

    def _request(self, shape: tuple[int, ...]) -> Any:
        request = self._requests.pop(shape, None)
        if request is None:
            if len(self._requests) >= SHAPES_KEPT:
                self._requests.pop(next(iter(self._requests)))
            try:
                network = self._core.read_model(str(self._path))
                network.reshape(list(shape))
                request = self._core.compile_model(network, self._device, self._options).create_infer_request()
            except self._failures as error:
                raise ModelError(f"{self._path}: OpenVINO cannot take it ({str(error).splitlines()[0]})") from error
        self._requests[shape] = request  # most recently used last
        return request

    def run(self, tiles: Sequence[Tile]) -> None:
        check_tiles(tiles, self.scale)
        for lr, hr, region, _ in tiles:
            height, width = lr.shape[:2]
            seen = rounded_up(region.grown(self.halo, width, height), width, height)
            request = self._request((1, seen.height, seen.width, 3))
            try:
                request.infer([np.ascontiguousarray(lr[seen.slices])[None]])
            except self._failures as error:
                raise ModelError(f"{self._path}: OpenVINO failed ({str(error).splitlines()[0]})") from error
            inner = Region(region.x - seen.x, region.y - seen.y, region.width, region.height).scaled(self.scale)
            hr[region.scaled(self.scale).slices] = request.get_output_tensor(0).data[0][inner.slices]

    def close(self) -> None:
        self._requests = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
