"""Stand-ins for a network that hides its gradient, behind roundings or a flat head: they serve for gradients and never decide what fools."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Model = Callable[[Tensor], Tensor]

LINEAR = 0.5
"""The arguments of a head's functions are scaled to about this size, where sigmoid and tanh are as good as linear."""

APART = 50.0
"""The same where members or neighbours vote, or inside a network: there a softmax must still tell the largest from the others, as float64 does."""

GUARD = 1e-3
"""A lower bound between 0 and this keeps a logarithm finite, and is no part of a head."""

FLAT = 1e-3
"""A gradient that changes its value by less than this share on the way through the whole of [0, 1] says nothing of where the boundary is."""

MASKED = 1e30
"""A logit of this size is that of a masked class."""

WEIGHTED = ("linear", "conv1d", "conv2d", "matmul", "addmm", "mm", "bmm", "einsum", "cdist")
SMOOTH = ("softmax", "sigmoid", "tanh", "exp", "erf", "atan", "arctan", "softsign")
BOUNDED: dict[str, Callable[..., tuple[Tensor, Any, Any]]] = {
    "clamp": lambda x, min=None, max=None: (x, min, max),
    "clip": lambda x, min=None, max=None: (x, min, max),
    "clamp_min": lambda x, min: (x, min, None),
    "clamp_max": lambda x, max: (x, None, max),
    "maximum": lambda x, other: (x, other.max(), None),
    "minimum": lambda x, other: (x, None, other.min()),
    "sign": lambda x: (x, -1.0, 1.0),
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

    Args:
        reach: 0 for the head, 1 for all functions of one number or one row of numbers an image, 2 for all.
    """

    def __init__(self, reach: int) -> None:
        super().__init__()
        # Products with weights so far in this pass, and how many numbers for each image the last one gave; `head` is both at the end of a pass.
        self.products = self.width = 0
        self.head: tuple[int, int] = (-1, -1)
        self.size = LINEAR
        self.reach, self.scales, self.call, self.learning = reach, dict[int, float](), 0, True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = getattr(func, "__name__", ""), kwargs or {}
        own = name.strip("_")
        if own in ("max", "min", "maximum", "minimum") and len(args) == 2 and isinstance(args[1], Tensor):
            args = sorted(args, key=lambda each: not each.requires_grad)
            own = "" if args[1].requires_grad else own[:3] + "imum"
        if own == "where" and len(args) == 3:
            return self._passed(args, func(*args, **given))
        if own in (*SMOOTH, *BOUNDED) and args and self._in_head(args[0], own):
            result = self._risen(func, own, *args, **given)
            return args[0].copy_(result) if name.endswith("_") else result
        result = super().__torch_function__(func, types, args, given)
        if own in WEIGHTED and result.ndim > 1:
            self.products, self.width = self.products + 1, result.shape[1 if own.startswith("conv") else -1]
        return result

    def _passed(self, args: Any, result: Tensor) -> Tensor:
        """What `where` gives, with the gradient of the identity where it puts constants in place of what a head gives."""
        given = [each for each in args[1:] if isinstance(each, Tensor) and each.requires_grad]
        if len(given) != 1 or given[0].shape != result.shape or not self._in_head(given[0], "where"):
            return result
        self.scales[0] = 1.0
        return result.detach() + (given[0] - given[0].detach())

    def _in_head(self, x: Tensor, name: str) -> bool:
        products, width = self.head
        row = x.ndim < 2 or x.numel() == x.shape[0] * x.shape[1]
        last = self.products == products and (row or name in SMOOTH)
        wide = row and (self.reach == 1 or (x.ndim > 1 and x.shape[1] == width))
        found = x.requires_grad and products >= 0 and (last or wide or self.reach > 1)
        self.size = APART if found and self.products < products else self.size
        return found

    def _risen(self, func: Any, name: str, x: Tensor, *args: Any, **given: Any) -> Tensor:
        if name in SMOOTH:
            dim = given.get("dim", args[0] if args else -1) if name == "softmax" else None
            scale = self._scale(x if dim is None else x - x.amax(dim, keepdim=True), self.size)
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

    def _scale(self, x: Tensor, to: float = LINEAR) -> float:
        """What brings the argument of this call to about this size, the same for all points once it has been learnt."""
        size = x.detach().abs()
        new = 1 / max(float(size[size < MASKED].max()), 1e-30)
        self.call += 1
        if self.learning:
            self.scales[self.call] = min(self.scales.get(self.call, new), new)
        return to * self.scales.get(self.call, new)


def unsaturated(model: Model, example: Tensor) -> Model | None:
    """The model with a head that has a gradient everywhere; None where no function of its head is flat or saturates.

    How large the arguments are, and whether there is a gradient then, is seen on the example (n, C, H, W), its negative and noise. Where there is
    none, functions inside the network are opened, too.
    """
    best, most = None, -1
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    for reach in range(3):
        mode = _Unsaturated(reach)
        ask = _entered(mode, model)
        try:
            with torch.enable_grad():
                for part in (example, example, 1 - example, noise):
                    ask(part.clone().requires_grad_(True))
                    mode.head = mode.products, mode.width
                mode.learning = False
                live = sum(_live(ask, part.clone().requires_grad_(True)) for part in (example, 1 - example, noise))
        except Exception:  # whatever a stranger's network may raise
            return best
        if live > most:
            best, most = ask if mode.scales else None, live
        if live == 3 * len(example) or (live and not mode.scales):
            break
    return best


def _entered(mode: _Unsaturated, model: Model) -> Model:
    def ask(points: Tensor) -> Tensor:
        mode.call = mode.products = 0
        with mode:
            return model(points)

    return ask


def _live(model: Model, points: Tensor) -> int:
    """At how many points (n, C, H, W) the difference of the two largest logits has a gradient."""
    gap = model(points).topk(2).values.diff(dim=1)[:, 0]
    (gradient,) = torch.autograd.grad(gap.sum(), points)
    return int(sound(gap, sizes_of(gradient[:, None]), FLAT).sum())


def sizes_of(gradients: Tensor) -> Tensor:
    """The l1 norms of gradients (n, k, C, H, W), as (n, k); in channels-last the sum is faster than torch's own norm, which makes a copy."""
    return gradients.abs().sum((2, 3, 4))


def sound(values: Tensor, sizes: Tensor, least: float = 0.0) -> Tensor:
    """How many gradients of each point are numbers and not zero (n,), on the CPU.

    Args:
        values: (n,) or (n, k), of which they are the gradients.
        sizes: their l1 norms (n, k).
        least: a gradient counts as zero where its norm is at most this share of its value's size; an infinite value counts as 0.
    """
    floor = least * values.nan_to_num(0.0, 0.0, 0.0).abs().view(len(sizes), -1) if least else 0.0
    return ((sizes > floor) & (sizes < float("inf"))).sum(1).cpu()
