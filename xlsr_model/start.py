"""The state in which a run starts: new weights, those of another run, or its own checkpoint."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from xlsr_model.backend import checkpoint
from xlsr_model.config import Config, config_dict, make_config
from xlsr_model.data.images import Patches
from xlsr_model.network import Arrays, check_weights, initial_weights
from xlsr_model.quantization.equalize import equalizing_factors
from xlsr_model.quantization.fake_quant import (
    CALIBRATION_BATCHES,
    has_ranges,
    with_ranges,
    without_ranges,
)

log = logging.getLogger(__name__)
MAY_CHANGE = {"steps", "rate", "folders", "validate_every", "checkpoint_every"}
"""Settings that a run may go on with changed: its length, and where its files are."""


def resume(file: Path, config: Config) -> checkpoint.State:
    """Load the run's own checkpoint. Raises ValueError if it was trained with other settings."""
    state, about = checkpoint.load(file)
    check_weights(state.weights, config.network, config.scale)
    saved = config_dict(make_config(about["config"], str(file)))
    asked = config_dict(config)
    for key in sorted(asked.keys() - MAY_CHANGE):
        if saved[key] != asked[key]:
            raise ValueError(
                f"{file}: was trained with {key} = {saved[key]!r}, "
                f"the configuration says {asked[key]!r}"
            )
    return state


def begin(config: Config, patches: Patches) -> checkpoint.State:
    """Make new weights, or take those of the checkpoint that `config.start` names.

    A start at another scale gives all layers but the head, which is new. `patches` give the first
    ranges of quantisation and what equalising needs. Raises ValueError for another network.
    """
    weights = initial_weights(
        config.network,
        config.scale,
        seed=config.seed,
        variance_scale=config.variance_scale,
        identity=config.identity,
    )
    if not config.start:
        return checkpoint.new_state(_ranged(config, weights, patches))
    source, about = checkpoint.load(Path(config.start))
    network, scale = about["config"]["network"], about["config"]["scale"]
    if network != config.network:
        raise ValueError(
            f"{config.start}: is of {network}, the configuration says {config.network}"
        )
    # The weights as training left them, not their average: they fit the optimiser's moments, so
    # no second warm-up is needed.
    known = source.weights
    if config.equalise or not config.quantise:
        known = without_ranges(known)
    if scale != config.scale:
        known = {
            name: value
            for name, value in known.items()
            if name in weights and not name.startswith("head/")
        }
    weights |= known
    factors = _factors(config, weights, patches)
    weights = {name: value * factors.get(name, np.float32(1)) for name, value in weights.items()}
    state = checkpoint.new_state(_ranged(config, weights, patches))
    state.updates = source.updates
    squares = {name: factor**2 for name, factor in factors.items()}
    state.momentum = _moment(source.named(source.momentum), state.shapes, factors)
    state.variance = _moment(source.named(source.variance), state.shapes, squares)
    return state


def _moment(known: Arrays, shapes: Mapping[str, tuple[int, ...]], factors: Arrays) -> np.ndarray:
    """Return a moment of the optimiser as one vector, with zeros for weights that are new.

    The gradient of a weight that was multiplied by a factor is divided by it.
    """
    parts: Arrays = {}
    for name, shape in shapes.items():
        if name in known and known[name].shape == shape:
            parts[name] = known[name] / factors.get(name, 1)
        else:
            parts[name] = np.zeros(shape)
    return checkpoint.flatten(parts)


def _factors(config: Config, weights: Arrays, patches: Patches) -> Arrays:
    if not config.equalise:
        return {}
    log.info("equalising the channels, in a minute or two")
    images = partial(_images, patches)
    return equalizing_factors(config.network, config.scale, weights, images, seed=config.seed)


def _ranged(config: Config, weights: Arrays, patches: Patches) -> Arrays:
    """Add first ranges to the weights if the run is quantisation-aware and they have none."""
    if not config.quantise or has_ranges(weights):
        return weights
    images = [_images(patches, step) for step in range(CALIBRATION_BATCHES)]
    return with_ranges(config.network, config.scale, weights, images)


def _images(patches: Patches, step: int) -> np.ndarray:
    """Return the low-resolution side of a batch: RGB/255 [N, H, W, 3] float32."""
    lr, _, gain = patches.batch(step)
    return (lr * gain).astype(np.float32)
