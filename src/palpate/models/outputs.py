"""What a stranger's network returns, read as logits (N, K)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.adapt import log_odds


class Logits(nn.Module):
    """A network's output as logits (N, K), K = 1 for (N,); float16 and bfloat16 become float32.

    Args:
        output: which part of the output holds the logits: a key, an attribute or a position. When absent: the output itself, its `logits`,
            the first of a tuple or list, or the only tensor of a mapping.

    Attributes:
        odds: the network gives probabilities that do not sum to 1, of which log(p / (1 − p)) are the logits.
    """

    order: Tensor | None

    def __init__(self, output: str | int | None = None) -> None:
        super().__init__()
        self.output, self.negated, self.odds = output, False, False
        self.register_buffer("order", None, persistent=False)

    def reorder(self, order: list[int], single: bool = False) -> None:
        """From here on logit i is the one that is now at place order[i]; a single logit of two classes speaks for the second."""
        if single:
            self.negated ^= order == [1, 0]
            return
        self.order = torch.tensor(order) if self.order is None else self.order[order]

    def forward(self, given: Any) -> Tensor:
        """A network's output → logits (N, K).

        Raises:
            InputError: it holds no tensor (N, K), or several and none is named.
        """
        logits = _part(given, self.output)
        if not isinstance(logits, Tensor):
            remedy = "name the part with output=…"
            raise InputError(f"module: its output is {_kind(logits)}, not a tensor of logits; {remedy}")
        shape = tuple(logits.shape)
        if logits.ndim > 2 and all(side == 1 for side in shape[2:]):
            logits = logits.flatten(1)
        if logits.ndim == 1:
            logits = logits[:, None]
        if logits.ndim != 2 or not logits.is_floating_point():
            raise InputError(f"module: expected logits (N, K), got {logits.dtype} {shape}")
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        if self.odds:
            logits = log_odds(logits)
        if self.negated:
            logits = -logits
        return logits if self.order is None else logits[:, self.order]


def _part(given: Any, output: str | int | None) -> Any:
    if output is not None:
        whole: Any = given
        try:
            return whole[output] if isinstance(given, Mapping | tuple | list) else getattr(whole, str(output))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise InputError(f"output: the network's output has no {output!r}; it is {_kind(given)}") from error
    if isinstance(given, Tensor):
        return given
    if isinstance(given, Mapping):
        tensors = [key for key, value in given.items() if isinstance(value, Tensor)]
        if "logits" in given or len(tensors) == 1:
            return given["logits" if "logits" in given else tensors[0]]
        raise InputError(f"module: its output is {_kind(given)}; say which part holds the logits with output=…")
    if hasattr(given, "logits"):
        return given.logits
    return given[0] if isinstance(given, tuple | list) and given else given


def _kind(given: Any) -> str:
    if isinstance(given, Mapping):
        kinds = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in given.values()]
        return f"a mapping of {', '.join(f'{key} {kind}' for key, kind in zip(given, kinds, strict=True))}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)}"
    return f"a {type(given).__name__}"
