"""Compares the fused engine with LiteRT before it is trusted with a picture."""

import hashlib
from importlib.metadata import version
from typing import Protocol

import numpy as np

from streamsr.engines import Image, Tile
from streamsr.engines.litert import LiteRTEngine
from streamsr.errors import ModelError
from streamsr.model import ModelFile
from streamsr.native import cache
from streamsr.region import Region


class _Runs(Protocol):
    @property
    def scale(self) -> int: ...

    def run(self, tiles: list[Tile]) -> None: ...


def check(engine: _Runs, model: ModelFile, code: str) -> None:
    """Raise ModelError unless ``engine`` gives LiteRT's bytes for two small pictures.

    LiteRT takes 0.2 s to start, so the hash of its answer is kept for each model and LiteRT version; the engine
    itself is run every time. ``code`` names the engine's code in the error.
    """
    pictures = _pictures()
    name = f"selftest-{version('ai-edge-litert')}-{model.sha256[:32]}"
    expected = cache.load(name)
    if expected is None:
        with LiteRTEngine(model, threads=1) as reference:
            expected = _digest(reference, pictures)
        cache.store(name, expected)
    if _digest(engine, pictures) != expected:
        raise ModelError(f"{model.path}: the fused engine failed its self-test against LiteRT (code {code[:12]})")


def _digest(engine: _Runs, pictures: list[Image]) -> bytes:
    digest = hashlib.sha256()
    for lr in pictures:
        height, width = lr.shape[:2]
        hr = np.zeros((height * engine.scale, width * engine.scale, 3), np.uint8)
        engine.run([Tile(lr, hr, Region.of(width, height))])
        digest.update(hr.tobytes())
    return digest.digest()


def _pictures() -> list[Image]:
    """Noise, which drives every sum far, and a smooth picture with edges, which video is; odd sizes, every tail."""
    noise = np.random.default_rng(5).integers(0, 256, (29, 83, 3), np.uint8)
    y, x = np.mgrid[:23, :101]
    smooth = np.stack([2 * x, 10 * y, np.where(x + 2 * y > 70, 230, 20)], 2).clip(0, 255).astype(np.uint8)
    return [noise, smooth]
