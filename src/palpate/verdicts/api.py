"""`palpate.trust`: make every check that the budget allows, and say of each what was found or why it was not made.

No check can take the others down with it. By the time they run an attack has been paid for, so an unusual model or an odd set of images ends
in "not run" and a reason, never in a traceback.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from palpate.attacks.norms import seeded
from palpate.attacks.result import Sweep
from palpate.core.epsilon import parse_epsilon
from palpate.core.errors import InputError
from palpate.models.predict import Images, Progress, device_of, evaluating
from palpate.verdicts.checks import CHECKS
from palpate.verdicts.context import Case, Found
from palpate.verdicts.door import Door, Ledger, NotRun
from palpate.verdicts.rules import Check
from palpate.verdicts.verdict import Verdict

MOST = 64
"""Images that the checks look at, drawn from all classes in proportion."""

PER_IMAGE = 500
"""Passes per image in the smallest default budget."""


def trust(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    epsilons: Sequence[float | str],
    sweep: Sweep | None = None,
    sibling: nn.Module | None = None,
    budget: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Verdict]:
    """Check whether the usual attack would be misled by this model, and whether a sweep's result can be believed.

    The checks attack a sample of at most 64 images themselves, at up to three of the epsilons, each from scratch. The model's modes,
    parameters' flags, buffers and torch's random state are left as they were.

    Args:
        model: images (N, 3, H, W) in [0, 1] to logits (N, K), (N, 1) or (N,).
        images: the images that were, or would be, attacked; a tensor or any sequence whose slices are tensors.
        labels: true classes (N,).
        epsilons: l∞ radii in [0, 1] or such as "2/255".
        sweep: the result to be examined; without it the verdicts are about the model alone.
        sibling: a model of the same task trained independently, for the check of transfer.
        budget: passes to spend, forward and backward together, one per image; by default the larger of a quarter of the sweep's and
            500 · min(N, 64). What does not fit is "not run".
        seed: of the sample and of every draw; equal seeds give equal verdicts.
        progress: told the passes spent, the budget and the check in hand.

    Returns:
        One verdict per row of `palpate.verdicts.checks.CHECKS`, in its order.

    Raises:
        InputError: before any pass, if there are no images, labels do not match them, an epsilon cannot be read, or the budget is negative.
    """
    grid = tuple(sorted({parse_epsilon(epsilon) for epsilon in epsilons} - {0.0}))
    if not grid:
        raise InputError("epsilons must hold at least one value above 0, given none; for example [2 / 255, 8 / 255]")
    labels = torch.as_tensor(labels).long().cpu()
    if len(images) == 0 or labels.ndim != 1 or len(labels) != len(images):
        raise InputError(
            f"labels must be one class per image, given {tuple(labels.shape)} for {len(images)} images; at least 1 image is needed"
        )
    if budget is None:
        budget = PER_IMAGE * min(len(images), MOST)
        if sweep is not None:
            budget = max(budget, int(sweep.passes.sum()) // 4)
    elif budget < 0:
        raise InputError(f"budget must be a number of passes of at least 0, given {budget}")
    ledger = Ledger(budget)
    device = device_of(model)
    training = frozenset(module for module in model.modules() if module.training)
    chosen = _sample(labels, seed)
    picked = torch.cat([images[place : place + 1] for place in chosen.tolist()]).to(device)
    door = Door(model, ledger)
    other = None if sibling is None else Door(sibling.to(device), ledger)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), evaluating(model):
        torch.manual_seed(seed)
        found = None if sweep is None else _found(sweep, images, labels, chosen, device)
        case = Case(door, other, ledger, picked, labels[chosen].to(device), grid, found, training, seed)
        if sibling is None:
            return _all(case, progress)
        with evaluating(sibling):
            return _all(case, progress)


def _all(case: Case, progress: Progress | None) -> list[Verdict]:
    verdicts = []
    for check in CHECKS:
        if progress:
            progress(case.ledger.budget - case.ledger.left, case.ledger.budget, check.name)
        verdicts.append(_one(case, check))
    return verdicts


def _one(case: Case, check: Check) -> Verdict:
    ledger = case.ledger
    before = (ledger.forward, ledger.backward)
    figure = None
    try:
        finding = check.function(case, check.threshold or 0.0)
        status, figure, advice = finding.status, finding.figure, finding.advice
    except NotRun as reason:
        status, advice = "not run", f"Not run: {reason}."
    except Exception as error:  # the attack has been paid for: a check may fail, the others must not
        status, advice = (
            "not run",
            f"Not run: the model or the images broke this check ({type(error).__name__}: {error}).",
        )
    if figure is not None and not abs(figure) < float("inf"):
        figure = None
    subject = check.subject
    if subject == "either":
        subject = "model" if case.found is None else "result"
    passes = (ledger.forward - before[0], ledger.backward - before[1])
    return Verdict(check.name, subject, status, figure, check.threshold, check.unit, advice, check.source, passes)  # pyright: ignore[reportArgumentType]


def _sample(labels: Tensor, seed: int) -> Tensor:
    """At most 64 places, from each class in proportion, in random order."""
    order = torch.randperm(len(labels), generator=seeded(seed, 0, 0))
    if len(labels) <= MOST:
        return order
    # Sorted by class and taken at equal distances, every class gives its share, within one image.
    by_class = order[labels[order].argsort(stable=True)]
    spaced = (torch.arange(MOST) * len(labels)) // MOST
    taken = by_class[spaced]
    return taken[torch.randperm(MOST, generator=seeded(seed, 1, 0))]


def _found(sweep: Sweep, images: Images, labels: Tensor, chosen: Tensor, device: torch.device) -> Found:
    nothing = torch.full((len(chosen),), float("nan"), dtype=torch.float64)
    if len(sweep) != len(images) or not torch.equal(sweep.labels.cpu().long(), labels):
        reason = f"the sweep belongs to other images ({len(sweep)}, with their own labels) than the {len(images)} given"
        return Found(None, images, chosen, nothing.to(device), max(sweep.epsilons), reason)
    radius = sweep.radius[chosen].to(device)
    reason = "" if sweep.norm == "linf" else f"the sweep is in {sweep.norm} and these attacks are in linf"
    levels = sweep.how.get("levels") or 0
    return Found(sweep, images, chosen, radius, max(sweep.epsilons), reason, int(levels))
