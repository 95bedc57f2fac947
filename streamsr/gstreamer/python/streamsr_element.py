"""The GStreamer element ``streamsr``, loaded by GStreamer's own Python. See docs/gstreamer.md.

streamsr itself is imported when the element starts: GStreamer can look at the plugin without it,
and where it is missing that is an error message of the element.
"""

import json
import time
import traceback
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import gi

for _namespace in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(_namespace, "1.0")
from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # noqa: E402 - only after their versions are said

if TYPE_CHECKING:
    from streamsr.frame import Frame
    from streamsr.live.stage import LiveStage
    from streamsr.upscaler import Upscaler

LARGEST = 2**31 - 1
FORMATS = "I420, Y42B, Y444, GRAY8, I420_10LE, I422_10LE, Y444_10LE, BGRx, RGBx, BGR, RGB"
CAPS = Gst.Caps.from_string(
    f"video/x-raw, format={{ {FORMATS} }}, width=[1, {LARGEST}], height=[1, {LARGEST}], "
    f"framerate=[0/1, {LARGEST}/1]"
)
NANOSECOND = Fraction(1, Gst.SECOND)


def scaled(size: Any, factor: Fraction) -> Any:  # Any: int, Gst.IntRange or Gst.ValueList of these
    """A caps field of sizes times ``factor``, None when no whole size is left."""
    if isinstance(size, int):
        result = size * factor
        return int(result) if result.denominator == 1 and result <= LARGEST else None
    if isinstance(size, Gst.IntRange):
        low, high = -(-size.range.start * factor // 1), min(size.range.stop * factor // 1, LARGEST)
        if low >= high:
            return int(low) if low == high else None
        return Gst.IntRange(range(int(low), int(high)))
    sizes = [found for found in (scaled(item, factor) for item in size.array) if found is not None]
    return Gst.ValueList(sizes) if sizes else None


def chroma_site(caps: Gst.Caps, info: GstVideo.VideoInfo) -> GstVideo.VideoChromaSite:
    """Where chroma lies. GStreamer 1.22 forgets what the caps say of it where they do not say the
    colorimetry too."""
    said = caps.get_structure(0).get_string("chroma-site")
    return GstVideo.video_chroma_site_from_string(said) if said else info.chroma_site


def consistency_of(word: str) -> bool | None:
    """What the property's word means. Raises ValueError for an unknown one."""
    words = {"auto": None, "on": True, "off": False}
    if word not in words:
        raise ValueError(f"expected consistency to be auto, on or off, got {word!r}")
    return words[word]


class Picture:
    """How a picture of these caps lies in a buffer, and what its numbers mean."""

    def __init__(self, caps: Gst.Caps) -> None:
        from streamsr.color import FULL, LIMITED, ColorTags
        from streamsr.picture.planes import YuvPlanes

        self.info = info = GstVideo.VideoInfo.new_from_caps(caps)
        self.size = info.width, info.height
        self.rate = Fraction(info.fps_n, info.fps_d) if info.fps_n else None
        self.form = form = info.finfo
        self._rgb = bool(form.flags & GstVideo.VideoFormatFlags.RGB)
        color, site = info.colorimetry, chroma_site(caps, info)
        tags = ColorTags(
            GstVideo.video_color_matrix_to_iso(color.matrix),
            GstVideo.video_color_primaries_to_iso(color.primaries),
            GstVideo.video_transfer_function_to_iso(color.transfer),
            (0, FULL, LIMITED)[int(color.range)],
        )
        centered = (
            bool(site)
            and not site & GstVideo.VideoChromaSite.H_COSITED
            and form.w_sub[1] == form.h_sub[1] == 1
        )
        self._yuv = YuvPlanes(tags.resolved(*self.size), depth=form.depth[0], centered=centered)

    def read(self, buffer: Gst.Buffer, rgb: Any) -> Any:  # Any: numpy's arrays
        """Fill ``rgb`` [H, W, 3] uint8; the picture at its full depth where that is more, as
        uint16."""
        with buffer.map(Gst.MapFlags.READ) as memory:
            planes = self._planes(buffer, memory.data)
            if not self._rgb:
                return self._yuv.read(planes, rgb)
            for channel in range(3):
                rgb[..., channel] = planes[0][..., self.form.poffset[channel]]
            return None

    def write(self, frame: "Frame", buffer: Gst.Buffer) -> None:
        """Fill the buffer."""
        with buffer.map(Gst.MapFlags.WRITE) as memory:
            planes = self._planes(buffer, memory.data)
            if not self._rgb:
                self._yuv.write(frame, planes)
                return
            for channel in range(3):
                planes[0][..., self.form.poffset[channel]] = frame.rgb[..., channel]
            if planes[0].shape[2] == 4:
                planes[0][..., 3] = 255

    def _planes(self, buffer: Gst.Buffer, memory: memoryview) -> list[Any]:
        """Views of the planes: [rows, columns] of samples, [H, W, bytes of a pixel] of RGB."""
        import numpy as np

        form, (width, height) = self.form, self.size
        layout = (
            GstVideo.buffer_get_video_meta(buffer) or self.info
        )  # padding that a decoder or sink asked for
        dtype = np.dtype(np.uint8 if form.depth[0] == 8 else "<u2")
        planes = []
        for i in range(form.n_planes):
            shape: tuple[int, ...] = -(-height >> form.h_sub[i]), -(-width >> form.w_sub[i])
            strides: tuple[int, ...] = layout.stride[i], form.pixel_stride[i]
            if self._rgb:
                shape, strides = (*shape, strides[1]), (*strides, 1)
            planes.append(np.ndarray(shape, dtype, memory, layout.offset[i], strides))
        return planes


class StreamsrElement(GstBase.BaseTransform):  # type: ignore[misc]  # gi's classes have no types
    """Enlarges video/x-raw pictures by the model's scale."""

    __gtype_name__ = "Streamsr"
    __gstmetadata__ = (
        "streamsr",
        "Filter/Effect/Video/Scaler",
        "Upscales video with a neural network",
        "streamsr",
    )
    __gsttemplates__ = tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, CAPS)
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )
    model = GObject.Property(
        type=str,
        default="auto",
        nick="model",
        blurb="auto, clean, video, a shipped model or a file",
    )
    quality = GObject.Property(
        type=str,
        default="auto",
        nick="quality",
        blurb="auto, lite, xlsr, plus or max: how large a network; auto: with budget-ms whichever "
        "there is time for, else xlsr",
    )
    engine = GObject.Property(
        type=str, default="auto", nick="engine", blurb="auto, fused, openvino or litert"
    )
    scale = GObject.Property(
        type=int,
        default=0,
        minimum=0,
        maximum=4,
        nick="scale",
        blurb="2, 3 or 4 where no model is given; 0: 3",
    )
    threads = GObject.Property(
        type=int, default=0, minimum=0, maximum=1024, nick="threads", blurb="Cores; 0: all"
    )
    consistency = GObject.Property(
        type=str,
        default="auto",
        nick="consistency",
        blurb="auto, on or off: correct the network's picture by the source's; auto: as the model "
        "is made for",
    )
    sharpen = GObject.Property(
        type=float,
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        nick="sharpen",
        blurb="How much to sharpen, without halos",
    )
    strength = GObject.Property(
        type=float,
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        nick="strength",
        blurb="Of the network, against bicubic interpolation",
    )
    budget_ms = GObject.Property(
        type=float,
        default=0.0,
        minimum=0.0,
        maximum=60000.0,
        nick="budget",
        blurb="Time a frame may take, in quality that allows it; 0: full quality, however long",
    )

    def __init__(self) -> None:
        super().__init__()
        self._upscaler: Upscaler | None = None
        self._live: LiveStage | None = None
        self._frames = self._dropped = 0
        self._upstream_s = 0.0
        self._is_live = False
        self.set_qos_enabled(True)
        # The base class keeps its own answer to queries; the latency in it is ours to correct.
        self.srcpad.add_probe(
            Gst.PadProbeType.QUERY_UPSTREAM | Gst.PadProbeType.PULL, self._latency_asked
        )
        self.connect(
            "notify::budget-ms", lambda *_: self.post_message(Gst.Message.new_latency(self))
        )

    @GObject.Property(  # type: ignore[untyped-decorator]  # gi's
        type=str,
        nick="stats",
        blurb="What happened to the frames, as --stats-json writes it",
        flags=GObject.ParamFlags.READABLE,
    )
    def stats(self) -> str:
        return "" if self._upscaler is None else json.dumps(self._upscaler.record.snapshot().json())

    def do_start(self) -> bool:
        try:
            from streamsr.errors import StreamsrError
            from streamsr.picture.buffers import BufferPool
            from streamsr.upscaler import Upscaler
        except ImportError as error:
            return self._failed(f'{error}; run: eval "$(.venv/bin/python -m streamsr.gstreamer)"')
        try:
            self._upscaler = Upscaler(
                self.model or "auto",
                quality=self.quality,
                scale=self.scale or None,
                engine=self.engine,
                threads=self.threads or None,
                consistency=consistency_of(self.consistency),
                sharpen=self.sharpen,
                strength=self.strength,
            )
            self._pool = BufferPool()
            if self.budget_ms:  # what has to be compiled is, before a live source begins
                self._warm((64, 64), None)
        except (StreamsrError, ValueError) as error:
            return self._failed(str(error))
        return True

    def do_stop(self) -> bool:
        if self._upscaler is not None:
            self._upscaler.close()
        self._upscaler = self._live = None
        return True

    def do_transform_caps(
        self, direction: Gst.PadDirection, caps: Gst.Caps, filter: Gst.Caps | None
    ) -> Gst.Caps:
        """The caps on the other pad that go with these: sizes scaled, first as they are, then in
        any format."""
        scale = (
            self._upscaler.scale if self._upscaler else self.scale
        )  # a model's is known once it is open
        factor = Fraction(scale) if direction == Gst.PadDirection.SINK else Fraction(1, scale or 1)
        result = Gst.Caps.new_empty()
        for converted in (False, True):
            for i in range(caps.get_size()):
                structure = caps.get_structure(i).copy()
                sizes = {
                    name: structure.get_value(name)
                    for name in ("width", "height")
                    if structure.has_field(name)
                }
                for name in sizes:
                    sizes[name] = (
                        scaled(sizes[name], factor) if scale else Gst.IntRange(range(1, LARGEST))
                    )
                if None in sizes.values():
                    continue
                for name, size in sizes.items():
                    structure.set_value(name, size)
                if converted:
                    for name in ("format", "colorimetry", "chroma-site"):
                        structure.remove_field(name)
                result.append_structure(structure)
        result = result.intersect(CAPS)
        return (
            result if filter is None else filter.intersect_full(result, Gst.CapsIntersectMode.FIRST)
        )

    def do_fixate_caps(
        self, _direction: Gst.PadDirection, caps: Gst.Caps, othercaps: Gst.Caps
    ) -> Gst.Caps:
        """Keep format and colours wherever the other side takes them."""
        info = GstVideo.VideoInfo.new_from_caps(caps)
        same = Gst.Caps.from_string(f"video/x-raw, format={info.finfo.name}").intersect(othercaps)
        structure = (othercaps if same.is_empty() else same).get_structure(0).copy()
        structure.fixate_field("format")
        form = GstVideo.VideoFormat.get_info(
            GstVideo.VideoFormat.from_string(structure.get_string("format"))
        )
        keep = []
        if not (info.finfo.flags | form.flags) & GstVideo.VideoFormatFlags.RGB:
            keep.append(("colorimetry", info.colorimetry.to_string()))
        if (form.w_sub[1], form.h_sub[1]) == (info.finfo.w_sub[1], info.finfo.h_sub[1]) != (0, 0):
            keep.append(
                ("chroma-site", GstVideo.video_chroma_site_to_string(chroma_site(caps, info)))
            )
        for name, value in keep:
            if value is None:  # not known
                continue
            if not structure.has_field(
                name
            ):  # said, because what is assumed otherwise depends on the size
                structure.set_value(name, value)
            structure.fixate_field_string(name, value)
        structure.fixate()
        result = Gst.Caps.new_empty()
        result.append_structure(structure)
        return result

    def do_set_caps(self, incaps: Gst.Caps, outcaps: Gst.Caps) -> bool:
        self._source, self._target = Picture(incaps), Picture(outcaps)
        if self._source.info.interlace_mode != GstVideo.VideoInterlaceMode.PROGRESSIVE:
            return self._failed(
                "interlaced video would be garbled; put deinterlace before streamsr"
            )
        if self.budget_ms:
            self._warm(self._source.size, self._source.rate)
        query = Gst.Query.new_latency()
        if self.sinkpad.peer_query(query):
            self._note(query)
        return True

    def do_transform_size(
        self, _direction: Gst.PadDirection, _caps: Gst.Caps, _size: int, othercaps: Gst.Caps
    ) -> tuple[bool, int]:
        return True, GstVideo.VideoInfo.new_from_caps(othercaps).size

    def do_propose_allocation(self, _decided: Gst.Query | None, query: Gst.Query) -> bool:
        query.add_allocation_meta(
            GstVideo.video_meta_api_get_type(), None
        )  # decoders need not copy their padding away
        return True

    def do_transform(self, inbuf: Gst.Buffer, outbuf: Gst.Buffer) -> Gst.FlowReturn:
        try:
            return self._upscaled(inbuf, outbuf)
        except Exception as error:  # noqa: BLE001 - GStreamer is written in C: what is raised here, nobody would catch
            self._failed(str(error) or type(error).__name__, traceback.format_exc())
            return Gst.FlowReturn.ERROR

    def _upscaled(self, inbuf: Gst.Buffer, outbuf: Gst.Buffer) -> Gst.FlowReturn:
        from streamsr.frame import Frame

        assert self._upscaler is not None
        width, height = self._source.size
        rgb = self._pool.take((height, width, 3))
        deep = self._source.read(inbuf, rgb)
        if not self.budget_ms:
            self._live = None
            frame: Frame | None = self._upscaler.frames([Frame(rgb, 0, NANOSECOND, deep=deep)])[0]
        else:
            budget_s = self.budget_ms / 1e3
            live = self._live or self._warm(self._source.size, self._source.rate)
            live.budget_s = budget_s
            arrival_s = time.monotonic() - (budget_s - self._left_s(inbuf.pts, budget_s))
            # Every index is 0: the rate is what the caps say, these times are bent to the deadline.
            frame = live.frame(Frame(rgb, 0, NANOSECOND, arrival_s=arrival_s))
        self._frames += 1
        if frame is None:
            self._dropped += 1
            self._tell_dropped(inbuf)
            return Gst.FlowReturn.CUSTOM_SUCCESS  # the frame is left out
        self._target.write(frame, outbuf)
        return Gst.FlowReturn.OK

    def _warm(self, size: tuple[int, int], rate: Fraction | None) -> "LiveStage":
        """The stage that keeps to the budget, ready for pictures of this size."""
        from streamsr.frame import StreamInfo
        from streamsr.live.stage import LiveStage

        assert self._upscaler is not None
        if self._live is None:
            self._live = LiveStage(
                self._upscaler.engine,
                self.budget_ms / 1e3,
                rungs=self._upscaler.rungs(),
                finish=self._upscaler.finish,
                record=self._upscaler.record,
            )
        self._live.warm(StreamInfo(*size, NANOSECOND, rate=rate, live=True))
        return self._live

    def _left_s(self, pts: int, budget_s: float) -> float:
        """Seconds until a frame with this time must leave: no more than the budget, less than 0
        when it is too late.

        Live, the sink shows a frame at its time plus the pipeline's latency, of which the budget is
        our part. Otherwise it shows it at its time.
        """
        clock = self.get_clock()
        if clock is None or self.current_state != Gst.State.PLAYING or pts == Gst.CLOCK_TIME_NONE:
            return budget_s
        due = self.segment.to_running_time(Gst.Format.TIME, pts)
        if due == Gst.CLOCK_TIME_NONE:  # outside the segment
            return budget_s
        late_s: float = (clock.get_time() - self.get_base_time() - due) / Gst.SECOND
        slack_s = self._upstream_s + budget_s if self._is_live else 0.0
        return min(slack_s - late_s, budget_s)

    def _latency_asked(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        """Note what those before us need, and add the budget to the answer."""
        query = info.get_query()
        if query.type == Gst.QueryType.LATENCY:
            least, most = self._note(query)
            budget = round(self.budget_ms * Gst.MSECOND)
            query.set_latency(
                self._is_live,
                least + budget,
                most if most == Gst.CLOCK_TIME_NONE else most + budget,
            )
        return Gst.PadProbeReturn.OK

    def _note(self, query: Gst.Query) -> tuple[int, int]:
        self._is_live, least, most = query.parse_latency()
        self._upstream_s = least / Gst.SECOND
        return least, most

    def _tell_dropped(self, buffer: Gst.Buffer) -> None:
        segment = self.segment
        times = (
            segment.to_running_time(Gst.Format.TIME, buffer.pts),
            segment.to_stream_time(Gst.Format.TIME, buffer.pts),
            buffer.pts,
            buffer.duration,
        )
        message = Gst.Message.new_qos(self, self._is_live, *times)
        message.set_qos_stats(Gst.Format.BUFFERS, self._frames - self._dropped, self._dropped)
        self.post_message(message)

    def _failed(self, what: str, detail: str = "") -> bool:
        """Tell the application in one line; False for the caller to return."""
        error = GLib.Error.new_literal(Gst.LibraryError.quark(), what, Gst.LibraryError.SETTINGS)
        self.post_message(Gst.Message.new_error(self, error, detail))
        return False


GObject.type_register(StreamsrElement)
__gstelementfactory__ = ("streamsr", Gst.Rank.NONE, StreamsrElement)
