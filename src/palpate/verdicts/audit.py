"""Checks of the stored images: are they where the sweep says, do they fool when asked again, and can a file hold them?

An attack's own word is never taken: distances are computed in float64 from what is stored, and the model is asked again.
"""

import torch
from torch import Tensor

from palpate.attacks.norms import distance
from palpate.attacks.quantize import through_png
from palpate.attacks.result import Sweep
from palpate.verdicts.baselines import fools
from palpate.verdicts.context import Case
from palpate.verdicts.door import NotRun
from palpate.verdicts.rules import Finding, grey, of, rule

ROUNDING = 2.0**-23
"""One unit in the last place of a float32 at 1: x + δ is rounded, so the norm read back may exceed the radius by so much."""

ASKED = 5
"""How often an image that no longer fools is asked again, for the sake of models with noise in them."""


def ball_and_box(case: Case, threshold: float) -> Finding:
    """Every stored image inside its ball and [0, 1], about as far from the clean one as is claimed, and still fooling."""
    sweep = _sweep(case)
    if sweep.adversarials is None:
        raise NotRun('the sweep did not keep its images; call it with keep="all"')
    assert case.found is not None
    claimed = (sweep.radius > 0) & sweep.radius.isfinite()
    places = claimed.nonzero()[:, 0].tolist()
    case.ledger.need(len(places))
    faults: dict[str, list[int]] = {"outside its ball": [], "outside [0, 1]": [], "near": [], "not fooling": []}
    for start in range(0, len(places), case.door.batch):
        batch = places[start : start + case.door.batch]
        stored = sweep.adversarials[batch]
        clean = torch.cat([case.found.images[place : place + 1] for place in batch]).to(stored)
        radius = sweep.radius[batch]
        reached = distance(stored, clean, sweep.norm).cpu()  # pyright: ignore[reportArgumentType]
        inside = ((stored >= 0) & (stored <= 1)).flatten(1).all(1).cpu()
        fooling = _fooling(case, stored.to(case.images), sweep.labels[batch].to(case.labels.device)).cpu()
        for name, bad in (
            ("outside its ball", ~(reached <= radius + ROUNDING)),
            ("outside [0, 1]", ~inside),
            ("near", reached < 0.1 * radius),
            ("not fooling", ~fooling),
        ):
            faults[name] += [place for place, is_bad in zip(batch, bad.tolist(), strict=True) if is_bad]
    uncounted = [
        place for place, status in enumerate(sweep.status) if status == "failed" and bool(sweep.radius[place] > 0)
    ]
    wrong = set().union(*faults.values(), uncounted)
    figure = 100 * len(wrong) / max(len(sweep), 1)
    status = rule(figure, len(wrong), threshold)
    if status == "pass":
        return Finding(
            status,
            figure,
            f"All {len(places)} stored images lie in their ball and in [0, 1], and fool when asked again.",
        )
    if status == "fail" and wrong == set(faults["not fooling"]) and _varies(case):
        return Finding(
            "warn",
            figure,
            f"Asked again, {of(len(wrong), len(sweep))} stored as adversarial no longer fool: the model's answers vary, and images found at its "
            "boundary fall back, so sweep with several draws.",
        )
    return Finding(status, figure, _audit_advice(faults, uncounted, len(sweep)))


def _varies(case: Case) -> bool:
    """Whether the model answers otherwise when asked again: then an image that falls back is no fault of the result."""
    case.ledger.need(len(case.images))
    return not torch.allclose(case.door.logits(case.images), case.clean, rtol=1e-3, atol=1e-4)


def _audit_advice(faults: dict[str, list[int]], uncounted: list[int], total: int) -> str:
    worst = max(faults, key=lambda name: len(faults[name]))
    if len(uncounted) > len(faults[worst]):
        return f"The attack failed on {of(len(uncounted), total)} and they are counted as standing: count them as fooled or leave them out."
    count = of(len(faults[worst]), total)
    if len(faults["near"]) == len(faults[worst]):
        return (
            f"On {of(len(faults['near']), total)} the stored change is less than a tenth of the radius that is claimed: epsilon was taken in another "
            "unit (grey levels, or after normalisation), or the steps are too small to leave the middle of the ball."
        )
    if worst == "not fooling":
        return f"Asked again, {count} stored as adversarial no longer fool the model: was it changed, in another mode, or random?"
    return f"{count.capitalize()} lie {worst}, beyond what is claimed: the attack's projection or its unit of epsilon is wrong."


def _fooling(case: Case, points: Tensor, labels: Tensor) -> Tensor:
    """Which stored images (n,) still fool, asked up to five times."""
    fooling = fools(case.door.logits(points), labels)
    for _ in range(ASKED - 1):
        (silent,) = (~fooling).nonzero(as_tuple=True)
        if not len(silent) or len(silent) > case.ledger.left:
            break
        fooling[silent] = fools(case.door.logits(points[silent]), labels[silent])
    return fooling


def eight_bits(case: Case, threshold: float) -> Finding:
    """Share of adversarial images that no longer fool once written as a PNG and read again.

    Looked at are the usual attack's images at the largest epsilon, since a sweep's own stop just beyond the boundary, where any rounding can take
    them back. Only a sweep that says it kept to a file's grey levels is taken at its word, and its own images are read.
    """
    levels = 0 if case.found is None else case.found.levels
    epsilon = case.tested[-1]
    if levels:
        sweep = _sweep(case)
        assert case.found is not None
        if sweep.adversarials is None:
            raise NotRun('the sweep did not keep its images; call it with keep="all"')
        inside = case.found.places[((case.found.radius > 0) & case.found.radius.isfinite()).cpu()]
        stored, labels = sweep.adversarials[inside].to(case.images), sweep.labels[inside].to(case.labels.device)
    else:
        run = case.usual(epsilon)
        stored, labels = run.last[run.fooled], case.y[run.fooled]
    if not len(stored):
        raise NotRun("no image was fooled, so there is none to save")
    case.ledger.need(len(stored))
    read = through_png(stored).to(case.images)
    lost = int((~fools(case.door.logits(read), labels)).sum())
    share = lost / len(stored)
    if levels:
        status = rule(share, lost, 0.0)
        advice = f"The sweep says that it kept to {levels} grey levels, but {of(lost, len(stored))} no longer fool as PNG files."
    else:
        status = rule(share, lost, threshold)
        if status == "fail" and epsilon < 1 / 255:
            status = "warn"  # no file can hold so small a change: a fact about files, not a failure of the attack
        advice = (
            f"Written to PNG and read again, {of(lost, len(stored))} no longer fool the model at epsilon {grey(epsilon)}: they exist in "
            "floating point only. Where the images must be files, attack with levels=256, or count only those of the column survives_8bit."
        )
    if status == "pass":
        advice = f"Written to PNG and read again, {of(len(stored) - lost, len(stored))} still fool the model."
    return Finding(status, share, advice)


def _sweep(case: Case) -> Sweep:
    if case.found is None or case.found.sweep is None:
        raise NotRun("no sweep was given" if case.found is None else case.found.reason)
    return case.found.sweep
