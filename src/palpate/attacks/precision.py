"""Access to a network as fast as its device and the precision asked for allow, while every success is confirmed by the network itself."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from palpate.attacks.access import Model, ModelAccess
from palpate.attacks.before_head import before_head, product_before_head
from palpate.attacks.fuse import copied, fuse_batchnorm
from palpate.attacks.losses import margin, rounding_tolerance
from palpate.attacks.surrogate import straight_through, unsaturated
from palpate.core.errors import InputError
from palpate.models.adapt import Contiguous, takes_channels_last

EDGES = (2.0**-22, 2.0**-16, 2.0**-9, 2.0**-7, 2.0**-5, 2.0**-4)
"""How far inwards pixels at 0 and 1 may be moved. The first, four float32 steps at 1, stays inside when the network scales its input; the others
are for networks that compute in half precision, clamp a little above 0, such as at one grey level, before a logarithm, or blacken dark pixels."""


def open_access(
    model: nn.Module, example: Tensor, batch: int, draws: int, precision: str, decisions: bool = False
) -> ModelAccess:
    """Access to a frozen model in evaluation mode, as fast as its device allows.

    Args:
        model: images to logits (n, K), K ≥ 2.
        example: a few images on the model's device, on which the fused copy is checked.
        batch, draws: see `ModelAccess`.
        precision: "float32", or "bfloat16" for gradients.
        decisions: only decisions count, so that the logits may be those before a head that changes none, see `before_head`.
    """
    device, half = example.device, precision == "bfloat16"
    if not takes_channels_last(model, example):
        model = Contiguous(model)
    fused = fuse_batchnorm(model, example)
    fast: Model = partial(_in_bfloat16, fused) if half else fused
    number = product_before_head(model, example) if decisions and draws == 1 else None
    bare = partial(before_head, number=number)
    judge = bare(partial(_in_float32, model) if device.type == "cuda" else model)
    fast, edge = with_gradients(bare(fast), bare(model), example)
    confirm = half or edge > 0 or device.type == "cuda"
    if device.type == "mps":  # it has no float64: radii and images stay on the CPU, and the model is visited
        fast, judge, device = partial(_visit, fast, device), partial(_visit, judge, device), torch.device("cpu")
    careful = cache(lambda: (precise := _in_float64(model, example[:1].to(device), edge)) and bare(precise))
    access = ModelAccess(judge, fast=fast, confirm=confirm, careful=careful, batch=batch, draws=draws, device=device)
    access.surrogate = cache(lambda: unsaturated(careful() or fast, example.to(device)))
    with torch.no_grad():
        logits = judge(example.to(device))
    access.rectified = logits.shape[1] > 2 and bool((logits == 0).any() and (logits >= 0).all())
    access.still = still_classes(judge, careful, example.to(device))
    access.wavering = wavering(judge, example.to(device)) if draws == 1 else 0.0
    return access


def wavering(model: Model, example: Tensor) -> float:
    """By how many rounding tolerances the margin of the predicted class changes where images are asked one by one and not in a batch.

    It is the median over the example (n, C, H, W), its negative and noise; 0 for a network that takes only so many images at once.
    """
    points = torch.cat(_probes(example))
    try:
        with torch.no_grad():
            together, apart = model(points), torch.cat([model(point) for point in points.split(1)])
    except Exception:  # whatever a stranger's network may raise
        return 0.0
    label = together.argmax(1)
    changed = (margin(together.double(), label) - margin(apart.double(), label)).abs()
    return float((changed / rounding_tolerance(together, label).clamp(min=1e-300)).nan_to_num(0.0, 0.0, 0.0).median())


def _probes(example: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The example (n, C, H, W), its negative and noise."""
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    return example, 1 - example, noise


