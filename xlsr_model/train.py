"""The training loop. Without a GPU only the gradient depends on the Keras backend."""

import csv
import io
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops

from xlsr_model.backend import checkpoint
from xlsr_model.backend.forward import clipped_relu, consistent, forward
from xlsr_model.backend.gradient import on_gpu, value_and_gradient
from xlsr_model.backend.loss import loss_of
from xlsr_model.backend.optimizer import adam, learning_rate
from xlsr_model.backend.workers import gradient_workers
from xlsr_model.config import Config, config_dict
from xlsr_model.data.degrade import as_filmed
from xlsr_model.data.images import Pair, Patches, load_pairs, shrunk_pairs, split_held_out, unpack
from xlsr_model.data.synthetic import drawn_pairs
from xlsr_model.files import write_file
from xlsr_model.network import Arrays, Gradient
from xlsr_model.quantization.fake_quant import fake_quantizers
from xlsr_model.start import begin, resume

log = logging.getLogger(__name__)
HISTORY_EVERY = 1_000  # steps
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.csv"


def train(config: Config, run: Path, *, workers: int = 1) -> checkpoint.State:
    """Train into the folder `run`, from its checkpoint if there is one. Returns the last state.

    With several `workers` as many processes share a batch, which they must divide.

    Ctrl-C or SIGTERM saves a checkpoint and returns. Raises ValueError for unusable settings, data
    or checkpoints, OSError when a checkpoint cannot be written (the previous one is intact).
    """
    if config.batch % workers:
        raise ValueError(f"{workers} workers cannot share a batch of {config.batch} equally")
    run.mkdir(parents=True, exist_ok=True)
    file = run / CHECKPOINT
    patches, held_out = _load_data(config)
    state = resume(file, config) if file.exists() else begin(config, patches)
    about = {
        "config": config_dict(config),
        "code": checkpoint.code_version(),
        "images": len(patches.pairs),
    }
    counts = (len(patches.pairs), len(held_out), state.step, config.steps)
    log.info("%d images, %d held out; step %d of %d", *counts)
    started, first = time.monotonic(), state.step
    with _stop_on_signal() as stopped, _steps(config, state, patches, workers) as steps:
        while state.step < config.steps and not stopped():
            steps.advance(state, min(steps.chunk, _until_next(config, state.step)))
            last = state.step == config.steps
            if state.step % config.validate_every == 0 or last:
                steps.store(state)
                _validate(state, config, held_out)
            if state.step % HISTORY_EVERY == 0 or last:
                _note(state, config, (time.monotonic() - started) / (state.step - first))
            if state.step % config.checkpoint_every == 0 or last:
                steps.store(state)
                _save(run, state, about)
        steps.store(state)
    _save(run, state, about)
    return state


def _load_data(config: Config) -> tuple[Patches, list[Pair]]:
    """Load the patches to train on, and the held-out pairs."""
    folders = [Path(folder) for folder in config.folders]
    training, validation = split_held_out(folders, config.held_out)
    held_out = load_pairs(validation, config.scale)
    pairs = load_pairs(training, config.scale, smallest=config.patch)
    pairs += shrunk_pairs(pairs, config.scale, config.sizes, smallest=config.patch)
    pairs += drawn_pairs(config.graphics, config.scale, config.seed)
    patches = Patches(
        as_filmed(pairs, config),
        config.scale,
        config.batch,
        config.patch,
        config.intensities,
        config.seed,
    )
    return patches, as_filmed(held_out, config)


def _until_next(config: Config, step: int) -> int:
    """Count the steps to where something is to be measured, said or saved."""
    intervals = (config.validate_every, config.checkpoint_every, HISTORY_EVERY)
    return min(config.steps - step, *(every - step % every for every in intervals))


class Steps(Protocol):
    """What takes the steps: `advance` at most `chunk` at once; `store` brings the state up to date.

    `step`, `updates` and the loss of the state are always up to date.
    """

    chunk: int

    def advance(self, state: checkpoint.State, count: int) -> None: ...

    def store(self, state: checkpoint.State) -> None: ...


class _HostSteps:
    """Steps in the host's memory: the gradient by the Keras backend, the rest in NumPy."""

    chunk = 1

    def __init__(
        self, config: Config, patches: Patches, gradient: Gradient, pool: ThreadPoolExecutor
    ) -> None:
        self._config, self._patches, self._gradient, self._pool = config, patches, gradient, pool
        self._next: Future[Any] | None = None

    def advance(self, state: checkpoint.State, count: int) -> None:
        for _ in range(count):
            batch = self._next or self._pool.submit(self._patches.batch, state.step)
            self._next = self._pool.submit(self._patches.batch, state.step + 1)
            loss, gradients = self._gradient(state.weights, batch.result())
            rate = learning_rate(self._config.rate, self._config.curve, state.step)
            adam(state, checkpoint.flatten(gradients), rate)
            _update_average(state, self._config.average)
            state.step += 1
            state.loss_sum += loss
            state.loss_count += 1

    def store(self, state: checkpoint.State) -> None:
        """The state is what this works on."""


