"""Access to a network as fast as its device and the precision asked for allow, while every success is confirmed by the network itself."""

import copy
import functools

import torch
from torch import Tensor, nn

from palpate.attacks.access import Model, ModelAccess
from palpate.attacks.fuse import fuse_batchnorm
from palpate.models.adapt import Contiguous, takes_channels_last


def open_access(model: nn.Module, example: Tensor, batch: int, draws: int, precision: str) -> ModelAccess:
    """Access to a frozen model in evaluation mode, as fast as its device allows.

    Args:
        model: images to logits (n, K), K ≥ 2.
        example: a few images on the model's device, on which the fused copy is checked.
        batch, draws: see `ModelAccess`.
        precision: "float32", or "bfloat16" for gradients.
    """
    device, half = example.device, precision == "bfloat16"
    if not takes_channels_last(model, example):
        model = Contiguous(model)
    fused = fuse_batchnorm(model, example)
    fast: Model = _in_bfloat16(fused) if half else fused
    judge: Model = _in_float32(model) if device.type == "cuda" else model
    confirm = half or device.type == "cuda"
    if device.type == "mps":  # it has no float64: radii and images stay on the CPU, and the model is visited
        fast, judge, device = _visit(fast, device), _visit(judge, device), torch.device("cpu")
    careful = functools.cache(lambda: _in_float64(model, example[:1].to(device)))
    return ModelAccess(
        judge, fast=fast, confirm=confirm, careful=careful, batch=batch, draws=draws, device=device
    )  # fmt: skip


def _in_bfloat16(model: nn.Module) -> Model:
    def ask(points: Tensor) -> Tensor:
        with torch.autocast(points.device.type, torch.bfloat16):
            return model(points).float()

    return ask


def _in_float64(model: nn.Module, example: Tensor) -> Model | None:
    """The model in float64 between points and logits in float32; None where it cannot be copied, or its code asks for float32."""

    def ask(points: Tensor) -> Tensor:
        return precise(points.double()).float()

    try:
        precise = copy.deepcopy(model)
        if set(precise.modules()) & set(model.modules()):  # a module that gives itself for its copy
            return None
        precise.to(example.device, torch.float64).requires_grad_(False)
        with torch.no_grad():
            ask(example)
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    return ask


def _visit(model: Model, device: torch.device) -> Model:
    def ask(points: Tensor) -> Tensor:
        return model(points.to(device)).cpu()

    return ask


def _in_float32(model: nn.Module) -> Model:
    """The model without the 10-bit products (TF32) that CUDA's convolutions take by default."""

    def ask(points: Tensor) -> Tensor:
        backend = torch.backends.cudnn
        with backend.flags(
            enabled=True, benchmark=backend.benchmark, deterministic=backend.deterministic, allow_tf32=False
        ):
            return model(points)

    return ask