def still_classes(model: Model, careful: Callable[[], Model | None], example: Tensor) -> Tensor | None:
    """Classes (K,) whose logit no pixel moves and which is below all that move, as that of a masked class: an attack that aims at one is wasted.

    They are seen on the example (n, C, H, W), its negative and noise; in float64, too, where `careful` gives the model in it, since float32 rounds
    the probabilities of many classes to 0. None where there are none, or fewer than two others.
    """
    still = _still(model, _probes(example))
    precise = careful() if bool(still.any()) else None
    if precise is not None:
        still &= _still(precise, _probes(example))
    return still if bool(still.any()) and int((~still).sum()) > 1 else None


def _still(model: Model, points: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():
        logits = torch.cat([model(part) for part in points])
    same = (logits == logits[:1]).all(0)
    return same & (logits < logits.masked_fill(same, float("inf")).amin(1, keepdim=True)).all(0)


def with_gradients(fast: Model, model: Model, example: Tensor) -> tuple[Model, float]:
    """The fast model with gradients where the model hides them, behind roundings and at pixels of 0 and 1, and how far it moves pixels inwards."""
    edge = _dead_edge(model, example)
    if edge is None:
        edge = _dead_edge(straight_through(model), example)
        fast = fast if edge is None else straight_through(fast)
    return (partial(_inwards, fast, edge), edge) if edge else (fast, 0.0)


def _dead_edge(model: Model, example: Tensor) -> float | None:
    """How far inwards pixels must be moved to have a gradient, where at 0, or at 1, none has: torch.clamp gives none at its ends. 0 where some have.

    Where neither end has one, it is the least that helps both, if any does. A gradient that is no number, as of the square root at 0, counts as none.
    None where pixels between 0 and 1 have no gradient either.
    """

    def live(value: float) -> bool:
        points = torch.where(chosen, value, torch.full_like(example, 0.5))
        _, _, gradient = ModelAccess(model).gradient(
            points, lambda logits: logits @ torch.linspace(1, 2, logits.shape[1]).to(logits)
        )
        return bool((gradient[chosen] != 0).any())

    chosen = (torch.rand(example.shape, generator=torch.Generator().manual_seed(0)) < 0.5).to(example.device)
    try:
        dead = [end for end in (0.0, 1.0) if not live(end)]
        seen = {edge: sum(live(abs(end - edge)) for end in dead) for edge in EDGES} if dead else {0.0: 0}
        edge = max(seen, key=lambda edge: seen[edge]) if any(seen.values()) else 0.0
        return None if len(dead) == 2 and not edge and not live(0.5) else edge
    except (RuntimeError, InputError):  # it has no gradient at all
        return 0.0


def _inwards(model: Model, edge: float, points: Tensor) -> Tensor:
    """What the model gives with pixels kept so far from 0 and 1, for gradients."""
    fixed = points.detach()
    return model(points + (fixed.clamp(edge, 1 - edge) - fixed))


def _in_bfloat16(model: Model, points: Tensor) -> Tensor:
    with torch.autocast(points.device.type, torch.bfloat16):
        return model(points).float()


def _in_float64(model: nn.Module, example: Tensor, edge: float) -> Model | None:
    """The model in float64 between points and logits in float32; None where it is in float64 itself, cannot be copied, or asks for float32."""
    if example.dtype == torch.float64:
        return None

    def ask(points: Tensor) -> Tensor:
        return precise(points.double()).float()

    try:
        precise = copied(model).to(example.device, torch.float64).requires_grad_(False)
        with torch.no_grad():
            ask(example)
    except Exception:  # whatever a copy of a stranger's network may raise
        return None
    return partial(_inwards, ask, edge) if edge else ask


def _visit(model: Model, device: torch.device, points: Tensor) -> Tensor:
    return model(points.to(device)).cpu()


def _in_float32(model: Model, points: Tensor) -> Tensor:
    """What the model gives without the 10-bit products (TF32) that CUDA's convolutions take by default."""
    backend = torch.backends.cudnn
    chosen, same = backend.benchmark, backend.deterministic
    with backend.flags(enabled=True, benchmark=chosen, deterministic=same, allow_tf32=False):
        return model(points)
