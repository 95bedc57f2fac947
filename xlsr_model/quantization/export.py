"""Exports weights as .tflite files. TensorFlow is needed here, and to train on its own backend.

Clipped ReLU is exported as RELU6 with the last convolution scaled by 6: the same function, but
MINIMUM would run outside XNNPACK (101 ms a 640x360 frame against 65). The output bytes are pixels
all the same; its scale says 6/255.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_model.files import write_file
from xlsr_model.network import CLIP_AT, NETWORKS, Arrays, check_weights
from xlsr_model.quantization.rewrite_tflite import pin_output


def keras_model(network: str, scale: int, weights: Arrays, *, clipped: bool = True) -> Any:
    """Build the deployed graph as a Keras model: grouped convolutions, RELU6, depth to space.

    RGB/255 [N, H, W, 3] float32 in, RGB*6/255 [N, H*s, W*s, 3] out (RGB/255 if not `clipped`).
    The Keras backend must be TensorFlow.
    """
    import keras

    check_weights(weights, network, scale)

    def conv(name: str, x: Any, channels: int, kernel: int, groups: int, activation: str) -> Any:
        gain = CLIP_AT if activation == "clip" and clipped else 1.0
        layer_activation = {"none": None, "relu": "relu", "clip": "relu6" if clipped else None}[
            activation
        ]
        layer = keras.layers.Conv2D(
            channels, kernel, padding="same", groups=groups, activation=layer_activation, name=name
        )
        y = layer(x)
        layer.set_weights([weights[f"{name}/kernel"] * gain, weights[f"{name}/bias"] * gain])
        return y

    def concat(a: Any, b: Any) -> Any:
        return keras.layers.Concatenate(name="concat")([a, b])

    x = keras.Input((None, None, 3), name="lr")
    packed = NETWORKS[network](conv, concat, x, scale)
    hr = keras.layers.Lambda(
        lambda y: keras.ops.depth_to_space(y, scale, "channels_last"), name="hr"
    )(packed)
    return keras.Model(x, hr, name=network)


def export_float(
    network: str, scale: int, weights: Arrays, file: Path, *, clipped: bool = True
) -> None:
    """Write a float32 .tflite file."""
    write_file(file, _converter(network, scale, weights, clipped).convert(), overwrite=True)


def export_uint8(
    network: str,
    scale: int,
    weights: Arrays,
    file: Path,
    *,
    calibration: Sequence[np.ndarray],
    per_channel: bool = False,
    clipped: bool = True,
) -> None:
    """Write a uint8 .tflite file by TensorFlow's post-training quantisation.

    It is int8 inside, uint8 in and out, so that bytes are pixels. `calibration` are uint8 RGB
    images [H, W, 3]; the ranges of their activations become the ranges of the file.
    """
    import tensorflow as tf

    def samples() -> Iterable[list[np.ndarray]]:
        # Black and white make the input's range exactly [0, 1].
        yield [np.zeros((1, 32, 32, 3), np.float32)]
        yield [np.ones((1, 32, 32, 3), np.float32)]
        for image in calibration:
            yield [image[None].astype(np.float32) / 255]

    converter = _converter(network, scale, weights, clipped)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    converter._experimental_disable_per_channel = (
        not per_channel
    )  # the target NPU has no per-channel scales
    with warnings.catch_warnings():
        # It asks for input statistics that only its old quantiser used.
        warnings.filterwarnings(
            "ignore", "Statistics for quantized inputs were expected", UserWarning
        )
        content = converter.convert()
    write_file(file, pin_output(content) if clipped else content, overwrite=True)


def _converter(network: str, scale: int, weights: Arrays, clipped: bool) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(
        keras_model(network, scale, weights, clipped=clipped)
    )
