"""Upscaled frames in your own loop: ``python frames_loop.py in.mp4``. Leave it whenever you
like."""

import sys

from streamsr import FileSource, Pipeline, Upscaler


def main(source: str) -> None:
    with Upscaler() as upscaler:
        for frame in Pipeline(FileSource(source), upscaler):
            # frame.rgb is [H, W, 3] uint8; what you do with it is up to you.
            print(
                f"{frame.time_s:7.3f} s  {frame.rgb.shape[1]}x{frame.rgb.shape[0]}  mean "
                f"{frame.rgb.mean():6.2f}"
            )
            if frame.time_s >= 1:
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
