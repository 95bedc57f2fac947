"""Measures variants over cells: a clip, shrunk by a kernel, sent through a codec at a quality.

What was made is kept by what it was made of, so that a second run with another model computes only
what is new: degraded clips by their recipe, measurements by the very pictures that were measured.
"""

import hashlib
import importlib.metadata
import inspect
import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from xlsr_model.data import codec as coding
from xlsr_model.data import imresize
from xlsr_model.evaluation import clips, codecs, judge
from xlsr_model.evaluation.clips import Clip
from xlsr_model.evaluation.variants import Variant
from xlsr_model.files import write_file

Frames = NDArray[np.uint8]
log = logging.getLogger(__name__)


def measure_cells(
    truths: Sequence[Clip],
    variants: Sequence[Variant],
    *,
    scale: int,
    kernels: Sequence[str],
    sent_as: Sequence[tuple[str, str]],
    cache: Path,
) -> list[dict[str, Any]]:
    """Return a row for each cell: clip, kernel, codec, level, quality, and the variants' measures.

    `sent_as` has pairs of CODECS and LEVELS (`codecs`). Beside what `judge.measure` returns there
    is own_y, own_r, own_g and own_b: how much lighter than its input a variant made the whole.
    """
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for truth in truths:
            for kernel, codec, level, low in _degraded(truth, scale, kernels, sent_as, cache):
                waiting = {
                    variant.name: pool.submit(_measured, truth, low, variant, made, file)
                    for variant in variants
                    for made, file in [_video(truth, low, variant, cache)]
                }
                measures = {name: future.result() for name, future in waiting.items()}
                quality = codecs.CODECS[codec].quality[codecs.LEVELS.index(level)]
                rows.append(
                    {
                        "clip": truth.name,
                        "kernel": kernel,
                        "codec": codec,
                        "level": level,
                        "quality": quality,
                        "measures": measures,
                    }
                )
                log.info("%s, %s, %s %d", truth.name, kernel, codec, quality)
    return rows


def write_cells(file: Path, rows: Sequence[dict[str, Any]], *, scale: int, frames: int) -> None:
    """Write what `measure_cells` returned, with four decimals; `report.quality_page` reads it."""
    short = json.loads(json.dumps(rows), parse_float=lambda value: round(float(value), 4))
    content = {"scale": scale, "frames": frames, "cells": short}
    write_file(file, (json.dumps(content) + "\n").encode(), overwrite=True)


def _degraded(
    truth: Clip, scale: int, kernels: Sequence[str], sent_as: Sequence[tuple[str, str]], cache: Path
) -> Iterator[tuple[str, str, str, Frames]]:
    """Give kernel, codec, level and the decoded low-resolution rows of each cell of a clip."""
    code = [inspect.getsource(module) for module in (clips, codecs, coding, imresize)]
    for kernel in kernels:
        small: list[NDArray[np.uint8]] = []
        for codec, level in sent_as:
            recipe = (truth.digest, str(scale), kernel, codec, level, av.__version__, *code)
            file = cache / "low" / f"{_digest(*recipe)}.npy"
            if not file.is_file():
                small = small or clips.shrink(list(truth.frames), scale, kernel)
                sent = codecs.CODECS[codec]
                quality = sent.quality[codecs.LEVELS.index(level)]
                made = io.BytesIO()
                np.save(made, np.stack(codecs.through(small, sent, quality)))
                _keep(file, made.getvalue())
            yield kernel, codec, level, np.load(file)


def _video(truth: Clip, low: Frames, variant: Variant, cache: Path) -> tuple[Frames | None, Path]:
    """Return what the variant makes, None if it was measured before, and where the measures are.

    One after the other, since an interpreter is one thread's.
    """
    pictures = hashlib.sha256(low.tobytes()).hexdigest()
    judged_by = (importlib.metadata.version("imageio-ffmpeg"), inspect.getsource(judge))
    digest = _digest(truth.digest, pictures, variant.key, *judged_by)
    file = cache / "measures" / f"{digest}.json"
    return (None if file.is_file() else variant.run(low, truth.matrix)), file


def _measured(
    truth: Clip, low: Frames, variant: Variant, made: Frames | None, file: Path
) -> dict[str, float | None]:
    if made is None:
        kept: dict[str, float | None] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    if made.shape != truth.frames.shape:
        raise ValueError(f"{variant.name} made {made.shape} of {low.shape}")
    own = judge.color_shift(made, low, truth.matrix)
    measures = judge.measure(made, truth.frames, truth.matrix)
    measures |= {name.replace("shift", "own"): value for name, value in own.items()}
    _keep(file, json.dumps(measures).encode())
    return measures


def _keep(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, content, overwrite=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
