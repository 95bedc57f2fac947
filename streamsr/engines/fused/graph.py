"""Reads a .tflite file and checks that it is a uint8 network of XLSR's family, in every detail the
kernels rely on.

The files hold int8 activations between two QUANTIZE operations; here all are uint8, 128 more, as
the dot-product instructions want them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsr.engines.flatbuffer import Damaged
from streamsr.engines.fused.codegen.layout import GROUPS
from streamsr.engines.tflite import (
    CONCATENATION,
    CONV,
    DEPTH_TO_SPACE,
    NAMES,
    QUANTIZE,
    Op,
    read_graph,
)
from streamsr.errors import ModelError

_INT32, _UINT8, _INT8 = 2, 3, 9
_NONE, _RELU, _RELU6 = 0, 1, 3

SCALES = (2, 3, 4)

LARGEST_SUM = 2**25
"""64 times a sum must fit an int32 (see `transform`)."""

LARGEST_RESULT = 32000
"""A requantised sum plus a zero point must fit an int16 (see kernels). Without a zero point it
saturates."""

MOST_OPERATIONS = 64
"""XLSR has 15, and two more for each root block beyond its three."""

MOST_WIDTH = 256
"""Of XLSR's 32: four times what the largest rung of the family has."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution, stride 1, padded with the input's zero point.

    ``weights`` [O, kh, kw, I] int8, I being the inputs of one group; ``bias`` [O] int64; ``scale``
    [O] float32 turns sums into output steps. Zero points are of uint8 activations.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    scale: NDArray[np.float32]
    groups: int
    in_zero: int
    out_zero: int


@dataclass(frozen=True, slots=True)
class Network:
    """XLSR or another of its family: stem and point, root blocks (XLSR: three), joined with the
    side branch from the input, head, depth to space.

    The width (XLSR: 32) is the channels of every layer but the side branch, which has half of it,
    and the head.
    """

    scale: int
    stem: Conv
    point: Conv
    blocks: tuple[tuple[Conv, Conv], ...]
    side: Conv
    join: Conv
    head: Conv

    @property
    def width(self) -> int:
        return len(self.stem.weights)

    @property
    def convolutions(self) -> tuple[Conv, ...]:
        """In the order in which they run."""
        roots = (conv for block in self.blocks for conv in block)
        return self.stem, self.side, self.point, *roots, self.join, self.head

    @property
    def macs(self) -> int:
        """Multiply-adds for one LR pixel, each counted once: what padding costs is the engine's
        loss."""
        return sum(conv.weights.size for conv in self.convolutions)


def largest_sums(conv: Conv) -> NDArray[np.int64]:
    """Bound the magnitude of each output channel's sums, bias included: [O]."""
    weights = conv.weights.reshape(len(conv.weights), -1).astype(np.int64)
    bias = conv.bias - conv.in_zero * weights.sum(1)
    most, least = bias + 255 * weights.clip(0).sum(1), bias + 255 * weights.clip(max=0).sum(1)
    result: NDArray[np.int64] = np.maximum(np.abs(most), np.abs(least))
    return result


def read_network(data: bytes) -> Network:
    """Raises ModelError, with what differs, for anything but a uint8 network of XLSR's family for
    one of SCALES: of a width that is a multiple of 8, with one root block or more."""
    try:
        return _Graph(data).network()
    except Damaged as error:
        raise ModelError(f"the model file is damaged ({error})") from error


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: int
    shape: tuple[int, ...]
    scale: NDArray[np.float32]
    zero: int
    index: int


