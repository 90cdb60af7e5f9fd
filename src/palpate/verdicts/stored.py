"""Checks of the stored images: are they where the sweep says, do they fool when predicted again, and can a file hold them?

An attack's own word is never taken: distances are computed in float64 from what is stored, and the model is asked again.
"""

import torch
from torch import Tensor

from palpate.attacks.norms import distance
from palpate.attacks.quantize import through_png
from palpate.attacks.result import Sweep
from palpate.core import formatting
from palpate.models.predict import as_tensor
from palpate.verdicts.baselines import fools
from palpate.verdicts.check import CARLINI, Finding, NotRun, check, out_of, said, status_of
from palpate.verdicts.context import CheckContext

ROUNDING = 2.0**-23
"""One unit in the last place of a float32 at 1: x + δ is rounded, so the norm read back may exceed the radius by so much."""

ASKED = 5
"""How often an image that no longer fools is predicted again, since the model may be random."""


@check("ball and box", 120, 0.0, "points", f"{CARLINI} 5.5", "result")
def ball_and_box(context: CheckContext, threshold: float) -> Finding:
    """Every stored image inside its ball and [0, 1], about as far from the clean one as is claimed, and still fooling."""
    sweep, stored_all = _stored(context)
    claimed = (sweep.radius > 0) & sweep.radius.isfinite()
    places = claimed.nonzero()[:, 0].tolist()
    context.need(len(places))
    grid = torch.tensor(sweep.epsilons, dtype=torch.float64)
    names = "outside its ball", "outside [0, 1]", "near", "within a smaller epsilon", "not fooling"
    faults: dict[str, list[int]] = {name: [] for name in names}
    for start in range(0, len(places), context.access.batch):
        batch = places[start : start + context.access.batch]
        stored, radius = stored_all[batch], sweep.radius[batch]
        clean = torch.cat([as_tensor(context.every_image[place : place + 1]) for place in batch]).to(stored)
        reached = distance(stored, clean, sweep.norm).cpu()  # pyright: ignore[reportArgumentType]
        inside = ((stored >= 0) & (stored <= 1)).flatten(1).all(1).cpu()
        fooling = _fooling(context, stored.to(context.images), sweep.labels[batch].to(context.labels.device)).cpu()
        beyond, smaller = ~(reached <= radius + ROUNDING), _within_smaller(reached, radius, grid)
        for name, bad in zip(names, (beyond, ~inside, reached < 0.1 * radius, smaller, ~fooling), strict=True):
            faults[name] += [place for place, is_bad in zip(batch, bad.tolist(), strict=True) if is_bad]
    uncounted = [place for place, word in enumerate(sweep.status) if word == "failed" and bool(sweep.radius[place] > 0)]
    wrong = set().union(*faults.values(), uncounted)
    figure = 100 * len(wrong) / max(len(sweep), 1)
    status = status_of(figure, len(wrong), threshold)
    if status == "pass":
        words = said("ball and box", stored=len(places))
    elif status == "fail" and wrong == set(faults["not fooling"]) and context.varies:
        status, words = "warn", said("ball and box, varies", wrong=out_of(len(wrong), len(sweep)))
    else:  # the commonest fault
        worst = max(("near", *faults), key=lambda name: len(faults[name]))
        if len(uncounted) > len(faults[worst]):
            worst, faults["uncounted"] = "uncounted", uncounted
        words = said(f"ball and box, {worst}", count=out_of(len(faults[worst]), len(sweep)))
    return Finding(status, figure, *words)


def _within_smaller(reached: Tensor, radius: Tensor, grid: Tensor) -> Tensor:
    """Which images (n,) lie within an epsilon of the grid at which their claimed radius counts them as not fooled."""
    return ((reached[:, None] <= grid) & (radius[:, None] > grid * (1 + 1e-6))).any(1)


def _fooling(context: CheckContext, points: Tensor, labels: Tensor) -> Tensor:
    """Which stored images (n,) still fool, predicted up to five times."""
    fooling = fools(context.access.logits(points), labels)
    for _ in range(ASKED - 1):
        (silent,) = (~fooling).nonzero(as_tuple=True)
        if not len(silent) or len(silent) > context.access.budget.left:
            break
        fooling[silent] = fools(context.access.logits(points[silent]), labels[silent])
    return fooling


@check("eight bits", 220, 0.25, "share", "Kurakin et al. 2017, arXiv 1607.02533, section 2", "either")
def eight_bits(context: CheckContext, threshold: float) -> Finding:
    """Share of adversarial images that no longer fool once written as a PNG and read again.

    Looked at are baseline PGD's images at the largest epsilon, since a sweep's own stop just beyond the decision boundary, where any rounding can
    take them back. Only a sweep that says it kept to a file's grey levels is held to it, and its own images are read.
    """
    levels = context.levels if context.swept is not None else 0
    epsilon = context.tested[-1]
    if levels:
        sweep, stored = _stored(context)
        radius = sweep.radius[context.places]
        inside = context.places[(radius > 0) & radius.isfinite()]
        stored, labels = stored[inside].to(context.images), sweep.labels[inside].to(context.labels.device)
    else:
        run = context.baseline(epsilon)
        stored, labels = run.last[run.fooled], context.y[run.fooled]
        change = float((stored - context.x[run.fooled]).abs().amax()) if len(stored) else 0.0
    if not len(stored):
        raise NotRun("no image was fooled, so there is none to save")
    context.need(len(stored))
    depth = context.levels or formatting.scale().levels or 256
    read = through_png(stored, depth).to(context.images)
    lost = int((~fools(context.access.logits(read), labels)).sum())
    share = lost / len(stored)
    status = status_of(share, lost, 0.0 if levels else threshold)
    if status == "pass":
        words = said("eight bits", kept=out_of(len(stored) - lost, len(stored)))
    elif levels:
        words = said("eight bits, levels", levels=levels, lost=out_of(lost, len(stored)))
    else:
        if change < 1 / (depth - 1):
            status = "warn"  # no file can hold so small a change: a fact about files, not a failure of the attack
        told = {"lost": out_of(lost, len(stored)), "where": context.written(epsilon), "depth": depth}
        words = said("eight bits, lost", **told)
    return Finding(status, share, *words)


def _stored(context: CheckContext) -> tuple[Sweep, Tensor]:
    """The sweep and its adversarial images (N, C, H, W), of all its images."""
    if context.swept is None:
        raise NotRun("no sweep was given")
    if context.swept.whole.adversarials is None:
        raise NotRun('the sweep did not keep its images; call it with keep="all"')
    return context.swept.whole, context.swept.whole.adversarials
