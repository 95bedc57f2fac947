"""Writes the numbers of quantisation-aware training into a quantised .tflite file, not its graph.

The template is a post-training-quantised file of the same network. All its operators and tensors
stay; only kernels, biases, steps and zero points are replaced. So the file computes exactly what
training simulated.
"""

import re
from collections.abc import Iterable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xlsr_model.network import CLIP_AT, Arrays, layers
from xlsr_model.quantization.fake_quant import Scale, activation_scales, kernel_step

# Models, operators and tensors are Any: the generated classes of the schema have no types.
CONV_2D = schema.BuiltinOperator.CONV_2D
CONCATENATION = schema.BuiltinOperator.CONCATENATION
QUANTIZE = schema.BuiltinOperator.QUANTIZE
DEPTH_TO_SPACE = schema.BuiltinOperator.DEPTH_TO_SPACE
INPUT_SCALE: Scale = (1 / 255, -128)
OUTPUT_SCALE: Scale = (CLIP_AT / 255, -128)


def requantize(template: bytes, weights: Arrays, network: str, scale: int) -> bytes:
    """Return the .tflite with these weights and ranges.

    Raises ValueError if the template is another graph.
    """
    model = _parsed(template)
    convolutions = _convolutions(model, network, scale)
    scales = activation_scales(weights, network, scale)
    steps = _set_activations(model, convolutions, scales)
    _pin_output(model)
    for layer in layers(network, scale):
        gain = CLIP_AT if layer.activation == "clip" else 1.0
        operator = convolutions[layer.name]
        _set_convolution(model, operator, weights, layer.name, steps[operator.inputs[0]], gain)
    return _packed(model)


def pin_output(content: bytes) -> bytes:
    """Return a post-training-quantised file with an output scale of exactly 6/255, zero point 0.

    Its bytes then are pixels. Calibration gives that only if some picture comes out at full white;
    the head's own numbers do not depend on it.
    """
    model = _parsed(content)
    _pin_output(model)
    return _packed(model)


def _parsed(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _convolutions(model: Any, network: str, scale: int) -> dict[str, Any]:
    """Find the operator of each layer. Raises ValueError unless the graph is this network's."""
    graph = model.subgraphs[0]
    names = [layer.name for layer in layers(network, scale)]
    found: dict[str, Any] = {}
    for operator in graph.operators:
        code = _code(model, operator)
        if code == CONV_2D:
            tensor = graph.tensors[operator.outputs[0]].name.decode()
            found[_layer_name(tensor, names)] = operator
        elif code not in (CONCATENATION, QUANTIZE, DEPTH_TO_SPACE):
            raise ValueError(f"not the graph of {network} x{scale}: has operator {code}")
    if set(found) != set(names):
        raise ValueError(f"not the graph of {network} x{scale}: convolutions {sorted(found)}")
    return found


def _layer_name(tensor: str, names: Iterable[str]) -> str:
    """Return the layer that computes a tensor, from the name that the converter gave it.

    It joins the Keras operations that were fused, each MODEL_n/LAYER_n/OPERATION, n a counter:

    xlsr_1/stem_1/Relu;xlsr_1/stem_1/convolution          stem
    xlsr_1/stem_mix_1/convolution1                        stem_mix: no activation
    xlsr_1/block1_grouped_1/Relu;convolution              block1_grouped: groups, only in part
    xlsr_1/head_1/Relu6;xlsr_1/head_1/convolution         head: Clipped ReLU
    xlsr_1/side_1/BiasAdd;xlsr_1/side_1/convolution;...   side: by earlier converters
    """
    for part in re.split("[/;]", tensor):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in names:
                return name
    raise ValueError(f"tensor {tensor!r} belongs to no known layer")


def _set_activations(
    model: Any, convolutions: dict[str, Any], scales: dict[str, Scale]
) -> dict[int, float]:
    """Set the scales of all stored tensors but the output. Returns the step of each, by index."""
    graph = model.subgraphs[0]
    of_tensors: dict[int, Scale] = {}
    for name, operator in convolutions.items():
        if name in scales:
            of_tensors[operator.outputs[0]] = scales[name]
    for operator in graph.operators:
        if _code(model, operator) == CONCATENATION:
            for index in (*operator.inputs, *operator.outputs):
                of_tensors[index] = scales["concat"]
    first = next(op for op in graph.operators if _code(model, op) == QUANTIZE)
    of_tensors[first.outputs[0]] = INPUT_SCALE
    for index, (step, zero) in of_tensors.items():
        _set_scale(graph.tensors[index], step, zero)
    return {index: step for index, (step, _) in of_tensors.items()}


def _pin_output(model: Any) -> None:
    """Set the scale of the head, the last convolution, and of what only moves its bytes around."""
    graph = model.subgraphs[0]
    convolutions = [n for n, op in enumerate(graph.operators) if _code(model, op) == CONV_2D]
    for operator in graph.operators[convolutions[-1] :]:
        tensor = graph.tensors[operator.outputs[0]]
        step, zero = OUTPUT_SCALE
        _set_scale(tensor, step, 0 if tensor.type == schema.TensorType.UINT8 else zero)


def _set_convolution(
    model: Any, operator: Any, weights: Arrays, name: str, input_step: float, gain: float
) -> None:
    """Write kernel and bias of a layer; `gain` is 6 where the file clips at 6 what trained at 1."""
    tensors = model.subgraphs[0].tensors
    _, kernel, bias = (tensors[index] for index in operator.inputs)
    step = kernel_step(weights, name)
    scaled = np.rint(weights[f"{name}/kernel"] / np.float32(step))
    levels = np.clip(scaled, -127, 127).astype(np.int8)
    levels = levels.transpose(3, 0, 1, 2)  # TFLite: [C_out, k, k, C_in/groups]
    if tuple(kernel.shape) != levels.shape:
        raise ValueError(
            f"{name}: the template's kernel is {tuple(kernel.shape)}, the weights' {levels.shape}"
        )
    model.buffers[kernel.buffer].data = np.frombuffer(levels.tobytes(), np.uint8)
    _set_scale(kernel, step * gain, 0)
    bias_step = float(np.float32(input_step) * np.float32(step * gain))
    bias_levels = np.rint(weights[f"{name}/bias"].astype(np.float64) * gain / bias_step)
    content = bias_levels.astype("<i4").tobytes()
    model.buffers[bias.buffer].data = np.frombuffer(content, np.uint8)
    _set_scale(bias, bias_step, 0)


def _set_scale(tensor: Any, step: float, zero: int) -> None:
    quantization = tensor.quantization
    if len(quantization.scale) != 1:
        raise ValueError(
            f"{tensor.name.decode()}: expected per-tensor quantisation, "
            f"got {len(quantization.scale)} scales"
        )
    quantization.scale = np.array([step], np.float32)
    quantization.zeroPoint = np.array([zero], np.int64)


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
