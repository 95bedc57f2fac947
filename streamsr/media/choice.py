"""Chooses between the clean and the video model by how a codec has compressed the pictures.

The numbers were found by ``python -m tools.measure.model_choice``, which says how often the choice
is the better model of the two; run it again for other models.
"""

import math
from dataclasses import dataclass

from streamsr.frame import Coded, StreamInfo

UNIT_STEP = 0.625
"""H.264's step at its quantiser 0; it doubles with each OCTAVE (ITU-T H.264, 8.5.9)."""

OCTAVE = 6

HIGHEST, MIDDLE, SLOPE = 18.0, 0.19, 220.0
"""The video model is better above the quantiser HIGHEST - SLOPE * |sharpness - MIDDLE|, on H.264's
scale. The clean one was trained on pictures that MATLAB's bicubic made small, which have about that
sharpness, and bears what fine quantisers do to these; on pictures shrunk otherwise it is the weaker
one from the first loss on."""

USUAL_SHARPNESS = 0.15
"""Of pictures that show none."""

STEPS = {"h264": 0.0, "vp9": -2.5, "jpeg": -5.5}
"""What to add to a quantiser that was brought to H.264's scale by its step, by codec."""

MPEG_STEPS = -6.0
"""For the family of MPEG-1, 2 and 4, H.263 and Windows Media."""

BITS = {"hevc": 20.0, "av1": 16.5, "vp8": 14.5, "webp": 14.5, "mjpeg": 26.5}
OTHER_BITS = 22.0
"""H.264's quantiser of pictures whose key frames have one bit for each root of detail, by codec."""

BITS_OCTAVE = 9.0
"""What half of these bits add to it: meets the quantisers of H.264 and VP9 within 2.5."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind of model (`xlsr_model.weights.KINDS`) and why, in words."""

    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.reason})"


def choose(info: StreamInfo) -> Choice:
    """Choose the model for the pictures of a stream or a file. A pure function: what it goes by was
    read when these were opened."""
    coded = info.coded
    if coded is None:
        return Choice("video", "a lossy codec") if info.lossy else Choice("clean", "no lossy codec")
    if not coded.lossy or (coded.quantiser == 0 and coded.codec in ("h264", "vp9")):
        return Choice("clean", f"{coded.codec}, lossless")
    quantiser = equivalent(coded)
    if quantiser is None:
        return Choice("video", coded.codec)
    sharpness = USUAL_SHARPNESS if coded.sharpness is None else coded.sharpness
    highest = HIGHEST - SLOPE * abs(sharpness - MIDDLE)
    kind = "video" if quantiser > highest else "clean"
    if coded.quantiser is not None:
        how = f"quantiser {coded.quantiser:.0f} on average"
    else:
        how = f"{coded.bits:.2f} bits a pixel"
    return Choice(kind, f"{coded.codec}, {how}, sharpness {sharpness:.2f}")


def equivalent(coded: Coded) -> float | None:
    """The quantiser by which H.264 would have left as much of the pictures; None where too little
    is known."""
    if coded.quantiser is not None:
        if coded.codec == "h264":
            return coded.quantiser
        # VP9's index: steps of 8 bits rise by an eighth from 1 on; above 98 they rise faster.
        step = (coded.quantiser + 7) / 8 if coded.codec == "vp9" else coded.quantiser
        added = STEPS.get(coded.codec, MPEG_STEPS)
        return OCTAVE * math.log2(max(step, UNIT_STEP) / UNIT_STEP) + added
    if not coded.bits or not coded.detail:
        return None
    one_bit = BITS.get(coded.codec, OTHER_BITS)
    return one_bit - BITS_OCTAVE * math.log2(coded.bits / coded.detail)
