"""The arguments of a sweep, checked before any pass is spent: images, labels, and a model that gives logits.

Most wrong robustness figures come from here: images in 0–255, a softmax for logits, a model left in training mode, an epsilon in another unit.
What cannot be attacked is refused with the remedy; what can be attacked but not trusted is warned of, and the checks fail it.
"""

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.adapt import (
    Copying,
    HalfPrecision,
    LogProbabilities,
    as_logits_model,
    in_full_precision,
    without_probabilities,
)
from palpate.models.predict import check_values, one_message

REPEATS = 2.0**-16
"""Share of its largest logit by which two answers to the same image may differ by rounding alone."""


DEPENDS, DEPENDS_COARSE = 2.0**-12, 2.0**-8
"""Share of the larger of its two largest logits by which an answer may differ between batches: in float32, and where half precision or CUDA's
shorter products come near the second. What depends on the batch is far above."""


def check_module(model: Any) -> None:
    """Make sure that the model is a torch module whose parameters have values.

    Raises:
        InputError: it is a function, an exported program, a path, or something else; or it has lazy layers that were never called.
    """
    if not isinstance(model, nn.Module):
        hint = "; of an exported program give program.module()" if hasattr(model, "module") else ""
        hint = hint or ("; put a function into the forward of a module" if callable(model) else "")
        raise InputError(f"model must be a torch.nn.Module, given {type(model).__name__}{hint}")
    check_values(model)


def check_count(images: Any) -> int:
    """The number of images.

    Raises:
        InputError: they cannot be sliced, or there are none.
    """
    if not hasattr(images, "__getitem__"):
        raise InputError(
            f"images must be a tensor, an array or a sequence whose slices are such, given {type(images).__name__}; "
            "of a DataLoader take its dataset's images, for example torch.cat([images for images, _ in loader])"
        )
    if getattr(images, "layout", torch.strided) != torch.strided or getattr(images, "is_meta", False):
        raise InputError(
            f"images must be dense and hold values, given {images.layout} on {images.device}; use images.to_dense()"
        )
    if getattr(images, "ndim", 4) != 4:
        raise InputError(f"images must be (N, C, H, W), given {tuple(images.shape)}")
    if len(images) == 0:
        raise InputError("images must hold at least one image, given none")
    return len(images)


def class_names(model: Any) -> tuple[str, ...]:
    """The names of the model's classes in the order of its logits; () where it does not say."""
    names = getattr(model, "classes", None)
    known = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
    return tuple(names) if known else ()  # pyright: ignore[reportArgumentType]


def true_labels(
    labels: Any, count: int, finding: int | None, classes: Sequence[str] = (), name: str = "labels"
) -> Tensor:
    """Labels, or targets by that `name`, as a (N,) tensor of whole numbers; of a multi-label matrix the column of the finding.

    Raises:
        InputError: not as many as images, not whole numbers or names of `classes`, negative, or a matrix without a finding.
    """
    values = _numbers(labels, classes, name)
    if values.ndim == 2 and finding is not None and 0 <= finding < values.shape[1]:
        values = values[:, finding]
    if values.ndim != 1 or len(values) != count:
        hint = "; name one finding of the multi-label matrix with finding=…" if values.ndim == 2 else ""
        raise InputError(f"{name} must be one per image, ({count},), given {tuple(values.shape)}{hint}")
    whole = values.long()
    if not torch.equal(whole.to(values.dtype), values) or (whole < 0).any():
        raise InputError(f"{name} must be whole numbers from 0, given {values.unique().tolist()[:5]} …")
    return whole