@contextmanager
def _steps(
    config: Config, state: checkpoint.State, patches: Patches, workers: int
) -> Iterator[Steps]:
    if on_gpu():
        from xlsr_model.backend.resident import Resident

        yield Resident(config, state, patches.pairs, "cuda")
        return
    with _gradient(config, workers) as gradient, ThreadPoolExecutor(1, "batches") as pool:
        yield _HostSteps(config, patches, gradient, pool)


def _gradient(config: Config, workers: int) -> AbstractContextManager[Gradient]:
    make = partial(_make_gradient, config)
    return gradient_workers(make, workers) if workers > 1 else nullcontext(make())


def _make_gradient(config: Config) -> Gradient:
    return value_and_gradient(partial(_loss, config), fused=config.fused)


def _loss(config: Config, weights: Arrays, batch: tuple[Any, ...]) -> Any:
    lr, hr, gain = batch
    image = ops.cast(lr, "float32") * gain
    output = _output(config, weights, image, precision=config.precision)
    return loss_of(config, output - ops.cast(hr, "float32") * gain)


def _output(config: Config, weights: Arrays, lr: Any, *, precision: str = "float32") -> Any:
    """Packed output [N, H, W, 3*s*s] from RGB/255 [N, H, W, 3], rounded where training is."""
    kernel_tap, activation_tap = fake_quantizers(weights)
    output = forward(
        config.network,
        config.scale,
        weights,
        lr,
        kernel_tap=kernel_tap,
        activation_tap=activation_tap,
        precision=precision,
    )
    output = clipped_relu(output) if config.clipped else output
    return clipped_relu(consistent(output, lr, config.scale)) if config.consistent else output


def _update_average(state: checkpoint.State, decay: float) -> None:
    # A young average forgets its start sooner.
    decay = min(decay, (1 + state.step) / (10 + state.step))
    state.average += np.float32(1 - decay) * (state.vector - state.average)


def _validate(state: checkpoint.State, config: Config, held_out: Sequence[Pair]) -> None:
    psnr = validation_psnr(config, state.named(state.average), held_out)
    if psnr > state.best_psnr:
        state.best_psnr = psnr
        state.best = state.average.copy()
    state.history.append({"step": state.step, "psnr": round(psnr, 4)})
    log.info("step %d: held-out RGB PSNR %.3f dB (best %.3f)", state.step, psnr, state.best_psnr)


def validation_psnr(config: Config, weights: Arrays, held_out: Sequence[Pair]) -> float:
    """Mean RGB PSNR in dB over the held-out images, rounded to uint8, border of one scale cut."""
    values = []
    tensors = {name: ops.convert_to_tensor(value) for name, value in weights.items()}
    for pair in held_out:
        lr = ops.convert_to_tensor(pair.lr[None].astype(np.float32) / 255)
        output = unpack(ops.convert_to_numpy(_output(config, tensors, lr)), config.scale)[0]
        error = np.clip(np.rint(output * 255), 0, 255) - pair.hr
        inner = error[config.scale : -config.scale, config.scale : -config.scale]
        values.append(10 * np.log10(255**2 / np.mean(np.square(inner))))
    return float(np.mean(values))


def _note(state: checkpoint.State, config: Config, seconds_per_step: float) -> None:
    """Add the mean loss since the last time to the history, and log it."""
    rate = learning_rate(config.rate, config.curve, state.step - 1)
    loss = state.loss_sum / state.loss_count
    state.history.append({"step": state.step, "loss": loss, "rate": rate})
    state.loss_sum = 0.0
    state.loss_count = 0
    left_min = (config.steps - state.step) * seconds_per_step / 60
    values = (state.step, loss, rate, seconds_per_step * 1e3, left_min)
    log.info("step %d: loss %.6f rate %.2e, %.1f ms/step, %.0f min left", *values)


def _save(run: Path, state: checkpoint.State, about: dict[str, Any]) -> None:
    checkpoint.save(run / CHECKPOINT, state, about)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["step", "loss", "rate", "psnr"])
    writer.writeheader()
    writer.writerows(state.history)
    write_file(run / HISTORY, table.getvalue().encode(), overwrite=True)


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C or SIGTERM came.

    The loop asks it between steps, so that the state on disk is always a whole step.
    """
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
