"""The arguments of a sweep, checked before any pass is spent: images, labels, and a model that gives logits.

Most wrong robustness figures come from here: images in 0–255, a softmax for logits, a model left in training mode, an epsilon in another unit.
What cannot be attacked is refused with the remedy; what can be attacked but not trusted is warned of, and the checks fail it.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.adapt import as_logits_model, in_full_precision, without_probabilities

REPEATS = 2.0**-16
"""Share of its largest logit by which two answers to the same image may differ by rounding alone."""


DEPENDS = 2.0**-8
"""Share of the largest logit by which an answer may differ between batches; half precision comes near it, what depends on the batch is far above."""


def true_labels(labels: Any, count: int, finding: int | None) -> Tensor:
    """Labels as a (N,) tensor of whole numbers; of a multi-label matrix the column of the finding.

    Raises:
        InputError: not as many as images, not whole numbers, negative, or a matrix without a finding.
    """
    try:
        values = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"labels must be whole numbers from 0, given {type(labels).__name__} of other things; map names to numbers in the order of the logits"
        ) from None
    if values.ndim == 2 and finding is not None and 0 <= finding < values.shape[1]:
        values = values[:, finding]
    if values.ndim != 1 or len(values) != count:
        hint = "; name one finding of the multi-label matrix with finding=…" if values.ndim == 2 else ""
        raise InputError(
            f"labels must be one per image, ({count},), given {tuple(torch.as_tensor(labels).shape)}{hint}"
        )
    whole = values.long()
    if not torch.equal(whole.to(values.dtype), values) or (whole < 0).any():
        raise InputError(f"labels must be whole numbers from 0, given {values.unique().tolist()[:5]} …")
    return whole


def check_images(images: Tensor, start: int = 0) -> Tensor:
    """A slice of images (n, C, H, W), if every value is a float in [0, 1].

    Raises:
        InputError: another type or shape, or a value outside; `start` is the place of the first image, for the message.
    """
    if images.ndim != 4:
        raise InputError(f"images must be (N, C, H, W), given {tuple(images.shape)}")
    if images.dtype not in (torch.float32, torch.float64):
        raise InputError(f"images must be float32 or float64 in [0, 1], given {images.dtype}; use images.float() / 255")
    low, high = (float(images.min()), float(images.max())) if images.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        place = start + int(((images < 0) | (images > 1) | images.isnan()).flatten(1).any(1).nonzero()[0, 0])
        raise InputError(
            f"images must lie in [0, 1], given {low:g} … {high:g} (first at image {place}); divide grey levels by 255, and "
            "leave normalisation to the model: palpate.wrap(model, mean, std)"
        )
    return images


def check_model(model: nn.Module, example: Tensor, labels: Tensor, finding: int | None, draws: int) -> nn.Module:
    """The model to attack, itself or its one sigmoid logit as two; it is in evaluation mode already.

    Raises:
        InputError: its output is not logits (N, K) or (N,), K is too small for the labels, or there is no such finding.
    """
    model = in_full_precision(model)
    with torch.no_grad():
        try:
            output = model(example)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            if isinstance(error, InputError):
                raise
            shape = tuple(example.shape)
            raise InputError(f"model failed on images {shape} {example.dtype} on {example.device}: {error}") from error
        if not isinstance(output, Tensor) or output.ndim not in (1, 2) or len(output) != len(example):
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"model must give logits (N, K) for images (N, C, H, W), given {given} for N = {len(example)}"
            )
        columns = 1 if output.ndim == 1 else output.shape[1]
        _warn_of_probabilities(output, columns)
        if finding is not None and not 0 <= finding < columns:
            raise InputError(f"finding must be a column of the model's {columns}, given {finding}")
        if columns == 1 or finding is not None:
            model = as_logits_model(model, finding)
            columns = 2
        else:
            model = without_probabilities(model, example)
        if int(labels.max()) >= columns:
            raise InputError(
                f"labels must be below the model's {columns} classes, given {int(labels.max())}; "
                "a sigmoid head has classes 0 and 1, and a multi-label head needs finding=…"
            )
        if draws == 1:
            first, second = model(example), model(example)
            if bool(((first - second).abs().amax(1) > REPEATS * first.abs().amax(1)).any()):
                warnings.warn(
                    "model is not deterministic: two answers to the same images differ, so a radius may rest on luck; "
                    "draws=8 attacks the mean of 8 answers (expectation over transformation)",
                    stacklevel=4,
                )
    return model


def check_gradient(model: nn.Module, example: Tensor) -> None:
    """Make sure that a gradient reaches the images (n, C, H, W) of the example.

    Raises:
        InputError: the network detaches them, forbids autograd, or has layers without a derivative, as quantised ones are.
    """
    reason = "its output does not depend on them in a way that can be differentiated"
    try:
        with torch.enable_grad():
            leaf = example.detach().clone().requires_grad_(True)
            output = model(leaf)
            if output.requires_grad:
                (gradient,) = torch.autograd.grad(output.sum(), leaf, allow_unused=True)
                if gradient is not None:
                    return
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
    raise InputError(
        f"model: no gradient reaches the images ({reason}), so an attack by gradients finds nothing; remove detach, no_grad or "
        'quantisation from the network, or attack it without gradients: attack="square"'
    )


def check_batch(model: nn.Module, example: Tensor) -> None:
    """Make sure that the answer to an image does not depend on the other images of its batch (n, C, H, W).

    Raises:
        InputError: it does, as with batch norm without running statistics; one image by itself would not be fooled by what fooled it in a batch.
    """
    if len(example) < 2:
        return
    with torch.no_grad():
        together, again, alone = model(example), model(example), model(example[:1])
    if not torch.equal(together, again):  # a random model, of which `check_model` warns
        return
    if bool((together[:1] - alone).abs().max() > DEPENDS * together.abs().max()):
        raise InputError(
            "model: its answer to an image depends on the other images of the batch, as with batch norm without running statistics "
            "(track_running_stats=False); give it statistics of its own, or attack images one by one: batch_size=1"
        )


def _warn_of_probabilities(output: Tensor, columns: int) -> None:
    inside = bool(((output >= 0) & (output <= 1)).all())
    sums = columns > 1 and inside and bool(((output.sum(1) - 1).abs() < 1e-3).all())
    if sums or (columns == 1 and inside and bool((output > 0).any())):
        warnings.warn(
            "model seems to give probabilities instead of logits: its gradients vanish where it is sure, so it looks more robust than "
            "it is; remove the final softmax or sigmoid",
            stacklevel=5,
        )
