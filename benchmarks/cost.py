"""What one pass costs, and what makes it cheap: measured side by side, alternated, in one process.

Seconds on a shared machine drift by factors, so every figure here is a ratio of two things timed in turn, the median over many turns.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

import models
import palpate
from palpate.attacks import descent
from palpate.attacks.access import ModelAccess
from palpate.attacks.best import Best
from palpate.attacks.fuse import fuse_batchnorm
from palpate.attacks.problem import Block


class Wrapped(nn.Module):
    """A timm network on images in [0, 1]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = timm.create_model(name, num_classes=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - 0.5) / 0.25)


def bare(model: nn.Module, images: Tensor) -> Callable[[], object]:
    """A forward pass and the gradient with respect to the images, and nothing else."""

    def run() -> object:
        leaf = images.detach().requires_grad_(True)
        return torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)

    return run


def ratio(one: Callable[[], object], other: Callable[[], object], turns: int) -> float:
    """Seconds of `one` over seconds of `other`: the median of ratios of neighbouring runs."""
    ratios = []
    for _ in range(turns):
        clock = [time.perf_counter()]
        for run in (one, other):
            run()
            clock.append(time.perf_counter())
        ratios.append((clock[1] - clock[0]) / (clock[2] - clock[1]))
    return statistics.median(ratios)


def one_pass(model: nn.Module, images: Tensor, turns: int) -> float:
    """One step of the descent against the bare forward and input gradient on the same points and the same fused model."""
    model = model.eval().requires_grad_(False)
    quick = fuse_batchnorm(model, images[:2])
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        labels = model(images).argmax(1)
    access, every = ModelAccess(model, fast=quick, batch=len(images)), torch.arange(len(images))
    access.begin(len(images))
    block = Block(slice(0, len(images)), images, labels, access, Best(images), (0.1,))
    config = descent.Config(candidates=1, prune=(), prune_beyond=(), steps=10**6)
    candidates = descent.init(block, config, every)

    def step() -> None:
        nonlocal candidates
        candidates, _ = descent.step(block, config, candidates)

    return ratio(step, lambda: bare(quick, candidates.point)(), turns)


def fusing(name: str, size: int, count: int, turns: int) -> dict[str, float]:
    """A pass as users have it, with frozen parameters, and frozen in channels-last, each over a pass on the fused copy."""
    torch.manual_seed(0)
    model, images = Wrapped(name).eval(), torch.rand(count, 3, size, size)
    quick, last = fuse_batchnorm(model, images[:2]), images.contiguous(memory_format=torch.channels_last)
    as_is = ratio(bare(model, images), bare(quick, last), turns)
    model.requires_grad_(False)
    frozen = ratio(bare(model, images), bare(quick, last), turns)
    channels = ratio(bare(model.to(memory_format=torch.channels_last), last), bare(quick, last), turns)
    return {"parameters with gradients": as_is, "frozen": frozen, "frozen, channels-last": channels}


def compiling(name: str, size: int, count: int, turns: int) -> dict[str, float | str]:
    """torch.compile: the seconds it takes first, and a pass over a pass without it."""
    torch.manual_seed(0)
    model, images = Wrapped(name).eval().requires_grad_(False), torch.rand(count, 3, size, size)
    quick, last = fuse_batchnorm(model, images[:2]), images.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(quick)
    start = time.perf_counter()
    try:
        bare(compiled, last)()
    except Exception as error:  # no compiler on this machine, for example
        return {"cannot run": str(error).strip().splitlines()[0][:120]}
    first = time.perf_counter() - start
    start = time.perf_counter()
    bare(quick, last)()
    return {
        "first call, in uncompiled passes": first / (time.perf_counter() - start),
        "pass": ratio(bare(compiled, last), bare(quick, last), turns),
    }


def epsilons_64(model: nn.Module, images: Tensor, labels: Tensor, top: float) -> dict[str, list[float]]:
    """Passes per image (forward, backward) with 4 and with 64 epsilons."""
    result = {}
    for count in (4, 64):
        grid = [top * (step + 1) / count for step in range(count)]
        for strength in ("fast", "standard"):
            swept = palpate.sweep(model, images, labels, grid, strength)
            result[f"{strength}, {count} epsilons"] = swept.passes.double().mean(0).tolist()
    return result


def threads(model: nn.Module, images: Tensor, turns: int) -> float:
    """A pass with two threads over a pass with one."""
    quick = fuse_batchnorm(model, images[:2])
    images = images.contiguous(memory_format=torch.channels_last)

    def with_threads(count: int) -> Callable[[], object]:
        def run() -> object:
            torch.set_num_threads(count)
            return bare(quick, images)()

        return run

    result = ratio(with_threads(2), with_threads(1), turns)
    torch.set_num_threads(1)
    return result


def measure(classes: int, data: Path, cache: Path) -> dict:
    """All of it, on the undefended network of that task and on larger ones with random weights."""
    task = models.task(classes, data, cache)
    net = models.network(classes, "undefended", task, cache)
    images, labels = (part[:128] for part in task["test"])
    torch.manual_seed(0)
    large = Wrapped("resnet18").eval().requires_grad_(False)
    return {
        "step over bare pass": {
            "benchmark network, 28 px, batch 128": one_pass(net, images, 40),
            "resnet18, 64 px, batch 32": one_pass(large, torch.rand(32, 3, 64, 64), 15),
        },
        "pass over fused pass": {
            "resnet18, 64 px": fusing("resnet18", 64, 16, 9),
            "resnet50, 112 px": fusing("resnet50", 112, 4, 7),
        },
        "torch.compile": compiling("resnet18", 64, 16, 9),
        "two threads over one": {
            "benchmark network": threads(net, images, 20),
            "resnet18, 64 px": threads(large, torch.rand(16, 3, 64, 64), 9),
        },
        "passes per image": epsilons_64(net, images, labels, models.EPSILONS[classes]),
    }
