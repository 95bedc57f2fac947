"""Measures ``--sharpen`` and ``--strength`` on video, beside the models of `xlsr_model video`.

    python -m tools.measure.looks --clips ../shared/data/video/gt --json docs/data/video_x3.json

The pictures are made by LiteRT and by the program's own loops, and judged as all others are.
"""

import argparse
import hashlib
import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamsr.native import consistent_ir, sharpen_ir
from streamsr.options import Look
from streamsr.picture import finish
from xlsr_model import weights
from xlsr_model.data.images import Image
from xlsr_model.evaluation import variants
from xlsr_model.evaluation.cells import measure_cells, write_cells
from xlsr_model.evaluation.clips import find_clips, read_clip
from xlsr_model.evaluation.evaluate import tflite
from xlsr_model.report.video_cells import all_tables

LOOKS = {
    "sharpen 0.3": Look(True, 0.3, 1.0),
    "sharpen 0.6": Look(True, 0.6, 1.0),
    "strength 0.5": Look(True, 0.0, 0.5),
}
LEVELS = "near", "medium", "low"


def looked(file: Path, name: str, scale: int) -> variants.Variant:
    """The model's picture as it is shown with one of LOOKS."""
    last = finish.finish_for(LOOKS[name], scale=scale, threads=1)
    assert last is not None

    def shown(made: Image, lr: Image) -> Image:
        hr = np.empty_like(made)
        last(np.ascontiguousarray(lr), np.ascontiguousarray(made), hr)
        return hr

    code = "".join(map(inspect.getsource, (finish, consistent_ir, sharpen_ir)))
    plain = variants.model(file)
    return replace(
        plain,
        name=f"{file.stem}+{name}",
        key=hashlib.sha256(f"{plain.key} {LOOKS[name]} {code}".encode()).hexdigest(),
        run=variants.through_rgb(tflite(file), shown),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of clips")
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--frames", type=int, default=5, help="of each clip")
    parser.add_argument("--json", type=Path, required=True, help="write all cells there")
    parser.add_argument("--cache", type=Path, default=Path("runs/video"))
    options = parser.parse_args()
    scale, file = options.scale, weights.path(weights.default(options.scale, "video"))
    rows = measure_cells(
        [read_clip(clip, scale, options.frames) for clip in find_clips([options.clips])],
        [
            *variants.variants(scale, finishes=["consistent"]),
            *(looked(file, name, scale) for name in LOOKS),
        ],
        scale=scale,
        kernels=["area", "bicubic"],
        sent_as=[("x264", level) for level in LEVELS],
        cache=options.cache,
    )
    print(all_tables(rows))
    write_cells(options.json, rows, scale=scale, frames=options.frames)


if __name__ == "__main__":
    main()
