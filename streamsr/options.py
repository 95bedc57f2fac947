"""What a user may choose, as values that are made once and handed on whole, with their limits.

Imports the standard library only: the command line shows help from it without loading FFmpeg or
numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

ENGINES = ("auto", "fused", "openvino", "litert")
"""After ``auto``, in the order of preference: the first two are faster, the last is the reference
and runs anywhere."""

SCALES = (2, 3, 4)
"""Of the networks."""

QUALITIES = ("auto", "lite", "xlsr", "plus", "max")
"""After ``auto``, the rungs of the family, from the least work to the most."""

CODECS = ("h264", "hevc", "av1", "ffv1")
LOSSLESS = frozenset({"ffv1"})
"""Codecs without a quality or a speed to choose."""

INTERLACED = ("deinterlace", "keep", "error", "force-tff", "force-bff")
"""What to do with an interlaced film; ``keep`` treats it as if it were not, the last two take every
frame for interlaced, with the top or the bottom field first."""

MAX_PIXELS = 1 << 26
"""8192 x 8192. A header may claim any size; memory is asked for what it claims."""

MAX_DURATION_S = 100 * 3600.0
"""A header may claim any length, and a frame any time; the longest recordings last for days."""

MAX_SIDE = 16384
"""Longest side of an output picture: H.264, HEVC and AV1 end there."""

SEGMENT_S = 10.0
"""Work lost at most to a kill, in seconds of film; shorter segments cost compression, because each
begins with a key frame."""

BUDGET_S = 0.1
"""Age at which a live frame must be upscaled."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How a film is decoded, and what is refused before memory is asked for it.

    interlaced      one of INTERLACED
    max_pixels      of a picture
    max_duration_s  of the film or the span that is wanted
    whole           a hole in the film, where many frames in a row cannot be decoded, is refused;
                    else it is said, and the film goes on behind it
    """

    interlaced: str = "deinterlace"
    max_pixels: int = MAX_PIXELS
    max_duration_s: float = MAX_DURATION_S
    whole: bool = False

    def __post_init__(self) -> None:
        if self.interlaced not in INTERLACED:
            raise ValueError(
                f"expected interlaced to be one of {', '.join(INTERLACED)}, got {self.interlaced!r}"
            )


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the new video is encoded.

    crf, preset      None for this codec's default
    threads          of the encoder, None for as many as it likes. The bytes it writes depend on the
                     number, so that it must be given where two machines, or two runs, are to agree.
    pixel_format     FFmpeg's name; ``auto`` keeps what the source has, as far as the codec goes
    encoder          FFmpeg's name of any video encoder of its build, in place of ``codec``
    encoder_options  FFmpeg's options for the encoder, by name; they go before our own

    Whether FFmpeg has these names is found out where they are used.
    """

    codec: str = "h264"
    crf: int | None = None
    preset: str | None = None
    threads: int | None = None
    pixel_format: str = "auto"
    encoder: str | None = None
    encoder_options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.encoder is not None and self.codec != CODECS[0]:
            raise ValueError(f"expected no codec beside an encoder, got {self.codec!r}")
        if self.codec not in CODECS:
            raise ValueError(f"expected a codec of {', '.join(CODECS)}, got {self.codec!r}")
        if self.codec in LOSSLESS and (self.crf is not None or self.preset is not None):
            raise ValueError(f"expected no crf or preset: {self.codec} is lossless")


@dataclass(frozen=True, slots=True)
class Look:
    """What becomes of the network's picture before it is shown.

    consistent  correct it until it gives the source's picture when it is made small again
    sharpen     0 for none to 1, by local contrast, without halos
    strength    of the network: 1, or down to 0 in a blend with bicubic interpolation
    """

    consistent: bool = False
    sharpen: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("sharpen", self.sharpen), ("strength", self.strength)):
            if not 0 <= value <= 1:
                raise ValueError(f"expected {name} from 0 to 1, got {value}")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine runs the network, on what.

    engine            one of ENGINES
    threads           cores the engine may use, None for all usable ones
    delegate          a TFLite external delegate library that must be used
    delegate_options  its options
    batch             same-shaped regions or frames in one call; None measures what the device gains
    """

    engine: str = "auto"
    threads: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"expected an engine of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.delegate is not None and self.engine not in ("auto", "litert"):
            raise ValueError(
                f"expected no delegate with the {self.engine} engine: LiteRT drives delegates"
            )
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"expected at least 1 thread, got {self.threads}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"expected a batch of at least 1, got {self.batch}")