def _numbers(values: Any, classes: Sequence[str], name: str) -> Tensor:
    """Numbers as a tensor on the CPU, names of classes as their places."""
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_meta or values.is_quantized or values.is_complex():
            raise InputError(
                f"{name} must be dense whole numbers, given {values.dtype} {values.layout} on {values.device}"
            )
        return values.detach().cpu()
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(each, Real) for each in array.reshape(-1)):
            array = array.astype(np.float64)
    except (ValueError, TypeError):  # lists of different lengths
        raise InputError(f"{name} must be one per image, given {type(values).__name__} of other things") from None
    if array.dtype.kind in "biuf":
        return torch.as_tensor(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
    unknown = [each for each in array.reshape(-1).tolist() if each not in classes]
    if unknown or not array.size:
        known = f" or one of {', '.join(map(repr, classes))}" if classes else ", in the order of the logits"
        first = next((each for each in unknown if not isinstance(each, Real)), unknown[0] if unknown else values)
        raise InputError(f"{name} must be whole numbers from 0{known}, given {first!r}")
    return torch.tensor([classes.index(each) for each in array.reshape(-1).tolist()]).reshape(array.shape)


def true_targets(targets: Any, labels: Tensor, classes: int, names: Sequence[str] = ()) -> Tensor | None:
    """The classes to be reached as a (N,) tensor of whole numbers, one for all repeated; None as it is.

    Raises:
        InputError: neither one nor one per image, no class of the model, the label of every image, or of several targets an image's own class.
    """
    if targets is None:
        return None
    one = isinstance(targets, str | int) or getattr(targets, "ndim", None) == 0
    values = true_labels([targets] if one else targets, 1 if one else len(labels), None, names, "targets")
    if int(values.max()) >= classes:
        raise InputError(f"targets must be below the model's {classes} classes, given {int(values.max())}")
    values = values.expand(len(labels)).clone()
    own = (values == labels).nonzero()[:, 0]
    if len(own) == len(labels) or (len(own) and not one):
        raise InputError(
            f"targets must differ from labels, given {int(values[own[0]])} for image {int(own[0])}, which is its class"
        )
    return values


def check_images(images: Tensor, start: int = 0) -> Tensor:
    """A slice of images (n, C, H, W), if every value is a float in [0, 1].

    Raises:
        InputError: another type or shape, or a value outside; `start` is the place of the first image, for the message.
    """
    if images.ndim != 4:
        raise InputError(f"images must be (N, C, H, W), given {tuple(images.shape)}")
    if images.layout != torch.strided:
        raise InputError(f"images must be dense, given {images.layout}; use images.to_dense()")
    if images.dtype not in (torch.float32, torch.float64):
        raise InputError(f"images must be float32 or float64 in [0, 1], given {images.dtype}; use images.float() / 255")
    low, high = (float(images.min()), float(images.max())) if images.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        place = start + int(((images < 0) | (images > 1) | images.isnan()).flatten(1).any(1).nonzero()[0, 0])
        raise InputError(
            f"images must lie in [0, 1], given {low:.9g} … {high:.9g} (first at image {place}); divide grey levels by 255, leave normalisation to "
            "the model: palpate.wrap(model, mean, std), and cut off what rounding left outside: images.clamp(0, 1)"
        )
    return images


def check_model(
    model: nn.Module, example: Tensor, labels: Tensor, finding: int | None, draws: int
) -> tuple[nn.Module, int]:
    """The model to attack, itself or its one sigmoid logit as two, and the number of its classes; it is in evaluation mode already.

    Raises:
        InputError: it fails, its output is not logits (N, K) or (N,), K is too small for the labels, or there is no such finding.
    """
    shape = f"images {tuple(example.shape)} {example.dtype} on {example.device}"
    with torch.no_grad(), one_message(f"model failed on {shape}", "; where it takes one at a time, state batch_size=1"):
        model, given = in_full_precision(model), example.clone()
        output = model(given)
        if given._version or not torch.equal(given, example):  # it works in place, which a leaf of autograd forbids
            model = Copying(model)
        dense = isinstance(output, Tensor) and output.layout == torch.strided
        if not dense or output.ndim not in (1, 2) or len(output) != len(example):
            odd = output.layout if isinstance(output, Tensor) else type(output).__name__
            what = tuple(output.shape) if dense else odd
            raise InputError(
                f"model must give logits (N, K) for images (N, C, H, W), given {what} for N = {len(example)}; "
                "palpate.wrap reads them from a tuple, a mapping or an object"
            )
        if not output.is_floating_point():
            raise InputError(f"model must give logits, floating point numbers, given {output.dtype}")
        columns = 1 if output.ndim == 1 else output.shape[1]
        if finding is not None and not 0 <= finding < columns:
            raise InputError(f"finding must be a column of the model's {columns}, given {finding}")
        model = without_probabilities(model, example, finding)
        if isinstance(model, LogProbabilities) and (model.summed or columns == 1 or finding is not None):
            warnings.warn(
                "model seems to give probabilities instead of logits: its gradients vanish where it is sure, so other tools find it more robust "
                "than it is; log p is attacked instead, or log(p / (1 − p)) where they do not sum to 1; remove the final softmax or sigmoid",
                stacklevel=4,
            )
        if columns == 1 or finding is not None:
            model, columns = as_logits_model(model, finding), 2
        if int(labels.max()) >= columns:
            raise InputError(
                f"labels must be below the model's {columns} classes, given {int(labels.max())}; "
                "a sigmoid head has classes 0 and 1, and a multi-label head needs finding=…"
            )
        moved, size = _moved(model(example), model(example))
        if draws == 1 and bool((moved > REPEATS * size).any()):
            warnings.warn(
                "model is not deterministic: two answers to the same images differ, so a radius may rest on luck; "
                "draws=8 attacks the mean of 8 answers (expectation over transformation)",
                stacklevel=4,
            )
    return model, columns


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


def check_batch(model: nn.Module, example: Tensor, most: int | None = None) -> None:
    """Make sure that the answer to an image (n, C, H, W) does not depend on the other images of its batch, of `most` images.

    Raises:
        InputError: it does, as with batch norm without running statistics; one image by itself would not be fooled by what fooled it in a batch.
    """
    batch = torch.cat([1 - example[:1], example])[:most]  # never equal images only
    tried = len(batch)
    why = (
        "its answer to an image depends on the other images of the batch, as with batch norm without running statistics "
        "(track_running_stats=False) or dynamic quantisation; give it statistics of its own"
    )
    with torch.no_grad():
        try:
            together = model(batch)
            if bool((_moved(together, model(batch))[0] > 0).any()):  # a random model, of which `check_model` warns
                return
            tried = 1
            moved, size = _moved(torch.cat([model(image[None]) for image in batch[1:]]), together[1:])
            coarse = isinstance(model, HalfPrecision) or together.dtype.itemsize < 4 or together.is_cuda
            if not bool((moved > (DEPENDS_COARSE if coarse else DEPENDS) * size).any()):
                return
        except Exception as error:  # whatever a network raises, its user sees one message
            count = "a single image" if tried == 1 else f"{tried} images"
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            why = f"it fails on {count} ({reason}); have it take any number of images"
    raise InputError(f"model: {why}, or attack images one by one: batch_size=1")


def _moved(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """How far the gap of each answer's two largest logits (n, K) moved (n,), and the size of the larger of the two.

    Logits that cannot win do not count: a masked class at −1e9 would hide every difference, and one at −∞ has none.
    """
    places = before.topk(min(2, before.shape[1]), dim=1).indices
    pair, other = (each.gather(1, places).double() for each in (before, after))
    moved = ((pair[:, 0] - pair[:, -1]) - (other[:, 0] - other[:, -1])).abs()
    return moved.nan_to_num(nan=0.0, posinf=0.0), torch.where(pair.isfinite(), pair, 0.0).abs().amax(1)
