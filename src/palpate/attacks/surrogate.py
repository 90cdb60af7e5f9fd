"""Stand-ins for a network that hides its gradient, behind roundings or a flat head: they serve for gradients and never decide what fools."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Model = Callable[[Tensor], Tensor]

LINEAR = 0.5
"""The arguments of a head's functions are scaled to about this size, where sigmoid and tanh are as good as linear."""

GUARD = 1e-3
"""A lower bound between 0 and this keeps a logarithm finite, and is no part of a head."""

FLAT = 1e-3
"""A gradient that changes its value by less than this share on the way through the whole of [0, 1] says nothing of where the boundary is."""

MASKED = 1e30
"""A logit of this size is that of a masked class."""

WEIGHTED = ("linear", "conv1d", "conv2d", "matmul", "addmm", "mm", "bmm", "einsum", "cdist")
SMOOTH = ("softmax", "sigmoid", "tanh", "exp")
BOUNDED: dict[str, Callable[..., tuple[Tensor, Any, Any]]] = {
    "clamp": lambda x, min=None, max=None: (x, min, max),
    "clip": lambda x, min=None, max=None: (x, min, max),
    "clamp_min": lambda x, min: (x, min, None),
    "clamp_max": lambda x, max: (x, None, max),
    "relu": lambda x, inplace=False: (x, 0.0, None),
    "relu6": lambda x, inplace=False: (x, 0.0, 6.0),
    "threshold": lambda x, threshold, value, inplace=False: (x, threshold, None),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0, inplace=False: (x, min_val, max_val),
    "hardsigmoid": lambda x, inplace=False: (x / 6 + 0.5, 0.0, 1.0),
}
"""Functions with flat ends, as their argument and the bounds that it is kept within."""


class _Identity(TorchFunctionMode):
    """Roundings have the gradient of the identity while it is entered; what they return is the same."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        rounding = getattr(func, "__name__", "") in ("round", "floor", "ceil", "trunc", "fix")
        return result.detach() + (args[0] - args[0].detach()) if rounding and args[0].requires_grad else result


def straight_through(model: Model) -> Model:
    """The model with gradients that pass its roundings, behind which it has none (Athalye et al. 2018, arXiv 1802.00420, section 4.1)."""

    def ask(points: Tensor) -> Tensor:
        with _Identity():
            return model(points)

    return ask


class _Unsaturated(_Identity):
    """The functions of a head rise everywhere while it is entered, and are as good as linear: a temperature changes no decision.

    A head is what follows the last product with weights. Where several networks answer together, it is also what works on as many numbers for each
    image as the last product gave.
    """

    def __init__(self) -> None:
        super().__init__()
        # Products with weights so far in this pass, and how many numbers for each image the last one gave; `head` is both at the end of a pass.
        self.products = self.width = 0
        self.head: tuple[int, int] = (-1, -1)
        self.scales, self.call, self.learning = dict[int, float](), 0, True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = getattr(func, "__name__", ""), kwargs or {}
        if name.strip("_") in (*SMOOTH, *BOUNDED) and args and self._in_head(args[0]):
            result = self._risen(func, name.strip("_"), *args, **given)
            return args[0].copy_(result) if name.endswith("_") else result
        result = super().__torch_function__(func, types, args, given)
        if name.strip("_") in WEIGHTED and result.ndim > 1:
            self.products, self.width = self.products + 1, result.shape[1 if name.startswith("conv") else -1]
        return result

    def _in_head(self, x: Tensor) -> bool:
        products, width = self.head
        return x.requires_grad and x.ndim < 3 and (self.products == products or (x.ndim == 2 and x.shape[1] == width))

    def _risen(self, func: Any, name: str, x: Tensor, *args: Any, **given: Any) -> Tensor:
        if name in SMOOTH:
            scale = self._scale(x - x.amax(-1, keepdim=True) if name == "softmax" else x)
            return func(min(scale, 1.0) * x, *args, **given)
        return self._open(*BOUNDED[name](x, *args, **given))

    def _open(self, x: Tensor, low: Any, high: Any) -> Tensor:
        """In place of x kept within these bounds: never beyond them, and never flat."""
        if low is None:
            return high - self._open(high - x, 0.0, None)
        if high is None:
            if 0 < low < GUARD:
                return x.clamp(min=low)
            scale = self._scale(x - low)
            return low + F.softplus(scale * (x - low)) / scale
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + half * (self._scale(x - middle) * (x - middle)).tanh()

    def _scale(self, x: Tensor) -> float:
        """What brings the argument of this call to the size `LINEAR`, the same for all points once it has been learnt."""
        size = x.detach().abs()
        new = LINEAR / max(float(size[size < MASKED].max()), 1e-30)
        self.call += 1
        if self.learning:
            self.scales[self.call] = min(self.scales.get(self.call, new), new)
        return self.scales.get(self.call, new)


def unsaturated(model: Model, example: Tensor) -> Model | None:
    """The model with a head that has a gradient everywhere; None where no function of its head is flat or saturates.

    How large the arguments are is seen on the example (n, C, H, W), its negative and noise.
    """
    mode = _Unsaturated()

    def ask(points: Tensor) -> Tensor:
        mode.call = mode.products = 0
        with mode:
            return model(points)

    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    try:
        with torch.enable_grad():
            for part in (example, example, 1 - example, noise):
                ask(part.clone().requires_grad_(True))
                mode.head = mode.products, mode.width
    except Exception:  # whatever a stranger's network may raise
        return None
    mode.learning = False
    return ask if mode.scales else None


def sound(answers: Sequence[Tensor], least: float = 0.0) -> Tensor:
    """How many gradients of each point are numbers and not zero (n,), on the CPU.

    Args:
        answers: values (n,) or (n, k) and gradients (n, k, C, H, W) are the last two.
        least: a gradient counts as zero where its l1 norm is at most this share of its value's size; an infinite value counts as 0.
    """
    values = answers[-2].nan_to_num(0.0, 0.0, 0.0).abs().view(len(answers[-1]), -1)
    sizes = torch.linalg.vector_norm(answers[-1].flatten(2), 1, dim=2)
    return ((sizes > least * values) & sizes.isfinite()).sum(1).cpu()
