"""Films whose pictures and sound say when they belong, and how far a recording moved them apart.

Each picture's brightness is its number within the second; a beep begins with the tenth of each.
"""

from bisect import bisect
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.processes import run
from tests.support.servers import needs_ffmpeg
from tests.support.until import PATIENCE_S

RATE = 25
"""Pictures a second."""

AT = 10
"""Number of the picture with which a beep begins: what is cut at full seconds cuts none."""

BEEP_S = 0.2
LOUD_DB = -30.0
SILENCE_S = 0.1
SAME_S = 0.03
NEAR_S = 0.6


def make_beeping(
    path: Path,
    seconds: int,
    *,
    sound: str = "aac",
    rate: int = 48000,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """A film of whole seconds; a beep begins within each.

    sound  FFmpeg's name of its codec
    """
    with av.open(str(path), "w") as container:
        options = {"qp": "4", "preset": "ultrafast", "tune": "zerolatency"}
        video: Any = container.add_stream("libx264", rate=RATE, options=options)  # of many types
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.gop_size = RATE
        heard: Any = container.add_stream(sound, rate=rate, layout="mono")
        container.start_encoding()
        step = heard.codec_context.frame_size or rate // 50
        told = 0
        for number in range(seconds * RATE):
            luma = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            luma[: size[1]] = brightness(number)
            picture = av.VideoFrame.from_ndarray(luma, format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(picture))
            while told * RATE < (number + 1) * rate:
                when = np.arange(told, told + step) / rate
                wave = np.where(
                    (when - AT / RATE) % 1 < BEEP_S, 0.5 * np.sin(2 * np.pi * 1000 * when), 0.0
                )
                kind = heard.codec_context.format.name
                deep = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[kind.rstrip("p")]
                full = 1 if deep is np.float32 else 2 ** (8 * np.dtype(deep).itemsize - 1)
                frame = av.AudioFrame.from_ndarray((wave * full).astype(deep)[None], kind, "mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, told, Fraction(1, rate)
                container.mux(heard.encode(frame))
                told += step
        container.mux(video.encode(None))
        container.mux(heard.encode(None))
    return path


def brightness(number: int) -> int:
    return 24 + 8 * (number % RATE)


def offsets_ms(path: Path, *, timeout_s: float = PATIENCE_S) -> list[float]:
    """For each beep, how much later it is than the pictures around it say, as ffprobe reads
    the file; without those that have no picture within their second, or pictures of before and
    after a cut.

    timeout_s  longest wait for each of the two times that the file is read
    """
    pictures = pictures_of(path, timeout_s=timeout_s)
    shown = [time for time, _ in pictures]
    begins = [time - (luma - brightness(AT)) / 8 / RATE for time, luma in pictures]
    found = []
    for beep in beeps_of(path, timeout_s=timeout_s):
        near = begins[bisect(shown, beep - NEAR_S) : bisect(shown, beep + NEAR_S)]
        near = [begin for begin in near if abs(begin - beep) < 0.5]
        if near and max(near) - min(near) < SAME_S:
            found.append(1000 * (beep - float(np.median(near))))
    return found


def pictures_of(path: Path, *, timeout_s: float = PATIENCE_S) -> list[tuple[float, float]]:
    """When each picture is shown, in seconds, and its brightness, to the nearest that is used."""
    seen = luma_of(path, timeout_s=timeout_s)
    return [(time, brightness(round((luma - brightness(0)) / 8))) for time, luma in seen]


def luma_of(path: Path, *, timeout_s: float = PATIENCE_S) -> list[tuple[float, float]]:
    """When each picture is shown, in seconds, and its mean luma."""
    return _probed(f"movie={path},signalstats", "lavfi.signalstats.YAVG", timeout_s)


def beeps_of(path: Path, *, timeout_s: float = PATIENCE_S) -> list[float]:
    """When each beep begins, in seconds, where the silence before it is in the file too."""
    found: list[float] = []
    silent_s = last_s = -1.0  # since when it is silent
    graph = f"amovie={path},asetnsamples=48,astats=metadata=1:reset=1"
    for time, db in _probed(graph, "lavfi.astats.Overall.RMS_level", timeout_s):
        if time - last_s > SILENCE_S:  # a gap of the file
            silent_s = time
        if db > LOUD_DB:
            if time - silent_s > SILENCE_S:
                found.append(time)
            silent_s = time
        last_s = time
    return found


def _probed(graph: str, tag: str, timeout_s: float) -> list[tuple[float, float]]:
    """What Debian's ffprobe says of each frame that the filters give: its time and a number."""
    needs_ffmpeg()
    shown = f"frame=pts_time:frame_tags={tag}"
    words = ["ffprobe", "-v", "error", "-f", "lavfi", "-show_entries", shown, "-of", "csv=p=0"]
    lines = run([*words, graph], check=True, timeout_s=timeout_s).stdout.splitlines()
    return [(float(time), float(number)) for time, number in (x.split(",") for x in lines if x)]
