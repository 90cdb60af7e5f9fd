"""`wrap` makes a classifier of somebody's own network."""

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.models.adapt import LogProbabilities, without_probabilities
from palpate.models.checkpoint import check_finite
from palpate.models.classifier import Classifier
from palpate.models.normalize import Normalize, PerChannel, make_normalize
from palpate.models.outputs import Logits
from palpate.models.predict import check_values, evaluating, one_message


def wrap(
    module: nn.Module,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    size: int = 224,
    *,
    channels: int | None = None,
    value_range: Sequence[float] | None = None,
    window: Sequence[float] | None = None,
    output: str | int | None = None,
    classes: Sequence[str] | None = None,
) -> Classifier:
    """Somebody's own network as a `Classifier`, which takes images in [0, 1].

    The network gets (v − mean) / std, where v runs over `value_range` as the image runs over [0, 1]; a network in float16 or bfloat16 gets
    it in its own precision.

    Args:
        module: normalised images (N, C, H, W) to logits: a tensor (N, K), (N, 1) or (N,), or a tuple, mapping or object that holds one. It is
            used as it is, not copied. A single logit stays single: num_classes is 1, and class 1 is a logit above 0. Of
            probabilities that do not sum to 1, log(p / (1 − p)) are the logits, with a warning.
        mean: a number for each channel, or one for all, in units of `value_range`; both this and `std`, or neither.
        std: likewise.
        size: side in pixels of the square images that it is tried on; others are taken where the network takes them.
        channels: of the images, where mean and std do not tell; 3 where nothing does.
        value_range: the least and the greatest value of a pixel: (0, 255), (−1, 1), (−1024, 1024) …; (0, 1) when mean and std are given. One
            of the two must be stated, since a wrong normalisation looks like a weak network.
        window: centre and width of a window that the network's images went through, in units of `value_range`; mean and std are then those of
            windowed images in [0, 1]. It becomes part of the network, see `palpate.models.normalize.Normalize`.
        output: which part of the network's output holds the logits, see `Logits`.
        classes: names of the K logits in their order; of a single one, of its two classes.

    Returns:
        Classifier without a specification: its weights can be saved, and loaded into the same network wrapped again.

    Raises:
        InputError: the network needs more than one input, cannot take such images, returns no logits, or holds weights that are no numbers.
    """
    check_inputs(module)
    given = {"mean": mean, "std": std, "value_range": value_range, "window": window}
    normalize = make_normalize({key: value for key, value in given.items() if value is not None}, channels)
    return adapt(module, normalize, size, None, output, classes)


def adapt(
    module: nn.Module,
    normalize: Normalize,
    size: int,
    spec: dict[str, Any] | None,
    output: str | int | None = None,
    classes: Sequence[str] | None = None,
) -> Classifier:
    """A network that gives logits as a `Classifier`, tried on two blank images.

    Raises:
        InputError: as `wrap`.
    """
    check_inputs(module)
    check_finite(module, f"the network {type(module).__name__}")
    like = next(module.parameters(), torch.zeros(1))
    precision = torch.float64 if like.dtype == torch.float64 else torch.float32
    head = Logits(output)
    model = Classifier(normalize.to(like.device, precision), _opaque(module), None, head, 1, size, spec)
    images = torch.zeros(2, normalize.channels, size, size, dtype=precision, device=like.device)
    failed = one_message(f"module: failed on images {tuple(images.shape)}", f"; {_remedy(model.backbone, normalize)}")
    with evaluating(model), torch.no_grad(), failed:
        logits = model(images)
        if bool(((logits >= 0) & (logits <= 1)).all()):
            seen = without_probabilities(model, images)
            head.odds = isinstance(seen, LogProbabilities) and not seen.summed
    if head.odds:
        warnings.warn(f"{type(module).__name__} gives probabilities: log(p / (1 − p)) are its logits", stacklevel=3)
    if len(logits) != len(images):
        raise InputError(f"module: expected logits (N, K), got {tuple(logits.shape)} for N = {len(images)} images")
    if classes is not None and len(set(classes)) != max(logits.shape[1], 1 if len(classes) == 1 else 2):
        raise InputError(f"classes: expected a name for each of {logits.shape[1]} logits, got {', '.join(classes)}")
    model.num_classes, model.classes = logits.shape[1], None if classes is None else tuple(classes)
    return model


class _Opaque(nn.Module):
    """An exported program, whose mode is fixed and which refuses to be asked for another."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, images: torch.Tensor) -> Any:
        return self.program(images)

    def train(self, mode: bool = True) -> "_Opaque":
        self.training = mode
        return self


def _opaque(module: nn.Module) -> nn.Module:
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
    except NotImplementedError:
        return _Opaque(module)
    for part, mode in modes.items():
        part.training = mode
    return module


def check_inputs(module: nn.Module) -> None:
    """Refuse what is no network, and a network that needs more than a batch of images.

    Raises:
        InputError: as said, with the names of the inputs.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"module: expected a torch.nn.Module, got {type(module).__name__}; put it into one")
    check_values(module)
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [each.name for each in parameters if each.kind in kinds and each.default is each.empty]
    if len(needed) > 1:
        fault = f"its forward needs {len(needed)} inputs ({', '.join(needed)})"
        fault += ", and palpate perturbs one batch of images"
        remedy = "wrap a module whose forward takes the images alone and supplies the others itself"
        raise InputError(f"module: {fault}; {remedy}")


def _remedy(module: nn.Module, normalize: Normalize) -> str:
    """What to change: the channels where the first convolution takes others, else the size, and the batch of a program."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    if first is not None and first.in_channels != normalize.channels:
        return f"its first convolution takes {first.in_channels} channel(s): state channels={first.in_channels}"
    remedy = "state the size and the channels of the images that it takes"
    batch = "export it with a batch of any size, as dynamic_shapes=({0: torch.export.Dim('batch')},) does, and "
    return (batch if isinstance(module, _Opaque) else "") + remedy
