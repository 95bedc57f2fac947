"""Shows frames as a camera that other programs can open, through pyvirtualcam."""

from types import TracebackType
from typing import Any, Self

from streamsr.errors import SinkError, first_line
from streamsr.frame import Frame, StreamInfo
from streamsr.sinks import check_size, outside

RATE = 30.0
"""Frames per second to announce where the source's are unknown."""


class VirtualCameraSink:
    """Sends frames of ``size`` (width, height) to the first free virtual camera. See
    `streamsr.sinks.Sink` for the contract."""

    def __init__(self, info: StreamInfo, size: tuple[int, int]) -> None:
        self._rate = float(info.rate or RATE)
        self._size = size
        self._camera: Any = None  # pyvirtualcam has no types

    def __enter__(self) -> Self:
        try:
            import pyvirtualcam
        except ModuleNotFoundError:
            raise SinkError(
                "a virtual camera needs pyvirtualcam: pip install pyvirtualcam"
            ) from None
        try:
            self._camera = pyvirtualcam.Camera(*self._size, self._rate)
        except RuntimeError as error:
            raise SinkError(f"no virtual camera: {first_line(error)}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        camera = self._camera
        self._camera = None
        if camera is not None:
            camera.close()

    def write(self, frame: Frame) -> None:
        if self._camera is None:
            raise outside("write()")
        check_size(frame, self._size)
        try:
            self._camera.send(frame.rgb)
        except RuntimeError as error:
            raise SinkError(f"the virtual camera failed: {first_line(error)}") from error

    def commit(self) -> None:
        if self._camera is None:
            raise outside("commit()")
