"""The video encoders of this build of FFmpeg: their names, their options, the formats they take."""

import ctypes
import functools
import io
from collections.abc import Iterator
from pathlib import Path

import av
import av.codec.context

from streamsr.media.containers import FORMATS
from streamsr.media.frames import can_write


class _Option(ctypes.Structure):
    """The beginning of an AVOption (libavutil/opt.h). A named value of another option has offset
    0."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
        ("offset", ctypes.c_int),
    )


def encoder_names() -> list[str]:
    """FFmpeg's names of the video encoders whose codec a container here can hold."""
    held: set[str] = set()
    for container in sorted(set(FORMATS.values())):
        with av.open(io.BytesIO(), "w", format=container) as trial:
            held |= set(trial.supported_codecs)
    encoders = [encoder for name in av.codecs_available if (encoder := _encoder(name)) is not None]
    return sorted({encoder.name for encoder in encoders if encoder.canonical_name in held})


def is_encoder(name: str) -> bool:
    """Whether there is a video encoder of this name."""
    encoder = _encoder(name)
    return encoder is not None and encoder.name == name


def _encoder(name: str) -> av.codec.Codec | None:
    try:
        encoder = av.codec.Codec(name, "w")
    except ValueError:
        return None
    return encoder if encoder.type == "video" else None


@functools.cache
def formats_of(name: str) -> tuple[str, ...]:
    """The pixel formats that this encoder takes and that frames can be written in, in its order;
    none where it does not say which."""
    formats = av.codec.Codec(name, "w").video_formats or []
    return tuple(kind.name for kind in formats if can_write(kind.name))


@functools.cache
def options_of(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The options that this encoder has alone, and those that FFmpeg gives to every codec.

    Asked of FFmpeg's own libraries: PyAV has no list of them.
    """
    library, util = _ffmpeg("avcodec"), _ffmpeg("avutil")
    pointer = ctypes.c_void_p
    library.avcodec_find_encoder_by_name.restype = pointer
    library.avcodec_find_encoder_by_name.argtypes = [ctypes.c_char_p]
    library.avcodec_alloc_context3.restype = pointer
    library.avcodec_alloc_context3.argtypes = [pointer]
    library.avcodec_free_context.argtypes = [ctypes.POINTER(pointer)]
    util.av_opt_child_next.restype = pointer
    util.av_opt_child_next.argtypes = [pointer, pointer]
    util.av_opt_next.restype = ctypes.POINTER(_Option)
    util.av_opt_next.argtypes = [pointer, ctypes.POINTER(_Option)]

    def names(thing: int | None) -> Iterator[str]:
        option = None
        while thing and (option := util.av_opt_next(thing, option)):
            if option.contents.offset:
                yield option.contents.name.decode()

    context = library.avcodec_alloc_context3(library.avcodec_find_encoder_by_name(name.encode()))
    try:
        own = frozenset(names(util.av_opt_child_next(context, None)))
        return own, frozenset(names(context))
    finally:
        library.avcodec_free_context(ctypes.byref(pointer(context)))


def _ffmpeg(name: str) -> ctypes.CDLL:
    """One of FFmpeg's libraries that PyAV has loaded: through a module of PyAV's that is linked to
    it, or by itself where its symbols are not the module's too, beside PyAV's wheel on Windows."""
    beside = Path(av.__file__).parents[1].glob(f"av.libs/{name}-*.dll")
    return ctypes.CDLL(str(next(beside, av.codec.context.__file__)))
