"""Trains on a GPU with PyTorch: pictures, weights and optimiser stay there, a step is one graph.

It computes what `train` computes elsewhere, which a test holds. Three things make it fast: batches
are cut on the device; a step, replayed as one CUDA graph, costs no time of Python; and grouped
convolutions are dense ones with zeros, which tensor cores take. Quantised tensors are carried as
integers and their step, so that TF32 convolutions of 8-bit numbers are exact.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from xlsr_model.backend.checkpoint import State
from xlsr_model.backend.loss import LUMA, PSNR_WEIGHT
from xlsr_model.backend.optimizer import ADAM_EPSILON, BETA1, BETA2, learning_rate
from xlsr_model.config import Config
from xlsr_model.data.images import Pair
from xlsr_model.network import NETWORKS
from xlsr_model.quantization.fake_quant import KERNEL_LEVELS, LEVELS

Tensor = torch.Tensor
Weights = Mapping[str, Tensor]
WARM_UP = 3  # steps before a graph is recorded, as PyTorch asks for; they are taken back


class Batch(NamedTuple):
    """`lr` [N, 3, P, P] and `hr` [N, 3, P*s, P*s], both 0..1."""

    lr: Tensor
    hr: Tensor


class Values(NamedTuple):
    """A tensor [N, C, H, W] as numbers and the step that they count; None is 1."""

    numbers: Tensor
    step: Tensor | None


class Pictures:
    """Pairs of any sizes on a device, and random patches of them."""

    def __init__(self, pairs: Sequence[Pair], config: Config, device: str) -> None:
        self._patch, self._scale = config.patch, config.scale
        self._count = config.batch

        def joined(images: list[np.ndarray]) -> tuple[Tensor, Tensor]:
            flat = np.concatenate([image.reshape(-1, 3) for image in images])
            sizes = [image.shape[0] * image.shape[1] for image in images]
            starts = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64)
            return torch.from_numpy(flat).to(device), torch.from_numpy(starts).to(device)

        self._lr, self._lr_start = joined([pair.lr for pair in pairs])
        self._hr, self._hr_start = joined([pair.hr for pair in pairs])
        self._height, self._width = (
            torch.tensor([pair.lr.shape[axis] for pair in pairs], device=device) for axis in (0, 1)
        )
        self._gains = torch.tensor(config.intensities, device=device) / 255
        self._rows = torch.arange(config.patch * config.scale, device=device)

    def batch(self) -> Batch:
        """Cut patches at random, each flipped and turned one of 8 ways and darkened."""
        device, count, size = self._rows.device, self._count, self._patch
        picture = torch.randint(len(self._height), (count,), device=device)
        place = torch.rand(2, count, device=device)
        y = (place[0] * (self._height[picture] - size + 1)).long()
        x = (place[1] * (self._width[picture] - size + 1)).long()
        turn = torch.randint(8, (count, 1, 1), device=device)
        gain = self._gains[torch.randint(len(self._gains), (count, 1, 1, 1), device=device)]

        def cut(pixels: Tensor, starts: Tensor, scale: int) -> Tensor:
            side = size * scale
            i, j = self._rows[:side].view(1, side, 1), self._rows[:side].view(1, 1, side)
            row, column = torch.where(turn >= 4, j, i), torch.where(turn >= 4, i, j)
            row = torch.where(turn % 2 == 1, side - 1 - row, row) + (y * scale).view(-1, 1, 1)
            column = torch.where(turn // 2 % 2 == 1, side - 1 - column, column)
            column = column + (x * scale).view(-1, 1, 1)
            width = (self._width[picture] * scale).view(-1, 1, 1)
            index = starts[picture].view(-1, 1, 1) + row * width + column
            return pixels[index].permute(0, 3, 1, 2) * gain  # in memory: pixels, then colours

        return Batch(cut(self._lr, self._lr_start, 1), cut(self._hr, self._hr_start, self._scale))


def output(config: Config, weights: Weights, lr: Tensor) -> Tensor:
    """Compute [N, 3, H*s, W*s] from RGB/255 [N, 3, H, W], rounded where training is."""
    rounds = any("range/" in name for name in weights)

    def conv(name: str, x: Values, _c: int, size: int, groups: int, activation: str) -> Values:
        kernel = weights[f"{name}/kernel"].permute(3, 2, 0, 1)
        bias, step = weights[f"{name}/bias"], x.step
        if rounds:
            of_kernel = torch.exp(weights[f"kernel_range/{name}"]) / KERNEL_LEVELS
            kernel = _round(torch.clamp(kernel / of_kernel, -KERNEL_LEVELS, KERNEL_LEVELS))
            step = of_kernel if step is None else step * of_kernel
        kernel = _dense(kernel, groups).contiguous(memory_format=torch.channels_last)
        y = functional.conv2d(x.numbers, kernel, bias if step is None else None, padding=size // 2)
        if step is not None:
            y = y * step + bias.view(1, -1, 1, 1)
        return stored(name, torch.relu(y) if activation == "relu" else y)

    def stored(name: str, y: Tensor) -> Values:
        logs = weights.get(f"range/{name}")
        if logs is None:
            return Values(y, None)
        ends = torch.exp(logs)
        step = ends.sum() / LEVELS
        if len(ends) == 1:
            return Values(_round(torch.clamp(y / step, max=LEVELS)), step)  # after ReLU
        zero = _round(ends[0] / step)
        return Values(_round(torch.maximum(torch.minimum(y / step, LEVELS - zero), -zero)), step)

    def concat(a: Values, b: Values) -> Values:
        return stored("concat", torch.cat([a.numbers, b.numbers], dim=1))

    pixels = Values(lr * 255, torch.full((), 1 / 255, device=lr.device)) if rounds else None
    packed = NETWORKS[config.network](conv, concat, pixels or Values(lr, None), config.scale)
    image = _unpacked(packed.numbers, config.scale)
    if config.clipped:
        image = image.clamp(0, 1)
    return _consistent(image, lr, config.scale).clamp(0, 1) if config.consistent else image


def _round(x: Tensor) -> Tensor:
    return x + (torch.round(x) - x).detach()


def _dense(kernel: Tensor, groups: int) -> Tensor:
    """Make a grouped kernel [C, C_in/groups, k, k] a dense one with zeros [C, C_in, k, k]."""
    if groups == 1:
        return kernel
    own = torch.eye(groups, device=kernel.device).view(groups, 1, groups, 1, 1, 1)
    size = kernel.shape[-1]
    split = kernel.reshape(groups, -1, 1, kernel.shape[1], size, size)
    return (split * own).reshape(kernel.shape[0], -1, size, size)


def _unpacked(packed: Tensor, scale: int) -> Tensor:
    """Depth to space: [N, s*s*3, H, W] to [N, 3, H*s, W*s]."""
    count, _, height, width = packed.shape
    blocks = packed.reshape(count, scale, scale, 3, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(count, 3, height * scale, width * scale)


def _consistent(image: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Do what `forward.consistent` does, on [N, 3, H*s, W*s]."""
    missing = lr - functional.avg_pool2d(image, scale)
    padded = functional.pad(missing, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    missing = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16
    return image + functional.interpolate(missing, scale_factor=scale, mode="bilinear")


def loss_of(config: Config, weights: Weights, batch: Batch) -> Tensor:
    """Return the loss that `loss.loss_of` gives."""
    seen = slice(config.margin * config.scale, (config.patch - config.margin) * config.scale)
    error = (output(config, weights, batch.lr) - batch.hr)[:, :, seen, seen]
    squared = error.square()
    if config.loss == "psnr":
        luma = sum(share * error[:, color] for color, share in enumerate(LUMA))
        of_colors, of_luma = (
            torch.log(value.flatten(1).mean(1) + config.floor).mean()
            for value in (squared, torch.as_tensor(luma).square())
        )
        return PSNR_WEIGHT * ((1 - config.luma) * of_colors + config.luma * of_luma)
    return (squared + config.epsilon**2).sqrt().mean() if config.epsilon else squared.mean()


class Resident:
    """A run on a device. `advance` takes steps; `store` writes what they made into the state."""

    chunk = 100  # steps between two looks at what else is to be done

    def __init__(self, config: Config, state: State, pairs: Sequence[Pair], device: str) -> None:
        torch.manual_seed(config.seed + state.step)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        self._config = config
        self._pictures = Pictures(pairs, config, device)
        names = ("vector", "momentum", "variance", "average")
        self._tensors = {name: torch.from_numpy(getattr(state, name)).to(device) for name in names}
        self._tensors = {name: value.clone() for name, value in self._tensors.items()}
        self._sizes = {name: int(np.prod(shape)) for name, shape in state.shapes.items()}
        self._shapes = state.shapes
        self._loss_sum, self._rate, self._corrected, self._forgets = torch.zeros(4, 1).to(device)
        self._loss: Callable[[Config, Weights, Batch], Tensor] = loss_of
        if config.fused:
            self._loss = torch.compile(loss_of)
        self._run = self._recorded() if device == "cuda" else self._step

    def advance(self, state: State, count: int) -> None:
        config = self._config
        for _ in range(count):
            state.updates += 1
            rate = learning_rate(config.rate, config.curve, state.step)
            decay = min(config.average, (1 + state.step) / (10 + state.step))
            self._rate.fill_(rate / (1 - BETA1**state.updates))
            self._corrected.fill_(1 - BETA2**state.updates)
            self._forgets.fill_(1 - decay)
            self._run()
            state.step += 1
        state.loss_sum += float(self._loss_sum)
        state.loss_count += count
        self._loss_sum.zero_()

    def store(self, state: State) -> None:
        for name, value in self._tensors.items():
            getattr(state, name)[:] = value.detach().cpu().numpy()

    def _step(self) -> None:
        """Take one step of Adam, as `optimizer.adam` does, and move the average."""
        vector = self._tensors["vector"].requires_grad_()
        parts = torch.split(vector, list(self._sizes.values()))
        named = {
            name: part.view(self._shapes[name])
            for name, part in zip(self._sizes, parts, strict=True)
        }
        loss = self._loss(self._config, named, self._pictures.batch())
        (gradient,) = torch.autograd.grad(loss, vector)
        with torch.no_grad():
            momentum, variance = self._tensors["momentum"], self._tensors["variance"]
            momentum.add_((1 - BETA1) * (gradient - momentum))
            variance.add_((1 - BETA2) * (gradient * gradient - variance))
            vector.sub_(
                self._rate * momentum / ((variance / self._corrected).sqrt() + ADAM_EPSILON)
            )
            self._tensors["average"].add_(self._forgets * (vector - self._tensors["average"]))
            self._loss_sum.add_(loss.detach())

    def _recorded(self) -> Callable[[], Any]:
        """Record a step as a CUDA graph; return what runs it."""
        kept = {name: value.detach().clone() for name, value in self._tensors.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        with torch.no_grad():
            for name, value in kept.items():
                self._tensors[name].copy_(value)
        self._loss_sum.zero_()
        return graph.replay
