"""The training loop. The optimiser works in NumPy on one vector, so only the gradient depends on the Keras backend."""

import csv
import io
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from xlsr_model.backend import checkpoint
from xlsr_model.backend.forward import clipped_relu, forward
from xlsr_model.backend.gradient import value_and_gradient
from xlsr_model.backend.optimizer import adam, learning_rate
from xlsr_model.backend.workers import gradient_workers
from xlsr_model.config import Config, config_dict, make_config
from xlsr_model.data.images import Pair, Patches, load_pairs, shrunk_pairs, split_held_out, unpack
from xlsr_model.data.synthetic import drawn_pairs
from xlsr_model.files import write_file
from xlsr_model.network import Arrays, Gradient, check_weights, initial_weights
from xlsr_model.quantization.equalize import equalising_factors
from xlsr_model.quantization.fake_quant import (
    CALIBRATION_BATCHES,
    fake_quantisers,
    has_ranges,
    with_ranges,
    without_ranges,
)

log = logging.getLogger(__name__)
HISTORY_EVERY = 1_000  # steps
PSNR_FLOOR = 3e-4  # mean squared error (35 dB) below which a patch gains no more weight
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601-7, 2.5.1
PSNR_WEIGHT = (
    5e-3  # gradients as large as Charbonnier's: 1/mse is about 1e3 there, 1/(2 epsilon) is 5
)
CHECKPOINT, HISTORY = "checkpoint.npz", "history.csv"


def train(config: Config, run: Path, *, workers: int = 1) -> checkpoint.State:
    """Train into the folder `run`, from its checkpoint if there is one. Returns the last state.

    With more than one worker the gradient is computed in so many processes; `workers` must divide the batch.

    Ctrl-C or SIGTERM saves a checkpoint and returns. Raises ValueError for unusable settings, data or checkpoints,
    OSError when a checkpoint cannot be written (the previous one is intact).
    """
    if config.batch % workers:
        raise ValueError(f"{workers} workers cannot share a batch of {config.batch} equally")
    run.mkdir(parents=True, exist_ok=True)
    file = run / CHECKPOINT
    training, validation = split_held_out(
        [Path(folder) for folder in config.folders], config.held_out
    )
    held_out = as_video(config, load_pairs(validation, config.scale))
    pairs = load_pairs(training, config.scale, smallest=config.patch)
    pairs += shrunk_pairs(pairs, config.scale, config.sizes, smallest=config.patch)
    pairs += drawn_pairs(config.graphics, config.scale, config.seed)
    patches = Patches(
        as_video(config, pairs),
        config.scale,
        config.batch,
        config.patch,
        config.intensities,
        config.seed,
    )
    state = _resume(file, config) if file.exists() else _begin(config, patches)
    about = {
        "config": config_dict(config),
        "code": checkpoint.code_version(),
        "images": len(patches.pairs),
    }
    log.info(
        "%d images, %d held out; step %d of %d",
        len(patches.pairs),
        len(held_out),
        state.step,
        config.steps,
    )
    started, first = time.monotonic(), state.step
    with (
        _stop_on_signal() as stopped,
        _gradient(config, workers) as gradient,
        ThreadPoolExecutor(1, "batches") as pool,
    ):
        batch = pool.submit(patches.batch, state.step)
        while state.step < config.steps and not stopped():
            following = pool.submit(patches.batch, state.step + 1)
            loss, gradients = gradient(state.weights, batch.result())
            batch = following
            adam(
                state,
                checkpoint.flatten(gradients),
                learning_rate(config.rate, config.curve, state.step),
            )
            _update_average(state, config.average)
            state.step += 1
            state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
            last = state.step == config.steps
            if state.step % config.validate_every == 0 or last:
                _validate(state, config, held_out)
            if state.step % HISTORY_EVERY == 0 or last:
                _note(state, config, (time.monotonic() - started) / (state.step - first))
            if state.step % config.checkpoint_every == 0 or last:
                _save(run, state, about)
    _save(run, state, about)
    return state


def as_video(config: Config, pairs: list[Pair]) -> list[Pair]:
    """The pairs that a run trains on: degraded as video is, where it says so."""
    if not config.video:
        return pairs
    from xlsr_model.data.degrade import (
        video_pairs,
    )  # imports PyAV, which training on pictures does without

    return video_pairs(pairs, config.video, seed=config.seed)


def _gradient(config: Config, workers: int) -> AbstractContextManager[Gradient]:
    make = partial(_make_gradient, config)
    return gradient_workers(make, workers) if workers > 1 else nullcontext(make())


def _make_gradient(config: Config) -> Gradient:
    return value_and_gradient(partial(_loss, config), fused=config.fused)


def _begin(config: Config, patches: Patches) -> checkpoint.State:
    weights = initial_weights(
        config.network, config.scale, seed=config.seed, variance_scale=config.variance_scale
    )
    if not config.start:
        return checkpoint.new_state(_ready(config, weights, patches))
    source, about = checkpoint.load(Path(config.start))
    if about["config"]["network"] != config.network:
        raise ValueError(
            f"{config.start}: is of {about['config']['network']}, the configuration says {config.network}"
        )
    # The weights as training left them, not their average, so that the optimiser's moments fit: it then needs no second
    # warm-up. Another scale differs in its head alone, which starts anew.
    known = (
        source.weights
        if config.quantise and not config.equalise
        else without_ranges(source.weights)
    )
    fits = about["config"]["scale"] == config.scale
    weights |= {
        name: value
        for name, value in known.items()
        if fits or (name in weights and not name.startswith("head/"))
    }
    factors = _equalising(config, weights, patches)
    weights = {name: value * factors.get(name, np.float32(1)) for name, value in weights.items()}
    state = checkpoint.new_state(_ready(config, weights, patches))
    state.updates = source.updates
    for moment, power in (("momentum", 1), ("variance", 2)):
        named = source.named(getattr(source, moment))
        kept = {name: named.get(name, np.zeros(0)) for name in state.shapes}
        fill = {
            name: kept[name] / factors.get(name, 1) ** power
            if kept[name].shape == shape
            else np.zeros(shape)
            for name, shape in state.shapes.items()
        }
        setattr(state, moment, checkpoint.flatten(fill))
    return state


