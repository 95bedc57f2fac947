"""Puts quantisation-aware trained numbers into a quantised .tflite file without touching its graph.

The template is a post-training-quantised file of the same network: every operator and tensor stays, only kernels,
biases, steps and zero points are replaced. What training simulated is then exactly what runs.
"""

import re
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from xlsr_model.files import write_file
from xlsr_model.network import CLIP_AT, Arrays, layers
from xlsr_model.quantization.fake_quant import Scale, activation_scales, kernel_step

INPUT_SCALE: Scale = (1 / 255, -128)
OUTPUT_SCALE: Scale = (CLIP_AT / 255, -128)


def requantise(template: bytes, weights: Arrays, network: str, scale: int) -> bytes:
    """The .tflite with these weights and ranges. Raises ValueError if the template is another graph."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(template, 0))
    graph = model.subgraphs[0]
    by_name = {layer.name: layer for layer in layers(network, scale)}
    scales = activation_scales(weights, network, scale) | {
        "input": INPUT_SCALE,
        "head": OUTPUT_SCALE,
    }
    tensor_scales: dict[int, Scale] = {}
    seen: set[str] = set()
    for operator in graph.operators:
        code = _code(model, operator)
        if code == schema.BuiltinOperator.CONCATENATION:
            for index in (*operator.inputs, *operator.outputs):
                tensor_scales[index] = scales["concat"]
        elif code == schema.BuiltinOperator.CONV_2D:
            name = _layer_name(graph.tensors[operator.outputs[0]].name.decode(), by_name)
            seen.add(name)
            tensor_scales[operator.outputs[0]] = scales.get(
                name, (0.0, 0)
            )  # joined ones get theirs from the concatenation
        elif code not in (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEPTH_TO_SPACE):
            raise ValueError(f"not the graph of {network} x{scale}: has operator {code}")
    if seen != set(by_name):
        raise ValueError(f"not the graph of {network} x{scale}: convolutions {sorted(seen)}")
    first = next(
        op for op in graph.operators if _code(model, op) == schema.BuiltinOperator.QUANTIZE
    )
    tensor_scales[first.outputs[0]] = scales["input"]
    for index, (step, zero) in tensor_scales.items():
        _set_scale(graph.tensors[index], step, zero)
    _pin_output(model)
    for operator in graph.operators:
        if _code(model, operator) == schema.BuiltinOperator.CONV_2D:
            name = _layer_name(graph.tensors[operator.outputs[0]].name.decode(), by_name)
            gain = CLIP_AT if by_name[name].activation == "clip" else 1.0
            _set_convolution(
                model, operator, weights, name, tensor_scales[operator.inputs[0]][0], gain
            )
    return _packed(model)


def pin_output(content: bytes) -> bytes:
    """The same post-training-quantised file with an output scale of exactly 6/255, zero point 0: bytes are pixels.

    Calibration gives that only if some picture comes out at full white; the head's own numbers do not depend on it.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    _pin_output(model)
    return _packed(model)


def _pin_output(model: Any) -> None:
    """The head is the last convolution; what follows only moves its bytes around."""
    graph = model.subgraphs[0]
    convolutions = [
        n
        for n, op in enumerate(graph.operators)
        if _code(model, op) == schema.BuiltinOperator.CONV_2D
    ]
    for operator in graph.operators[convolutions[-1] :]:
        tensor = graph.tensors[operator.outputs[0]]
        _set_scale(
            tensor,
            OUTPUT_SCALE[0],
            0 if tensor.type == schema.TensorType.UINT8 else OUTPUT_SCALE[1],
        )


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _set_convolution(
    model: Any, operator: Any, weights: Arrays, name: str, input_step: float, gain: float
) -> None:
    tensors = model.subgraphs[0].tensors
    _, kernel, bias = (tensors[index] for index in operator.inputs)
    step = kernel_step(weights, name)
    levels = np.clip(np.rint(weights[f"{name}/kernel"] / np.float32(step)), -127, 127).astype(
        np.int8
    )
    levels = levels.transpose(3, 0, 1, 2)  # TFLite: [C_out, k, k, C_in/groups]
    if tuple(kernel.shape) != levels.shape:
        raise ValueError(
            f"{name}: the template's kernel is {tuple(kernel.shape)}, the weights' {levels.shape}"
        )
    model.buffers[kernel.buffer].data = np.frombuffer(levels.tobytes(), np.uint8)
    _set_scale(kernel, step * gain, 0)
    bias_step = float(np.float32(input_step) * np.float32(step * gain))
    bias_levels = np.rint(weights[f"{name}/bias"].astype(np.float64) * gain / bias_step).astype(
        "<i4"
    )
    model.buffers[bias.buffer].data = np.frombuffer(bias_levels.tobytes(), np.uint8)
    _set_scale(bias, bias_step, 0)


def _set_scale(tensor: Any, step: float, zero: int) -> None:
    quantisation = tensor.quantization
    if len(quantisation.scale) != 1:
        raise ValueError(
            f"{tensor.name.decode()}: expected per-tensor quantisation, got {len(quantisation.scale)} scales"
        )
    quantisation.scale = np.array([step], np.float32)
    quantisation.zeroPoint = np.array([zero], np.int64)


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _layer_name(tensor_name: str, known: dict[str, Any]) -> str:
    """The converter names a tensor after the Keras layers fused into it:
    "xlsr_1/head_1/Relu6;xlsr_1/head_1/BiasAdd;..."."""
    for part in re.split("[/;]", tensor_name):
        name = re.sub(r"_\d+$", "", part)
        if part in known or name in known:
            return part if part in known else name
    raise ValueError(f"tensor {tensor_name!r} belongs to no known layer")


def requantise_file(template: Path, weights: Arrays, network: str, scale: int, file: Path) -> None:
    write_file(file, requantise(template.read_bytes(), weights, network, scale), overwrite=True)
