"""The exported files: the same function as training, in the graph that the stream processor
expects.
"""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from xlsr_model.data.images import unpack
from xlsr_model.network import initial_weights, layers

pytestmark = pytest.mark.usefixtures("tensorflow")
OPERATORS = [
    "QUANTIZE",
    *["CONV_2D"] * 9,
    "CONCATENATION",
    "CONV_2D",
    "CONV_2D",
    "DEPTH_TO_SPACE",
    "QUANTIZE",
]


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """Untrained but lively: biases too, and an output that spans black to white."""
    rng = np.random.default_rng(4)
    values = initial_weights("xlsr", 3, seed=4, variance_scale=0.3)
    values |= {
        name: rng.normal(0, 0.05, v.shape).astype(np.float32)
        for name, v in values.items()
        if "bias" in name
    }
    values["head/bias"] += 0.5
    return values


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    coarse = np.random.default_rng(8).random((3, 8, 10, 3))
    return [(image.repeat(4, 0).repeat(4, 1) * 255).astype(np.uint8) for image in coarse]


@pytest.fixture(scope="module")
def files(tensorflow, weights, images, tmp_path_factory):  # noqa: ARG001 (only to skip without it)
    """Float, post-training and quantisation-aware files of one set of weights, and the weights with
    their ranges.
    """
    from xlsr_model.quantization.export import export_float, export_uint8
    from xlsr_model.quantization.fake_quant import with_ranges
    from xlsr_model.quantization.rewrite_tflite import requantize

    folder = tmp_path_factory.mktemp("export")
    ranged = with_ranges(
        "xlsr", 3, weights, [image[None].astype(np.float32) / 255 for image in images]
    )
    export_float("xlsr", 3, weights, folder / "float.tflite")
    export_uint8("xlsr", 3, weights, folder / "ptq.tflite", calibration=images)
    content = requantize((folder / "ptq.tflite").read_bytes(), ranged, "xlsr", 3)
    (folder / "qat.tflite").write_bytes(content)
    return folder, ranged


def training_output(
    weights: dict[str, np.ndarray], image: np.ndarray, network: str = "xlsr", scale: int = 3
) -> np.ndarray:
    """What training sees: split groups on TensorFlow, fake quantisers where there are ranges;
    rounded to bytes.
    """
    from keras import ops

    from xlsr_model.backend.forward import clipped_relu, forward
    from xlsr_model.quantization.fake_quant import fake_quantizers

    kernel_tap, activation_tap = fake_quantizers(weights)
    lr = ops.convert_to_tensor(image[None].astype(np.float32) / 255)
    packed = clipped_relu(
        forward(network, scale, weights, lr, kernel_tap=kernel_tap, activation_tap=activation_tap)
    )
    return np.rint(unpack(ops.convert_to_numpy(packed), scale)[0] * 255)


def test_float_file_with_grouped_convolutions_equals_training_with_split_ones(
    files, weights, images
):
    from xlsr_model.evaluation.evaluate import tflite

    folder, _ = files
    difference = tflite(folder / "float.tflite").run(images[0]) - training_output(
        weights, images[0]
    )
    assert np.abs(difference).max() <= 1  # the last bit of a float may round to the next byte
    assert (difference != 0).mean() < 1e-3


def test_quantization_aware_file_computes_what_training_simulated(files, images):
    from xlsr_model.evaluation.evaluate import tflite

    folder, ranged = files
    difference = tflite(folder / "qat.tflite").run(images[0]) - training_output(ranged, images[0])
    # Biases are rounded in the file alone: 1 in 2,000 values falls to the other side of an edge
    # between two levels, which layers after it spread, so bytes differ a little.
    assert np.abs(difference).max() <= 6
    assert np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("rung", ["lite", "plus", "max"])
