"""How long a model takes."""

import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def runtime_ms(model: Path, *, runs: int = 10) -> float:
    """Return the fastest of `runs` on a 640x360 frame, with LiteRT on one thread.

    The minimum is what other work of the machine disturbs least.
    """
    interpreter = Interpreter(str(model), num_threads=1)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], (1, 360, 640, 3))
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], np.full((1, 360, 640, 3), 1, detail["dtype"]))
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3
