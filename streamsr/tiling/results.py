"""Memory for enlarged pictures, and the previous result, with which the next picture is compared.

Both ways of upscaling use it: in full (`streamsr.upscaler`) and under a budget (`streamsr.live`).
"""

from typing import NamedTuple

import numpy as np

from streamsr.engines import Engine
from streamsr.frame import Fit, Image
from streamsr.picture.buffers import BufferPool
from streamsr.picture.finish import Finish
from streamsr.picture.resize import fitted, resized
from streamsr.region import Cells
from streamsr.stats import Recorder, Stage
from streamsr.tiling.changes import affected_cells


class Result(NamedTuple):
    """What a picture became.

    lr     the picture [H, W, 3] uint8, as it came
    raw    enlarged by the engine's scale s, [s H, s W, 3] uint8, as the network left it
    hr     the same, finished; ``raw`` itself where nothing is to be done to it
    shown  ``hr`` as it is shown: at the ``size`` (width, height) wanted, as ``fit`` says; ``hr``
           itself where both are None
    """

    lr: Image
    raw: Image
    hr: Image
    shown: Image
    size: tuple[int, int] | None
    fit: Fit | None


class Results:
    """Results of the pictures of one stream. For one thread.

    finish    what is done to the network's picture, None for nothing
    reach     how far a change reaches, in LR pixels; default the engine's halo
    previous  the result that `remember` was given last
    """

    def __init__(
        self, engine: Engine, finish: Finish | None = None, *, reach: int | None = None
    ) -> None:
        self._engine = engine
        self._reach = engine.halo if reach is None else reach
        self._finish = finish
        self._pool = BufferPool()
        self.previous: Result | None = None

    def changed(
        self, lr: Image, size: tuple[int, int] | None, fit: Fit | None = None
    ) -> Cells | None:
        """The cells outside which ``lr`` has the previous result; None where that has another size
        or shape, or there is none."""
        previous = self.previous
        if previous is None or previous.lr.shape != lr.shape:
            return None
        if (previous.size, previous.fit) != (size, fit):
            return None
        return affected_cells(previous.lr, lr, halo=self._reach)

    def buffer(self, lr: Image) -> Image:
        """Memory for the enlarged ``lr``, its content undefined. It is used again once nobody holds
        it."""
        height, width = lr.shape[:2]
        return self._pool.take((height * self._engine.scale, width * self._engine.scale, 3))

    def carried(self, previous: Result) -> Image:
        """The network's picture of ``previous``, to be changed in parts: in memory of its own where
        others may hold it, else that result is forgotten."""
        if previous.raw is not previous.hr:
            self.previous = None
            return previous.raw
        raw = self.buffer(previous.lr)
        np.copyto(raw, previous.raw)
        return raw

    def finished(self, lr: Image, raw: Image, record: Recorder) -> Image:
        """The network's picture ``raw`` of ``lr`` as it is to be shown, the time counted; ``raw``
        itself where nothing is done to it."""
        if self._finish is None:
            return raw
        hr = self.buffer(lr)
        with record.stage(Stage.FINISH):
            self._finish(lr, raw, hr)
        return hr

    def remember(
        self,
        lr: Image,
        raw: Image,
        hr: Image,
        shown: Image,
        size: tuple[int, int] | None,
        fit: Fit | None = None,
    ) -> None:
        """Make this the previous result. Nobody else writes to ``raw``, ``hr`` and ``shown`` any
        more; ``lr`` is copied where somebody may."""
        self.previous = Result(lr.copy() if lr.flags.writeable else lr, raw, hr, shown, size, fit)


def read_only(picture: Image) -> Image:
    """The picture for others: the next one may be compared with it, or copied from it."""
    view = picture.view()
    view.flags.writeable = False
    return view


def sized(
    hr: Image, size: tuple[int, int] | None, record: Recorder, *, fit: Fit | None = None
) -> Image:
    """``hr`` at the (width, height) wanted, the time counted; ``hr`` itself where that is None.

    fit  how it is shown in its stream, enlarged as ``hr`` is
    """
    if size is None and fit is None:
        return hr
    with record.stage(Stage.RESIZE):
        if fit is not None:
            return fitted(hr, size or (fit.width, fit.height), fit.stretch)
        assert size is not None
        return resized(hr, size)
