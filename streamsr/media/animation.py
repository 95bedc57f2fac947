"""Films out of picture files that FFmpeg reads only the first picture of, or none."""

import contextlib
import io
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsr import interrupt
from streamsr.errors import SinkError, SourceError, reason_of
from streamsr.media.input import clock
from streamsr.options import DecodeOptions
from streamsr.picture import chunks, pillow, tiff
from streamsr.picture.files import Picture, picture_of
from streamsr.picture.pages import PAGE_S
from streamsr.picture.pillow import Pixels
from streamsr.picture.size import picture_size

TICKS = 1000
"""A second, in these files."""


@contextlib.contextmanager
def as_film(path: Path, content: bytes, decode: DecodeOptions) -> Iterator[Path]:
    """A film, which FFmpeg reads, of a file's pictures, each with its own time. For a file of
    several pictures, with its content.

    An animated PNG is one itself. Of animated WebP, AVIF and TIFF files of many pages a copy is
    made without loss, the same bytes each time, in a temporary folder that goes with the block.

    Raises SourceError for pictures that make no film, SinkError where there is no room.
    """
    if content.startswith(chunks.PNG) or content[:3] == b"GIF":
        yield path
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="streamsr-"))
            film = Path(folder) / f"{path.stem[:40]}.mov"
            _write(film, path, content, decode)
        except (FFmpegError, OSError) as error:
            raise SinkError(f"{path}: no copy as a film: {reason_of(error)}") from error
        yield film


def _write(film: Path, path: Path, content: bytes, decode: DecodeOptions) -> None:
    """Write the pictures as PNGs in QuickTime, which keeps 16 bits, alpha and each duration."""
    options = {"fflags": "+bitexact", "movie_timescale": str(TICKS)}
    with av.open(str(film), "w", format="mov", container_options=options) as output:
        stream: VideoStream | None = None
        time_s = Fraction(0)
        for number, (pixels, seconds) in enumerate(_pictures(path, content, decode), 1):
            interrupt.check()
            height, width, channels = pixels.shape
            if stream is None:
                stream = output.add_stream("png", rate=TICKS)
                stream.codec_context.thread_count = 1
                stream.width, stream.height = width, height
                name = _FORMATS[channels, pixels.dtype.itemsize]
                stream.pix_fmt = name
                stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
                first = pixels
            if pixels.shape != first.shape or pixels.dtype != first.dtype:
                raise SourceError(
                    f"{path}: its pictures do not make a film: picture {number} is "
                    f"{_kind(pixels)}, the first {_kind(first)}"
                )
            flat: Pixels = np.ascontiguousarray(pixels)  # type: ignore[assignment]  # of the same type
            frame = VideoFrame.from_ndarray(flat, format=name)
            frame.pts, frame.time_base = round(time_s * TICKS), Fraction(1, TICKS)
            duration = max(round((time_s + seconds) * TICKS) - frame.pts, 1)
            for packet in stream.encode(frame):
                packet.duration = duration
                output.mux(packet)
            time_s += Fraction(duration, TICKS)
            if time_s > decode.max_duration_s:
                limit = clock(decode.max_duration_s)
                raise SourceError(
                    f"{path}: is more than {limit} long; at most {limit} is taken (--max-duration)"
                )
        if stream is not None:
            output.mux(stream.encode(None))


_FORMATS = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48be", (4, 2): "rgba64be"}
"""FFmpeg's names by channels and bytes."""


def _kind(pixels: Pixels) -> str:
    alpha = " with alpha" if pixels.shape[2] == 4 else ""
    return f"{pixels.shape[1]}x{pixels.shape[0]} of {8 * pixels.itemsize} bits{alpha}"


def _pictures(
    path: Path, content: bytes, decode: DecodeOptions
) -> Iterator[tuple[Pixels, Fraction]]:
    """Each picture, and the seconds that it is shown."""
    structure = tiff.Structure.of(content)
    if structure is not None:
        for at, _ in tiff.pages(structure):
            page = _beginning(structure, at)
            size = picture_size(io.BytesIO(page)) or (0, 0)
            pillow.check_size(path, size, decode.max_pixels)
            yield _joined(picture_of(path, page, decode.max_pixels)), PAGE_S
        return
    with pillow.opened(path, content, decode.max_pixels) as image:
        alpha = image.has_transparency_data
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            shown_ms = image.info.get("duration") or 0
            pixels = np.asarray(image.convert("RGBA" if alpha else "RGB"), np.uint8)
            yield pixels, Fraction(shown_ms) / 1000 if shown_ms > 0 else PAGE_S


def _beginning(structure: tiff.Structure, at: int) -> bytes:
    """The TIFF file with the directory at this place as its first."""
    content = bytearray(structure.content)
    if structure.big:
        struct.pack_into(structure.order + "Q", content, 8, at)
    else:
        struct.pack_into(structure.order + "I", content, 4, at)
    return bytes(content)


def _joined(picture: Picture) -> Pixels:
    """The picture as one array."""
    rgb: Pixels = picture.rgb if picture.deep is None else picture.deep
    if picture.alpha is None:
        return rgb
    joined: Pixels = np.concatenate((rgb, picture.alpha[..., None]), axis=2)  # type: ignore[assignment]  # both of one type
    return joined
