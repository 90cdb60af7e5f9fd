"""The logits before a head that changes no decision, such as a softmax or a cube of every logit: descents find their way more easily by them."""

import contextlib
import warnings
from collections import Counter, deque
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from palpate.attacks.fuse import copied
from palpate.attacks.losses import margin, rounding_tolerance
from palpate.attacks.surrogate import WEIGHTED, Model

Number = tuple[int, int]
"""A product, by count, and how many functions of it follow; whether batch norm is folded into the one before changes neither."""

ROWS = 256
"""Made-up logits on which a head is looked at."""

TRIED = 4
"""Of the last products so many may be the one before the head, since a network can have a branch for the temperature, for example."""

FURTHER = ("add", "radd", "iadd", "sub", "isub", "mean", "adaptive_avg_pool2d")
"""Functions of a product that still make logits of it: a bias that is added to it, and the mean of a map of logits."""

CLOSEST = 1e-4
"""Half of these rows have a margin between this share of the logits' spread and all of it, so that a shift of one class by a little is seen."""

SURE = 0.6
"""The share of these rows on which the network must be sure of its decision; on the others its logits are the same but for rounding."""


class _Products(TorchFunctionMode):
    """Keeps what the last products with weights gave while it is entered, or puts something in place of one.

    What is added to a product, and its mean over places, counts as a further product. A head gets a copy, since it may change that in place.

    Args:
        number: which product is the one before the head, see `Number`; None where that is not known yet, and the last ones are kept.
        instead: what it is to give.

    Attributes:
        last: with their numbers, detached, and whether they have a gradient.
        sizes: how many products gave so many numbers.
        given: what the product before the head gave.
        same: for which points (n,) the head's gradient does not count; it may be no number there.
    """

    def __init__(self, number: Number | None = None, instead: Tensor | None = None) -> None:
        super().__init__()
        self.number, self.instead, self.count = number, instead, (0, 0)
        self.sizes, self.last = Counter[int](), deque[tuple[Number, Tensor, bool]](maxlen=TRIED)
        self.given: Tensor | None = None
        self.product, self.same = torch.empty(0), torch.zeros(1, dtype=torch.bool)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, name = func(*args, **(kwargs or {})), getattr(func, "__name__", "").strip("_")
        further = name in FURTHER and any(each is self.product for each in args)
        if name not in WEIGHTED and not further:
            return result
        self.count = (self.count[0], self.count[1] + 1) if further else (self.count[0] + 1, 0)
        if self.number is None:
            self.sizes[result.numel()] += not (further and self.product.numel() == result.numel())
            self.last.append((self.count, result.detach().clone(), result.requires_grad))
        elif self.number == self.count:
            self.given = result
            result = (result if self.instead is None else self.instead.reshape(result.shape)).clone()
            if result.requires_grad:
                result.register_hook(self._slope)
        self.product = result
        return result

    def _slope(self, slope: Tensor) -> Tensor:
        return slope.reshape(len(self.same), -1).masked_fill(self.same[:, None], 0.0).reshape(slope.shape)


def product_before_head(model: nn.Module, example: Tensor) -> Number | None:
    """Behind which of the model's products with weights there is a head that changes no decision; None where there is none.

    It is looked for once, with made-up logits of the size that the example (n, C, H, W) has, while all else is as that and its negative have it.
    There is none where one of these logits is decided otherwise, where another product gives as many numbers, since other images may then be decided
    by that, as by another expert, or where products cannot be watched, as in a scripted network.
    """
    with contextlib.suppress(Exception):  # whatever a stranger's network may raise
        trial = copied(model)  # the made-up logits must not stay in a running mean, for example
        with torch.enable_grad(), (watch := _Products()):
            own = trial(example.clone().requires_grad_(True)).detach()
        for number, given, live in reversed(watch.last):
            with contextlib.suppress(Exception):
                same = torch.equal(_as_logits(given, own), own)
                if same and not number[1]:
                    return None
                only = live and not same and watch.sizes[given.numel()] == 1
                if only and all(_keeps(trial, images, number, given) for images in (example, 1 - example)):
                    return number
    return None


def _keeps(model: Model, images: Tensor, number: Number, given: Tensor) -> bool:
    """Whether the model decides on these images (n, C, H, W) as made-up logits do, of the size of those given, in place of this product."""
    rows = _made_up(given.reshape(len(images), -1))

    def ask(part: Tensor) -> Tensor:
        with _Products(number, part):
            return model(images)

    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        decided = torch.vmap(ask, randomness="different")(rows.view(-1, len(images), rows.shape[1])).flatten(0, 1)
    sure, same = _sure(decided), decided.argmax(1) == _as_logits(rows, decided).argmax(1)
    return bool(same[sure].all()) and bool(sure.double().mean() >= SURE)


def before_head(model: Model, number: Number | None) -> Model:
    """The model with the logits that this product gives wherever they decide as its own do, and its own elsewhere; itself where there is no head.

    So the sign of the certain margin is the model's own in all cases.
    """
    if number is None:
        return model

    def ask(points: Tensor) -> Tensor:
        with _Products(number) as watch:
            own = model(points)
        given = own if watch.given is None else _as_logits(watch.given, own)
        watch.same = _sure(own) & _sure(given) & (own.argmax(1) == given.argmax(1))
        return torch.where(watch.same[:, None], given, own)

    return ask


def _as_logits(given: Tensor, own: Tensor) -> Tensor:
    """What a product gave for n images as logits like the model's own (n, K): a single one z as (0, z), and appended classes at −∞."""
    rows = given.reshape(len(own), -1).to(own.dtype)
    rows = F.pad(rows, (1, 0)) if rows.shape[1] == 1 else rows
    if rows.shape[1] > own.shape[1]:
        raise ValueError(f"{rows.shape[1]} numbers for {own.shape[1]} classes")
    return F.pad(rows, (0, own.shape[1] - rows.shape[1]), value=float("-inf"))


def _made_up(given: Tensor) -> Tensor:
    """Rows (ROWS, k) of the size and spread of these (n, k), half of them close to the boundary between two classes."""
    count, spread = ROWS // 2, given.std()
    noise = torch.randn(ROWS, given.shape[1], generator=torch.Generator().manual_seed(0)).to(given)
    rows = given.mean() + 2 * spread * noise
    gap = spread * CLOSEST ** torch.linspace(0, 1, count).to(rows)
    if rows.shape[1] == 1:
        rows[:count, 0] = gap * rows[:count, 0].sign()
    else:
        best, at = rows.topk(2).indices[:count].unbind(1), torch.arange(count, device=rows.device)
        rows[at, best[1]] = rows[at, best[0]] - gap
    return rows


def _sure(logits: Tensor) -> Tensor:
    """Of which rows (n,) the largest logit is larger than the next by more than rounding."""
    best = logits.argmax(1)
    return -margin(logits.double(), best) > rounding_tolerance(logits, best)
