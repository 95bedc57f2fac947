"""NPUs: external TFLite delegates, asked for by path or found by their well-known names, trusted only after a test."""

import ctypes
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from streamsr.engines import Image, Tile
from streamsr.engines.litert import LiteRTEngine
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.region import Region

WELL_KNOWN = {
    "libvx_delegate.so": "VeriSilicon",
    "libethosu_delegate.so": "Arm Ethos-U",
    "libedgetpu.so.1": "Google Edge TPU",
    "libQnnTFLiteDelegate.so": "Qualcomm QNN",
    "libneuron_stable_delegate.so": "MediaTek Neuron",
    "libNeuronDelegate.so": "MediaTek Neuron",
}
"""File names the vendors' own documentation gives for their external delegates."""

MAX_DIFFERENCE, MEAN_DIFFERENCE = 4, 0.25
"""How far an NPU's pixels may be from the CPU's. NPUs round differently in each of nine layers; a wrong operator,
scale or layout is off by tens of levels."""

BATCH_GAIN = 0.9
"""A batch must cost less than this share of its frames one by one, or it only adds latency."""


class DelegateError(ModelError):
    """The delegate cannot be used; the message says why."""


def installed(library: str) -> bool:
    """Whether the loader finds a library of this name, in whatever state."""
    try:
        ctypes.PyDLL(library)
    except OSError as error:
        return f"{library}: cannot open shared object file" not in str(error)
    return True


def load(library: str, options: Mapping[str, str]) -> Any:  # the wheel has no types
    """The delegate of this shared library. Raises DelegateError when it does not load or refuses its options."""
    from ai_edge_litert.interpreter import load_delegate  # 0.1 s: only for who needs it

    try:
        # load_delegate() leaves a half-made object whose destructor complains, so ask the loader first.
        if not hasattr(ctypes.PyDLL(library), "tflite_plugin_create_delegate"):
            raise DelegateError(f"delegate {library}: not a TFLite external delegate")
        return load_delegate(library, dict(options))
    except OSError as error:
        raise DelegateError(f"delegate {library}: {error}") from error
    except ValueError as error:
        reason = " ".join(str(error).split("\n")[1:]).strip() or "its create function returned nothing"
        raise DelegateError(f"delegate {library}: refused to start ({reason})") from error


def open_delegate(model: ModelFile, library: str, options: Mapping[str, str], *, batch: int | None) -> LiteRTEngine:
    """An engine on this delegate that has passed the self-test. ``batch`` None measures what the device gains.

    Raises DelegateError when the library does not load, cannot run the model, or gives other pixels than the CPU.
    """
    delegate = load(library, options)
    name = f"litert+{WELL_KNOWN.get(library, library)}"
    try:
        with ExitStack() as stack:
            engine = stack.enter_context(LiteRTEngine(model, delegate=delegate, name=name, batch=batch or 1))
            difference = _self_test(engine, model)
            if difference is not None:
                raise DelegateError(f"delegate {library}: wrong results ({difference})")
            if batch is None:
                engine.batch = _measured_batch(engine)
            stack.pop_all()
            return engine
    except DelegateError:
        raise
    except ModelError as error:
        raise DelegateError(f"delegate {library}: cannot run the model ({error})") from error


def _self_test(engine: LiteRTEngine, model: ModelFile) -> str | None:
    """Compare with the CPU on noise, on edges and on a smooth ramp; say how it differs, None when it does not."""
    lr = test_picture()
    height, width = lr.shape[:2]
    results = []
    with LiteRTEngine(model, threads=1) as cpu:
        for candidate in (cpu, engine):
            hr = np.zeros((height * cpu.scale, width * cpu.scale, 3), np.uint8)
            candidate.run([Tile(lr, hr, Region.of(width, height))])
            results.append(hr.astype(np.int16))
    difference = np.abs(results[0] - results[1])
    worst, mean = int(difference.max()), float(difference.mean())
    if worst > MAX_DIFFERENCE or mean > MEAN_DIFFERENCE:
        return (
            f"up to {worst} levels from the CPU's, {mean:.2f} on average; allowed {MAX_DIFFERENCE}, {MEAN_DIFFERENCE}"
        )
    return None


def test_picture() -> Image:
    """An RGB picture [40, 72, 3] for self-tests: a ramp, a chessboard and noise, so that every level occurs."""
    lr = np.empty((40, 72, 3), np.uint8)
    lr[:, :24] = np.linspace(0, 255, 40, dtype=np.uint8)[:, None, None]
    lr[:, 24:48] = ((np.indices((40, 24)).sum(0) // 4 % 2) * 255)[..., None]
    lr[:, 48:] = np.random.default_rng(0).integers(0, 256, (40, 24, 3))
    return lr


def _measured_batch(engine: LiteRTEngine, sizes: tuple[int, ...] = (2, 4)) -> int:
    """The batch size with the least time a frame, 1 unless a larger one clearly gains."""
    lr = np.zeros((180, 320, 3), np.uint8)
    hr = np.empty((180 * engine.scale, 320 * engine.scale, 3), np.uint8)
    best, best_s = 1, float("inf")
    for size in (1, *sizes):
        engine.batch = size
        tiles = [Tile(lr, hr, Region.of(320, 180))] * size
        try:
            engine.run(tiles)  # prepares the shape
            start = time.perf_counter()
            engine.run(tiles)
        except ModelError:  # the device takes single frames only
            break
        each_s = (time.perf_counter() - start) / size
        if each_s < best_s * BATCH_GAIN:
            best, best_s = size, each_s
    return best