class _Graph:
    """The operations by the tensor they make, so that the network is followed from its output to
    its input."""

    def __init__(self, data: bytes) -> None:
        self._graph = read_graph(data, most_operations=MOST_OPERATIONS)
        self._inputs, self._outputs = self._graph.inputs, self._graph.outputs
        self._made: dict[int, Op] = {}
        for op in self._graph.ops:
            if len(op.outputs) != 1:
                raise Damaged(f"{op.name} with {len(op.outputs)} outputs")
            self._made[op.outputs[0]] = op

    def network(self) -> Network:
        count, odd = divmod(len(self._made) - 9, 2)
        if len(self._inputs) != 1 or len(self._outputs) != 1 or count < 1 or odd:
            raise ModelError(
                f"expected XLSR's 15 operations, or more or fewer by two for each root block, one "
                f"input and one output, got {len(self._made)}, {len(self._inputs)} and "
                f"{len(self._outputs)}"
            )
        result = self._op(self._outputs[0], QUANTIZE, 1)
        shuffle = self._op(result.inputs[0], DEPTH_TO_SPACE, 1)
        scale = shuffle.number(0)
        if scale not in SCALES:
            raise ModelError(f"expected scale {', '.join(map(str, SCALES))}, got {scale}")
        at = shuffle.inputs[0]
        self._same(self._outputs[0], at, "depth to space")
        width = self._width(at)
        head, at = self._conv(at, 3 * scale * scale, 3, width, _RELU6)
        join, at = self._conv(at, width, 1, width + width // 2, _RELU)
        both = self._op(at, CONCATENATION, 2)
        if both.number(0) not in (-1, 3) or both.number(1, "<b") != _NONE:
            raise ModelError("expected the side branch joined along the channels")
        for part in both.inputs:
            self._same(at, part, "concatenation")
        blocks, at = [], both.inputs[0]
        for _ in range(count):
            point, at = self._conv(at, width, 1, width, _NONE)
            conv, at = self._conv(at, width, 3, width, _RELU, GROUPS)
            blocks.append((conv, point))
        point, at = self._conv(at, width, 1, width, _NONE)
        stem, at = self._conv(at, width, 3, 3, _RELU)
        side, from_side = self._conv(both.inputs[1], width // 2, 3, 3, _NONE)
        source = self._op(at, QUANTIZE, 1).inputs[0]
        if from_side != at or source != self._inputs[0]:
            raise ModelError("expected the stem and the side branch on the input")
        self._same(source, at, "input")
        for end in (source, self._outputs[0]):
            if self._tensor(end).kind != _UINT8:
                raise ModelError("expected uint8 pixels in and out")
        return Network(scale, stem, point, tuple(blocks[::-1]), side, join, head)

    def _width(self, packed: int) -> int:
        """The channels that the head, which makes this tensor, reads."""
        shape = self._graph.shape(self._op(packed, CONV, 3).inputs[0])
        width = shape[3] if len(shape) == 4 else 0
        if width % 8 or not 8 <= width <= MOST_WIDTH:
            raise ModelError(
                f"expected a width that is a multiple of 8, at most {MOST_WIDTH}, got {width}"
            )
        return width

    def _conv(
        self, output: int, out: int, size: int, inputs: int, activation: int, groups: int = 1
    ) -> tuple[Conv, int]:
        """The convolution that makes a tensor, and the tensor it reads."""
        op, own = self._op(output, CONV, 3), inputs // groups
        x, w, b, y = (self._tensor(index) for index in (*op.inputs, output))
        what = f"convolution to {out} channels"
        if w.shape != (out, size, size, own) or w.kind != _INT8 or w.zero != 128:
            raise ModelError(
                f"{what}: expected int8 weights {[out, size, size, own]}, got {list(w.shape)}"
            )
        if b.shape != (out,) or b.kind != _INT32 or x.kind != _INT8 or y.kind != _INT8:
            raise ModelError(f"{what}: expected int8 activations and {out} int32 biases")
        # Padding SAME is 0; then two strides and two dilations.
        found = [op.number(0, "<b"), op.number(1), op.number(2)]
        found += [op.number(4, default=1), op.number(5, default=1)]
        if found != [0, 1, 1, 1, 1] or op.number(3, "<b") != activation:
            raise ModelError(f"{what}: expected stride 1, padding SAME and another activation")
        if len(x.shape) != 4 or x.shape[3] != inputs or len(y.shape) != 4 or y.shape[3] != out:
            raise ModelError(
                f"{what}: expected {inputs} inputs, got {list(x.shape)} to {list(y.shape)}"
            )
        scales = len(x.scale), len(y.scale), len(w.scale)
        if scales not in ((1, 1, 1), (1, 1, out)):
            raise ModelError(f"{what}: scales {scales}")
        weights = np.frombuffer(self._content(w, out * size * size * own), np.int8).reshape(w.shape)
        bias = np.frombuffer(self._content(b, 4 * out), "<i4").astype(np.int64)
        with np.errstate(over="ignore", under="ignore"):
            # XNNPACK computes it in float32, in this order.
            scale = (x.scale * np.broadcast_to(w.scale, out) / y.scale).astype(np.float32)
        if not np.all(np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)):
            raise ModelError(f"{what}: scales of which float32 does not hold the quotient")
        conv = Conv(weights, bias, scale, groups, x.zero, y.zero)
        if activation != _NONE and y.zero != 0:
            raise ModelError(f"{what}: expected ReLU's zero at the lowest value, got {y.zero}")
        if activation == _RELU6 and round(6 / float(y.scale[0])) < 255:
            raise ModelError(f"{what}: expected outputs up to at most 6")
        _check_sums(conv, what)
        return conv, op.inputs[0]

    def _op(self, output: int, code: int, inputs: int) -> Op:
        op = self._made.get(output)
        if op is None or op.code != code or len(op.inputs) != inputs:
            found = "nothing" if op is None else f"{op.name} of {len(op.inputs)}"
            raise ModelError(f"expected {NAMES[code]} of {inputs}, got {found}")
        return op

    def _tensor(self, index: int) -> _Tensor:
        tensor = self._graph.tensor(index)
        quantization = tensor.table(4)
        # One for each output channel, at most.
        scale = np.frombuffer(quantization.bytes(2, 4, MOST_WIDTH), "<f4")
        zeros = np.frombuffer(quantization.bytes(3, 8, MOST_WIDTH), "<i8")
        kind = tensor.number(1, "<b")
        if (
            not len(scale)
            or not np.all(np.isfinite(scale))
            or np.any(scale <= 0)
            or len(set(zeros.tolist())) != 1
        ):
            raise ModelError("expected positive scales and one zero point")
        zero = int(zeros[0]) + (128 if kind == _INT8 else 0)
        if not 0 <= zero <= 255 or quantization.number(6, "<i"):
            raise ModelError(
                f"zero point {zero}, quantised dimension {quantization.number(6, '<i')}"
            )
        return _Tensor(kind, self._graph.shape(index), scale, zero, index)

    def _content(self, tensor: _Tensor, size: int) -> bytes:
        content = self._graph.content(tensor.index, size)
        if len(content) != size:
            raise Damaged(f"{len(content)} bytes of weights, expected {size}")
        return content

    def _same(self, a: int, b: int, what: str) -> None:
        """Both tensors stand for the same numbers by the same bytes (counted from -128 or from
        0)."""
        first, second = self._tensor(a), self._tensor(b)
        if not np.array_equal(first.scale, second.scale) or first.zero != second.zero:
            raise ModelError(f"{what}: expected one scale and zero point on both sides")


def _check_sums(conv: Conv, what: str) -> None:
    """Refuse what the kernels could not compute exactly: no trained network comes near."""
    largest = largest_sums(conv)
    most = LARGEST_RESULT if conv.out_zero else 2**31
    if np.any(largest >= LARGEST_SUM) or np.any(largest * conv.scale.astype(np.float64) >= most):
        raise ModelError(f"{what}: sums up to {largest.max()}, too large to be exact")