def test_a_rung_computes_what_training_simulated(rung, images, tmp_path):
    """Untrained, every layer keeps the spread of what it reads: rounding is as in a trained one."""
    from xlsr_model.evaluation.evaluate import tflite
    from xlsr_model.quantization.export import export_uint8
    from xlsr_model.quantization.fake_quant import with_ranges
    from xlsr_model.quantization.rewrite_tflite import requantize

    values = initial_weights(rung, 2, seed=4, variance_scale=0.5)
    values["head/bias"] += 0.5
    ranged = with_ranges(
        rung, 2, values, [image[None].astype(np.float32) / 255 for image in images]
    )
    export_uint8(rung, 2, values, tmp_path / "ptq.tflite", calibration=images)
    content = requantize((tmp_path / "ptq.tflite").read_bytes(), ranged, rung, 2)
    (tmp_path / "qat.tflite").write_bytes(content)
    wanted = training_output(ranged, images[0], rung, 2)
    difference = tflite(tmp_path / "qat.tflite").run(images[0]) - wanted
    assert wanted.std() > 2
    assert np.abs(difference).max() <= 6
    assert np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("name", ["ptq", "qat"])
def test_uint8_graph_is_the_one_the_engines_know(files, name):
    folder, _ = files
    model = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs((folder / f"{name}.tflite").read_bytes(), 0)
    )
    codes = {
        value: key for key, value in vars(schema.BuiltinOperator).items() if not key.startswith("_")
    }
    graph = model.subgraphs[0]
    operators = [
        codes[model.operatorCodes[operator.opcodeIndex].builtinCode] for operator in graph.operators
    ]
    assert sorted(operators) == sorted(OPERATORS)
    assert all(len(tensor.quantization.scale) == 1 for tensor in graph.tensors)  # per-tensor
    ends = [graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]]
    assert [tensor.type for tensor in ends] == [schema.TensorType.UINT8] * 2
    assert [float(tensor.quantization.scale[0]) for tensor in ends] == pytest.approx(
        [1 / 255, 6 / 255]
    )
    assert [int(tensor.quantization.zeroPoint[0]) for tensor in ends] == [0, 0]


def test_a_joined_tensor_shares_the_range_of_the_concatenation(files):
    folder, _ = files
    model = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs((folder / "qat.tflite").read_bytes(), 0)
    )
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if (
            model.operatorCodes[operator.opcodeIndex].builtinCode
            == schema.BuiltinOperator.CONCATENATION
        ):
            tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs)]
            assert (
                len(
                    {
                        (float(t.quantization.scale[0]), int(t.quantization.zeroPoint[0]))
                        for t in tensors
                    }
                )
                == 1
            )


def test_template_of_another_scale_is_refused(files, images):
    from xlsr_model.quantization.fake_quant import with_ranges
    from xlsr_model.quantization.rewrite_tflite import requantize

    folder, _ = files
    other = initial_weights("xlsr", 2, seed=1)
    ranged = with_ranges(
        "xlsr", 2, other, [image[None].astype(np.float32) / 255 for image in images]
    )
    with pytest.raises(ValueError, match="the template's kernel is"):
        requantize((folder / "ptq.tflite").read_bytes(), ranged, "xlsr", 2)


def test_per_channel_file_has_a_scale_for_every_output_channel(weights, images, tmp_path):
    from xlsr_model.evaluation.evaluate import tflite
    from xlsr_model.quantization.export import export_uint8

    export_uint8("xlsr", 3, weights, tmp_path / "c.tflite", calibration=images, per_channel=True)
    model = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs((tmp_path / "c.tflite").read_bytes(), 0)
    )
    lengths = {len(tensor.quantization.scale) for tensor in model.subgraphs[0].tensors}
    assert {layer.channels for layer in layers("xlsr", 3)} <= lengths
    assert tflite(tmp_path / "c.tflite").scale == 3


def test_the_mean_error_of_a_quantization_aware_file_is_corrected(pictures, tmp_path):
    """An untrained network is black; lifting the biases of its output by the mean error makes it
    right on average.
    """
    from xlsr_model import quantize
    from xlsr_model.config import Config
    from xlsr_model.train import train

    settings = Config(
        folders=(str(pictures),), steps=1, held_out=1, batch=2, patch=12, quantise=True
    )
    train(settings, tmp_path)
    file = tmp_path / "a.tflite"
    quantize.make_uint8(
        tmp_path / "checkpoint.npz",
        file,
        which="average",
        per_channel=False,
        folders=[],
        sets=None,
        twin=None,
    )
    pairs = quantize.calibration_pairs(settings.folders, 3, held_out=1, count=40)
    assert np.mean([pair.hr.mean() for pair in pairs]) > 50  # of 255, the error without
    assert (
        np.abs(quantize._mean_error(quantize.tflite(file), pairs)).max() < 0.05
    )  # what is white clips and so keeps a part
