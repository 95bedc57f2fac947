"""Text subtitles rewritten for a container that cannot hold them as they are: the words and times
stay, styles go."""

import re
from typing import Any

import av
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext

OWN = {"matroska": "subrip", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}
"""The text format each container has."""

TEXT = frozenset({"subrip", "mov_text", "ass", "ssa", "webvtt", "text"})

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
"""FFmpeg makes the style record, without which MP4 players show nothing, from such a header."""


def words(codec: str, data: bytes) -> str:
    """The plain text of a subtitle packet, empty for one that only fills a gap."""
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
    """One subtitle stream of ``output`` that takes the packets of ``source``, of this codec of
    TEXT, converted."""

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
        """The same words as a packet of the output, None for none."""
        text = words(self._codec, bytes(packet)).encode()
        if not text:
            return None
        if self.codec == "mov_text":
            text = text[:0xFFFF]
            text = len(text).to_bytes(2, "big") + text
        made: Packet[Any] = av.Packet(text)
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.time_base = packet.time_base
        return made
