"""Frames in, larger frames out: the engine, and the resize that follows where the wanted size is no
multiple."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.conformity import Judge
from streamsr.errors import ModelError
from streamsr.frame import Frame, Image
from streamsr.model import ModelFile, find_model
from streamsr.options import EngineChoice
from streamsr.picture.buffers import BufferPool
from streamsr.picture.high_depth import deepened, enlarged
from streamsr.picture.resize import resized
from streamsr.region import Region
from streamsr.stats import Recorder
from streamsr.tiling.changes import WHOLE_ABOVE, affected_cells, tiles_of


class _Last(NamedTuple):
    """The picture before: as it came, by network, and at the size wanted."""

    lr: Image
    hr: Image
    shown: Image


class Upscaler:
    """Upscales pictures. A context manager; for one thread at a time.

    model    ``auto``, ``clean``, ``video``, name of a shipped model, path of a uint8 .tflite file,
             or a file as read
    scale    2, 3 or 4, default 3, for the first three of these
    lossy    the pictures went through a lossy codec (`StreamInfo.lossy`): ``auto`` then takes the
             video model
    size     (width, height) of the result when it is not ``scale`` times the input
    engine   ``auto`` or an engine's name; ``threads``, ``delegate``, ``delegate_options`` and
             ``batch`` go with it. Or all of these as one `streamsr.options.EngineChoice`. Or a
             function that makes your own engine from the model file; the upscaler closes it
    reuse    in `frames`, take what did not change since the frame before from its result
    verify_reuse  compute it too, and raise ModelError should it differ, or be further from LiteRT's
                  than the engine
             promises (none for fused, 3 levels and 60 dB for OpenVINO and delegates; your own
             promises nothing)
    record   where to count what happens

    Raises ModelError when the model or engine cannot be used, ValueError for arguments outside
    their range.
    """

    def __init__(
        self,
        model: str | Path | ModelFile = "auto",
        *,
        scale: int | None = None,
        lossy: bool = False,
        size: tuple[int, int] | None = None,
        engine: str | EngineChoice | Callable[[ModelFile], Engine] = "auto",
        threads: int | None = None,
        delegate: str | None = None,
        delegate_options: Mapping[str, str] | None = None,
        batch: int | None = None,
        reuse: bool = True,
        verify_reuse: bool = False,
        record: Recorder | None = None,
    ) -> None:
        _check_size(size)
        file = (
            model if isinstance(model, ModelFile) else find_model(model, scale=scale, lossy=lossy)
        )
        if isinstance(engine, str):
            engine = EngineChoice(engine, threads, delegate, delegate_options or {}, batch)
        if isinstance(engine, EngineChoice):
            self.engine, self.why = open_engine(file, engine)
        else:
            self.engine, self.why = engine(file), "your own"
        if scale is not None and self.engine.scale != scale:
            self.engine.close()
            raise ValueError(
                f"expected a model of scale {scale}, {file.name} upscales by {self.engine.scale}"
            )
        self.model = file
        self.scale = self.engine.scale
        self.reuse = reuse
        self.verify_reuse = verify_reuse
        self._judge: Judge | None = None
        if verify_reuse and isinstance(engine, EngineChoice) and self.engine.name != "litert":
            try:
                self._judge = Judge(self.engine, file)
            except BaseException:
                self.engine.close()
                raise
        self._shared = False
        self._begin(size, record or Recorder())

    def _begin(self, size: tuple[int, int] | None, record: Recorder) -> None:
        self._size = size
        self._record = record
        self._last: _Last | None = None
        self._pool = BufferPool()
        record.engine = self.engine.name
        record.model = self.model.name
        record.threads = self.engine.threads

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the results; None for ``scale`` times the input."""
        return self._size

    @property
    def record(self) -> Recorder:
        """Where what happens is counted."""
        return self._record

    def output_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the result for pictures of this size."""
        return self._size or (width * self.scale, height * self.scale)

    def for_size(
        self, size: tuple[int, int] | None, *, record: Recorder | None = None
    ) -> "Upscaler":
        """An upscaler for other pictures, with the same model and engine.

        It remembers no picture, and counts into ``record``, by default this one's. The engine stays
        this one's to close, and both must not compute at the same time.
        """
        _check_size(size)
        other = copy(self)
        other._shared = True
        other._begin(size, record or self._record)
        return other

    def __call__(self, image: Image) -> Image:
        """The RGB picture [H, W, 3] uint8, upscaled. The result belongs to the caller; nothing is
        remembered."""
        return self._sized(self._computed([_checked(image)]))[0]

    def frames(self, frames: Sequence[Frame]) -> list[Frame]:
        """Upscale frames that follow each other: what did not change since the last one is taken
        from its result.

        The pixels are those of full computation, always. Several frames go into one engine call
        where the device gains from that.
        """
        if self.reuse and self.engine.batch == 1:
            results = [self._following(frame.rgb) for frame in frames]
        else:
            computed = self._computed([frame.rgb for frame in frames])
            for frame, hr in zip(frames, computed, strict=True):
                self._verify(frame.rgb, hr)
                self.record.pixels(total=frame.rgb.shape[0] * frame.rgb.shape[1], reused=0)
            results = self._sized(computed)
            self.record.count("network", len(frames))
        return [self._completed(frame, rgb) for frame, rgb in zip(frames, results, strict=True)]

    def _completed(self, frame: Frame, hr: Image) -> Frame:
        """The upscaled frame, with what the source's picture has besides 8 bits of colour."""
        if frame.deep is None and frame.alpha is None:
            return replace(frame, rgb=hr)
        with self.record.stage("deep"):
            deep = None if frame.deep is None else deepened(frame.deep, frame.rgb, hr)
            alpha = (
                None if frame.alpha is None else enlarged(frame.alpha, (hr.shape[1], hr.shape[0]))
            )
        return replace(frame, rgb=hr, deep=deep, alpha=alpha)

    def _following(self, lr: Image) -> Image:
        """Upscale a picture, given those before it."""
        last = self._last
        if last is None or last.lr.shape != lr.shape:
            cells, share = None, 1.0
        else:
            with self.record.stage("compare"):
                cells = affected_cells(last.lr, lr, halo=self.engine.halo)
            share = np.count_nonzero(cells) / cells.size
        pixels = lr.shape[0] * lr.shape[1]
        if last is None or cells is None or share >= WHOLE_ABOVE:
            self.record.count("network")
            self.record.pixels(total=pixels, reused=0)
            hr = self._computed([lr])[0]
            shown = self._sized([hr])[0]
        elif share > 0:
            self.record.count("partial")
            self.record.pixels(total=pixels, reused=round(pixels * (1 - share)))
            hr = self._pool.take(last.hr.shape)
            with self.record.stage("copy"):
                np.copyto(hr, last.hr)
            with self.record.stage("network"):
                self.engine.run(tiles_of(self.engine, lr, hr, cells))
            shown = self._sized([hr])[0]
        else:
            self.record.count("reused")
            self.record.pixels(total=pixels, reused=pixels)
            hr, shown = last.hr, last.shown
        if self.verify_reuse and not np.array_equal(hr, self._computed([lr])[0]):
            raise ModelError(
                f"reuse gave other pixels than full computation on {self.engine.name}; please "
                f"report this"
            )
        self._verify(lr, hr)
        self._last = _Last(lr, hr, shown)
        return shown

    def _verify(self, lr: Image, hr: Image) -> None:
        if self._judge is not None:
            self._judge.check(lr, hr)

    def _computed(self, images: Sequence[Image]) -> list[Image]:
        """Each picture by network, as a whole."""
        tiles = []
        for lr in images:
            height, width = lr.shape[:2]
            hr = self._pool.take((height * self.scale, width * self.scale, 3))
            tiles.append(Tile(lr, hr, Region.of(width, height)))
        with self.record.stage("network"):
            self.engine.run(tiles)
        return [tile.hr for tile in tiles]

    def _sized(self, images: Sequence[Image]) -> list[Image]:
        if self.size is None:
            return list(images)
        with self.record.stage("resize"):
            return [resized(image, self.size) for image in images]

    def close(self) -> None:
        """Release the engine, unless it is another's (see `for_size`). Closing twice is
        harmless."""
        self._last = None
        if self._shared:
            return
        if self._judge is not None:
            self._judge.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and min(size) < 1:
        raise ValueError(f"expected a size of at least 1x1, got {size[0]}x{size[1]}")


def _checked(image: Image) -> Image:
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        seen = (
            f"{image.shape} {image.dtype}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ValueError(f"expected an RGB picture [H, W, 3] uint8, got {seen}")
    if image.size == 0:
        raise ValueError(f"expected at least one pixel, got {image.shape[1]}x{image.shape[0]}")
    return np.ascontiguousarray(image)
