"""Upscales pictures and frames in full: the engine, then a resize where another size is wanted."""

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from streamsr.engines import Engine, Tile
from streamsr.engines.choose import open_engine
from streamsr.engines.conformity import Judge
from streamsr.engines.family import check_rung, rung_of
from streamsr.errors import ModelError
from streamsr.frame import Fit, Frame, Image
from streamsr.model import CHOICES, ModelFile, find_model
from streamsr.options import EngineChoice, Look
from streamsr.picture.finish import finish_for
from streamsr.picture.high_depth import add_detail, enlarge_16
from streamsr.region import Region
from streamsr.stats import Fate, Recorder, Stage
from streamsr.tiling.changes import WHOLE_ABOVE, tiles_for
from streamsr.tiling.results import Results, read_only, sized
from xlsr_model import weights
from xlsr_model.weights import DEFAULT_RUNG


class Upscaler:
    """Upscales pictures. A context manager; for one thread at a time.

    model         ``auto``, ``clean``, ``video``, name of a shipped model, path of a uint8 .tflite
                  file, or a file that was read
    quality       rung of the family, a name of `options.QUALITIES`: how large the network is. Of
                  ``auto`` it is XLSR's, and under a budget whichever there is time for (`rungs`); a
                  job over files chooses before. A model that is named must be of the rung named
    scale         2, 3 or 4, default 3, where ``model`` is one of the first three
    lossy         the pictures went through a lossy codec (`StreamInfo.lossy`): ``auto`` then takes
                  the video model
    size          (width, height) of the result when it is not ``scale`` times the input
    engine        ``auto`` or an engine's name; ``threads``, ``delegate``, ``delegate_options`` and
                  ``batch`` go with it. Or all of these as one `streamsr.options.EngineChoice`. Or
                  a function that makes your own engine from the model file; the upscaler closes it
    consistency   correct the network's picture until it gives the source's when it is made small
                  again; None does what the model was made for: shipped ones are corrected, others
                  where their card says ``"consistent": true``
    sharpen       0 for none to 1, by local contrast, without halos
    strength      of the network: 1, or down to 0 in a blend with bicubic interpolation
    reuse         in `frames`, take what did not change since the frame before from its result
    verify_reuse  compute it too, and raise ModelError when it differs, or when it is further from
                  LiteRT's result than the engine promises (0 for fused, 3 levels and 60 dB for
                  OpenVINO and delegates; your own promises nothing)
    record        where to count what happens

    ``engine_reason`` says in words why this engine was taken; ``model_reason`` why this model and
    ``quality_reason`` why this rung, set by a job that has chosen them, else empty. ``quality`` is
    the rung, empty for a network that is none. Raises ModelError when the model or the engine
    cannot be used, ValueError for arguments outside their range.
    """

    def __init__(
        self,
        model: str | Path | ModelFile = "auto",
        *,
        quality: str = "auto",
        scale: int | None = None,
        lossy: bool = False,
        size: tuple[int, int] | None = None,
        engine: str | EngineChoice | Callable[[ModelFile], Engine] = "auto",
        threads: int | None = None,
        delegate: str | None = None,
        delegate_options: Mapping[str, str] | None = None,
        batch: int | None = None,
        consistency: bool | None = None,
        sharpen: float = 0.0,
        strength: float = 1.0,
        reuse: bool = True,
        verify_reuse: bool = False,
        record: Recorder | None = None,
    ) -> None:
        _check_size(size)
        by_kind = model in CHOICES
        if not isinstance(model, ModelFile):
            model = find_model(model, scale=scale, lossy=lossy, quality=quality)
        elif quality != "auto":
            model = replace(model, rung=quality)
        if quality != "auto" or model.rung != DEFAULT_RUNG:
            check_rung(model)
        self.model = model
        self.quality = rung_of(model)
        self.look = Look(
            model.consistent if consistency is None else consistency, sharpen, strength
        )
        if isinstance(engine, str):
            engine = EngineChoice(engine, threads, delegate, delegate_options or {}, batch)
        self._choice = engine
        self._others: dict[str, Upscaler] | None = {} if by_kind and quality == "auto" else None
        if isinstance(engine, EngineChoice):
            self.engine, self.engine_reason = open_engine(model, engine)
        else:
            self.engine = engine(model)
            self.engine_reason = "your own"
        self._judge: Judge | None = None
        try:
            if scale is not None and self.engine.scale != scale:
                raise ValueError(
                    f"expected a model of scale {scale}, {model.name} upscales by "
                    f"{self.engine.scale}"
                )
            self.finish = finish_for(
                self.look, scale=self.engine.scale, threads=self.engine.threads
            )
            ours = isinstance(engine, EngineChoice)
            if verify_reuse and ours and self.engine.name != "litert":
                self._judge = Judge(self.engine, model)
        except BaseException:
            self.engine.close()
            raise
        self.scale = self.engine.scale
        self.reuse = reuse
        self.verify_reuse = verify_reuse
        self._shared = False
        self.model_reason = self.quality_reason = ""
        self._begin(size, record or Recorder())

    def _begin(self, size: tuple[int, int] | None, record: Recorder) -> None:
        self._size = size
        self._record = record
        self._results = Results(self.engine, self.finish)
        self._process = os.getpid()
        record.set_engine(self.engine.name, model=self.model.name, threads=self.engine.threads)
        record.quality = self.quality

    @property
    def why(self) -> str:
        """`engine_reason` under its first name."""
        return self.engine_reason

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
        """Make an upscaler for other pictures, with the same model and engine.

        It remembers no picture, and counts into ``record``, by default this one's. The engine stays
        this one's to close, and both must not compute at the same time.
        """
        _check_size(size)
        other = copy(self)
        other._shared = True
        other._begin(size, record or self._record)
        return other

    def rungs(self) -> dict[str, Engine]:
        """The engines among which a budget may choose, by rung, from the least work to the most:
        this one's alone where the model or the quality was named or no other rung is shipped. The
        others are opened at the first call, and closed with this one."""
        if self._others is None:
            return {self.quality: self.engine}
        name = self.model.name
        for rung in weights.rungs(self.scale, weights.kind_named(name)):
            if rung not in (self.quality, *self._others):
                self._others[rung] = Upscaler(
                    weights.default(self.scale, weights.kind_named(name), rung), engine=self._choice
                )
        engines = {rung: other.engine for rung, other in self._others.items()}
        engines[self.quality] = self.engine
        return {rung: engines[rung] for rung in weights.RUNGS if rung in engines}

    def __call__(self, image: Image) -> Image:
        """Upscale an RGB picture [H, W, 3] uint8. The result, [s H, s W, 3] uint8 or of the size
        wanted, belongs to the caller; nothing is remembered."""
        lr = _checked(image)
        hr = self._results.finished(lr, self._computed([lr])[0], self.record)
        return sized(hr, self.size, self.record)

    def frames(self, frames: Sequence[Frame]) -> list[Frame]:
        """Upscale consecutive frames of a stream. What did not change since the frame before is
        taken from its result.

        The pixels are always those of full computation; nobody may write to them, since the next
        frame may share them: copy what is to be drawn on. Several frames go into one engine call
        where the device gains from that.
        """
        if self.reuse and self.engine.batch == 1:
            results = [self._following(frame.rgb, self._fit(frame)) for frame in frames]
        else:
            computed = self._computed([frame.rgb for frame in frames])
            results = []
            for frame, raw in zip(frames, computed, strict=True):
                self._verify(frame.rgb, raw)
                self.record.pixels(total=frame.rgb.shape[0] * frame.rgb.shape[1], reused=0)
                hr = self._results.finished(frame.rgb, raw, self.record)
                results.append(sized(hr, self.size, self.record, fit=self._fit(frame)))
            self.record.count(Fate.NETWORK, len(frames))
        return [self._completed(frame, rgb) for frame, rgb in zip(frames, results, strict=True)]

    def _completed(self, frame: Frame, hr: Image) -> Frame:
        """The upscaled frame, with the full depth and the opacity that the source's has."""
        if frame.deep is None and frame.alpha is None:
            return replace(frame, rgb=read_only(hr), fit=None)
        with self.record.stage(Stage.DEEP):
            deep = None if frame.deep is None else add_detail(frame.deep, frame.rgb, hr)
            alpha = (
                None if frame.alpha is None else enlarge_16(frame.alpha, (hr.shape[1], hr.shape[0]))
            )
        return replace(frame, rgb=read_only(hr), deep=deep, alpha=alpha, fit=None)

    def _fit(self, frame: Frame) -> Fit | None:
        """How the enlarged frame is shown in its stream."""
        return None if frame.fit is None else frame.fit.scaled(self.scale)

    def _following(self, lr: Image, fit: Fit | None) -> Image:
        """Upscale a picture, as far as it differs from the previous one."""
        self._check_process()
        previous = self._results.previous
        with self.record.stage(Stage.COMPARE):
            cells = self._results.changed(lr, self.size, fit)
        share = 1.0 if cells is None else np.count_nonzero(cells) / cells.size
        pixels = lr.shape[0] * lr.shape[1]
        if previous is None or cells is None or share >= WHOLE_ABOVE:
            self.record.count(Fate.NETWORK)
            self.record.pixels(total=pixels, reused=0)
            raw = self._computed([lr])[0]
        elif share > 0:
            self.record.count(Fate.PARTIAL)
            self.record.pixels(total=pixels, reused=round(pixels * (1 - share)))
            with self.record.stage(Stage.COPY):
                raw = self._results.carried(previous)
            with self.record.stage(Stage.NETWORK):
                self.engine.run(tiles_for(self.engine, lr, raw, cells))
        else:
            self.record.count(Fate.REUSED)
            self.record.pixels(total=pixels, reused=pixels)
            raw = previous.raw
        if self.verify_reuse and not np.array_equal(raw, self._computed([lr])[0]):
            raise ModelError(
                f"reuse gave other pixels than full computation on {self.engine.name}; please "
                f"report this"
            )
        self._verify(lr, raw)
        if previous is not None and share == 0:
            hr, shown = previous.hr, previous.shown
        else:
            hr = self._results.finished(lr, raw, self.record)
            shown = sized(hr, self.size, self.record, fit=fit)
        self._results.remember(lr, raw, hr, shown, self.size, fit)
        return shown

    def _check_process(self) -> None:
        """Raises ModelError in a forked child: the threads of the engine are not in it, and it
        would wait for them without end."""
        if os.getpid() != self._process:
            raise ModelError(
                "this upscaler was made before a fork; make one in each process, or start "
                "processes by spawn"
            )

    def _verify(self, lr: Image, raw: Image) -> None:
        if self._judge is not None:
            self._judge.check(lr, raw)

    def _computed(self, images: Sequence[Image]) -> list[Image]:
        """Run the network over each picture as a whole."""
        self._check_process()
        tiles = []
        for lr in images:
            height, width = lr.shape[:2]
            hr = self._results.buffer(lr)
            tiles.append(Tile(lr, hr, Region.of(width, height)))
        with self.record.stage(Stage.NETWORK):
            self.engine.run(tiles)
        return [tile.hr for tile in tiles]

    def close(self) -> None:
        """Release the engine, unless it is another's (see `for_size`). Closing twice is
        harmless."""
        self._results.previous = None
        if self._shared:
            return
        for other in (self._others or {}).values():
            other.close()
        if self._judge is not None:
            self._judge.close()
        if self.finish is not None:
            self.finish.close()
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
    """The picture, C-contiguous. Raises ValueError for anything but [H, W, 3] uint8."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"expected an RGB picture [H, W, 3] uint8, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"expected an RGB picture [H, W, 3] uint8, got {image.shape} {image.dtype}"
        )
    if image.size == 0:
        raise ValueError(f"expected at least one pixel, got {image.shape[1]}x{image.shape[0]}")
    return np.ascontiguousarray(image)
