"""Small media files made for one test, and what they hold read back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from xlsr_model import system

SIZE = 64, 48


def picture(index: int, width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.uint8]:
    """A smooth ramp with a bright square that moves, [H, W, 3]: every frame differs."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack(
        (x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), np.full_like(x, 60)), axis=2
    )
    rgb[(index * 3) % height :, (index * 5) % width :][:8, :8] = 250
    return rgb.astype(np.uint8)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Every pixel by chance, [H, W, 3]: no two regions agree."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


HELD_UPRIGHT = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
"""The display matrix of a phone's film."""


def make_video(
    path: Path,
    *,
    size: tuple[int, int] = SIZE,
    pts: Sequence[int] = range(10),
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    audio: Sequence[str] = (),
    audio_frames: int = 20,
    prepare: Callable[[Any, Any], None] = lambda _container, _stream: None,
    subtitle: Path | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A video with one frame at each of ``pts`` and an audio stream of noise for each codec in
    ``audio``.

    ``prepare(container, video stream)`` may set what else there is before the header is written.
    ``subtitle`` is a file whose subtitle stream is copied.
    """
    with av.open(str(path), "w", container_options=container_options) as container:
        video = container.add_stream(codec, rate=Fraction(1) / time_base, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.time_base = video.codec_context.time_base = time_base
        sounds = [container.add_stream(name, rate=48000, layout="mono") for name in audio]
        texts = None
        if subtitle is not None:
            texts = av.open(str(subtitle))
            written = container.add_stream_from_template(texts.streams.subtitles[0])
            written.metadata["language"] = "deu"
        prepare(container, video)
        with system.ordinary_threads():
            container.start_encoding()
        for i, when in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24").reformat(
                format=pix_fmt
            )
            frame.pts, frame.time_base = when, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        noise = np.random.default_rng(1)
        for sound in sounds:
            step = sound.codec_context.frame_size or 1024
            kind = sound.codec_context.format.name
            for i in range(audio_frames):
                wave = noise.uniform(-0.5, 0.5, (1, step)).astype(np.float32)
                deep = {"s16": np.int16, "s32": np.int32}
                samples = (
                    wave
                    if kind.startswith("flt")
                    else (wave * 2**15).astype(deep[kind.rstrip("p")])
                )
                heard = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = 48000, i * step, Fraction(1, 48000)
                container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
        if texts is not None:
            for packet in texts.demux(subtitles=0):
                if packet.dts is not None:
                    packet.stream = written
                    container.mux(packet)
            texts.close()
    return path


SRT = "1\n00:00:00,040 --> 00:00:00,160\nHello\n\n2\n00:00:00,200 --> 00:00:00,300\nWorld\n"


@dataclass
class Seen:
    """What is in a media file. Times are seconds on the file's own clock."""

    size: tuple[int, int] = (0, 0)
    times: list[Fraction] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    packets: dict[int, list[tuple[Fraction, bytes]]] = field(default_factory=dict)
    languages: list[str | None] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)


def look(path: Path, *, keep_frames: bool = False) -> Seen:
    """Decode the video; list every other stream's packets."""
    seen = Seen()
    with av.open(str(path)) as container:
        seen.kinds = [
            f"{s.type}:{s.codec_context.codec.canonical_name if s.codec_context else ''}"
            for s in container.streams
        ]
        seen.languages = [s.language for s in container.streams]
        others = [s for s in container.streams if s.type in ("audio", "subtitle")]
        for stream in others:
            seen.packets[stream.index] = []
        if others:
            for packet in container.demux(others):
                if packet.size:
                    when = packet.pts * packet.time_base
                    seen.packets[packet.stream_index].append((when, bytes(packet)))
    with av.open(str(path)) as container:
        if container.streams.video:
            stream = container.streams.video[0]
            seen.size = stream.width, stream.height
            for frame in container.decode(stream):
                seen.times.append(frame.pts * frame.time_base)
                if keep_frames:
                    seen.frames.append(frame.to_ndarray(format="rgb24"))
    return seen
