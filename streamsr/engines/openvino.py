"""An engine on OpenVINO, where that is installed: runs the same .tflite file, also on Intel GPUs
and NPUs. Its bytes are not exactly LiteRT's."""

import ctypes
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamsr.engines import Tile, check_tiles, conformity
from streamsr.engines.difference import CLOSE, WrongResults
from streamsr.engines.litert import SHAPES_KEPT, LiteRTEngine, rounded_up
from streamsr.errors import ModelError, first_line
from streamsr.machine import usable_cores
from streamsr.model import ModelFile
from streamsr.region import Region

NO_INT8 = {"LP_TRANSFORMS_MODE": "NO"}
"""Options with which OpenVINO computes in float32 what the file's quantisation says. Otherwise
oneDNN adds two products of 8 x 8 bits in 16 bits where the processor has no VNNI, which saturates
with 8-bit weights: white becomes (141, 158, 193)."""


class OpenVINOEngine:
    """Runs a uint8 super-resolution .tflite file. See `streamsr.engines.Engine` for the contract.

    device  OpenVINO's name, such as ``CPU``, ``GPU`` or ``NPU``

    Its name is ``openvino``, or ``openvino-f32`` where 8-bit arithmetic fails the conformity test
    and float32 passes it: with other bytes, and slower. Raises ModelError when OpenVINO is not
    installed, lacks the device, cannot run the model or computes otherwise than LiteRT.
    """

    region_cost = 2048  # about 80 us for a call, in pixels computed in that time
    batch = 1
    sparse = False
    bound = CLOSE

    def __init__(
        self, model: ModelFile, *, threads: int | None = None, device: str = "CPU"
    ) -> None:
        try:
            core = _core()
        except ImportError as error:
            raise ModelError(
                "OpenVINO is not installed; pip install 'streamsr[openvino]'"
            ) from error
        if device not in core.available_devices:
            raise ModelError(
                f"OpenVINO has no device {device} here ({', '.join(core.available_devices)})"
            )
        # LiteRT's engine finds scale and halo, and refuses what is no such model.
        with LiteRTEngine(model, threads=1) as reference:
            self.scale = reference.scale
            self.halo = reference.halo
        self.name = "openvino"
        self.threads = usable_cores() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"expected at least 1 thread, got {threads}")
        self._device = device
        self._options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if device == "CPU":
            self._options["INFERENCE_NUM_THREADS"] = str(self.threads)
        self._failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)
        self._path = model.path
        self._network: Any = None  # OpenVINO's types are incomplete; None once closed
        self._requests: dict[tuple[int, ...], Any] = {}
        try:
            self._network = _read(core, model)
            self._conform(model)
        except WrongResults as error:
            self.close()
            raise WrongResults(f"{model.path}: OpenVINO {error}") from None
        except ModelError:
            self.close()
            raise
        except self._failures as error:
            self.close()
            raise ModelError(
                f"{model.path}: OpenVINO cannot take it ({first_line(error)})"
            ) from error

    def _conform(self, model: ModelFile) -> None:
        try:
            self.difference = conformity.check(self, model)
        except WrongResults as error:
            if self._device != "CPU":
                raise
            self._options |= NO_INT8
            self._requests = {}
            self.name = "openvino-f32"
            try:
                self.difference = conformity.check(self, model)
            except WrongResults:
                raise error from None

    def _request(self, shape: tuple[int, ...]) -> Any:
        request = self._requests.pop(shape, None)
        if request is None:
            if len(self._requests) >= SHAPES_KEPT:
                self._requests.pop(next(iter(self._requests)))
            try:
                network = self._network.clone()
                network.reshape(list(shape))
                request = (
                    _core()
                    .compile_model(network, self._device, self._options)
                    .create_infer_request()
                )
            except self._failures as error:
                raise ModelError(
                    f"{self._path}: OpenVINO cannot take it ({first_line(error)})"
                ) from error
        self._requests[shape] = request  # most recently used last
        return request

    def run(self, tiles: Sequence[Tile]) -> None:
        check_tiles(tiles, self.scale)
        if self._network is None:
            raise ModelError("the engine is closed")
        for lr, hr, region, _ in tiles:
            height, width = lr.shape[:2]
            seen = rounded_up(region.grown(self.halo, width, height), width, height)
            request = self._request((1, seen.height, seen.width, 3))
            try:
                request.infer([np.ascontiguousarray(lr[seen.slices])[None]])
            except self._failures as error:
                raise ModelError(f"{self._path}: OpenVINO failed ({first_line(error)})") from error
            inner = Region(
                region.x - seen.x, region.y - seen.y, region.width, region.height
            ).scaled(self.scale)
            hr[region.scaled(self.scale).slices] = request.get_output_tensor(0).data[0][
                inner.slices
            ]

    def close(self) -> None:
        self._requests = {}
        self._network = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@functools.cache
def _core() -> Any:
    """The only Core of this process, which is never destroyed. Raises ImportError where OpenVINO is
    not installed.

    Its CPU plugin gives the thread an alternate signal stack and unmaps it when it is destroyed.
    Python runs signal handlers on that stack, so the next signal, such as Ctrl-C, would then end
    the process without a message.
    """
    import openvino  # imported here: optional, and 0.3 s

    core = openvino.Core()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(core))  # not even when the interpreter ends
    return core


def _read(core: Any, model: ModelFile) -> Any:
    """Read the network. OpenVINO reads .tflite files by path only, so the bytes are written to a
    temporary one."""
    try:
        with tempfile.TemporaryDirectory(prefix="streamsr-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(model.content)
            return core.read_model(str(path))
    except OSError as error:
        raise ModelError(
            f"{model.path}: no place for a copy that OpenVINO can read ({error.strerror})"
        ) from error
