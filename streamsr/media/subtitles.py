"""Rewrites text subtitles in a container's own format. Text and times stay, styles are dropped."""

import re
from typing import Any

import av
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

OWN = {"matroska": "subrip", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}
"""The text subtitle format of each container."""

TEXT = frozenset({"subrip", "mov_text", "ass", "ssa", "webvtt", "text"})
"""Text subtitle formats that can be rewritten."""

_ASS_FIELDS_BEFORE_TEXT = 8
_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""From such a header FFmpeg makes MP4's style record, without which players show no text."""


def words(codec: str, data: bytes) -> str:
    """The plain text of a subtitle packet; empty for one that only fills a gap."""
    if codec == "mov_text":
        size = int.from_bytes(data[:2], "big")
        return data[2 : 2 + size].decode("utf-8", "replace").strip()
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", _ASS_FIELDS_BEFORE_TEXT)[-1]
        text = (
            re.sub(r"\{[^}]*\}", "", text)
            .replace(r"\N", "\n")
            .replace(r"\n", "\n")
            .replace(r"\h", " ")
        )
    else:
        text = re.sub(r"</?[a-zA-Z][^>]*>", "", text)
    return text.replace("\r", "").strip("\n\0 ")


class TextConverter:
    """Adds a subtitle stream to ``output`` and converts the packets of ``source`` for it.

    codec   of ``source`` as an argument, one of TEXT; as an attribute that of ``stream``
    stream  the stream of ``output``
    """

    def __init__(self, output: OutputContainer, source: Stream, codec: str) -> None:
        self._codec = codec
        self.codec = OWN[output.format.name]
        if self.codec == "mov_text":
            self.stream: Any = output.add_stream("mov_text")
            context = self.stream.codec_context
            assert isinstance(context, SubtitleCodecContext)
            context.subtitle_header = _ASS_HEADER
            assert source.time_base is not None
            context.time_base = self.stream.time_base = source.time_base
        else:
            self.stream = output.add_mux_stream(self.codec)

    def converted(self, packet: "Packet[Any]") -> "Packet[Any] | None":
        """The packet's text as a packet of the output, None where it has none."""
        text = words(self._codec, bytes(packet)).encode()
        if not text:
            return None
        if self.codec == "mov_text":
            text = text[:0xFFFF]
            text = len(text).to_bytes(2, "big") + text
        converted: Packet[Any] = av.Packet(text)
        converted.pts = packet.pts
        converted.dts = packet.dts
        converted.duration = packet.duration
        converted.time_base = packet.time_base
        return converted
