"""Computes the gradient of a batch in parts, by single-threaded processes.

Two processes of one thread take 10 ms a step where one process of two threads takes 13, and far
less on a machine that is busy otherwise: threads meet after every operator and wait for the
slowest, processes once a step.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from xlsr_model.network import Arrays, Batch, Gradient


@contextmanager
def gradient_workers(make: Callable[[], Gradient], count: int) -> Iterator[Gradient]:
    """Start `count` processes, each with the gradient function that `make` returns.

    `make` must be picklable. The batch is cut into equal parts, in order; the result is the mean of
    theirs. Raises RuntimeError if a process dies.
    """
    context = multiprocessing.get_context("spawn")  # a forked PyTorch or TensorFlow can hang
    pipes = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_serve, args=(make, theirs), name=f"gradient-{n}")
        for n, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, theirs in pipes:
        theirs.close()  # only the worker holds it now, so its death ends our recv
    ours = [pipe for pipe, _ in pipes]
    try:
        yield partial(_scatter, ours)
    finally:
        for pipe in ours:
            pipe.close()
        for process in processes:
            process.join()


def _scatter(pipes: list[Connection], weights: Arrays, batch: Batch) -> tuple[float, Arrays]:
    parts = [np.split(part, len(pipes)) for part in batch]
    try:
        for n, pipe in enumerate(pipes):
            pipe.send((weights, tuple(part[n] for part in parts)))
        results = [pipe.recv() for pipe in pipes]
    except (EOFError, BrokenPipeError) as error:
        raise RuntimeError("a gradient process died; its own message is above") from error
    loss = float(np.mean([loss for loss, _ in results]))
    return loss, {
        name: np.mean([gradients[name] for _, gradients in results], axis=0) for name in weights
    }


def _serve(make: Callable[[], Gradient], pipe: Connection) -> None:
    # Signals reach the whole process group; the trainer finishes its step and ends us by closing
    # the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("KERAS_BACKEND") == "torch":
        import torch

        torch.set_num_threads(1)
    gradient = make()
    while True:
        try:
            request: tuple[Any, Any] = pipe.recv()
        except EOFError:
            return
        pipe.send(gradient(*request))
