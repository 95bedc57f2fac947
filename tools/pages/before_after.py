"""Makes docs/images/before_after.webp: details of the shipped clips, a camera's and a film, by
bicubic and by streamsr.

    python -m tools.pages.before_after
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from streamsr import FileSource, Upscaler
from streamsr.engines import Image
from streamsr.media.choice import choose
from xlsr_model.report.page import write_picture

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "before_after.webp"
QUALITY = 95
"""Of WebP: 46 dB, which the eye does not tell from the original, in an eighth of a PNG's bytes."""

FRAME = 40
SAMPLES = ROOT / "samples"
DETAILS = {  # by clip of 640x360: rows, columns
    "bottle_640x360.mp4": (slice(95, 175), slice(255, 375)),
    "bbb_640x360.mp4": (slice(10, 90), slice(170, 290)),
}
GAP = 8


def pair(clip: Path, detail: tuple[slice, slice]) -> Image:
    """Both enlargements of the detail side by side, by the model that ``--model auto`` takes."""
    with FileSource(clip) as source:
        rgb = next(islice(source, FRAME, None)).rgb
        kind = choose(source.info).kind
    with Upscaler(kind, scale=3) as upscaler:
        ours = upscaler(rgb)
    size = ours.shape[1], ours.shape[0]
    bicubic = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    rows, columns = (slice(part.start * 3, part.stop * 3) for part in detail)
    gap = np.full((rows.stop - rows.start, GAP, 3), 255, np.uint8)
    left, right = bicubic[rows, columns], ours[rows, columns]
    return np.hstack((labelled(left, "bicubic"), gap, labelled(right, "streamsr")))


def labelled(image: Image, text: str) -> Image:
    image = np.ascontiguousarray(image)
    for color, width in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(image, text, (14, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, color, width, cv2.LINE_AA)
    return image


def main() -> None:
    first, second = (pair(SAMPLES / clip, detail) for clip, detail in DETAILS.items())
    gap = np.full((GAP, first.shape[1], 3), 255, np.uint8)
    picture = np.vstack((first, gap, second))[..., ::-1]
    done, content = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    assert done
    write_picture(PICTURE, content.tobytes())


if __name__ == "__main__":
    main()
