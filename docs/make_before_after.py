"""Make docs/images/before_after.png: a detail of a shipped clip, enlarged by bicubic and by
streamsr.

Run from the repository: ``python docs/make_before_after.py``.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from streamsr import FileSource, Upscaler

ROOT = Path(__file__).parents[1]
FRAME = 40
DETAIL = slice(10, 130), slice(170, 320)  # rows, columns of the 640x360 frame
GAP = 8


def main() -> None:
    with FileSource(ROOT / "samples" / "bbb_640x360.mp4") as source:
        rgb = next(islice(source, FRAME, None)).rgb
    with Upscaler(scale=3) as upscaler:
        ours = upscaler(rgb)
    bicubic = cv2.resize(rgb, (ours.shape[1], ours.shape[0]), interpolation=cv2.INTER_CUBIC)
    rows, columns = (slice(part.start * 3, part.stop * 3) for part in DETAIL)
    gap = np.full((rows.stop - rows.start, GAP, 3), 255, np.uint8)
    pair = np.hstack(
        (
            labelled(bicubic[rows, columns], "bicubic"),
            gap,
            labelled(ours[rows, columns], "streamsr"),
        )
    )
    target = ROOT / "docs" / "images" / "before_after.png"
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), pair[..., ::-1])
    print(target)


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    image = np.ascontiguousarray(image)
    for colour, width in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(
            image, text, (14, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, colour, width, cv2.LINE_AA
        )
    return image


if __name__ == "__main__":
    main()
