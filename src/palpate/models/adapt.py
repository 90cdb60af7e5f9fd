"""Heads of other shapes as logits of classes, and networks of other precisions and memory layouts as attacks and trainings take them."""

import contextlib

import torch
from torch import Tensor, nn

from palpate.models.predict import evaluating

FAR = 1e3
"""How far outside of [0, 1] outputs are looked at."""


class OneFinding(nn.Module):
    """A sigmoid head as two logits (0, z), which have the same decision (class 1 where z > 0), margin and cross-entropy.

    Args:
        model: images (n, C, H, W) to logits (n, K), (n, 1) or (n,).
        column: the finding of a multi-label head. When absent, a single logit becomes two and K ≥ 2 logits stay as they are.

    >>> OneFinding(nn.Flatten())(torch.tensor([[[2.0]], [[-1.0]]]))
    tensor([[ 0.,  2.],
            [ 0., -1.]])
    """

    def __init__(self, model: nn.Module, column: int | None = None) -> None:
        super().__init__()
        self.model, self.column = model, column

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K), K ≥ 2."""
        output = self.model(images)
        if output.ndim == 2 and output.shape[1] > 1:
            if self.column is None:
                return output
            output = output[:, self.column]
        logit = output if output.ndim == 1 else output[:, 0]
        return torch.stack([torch.zeros_like(logit), logit], 1)


class Around(nn.Module):
    """A module around another, which it changes for attacks or trainings."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class Contiguous(Around):
    """A network that is given contiguous images, because it views its feature maps and so fails on channels-last ones."""

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K)."""
        return self.model(images.contiguous())


class Copying(Around):
    """A network that is given a copy of the images, because it changes its input in place."""

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K)."""
        return self.model(images.clone())


class HalfPrecision(nn.Module):
    """A float16 or bfloat16 network between images and logits in float32, which are cast inside."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K)."""
        return self.model(images.to(self.dtype)).float()


def in_full_precision(model: nn.Module) -> nn.Module:
    """The model itself, or as `HalfPrecision` where its parameters are float16 or bfloat16."""
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    half = kinds & {torch.float16, torch.bfloat16}
    return HalfPrecision(model, half.pop()) if half and half == kinds else model


def takes_channels_last(model: nn.Module, example: Tensor) -> bool:
    """Whether the model works on images (n, C, H, W) in channels-last layout."""
    try:
        with torch.no_grad():
            model(example.contiguous(memory_format=torch.channels_last))
    except Exception:  # whatever a stranger's code may raise
        return False
    return True


class LogProbabilities(nn.Module):
    """A head of probabilities as logits with the same decisions: log p where they sum to 1, else log(p / (1 − p)) of each.

    Probabilities saturate, so that their gradient vanishes where the model is sure; their logarithms do not. Below and beyond what the precision
    resolves the functions go on as straight lines, so that they rise on all numbers and a head that only looked like probabilities keeps its
    decisions, too.
    """

    def __init__(self, model: nn.Module, summed: bool) -> None:
        super().__init__()
        self.model, self.summed = model, summed

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to (n, K)."""
        p = self.model(images)
        return _log(p, torch.finfo(p.dtype).tiny) if self.summed else log_odds(p)


def log_odds(p: Tensor) -> Tensor:
    """log(p / (1 − p)) of probabilities, finite and rising on all numbers."""
    kind = torch.finfo(p.dtype)
    return _log(p, kind.tiny) - _log(1 - p, kind.eps / 4)


def _log(values: Tensor, least: float) -> Tensor:
    """log x above `least`, and its tangent there below."""
    inside = values.clamp(min=least).log()
    return torch.where(values > least, inside, inside + (values - least) / least)


def without_probabilities(model: nn.Module, example: Tensor, column: int | None = None) -> nn.Module:
    """The model itself, or as `LogProbabilities` where its outputs, or the one in this column that is looked at alone, are probabilities.

    Small logits may all lie in [0, 1], too. So the outputs must do so for the example (n, C, H, W), for its negative and for noise; and unless they
    sum to 1, also far outside of [0, 1], where logits grow and a sigmoid is 0 or 1. Of more than one output, some must be above and some below ½.
    """

    def ask(images: Tensor) -> Tensor:
        p = model(images)
        return p.reshape(len(images), -1) if column is None or p.ndim == 1 else p[:, column, None]

    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0), dtype=example.dtype)
    noise = noise.to(example.device)
    with torch.no_grad():
        p = torch.cat([ask(images) for images in (example, 1 - example, noise)])
        single = p.shape[1] == 1
        if not _inside(p) or (not single and bool((p == p[:, :1]).all())):
            return model
        summed, rare = not single and bool(((p.sum(1) - 1).abs() < 1e-3).all()), False
        if not summed:
            with contextlib.suppress(Exception):  # what a network may do with such images
                p = torch.cat([p, ask(FAR * (2 * noise - 1)), ask(FAR * (1 - 2 * noise))])
                rare = single and bool((p != p[:1]).any() or (p == 0).all())  # a finding may be on none of these
    return LogProbabilities(model, summed) if summed or (_inside(p) and (rare or p.min() < 0.5 < p.max())) else model


def _inside(p: Tensor) -> bool:
    return bool(((p >= 0) & (p <= 1)).all())


class ReadWhenSeen(nn.Module):
    """A network whose single output, or the one in a column, is read as a probability where the first images that it sees say so.

    Nothing is asked of it before, and of another network nothing more.
    """

    def __init__(self, model: nn.Module, column: int | None) -> None:
        super().__init__()
        self.model, self.column, self.odds = model, column, None

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) to what the network gives, or its log-odds."""
        p = self.model(images)
        if self.odds is None:
            self.odds = False
            if (self.column is not None or p.numel() == len(images)) and _inside(p):
                with contextlib.suppress(Exception):  # what a network may do with other images
                    seen = without_probabilities(self.model, images[:2].detach(), self.column)
                    self.odds = isinstance(seen, LogProbabilities)
        return log_odds(p) if self.odds else p


def as_logits_model(model: nn.Module, finding: int | None = None) -> nn.Module:
    """The model with K ≥ 2 logits, whatever its head: the one adapter that attacks and checks share.

    Args:
        model: images (n, C, H, W) to logits (n, K), (n, 1) or (n,).
        finding: column of a multi-label (sigmoid) head: class 1 where its logit is above 0.
    """
    return OneFinding(model, finding)


def use_channels_last(model: nn.Module, example: Tensor) -> torch.memory_format:
    """Put a model's weights into channels-last, in place, where it takes images of that layout; else leave them contiguous.

    A network that calls `view` on a feature map fails on the other layout.

    Args:
        model: any network.
        example: images (n, C, H, W) on its device, on which it is tried in evaluation mode.

    Returns:
        The layout that images should have.
    """
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with evaluating(model):
        if takes_channels_last(model, example):
            return torch.channels_last
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return torch.contiguous_format
