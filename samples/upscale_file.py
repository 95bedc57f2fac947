"""Upscale a video file, with its sound, subtitles and chapters: ``python upscale_file.py in.mp4
out.mp4``."""

import sys

from streamsr import FileSink, FileSource, Pipeline, Upscaler


def main(source: str, target: str) -> None:
    with Upscaler() as upscaler, Pipeline(FileSource(source), upscaler) as pipeline:
        info = pipeline.info
        size = info.width * upscaler.scale, info.height * upscaler.scale
        with FileSink(target, info, size, copy_from=source, overwrite=True) as sink:
            stats = pipeline.run(sink)
    print(
        f"{stats.frames['in']} frames, {stats.fps:.1f} a second, {stats.reuse_share:.0%} of the "
        f"pixels reused"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
