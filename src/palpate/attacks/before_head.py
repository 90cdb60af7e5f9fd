"""The logits before a head that changes no decision, such as a softmax or a cube of every logit: descents find their way more easily by them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from palpate.attacks.losses import margin, rounding_tolerance
from palpate.attacks.surrogate import WEIGHTED

Model = Callable[[Tensor], Tensor]

ROWS = 257
"""Made-up logits on which a head is looked at, a number that no batch of the network's own has."""

CLOSEST = 1e-4
"""Half of these rows have a margin between this share of the logits' spread and all of it, so that a shift of one class by a little is seen."""

SURE = 0.6
"""The share of these rows on which the network must be sure of its decision; on the others its logits are the same but for rounding."""


class _LastProduct(TorchFunctionMode):
    """Keeps what the last product with weights gave while it is entered, or puts something in its place.

    Args:
        number: which product is the last, by count; None where that is not known yet, and each is taken for it in turn.
        instead: what it is to give.
    """

    def __init__(self, number: int | None = None, instead: Tensor | None = None) -> None:
        super().__init__()
        self.number, self.instead, self.count = number, instead, 0
        self.given: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "").strip("_") not in WEIGHTED:
            return result
        self.count += 1
        if self.number not in (None, self.count):
            return result
        self.given = result
        return result if self.instead is None else self.instead.reshape(-1, *result.shape[1:])


def product_before_head(model: Model, example: Tensor) -> int | None:
    """Behind which of the model's products with weights, by count, there is a head that changes no decision; None where there is none.

    A head is what follows the last product. It is looked at once, on made-up logits of the size that the example (n, C, H, W) has. There is none
    where one of them is decided otherwise, or where products cannot be watched, as in a scripted network.
    """
    watch = _LastProduct()
    try:
        with torch.no_grad():
            with watch:
                own = model(example)
            if watch.given is None or torch.equal(given := _as_logits(watch.given, own), own):
                return None
            rows = _made_up(watch.given.reshape(len(own), -1))
            with _LastProduct(watch.count, rows):
                decided = model(example)
            given = _as_logits(rows, decided)
            sure, same = _sure(decided), decided.argmax(1) == given.argmax(1)
    except Exception:  # whatever a stranger's network may raise
        return None
    return watch.count if len(sure) == ROWS and bool(same[sure].all()) and sure.double().mean() >= SURE else None


def before_head(model: Model, number: int | None) -> Model:
    """The model with the logits that this product gives wherever they decide as its own do, and its own elsewhere; itself where there is no head.

    So the sign of the certain margin is the model's own in all cases.
    """
    if number is None:
        return model

    def ask(points: Tensor) -> Tensor:
        with _LastProduct(number) as watch:
            own = model(points)
        if watch.given is None:
            return own
        given = _as_logits(watch.given, own)
        same = _sure(own) & _sure(given) & (own.argmax(1) == given.argmax(1))
        return torch.where(same[:, None], given, own)

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
    rows = given.mean() + 2 * spread * torch.randn(ROWS, given.shape[1], generator=torch.Generator().manual_seed(0)).to(
        given
    )
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
