"""Upscale one picture: ``python upscale_image.py in.png out.png``."""

import sys

import cv2

from streamsr import Upscaler


def main(source: str, target: str) -> None:
    image = cv2.imread(source)
    if image is None:
        sys.exit(f"{source}: not a picture")
    with Upscaler() as upscaler:
        larger = upscaler(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    cv2.imwrite(target, cv2.cvtColor(larger, cv2.COLOR_RGB2BGR))
    print(
        f"{image.shape[1]}x{image.shape[0]} -> {larger.shape[1]}x{larger.shape[0]} on "
        f"{upscaler.engine.name}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
