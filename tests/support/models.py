"""Model files made from the shipped one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from streamsr.model import ModelFile, find_model


def derived(change: Callable[[Any], None], name: str = "derived") -> ModelFile:
    """The shipped x3 model with something changed in its graph."""
    original = find_model("xlsr_x3_u8")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(original.content))
    change(model)
    builder = schema.flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return ModelFile(name, Path(f"{name}.tflite"), bytes(builder.Output()))


def member(
    width: int, blocks: int, scale: int, *, per_channel: bool = False, far: bool = False
) -> ModelFile:
    """A member of XLSR's family with random weights, as TensorFlow's converter would write it.

    Every layer keeps the spread of what it reads, so that neither zeros nor ends of the range
    prevail. With ``far`` the 3x3 layers have the largest weights there are, from all negative to
    all positive ones, the head reads bright pixels, and only its farthest sums are white.
    """
    rng = np.random.default_rng(width + 1000 * blocks + scale)

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        tensors, ops = graph.tensors, graph.operators
        _, side, stem, point, grouped, mix, *_ = ops
        concat, join, head, shuffle, last = ops[10:]
        roots: list[tuple[Any, Any]] = []
        at = point.outputs[0]
        for _ in range(blocks):
            pair = _copied(model, grouped, at), _copied(model, mix, 0)
            pair[1].inputs[0] = pair[0].outputs[0]
            at = pair[1].outputs[0]
            roots.append(pair)
        for part in (at, side.outputs[0]):  # what is joined has one scale
            tensors[part].quantization = copy.deepcopy(tensors[concat.outputs[0]].quantization)
        concat.inputs = [at, side.outputs[0]]
        chain = [op for pair in roots for op in pair]
        graph.operators = [ops[0], side, stem, point, *chain, concat, join, head, shuffle, last]
        shuffle.builtinOptions.blockSize = scale
        _channels(tensors[concat.outputs[0]], width + width // 2)
        convs = [(stem, [width, 3, 3], 20), (side, [width // 2, 3, 3], 20)]
        convs += [(op, [width, 1, width], 20) for op in (point, *(mix for _, mix in roots))]
        convs += [(join, [width, 1, width + width // 2], 170 if far else 20)]
        for op, shape, middle in convs:
            _fill(model, op, shape, middle, rng, per_channel=per_channel)
        convs = [(op, [width, 3, width // 4], 20) for op, _ in roots]
        convs += [(head, [3 * scale * scale, 3, width], 0 if far else 128)]
        for op, shape, middle in convs:
            _fill(model, op, shape, middle, rng, per_channel=per_channel, extremes=far)

    kind = "_perchannel" * per_channel + "_far" * far
    return derived(change, f"family_{width}_{blocks}_x{scale}{kind}")


def _copied(model: Any, op: Any, source: int) -> Any:
    """The same convolution of tensor ``source``, with tensors of its own."""
    tensors, new = model.subgraphs[0].tensors, copy.deepcopy(op)
    for place in range(1, 3):
        tensor = copy.deepcopy(tensors[op.inputs[place]])
        tensor.buffer = len(model.buffers)
        model.buffers.append(copy.deepcopy(model.buffers[tensors[op.inputs[place]].buffer]))
        new.inputs[place] = len(tensors)
        tensors.append(tensor)
    new.inputs[0], new.outputs = source, [len(tensors)]
    tensors.append(copy.deepcopy(tensors[op.outputs[0]]))
    return new


def _channels(tensor: Any, count: int) -> None:
    tensor.shape, tensor.shapeSignature = [1, 1, 1, count], [-1, -1, -1, count]


def _fill(
    model: Any,
    op: Any,
    shape: list[int],
    middle: int,
    rng: np.random.Generator,
    *,
    per_channel: bool,
    extremes: bool = False,
) -> None:
    """Give a convolution random weights of ``shape`` (O, k, I), biases around the level ``middle``,
    and scales that suit them."""
    tensors = model.subgraphs[0].tensors
    source, kernel, bias, out = (tensors[k] for k in (*op.inputs, *op.outputs))
    count, size, inputs = shape
    _channels(out, count)
    kernel.shape, bias.shape = [count, size, size, inputs], [count]
    weights = rng.normal(0, 36, kernel.shape).clip(-127, 127).astype(np.int8)
    taps = size * size * inputs
    sums = 36 * 60 * np.sqrt(taps)  # how far these spread, of pixels that spread by 60
    if extremes:
        positive = rng.random(weights.shape) < np.linspace(0, 1, count).reshape(-1, 1, 1, 1)
        weights = np.where(positive, 127, -127).astype(np.int8)
        sums = 45 * 127 * taps
    spread = np.linspace(0.3, 1.7, count) if per_channel else np.ones(1)
    step = 45 / sums * spread
    source_step, out_step = source.quantization.scale[0], out.quantization.scale[0]
    kernel.quantization.scale = (step * out_step / source_step).astype(np.float32)
    bias.quantization.scale = (source_step * kernel.quantization.scale).astype(np.float32)
    for tensor in (kernel, bias):
        tensor.quantization.zeroPoint = np.zeros(len(spread), np.int64)
    levels = (rng.normal(middle, 20, count) / step).astype("<i4")
    for tensor, values in ((kernel, weights), (bias, levels)):
        content = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers[tensor.buffer].data = content
