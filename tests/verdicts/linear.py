"""A linear classifier on small images, whose exact radius is known: closed forms for the checks."""

from typing import Any

import torch
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.budget import PassBudget
from palpate.attacks.result import Sweep
from palpate.models.adapt import as_logits_model
from palpate.verdicts.check import SweepUnderTest
from palpate.verdicts.context import CheckContext

EPSILONS = (0.01, 0.02, 0.04, 0.08)
SIZE = 8


class Line(nn.Module):
    """Logits (0, w · (x − ½)): an image's exact l∞ radius is |w · (x − ½)| / ‖w‖₁, as long as [0, 1] leaves room."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        signs = torch.randint(0, 2, (3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        self.weight = nn.Parameter(factor * signs)

    def forward(self, x: Tensor) -> Tensor:
        score = ((x - 0.5) * self.weight).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


def images(count: int = 12, radii: tuple[float, float] = (0.015, 0.06)) -> tuple[Tensor, Tensor, Tensor]:
    """Images (N, 3, 8, 8), labels and exact radii, evenly from the first radius to the second, classes in turn."""
    line = Line()
    labels = torch.arange(count) % 2
    exact = torch.linspace(*radii, count, dtype=torch.float64)
    side = (labels * 2 - 1).double() * exact
    x = 0.5 + side.view(-1, 1, 1, 1) * line.weight.detach().double().sign()
    return x.float(), labels, exact


def context_of(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    epsilons: tuple[float, ...] = EPSILONS,
    swept: SweepUnderTest | None = None,
    sibling: nn.Module | None = None,
    **settings: Any,
) -> CheckContext:
    """A context as `trust` makes it, of all the images given."""
    training = frozenset(module for module in model.modules() if module.training)
    budget = PassBudget(10**9)

    def access(network: nn.Module) -> ModelAccess:
        return ModelAccess(network.eval().requires_grad_(False), batch=64, budget=budget)

    other = None if sibling is None else access(as_logits_model(sibling))
    held = 0 if swept is None else int(swept.whole.how.get("levels") or 0)
    return CheckContext(
        model=model,
        outputs=access(model),
        access=access(as_logits_model(model)),
        sibling=other,
        every_image=x.detach(),
        every_label=y,
        places=torch.arange(len(x)),
        images=x.detach(),
        labels=y,
        epsilons=epsilons,
        swept=swept,
        training=training,
        levels=held,
        **settings,
    )


def claim(x: Tensor, y: Tensor, radius: Tensor, stored: Tensor | None, **how: object) -> SweepUnderTest:
    """What a sweep with these radii and stored images says."""
    passes = torch.ones(len(x), 2, dtype=torch.long)
    sweep = Sweep(radius, y, EPSILONS, passes, ("ok",) * len(x), x, stored, None, "linf", how)
    return SweepUnderTest(sweep)
