"""The fused engine's reader of model files: it takes XLSR and nothing else, and no file can crash
it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from streamsr.engines.fused.graph import Network, read_network
from streamsr.errors import ModelError
from streamsr.model import find_model
from tests.streamsr.engines.test_fused_engine import (
    DERIVED,
    content,
    convolutions,
    derived,
    model_of,
    put,
)

CONTENT = find_model("xlsr_x3_u8").content


def stride_two(model: Any) -> None:
    model.subgraphs[0].operators[3].builtinOptions.strideW = 2


def no_relu(model: Any) -> None:
    model.subgraphs[0].operators[2].builtinOptions.fusedActivationFunction = 0


def valid_padding(model: Any) -> None:
    model.subgraphs[0].operators[1].builtinOptions.padding = 1


def dilated(model: Any) -> None:
    model.subgraphs[0].operators[4].builtinOptions.dilationHFactor = 2


def another_block_size(model: Any) -> None:
    for op in model.subgraphs[0].operators:
        if isinstance(op.builtinOptions, schema.DepthToSpaceOptionsT):
            op.builtinOptions.blockSize = 5


def an_operation_more(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.operators.append(
        schema.OperatorT(opcodeIndex=graph.operators[0].opcodeIndex, inputs=[37], outputs=[0])
    )


def a_second_graph(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def swapped_branches(model: Any) -> None:
    for op in model.subgraphs[0].operators:
        if isinstance(op.builtinOptions, schema.ConcatenationOptionsT):
            op.inputs = op.inputs[::-1]


def float_pixels(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].type = schema.TensorType.FLOAT32


def unlike_scales_joined(model: Any) -> None:
    side = next(output for _, kernel, _, output in convolutions(model) if kernel.shape[0] == 16)
    side.quantization.scale = side.quantization.scale * 2


def relu_zero_in_the_middle(model: Any) -> None:
    convolutions(model)[-2][3].quantization.zeroPoint = np.array([-5])


def head_beyond_six(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        if (
            tensor.quantization.scale is not None
            and abs(tensor.quantization.scale[0] - 6 / 255) < 1e-6
        ):
            tensor.quantization.scale = np.array([7 / 255], np.float32)


def infinite_scale(model: Any) -> None:
    convolutions(model)[3][1].quantization.scale = np.array([np.inf], np.float32)


def huge_sums(model: Any) -> None:
    bias = convolutions(model)[-1][2]
    put(model, bias, np.full_like(content(model, bias, "<i4"), 2**25))


def missing_weights(model: Any) -> None:
    kernel = convolutions(model)[2][1]
    put(model, kernel, content(model, kernel, "i1")[:-1])


WRONG = {
    stride_two: "stride 1",
    no_relu: "activation",
    valid_padding: "padding SAME",
    dilated: "stride 1",
    another_block_size: "expected scale 2, 3, 4, got 5",
    an_operation_more: "15 operations",
    a_second_graph: "one graph, got 2",
    swapped_branches: "expected",
    float_pixels: "uint8 pixels",
    unlike_scales_joined: "concatenation",
    relu_zero_in_the_middle: "zero at the lowest",
    head_beyond_six: "at most 6",
    infinite_scale: "positive scales",
    huge_sums: "too large to be exact",
    missing_weights: "damaged",
}


def test_the_shipped_network_is_read() -> None:
    network = read_network(CONTENT)
    assert network.scale == 3
    assert network.head.weights.shape == (27, 3, 3, 32)
    assert [conv.groups for conv, _ in network.blocks] == [4, 4, 4]
    assert (network.width, network.macs) == (32, 21_616)
    assert network.stem.in_zero == 0


@pytest.mark.parametrize("name", DERIVED)
def test_the_family_is_read(name: str) -> None:
    assert isinstance(read_network(model_of(name).content), Network)


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_another_graph_is_refused_with_its_difference(change: Callable[[Any], None]) -> None:
    with pytest.raises(ModelError, match=WRONG[change]):
        read_network(derived(change).content)


@pytest.mark.parametrize("size", [0, 3, 8, 100, 1000, len(CONTENT) // 2, len(CONTENT) - 4000])
def test_a_truncated_file_is_refused(size: int) -> None:
    with pytest.raises(ModelError):
        read_network(CONTENT[:size])


@given(
    st.lists(
        st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8
    )
)
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(CONTENT)
    for at, value in changes:
        damaged[at] = value
    with suppress(ModelError):
        assert isinstance(read_network(bytes(damaged)), Network)


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1e-20, 1e20, 3e38])
def test_scales_whose_quotient_float32_does_not_hold_are_refused(value: float) -> None:
    refused = 0
    for number in range(schema.Model.GetRootAs(CONTENT).Subgraphs(0).TensorsLength()):

        def change(model: Any, number: int = number) -> None:
            quantization = model.subgraphs[0].tensors[number].quantization
            quantization.scale = np.full_like(quantization.scale, value)

        try:
            network = read_network(derived(change).content)
        except ModelError:
            refused += 1
        else:
            for conv in (network.stem, network.side, network.head):
                assert np.all(np.isfinite(conv.scale))
                assert np.all(conv.scale > 0)
    assert refused > 10


@given(st.data())
def test_a_damaged_structure_is_read_or_refused(data: st.DataObject) -> None:
    """Offsets and lengths stand mostly at the two ends of the file; 4-byte values there are what
    can lead astray."""
    damaged = bytearray(CONTENT)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(
            st.one_of(st.integers(0, 1500), st.integers(len(CONTENT) - 6000, len(CONTENT) - 4))
        )
        value = data.draw(
            st.sampled_from([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(CONTENT)])
        )
        damaged[at : at + 4] = value.to_bytes(4, "little")
    with suppress(ModelError):
        assert isinstance(read_network(bytes(damaged)), Network)
