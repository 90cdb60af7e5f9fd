"""Attacks at a given radius, one radius per image: FGSM, MIM, PGD and APGD, as pure functions of tensors.

They are what adversarial training and the verdicts use, and what the sweep's last resort is made of. Each takes the model as
it stands (in training mode too, if that is how it stands) and gives the adversarial images; whoever calls decides about modes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from palpate.attacks.losses import Loss, cross_entropy
from palpate.attacks.norms import Norm, per_image, project, steepest


def input_gradient(
    model: Callable[[Tensor], Tensor], points: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, K), losses (N,) and the gradient of each image's loss with respect to its own pixels (N, C, H, W)."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_(True)
        logits = model(leaf)
        values = loss(logits, labels)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return logits.detach(), values.detach(), gradient


def _radii(epsilon: float | Tensor, images: Tensor) -> Tensor:
    radius = torch.as_tensor(epsilon, dtype=torch.float64, device=images.device)
    return radius.expand(len(images)) if radius.ndim == 0 else radius


def _uniform(images: Tensor, radius: Tensor, generator: torch.Generator, norm: Norm) -> Tensor:
    noise = torch.rand(images.shape, generator=generator, dtype=torch.float32) * 2 - 1
    if norm == "l2":
        length = per_image(torch.rand(len(images), generator=generator), noise)
        noise = length * noise / per_image(noise.flatten(1).norm(dim=1), noise)
    return project(images + noise.to(images) * per_image(radius, images), images, radius, norm)


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Tensor:
    """One step to the edge of the ball (Goodfellow et al. 2015, arXiv 1412.6572): x + ε · sign(∇ loss).

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.full((1, 1, 2, 2), 0.5)
    >>> round((fgsm(net, x, torch.tensor([0]), 0.25) - x).abs().max().item(), 5)
    0.25
    """
    _, _, gradient = input_gradient(model, images, labels, loss)
    radius = _radii(epsilon, images)
    return project(images + per_image(radius, images) * steepest(gradient, norm), images, radius, norm)


def mim(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    steps: int = 10,
    decay: float = 1.0,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Tensor:
    """Momentum iterative method (Dong et al. 2018, arXiv 1710.06081, algorithm 1): step ε / steps along the sum of normalised gradients."""
    radius = _radii(epsilon, images)
    points, momentum = images, torch.zeros_like(images)
    for _ in range(steps):
        _, _, gradient = input_gradient(model, points, labels, loss)
        scale = per_image(gradient.flatten(1).abs().mean(1), images)
        momentum = decay * momentum + gradient / scale.clamp(min=torch.finfo(images.dtype).tiny)
        step = per_image(radius / steps, images) * steepest(momentum, norm)
        points = project(points + step, images, radius, norm)
    return points


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    steps: int = 40,
    generator: torch.Generator | None = None,
    relative_step: float | None = None,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Tensor:
    """Projected gradient ascent (Madry et al. 2018, arXiv 1706.06083): the last iterate, inside the ball and [0, 1].

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), in whatever mode it stands.
        images: float images in [0, 1].
        labels: true classes (N,).
        epsilon: radius, one for all or one per image (N,).
        steps: gradient steps.
        generator: draws the uniform start; None starts at the image.
        relative_step: step as a share of epsilon; 2.5 / steps (Madry) when absent.
        loss: what to raise.
        norm: "linf" or "l2".

    Returns:
        Adversarial images (N, C, H, W), detached.
    """
    radius = _radii(epsilon, images)
    share = 2.5 / steps if relative_step is None else relative_step
    points = images if generator is None else _uniform(images, radius, generator, norm)
    for _ in range(steps):
        _, _, gradient = input_gradient(model, points, labels, loss)
        points = project(points + per_image(radius * share, images) * steepest(gradient, norm), images, radius, norm)
    return points


Ask = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""From points (n, …) and their rows (n,) to losses (n,), gradients (n, …) and which of them may stop (n,)."""


def ascend(ask: Ask, images: Tensor, radius: Tensor, start: Tensor, steps: int, norm: Norm = "linf") -> Tensor:
    """APGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1): ascent with momentum .75 that halves its step when progress stalls.

    The step starts at twice the radius. At checkpoints, ever closer to each other, it is halved and the search goes back to the best point
    if the loss rose in fewer than three quarters of the steps since the last one, or if neither step nor best loss changed.

    Args:
        ask: the loss to raise; images that may stop are asked no more.
        images: (N, …) in [0, 1].
        radius: (N,).
        start: (N, …), inside the balls.
        steps: gradients per image, at most.

    Returns:
        For each image the point at which it could stop, or the point of largest loss (N, …).
    """
    rows = torch.arange(len(images), device=images.device)
    best, best_loss = start.clone(), torch.full((len(images),), -float("inf"), dtype=images.dtype, device=images.device)
    point, before = start, start
    step = 2 * radius
    last_loss, rises = best_loss.clone(), torch.zeros_like(rows)
    kept_step, kept_loss = step.clone(), best_loss.clone()
    ascent = torch.zeros_like(start)
    check, gap, since = max(int(0.22 * steps), 1), max(int(0.22 * steps), 1), 0
    for number in range(steps):
        loss, gradient, stop = ask(point, rows)
        improved = (loss > best_loss) | stop
        best[rows[improved]] = point[improved]
        rises += loss > last_loss
        best_loss, ascent = torch.where(improved, loss, best_loss), _where(improved, gradient, ascent)
        last_loss, since = loss, since + 1
        centre, direction, pull = point, gradient, torch.full_like(step, 0.75 if number else 1.0)
        if number == check:
            stalled = (rises < 0.75 * since) | ((kept_step == step) & (kept_loss == best_loss))
            step = torch.where(stalled, step / 2, step)
            centre, direction = _where(stalled, best[rows], point), _where(stalled, ascent, gradient)
            kept_step, kept_loss, rises, since = step.clone(), best_loss.clone(), torch.zeros_like(rises), 0
            gap = max(gap - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
            check += gap
        clean, ball = images[rows], radius[rows]
        ahead = project(centre + per_image(step, clean) * steepest(direction, norm), clean, ball, norm)
        weight = per_image(pull, clean)
        moved = project(centre + weight * (ahead - centre) + (1 - weight) * (centre - before), clean, ball, norm)
        before, point = centre, moved
        if bool(stop.any()):
            go = ~stop
            rows, point, before, ascent, step, rises = (each[go] for each in (rows, point, before, ascent, step, rises))
            best_loss, last_loss, kept_step, kept_loss = (
                each[go] for each in (best_loss, last_loss, kept_step, kept_loss)
            )
            if not len(rows):
                break
    return best


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float | Tensor,
    steps: int = 100,
    generator: torch.Generator | None = None,
    loss: Loss = cross_entropy,
    norm: Norm = "linf",
) -> Tensor:
    """APGD on one loss: each image's point of largest loss, or the first that is misclassified; arguments as for `pgd`, see `ascend`."""
    radius = _radii(epsilon, images)
    start = images if generator is None else _uniform(images, radius, generator, norm)

    def ask(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, values, gradient = input_gradient(model, points, labels[rows], loss)
        return values, gradient, logits.argmax(1) != labels[rows]

    return ascend(ask, images, radius, start, steps, norm)


def _where(mask: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(mask.view(-1, *[1] * (one.ndim - 1)), one, other)