def _equalising(config: Config, weights: Arrays, patches: Patches) -> Arrays:
    if not config.equalise:
        return {}
    log.info("equalising the channels, in a minute or two")
    return equalising_factors(
        config.network, config.scale, weights, partial(_images, patches), seed=config.seed
    )


def _images(patches: Patches, step: int) -> np.ndarray:
    lr, _, gain = patches.batch(step)
    return (lr * gain).astype(np.float32)


def _ready(config: Config, weights: Arrays, patches: Patches) -> Arrays:
    """With ranges beside the weights if quantisation-aware training is to start, as they are otherwise."""
    if not config.quantise or has_ranges(weights):
        return weights
    images = [_images(patches, step) for step in range(CALIBRATION_BATCHES)]
    return with_ranges(config.network, config.scale, weights, images)


def _resume(file: Path, config: Config) -> checkpoint.State:
    state, about = checkpoint.load(file)
    check_weights(state.weights, config.network, config.scale)
    saved, asked = config_dict(make_config(about["config"], str(file))), config_dict(config)
    # A longer or shorter run of the same settings is the only change that keeps its meaning.
    for key in sorted(
        asked.keys() - {"steps", "rate", "folders", "validate_every", "checkpoint_every"}
    ):
        if saved[key] != asked[key]:
            raise ValueError(
                f"{file}: was trained with {key} = {saved[key]!r}, the configuration says {asked[key]!r}"
            )
    return state


def _loss(config: Config, weights: Arrays, batch: tuple[Any, ...]) -> Any:
    lr, hr, gain = batch
    output = _output(config, weights, ops.cast(lr, "float32") * gain, precision=config.precision)
    error = output - ops.cast(hr, "float32") * gain
    squared = ops.square(error)
    if config.loss == "psnr":
        if not config.luma:
            return PSNR_WEIGHT * _log_mse(squared)
        luma = sum(share * error[..., colour::3] for colour, share in enumerate(LUMA))
        return PSNR_WEIGHT * (
            (1 - config.luma) * _log_mse(squared) + config.luma * _log_mse(ops.square(luma))
        )
    return ops.mean(ops.sqrt(squared + config.epsilon**2)) if config.epsilon else ops.mean(squared)


def _log_mse(squared: Any) -> Any:
    return ops.mean(ops.log(ops.mean(squared, axis=(1, 2, 3)) + PSNR_FLOOR))


def _output(config: Config, weights: Arrays, lr: Any, *, precision: str = "float32") -> Any:
    kernel_tap, activation_tap = fake_quantisers(weights)
    output = forward(
        config.network,
        config.scale,
        weights,
        lr,
        kernel_tap=kernel_tap,
        activation_tap=activation_tap,
        precision=precision,
    )
    return clipped_relu(output) if config.clipped else output


def _update_average(state: checkpoint.State, decay: float) -> None:
    decay = min(
        decay, (1 + state.step) / (10 + state.step)
    )  # a young average forgets its start sooner
    state.average += np.float32(1 - decay) * (state.vector - state.average)


def _validate(state: checkpoint.State, config: Config, held_out: Sequence[Pair]) -> None:
    psnr = validation_psnr(config, state.named(state.average), held_out)
    if psnr > state.best_psnr:
        state.best_psnr, state.best = psnr, state.average.copy()
    state.history.append({"step": state.step, "psnr": round(psnr, 4)})
    log.info("step %d: held-out RGB PSNR %.3f dB (best %.3f)", state.step, psnr, state.best_psnr)


def validation_psnr(config: Config, weights: Arrays, held_out: Sequence[Pair]) -> float:
    """Mean RGB PSNR in dB over the held-out images, border of one scale cut, output rounded to uint8."""
    values = []
    for pair in held_out:
        lr = ops.convert_to_tensor(pair.lr[None].astype(np.float32) / 255)
        output = unpack(ops.convert_to_numpy(_output(config, weights, lr)), config.scale)[0]
        error = np.clip(np.rint(output * 255), 0, 255) - pair.hr
        inner = error[config.scale : -config.scale, config.scale : -config.scale]
        values.append(10 * np.log10(255**2 / np.mean(np.square(inner))))
    return float(np.mean(values))


def _note(state: checkpoint.State, config: Config, seconds_per_step: float) -> None:
    rate = learning_rate(config.rate, config.curve, state.step - 1)
    loss = state.loss_sum / state.loss_count
    state.history.append({"step": state.step, "loss": loss, "rate": rate})
    state.loss_sum, state.loss_count = 0.0, 0
    left = (config.steps - state.step) * seconds_per_step / 60
    log.info(
        "step %d: loss %.6f rate %.2e, %.1f ms/step, %.0f min left",
        state.step,
        loss,
        rate,
        seconds_per_step * 1e3,
        left,
    )


def _save(run: Path, state: checkpoint.State, about: dict[str, Any]) -> None:
    checkpoint.save(run / CHECKPOINT, state, about)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["step", "loss", "rate", "psnr"])
    writer.writeheader()
    writer.writerows(state.history)
    write_file(run / HISTORY, table.getvalue().encode(), overwrite=True)


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Between steps, not in the middle of one: the state on disk is then always a whole step."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: seen.append(n))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
