"""`palpate.trust`: make every check that the budget allows, and say of each what was found or why it was not made.

No check can prevent the others. By the time they run an attack has been paid for, so an unusual model or unusual images end in "not run" and a
reason, never in a traceback.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.budget import BudgetExceeded, PassBudget
from palpate.attacks.norms import ORDERS, Norm, seeded
from palpate.attacks.quantize import on_grid
from palpate.attacks.result import Sweep
from palpate.attacks.validation import check_count, check_module, class_names, true_labels
from palpate.core.epsilon import epsilon_grid, scale_of
from palpate.core.errors import InputError
from palpate.core.records import VerdictRecord
from palpate.models.adapt import ReadWhenSeen, as_logits_model, in_full_precision
from palpate.models.generators import generator_states, restore_generators
from palpate.models.predict import Images, Progress, as_tensor, device_of, evaluating
from palpate.models.resume import Resume
from palpate.verdicts.baselines import GreyStaysGrey
from palpate.verdicts.check import Check, Finding, NotRun, SweepUnderTest, checks
from palpate.verdicts.context import CheckContext
from palpate.verdicts.towards import Towards, towards

MOST = 64
"""Images that the checks look at, drawn from all classes in proportion."""

PER_IMAGE = 500
"""Passes per image in the smallest default budget."""

BATCH = 64
"""Images per call of the model."""


def trust(
    model: nn.Module,
    images: Images,
    labels: Any,
    epsilons: Sequence[float | str],
    sweep: Sweep | None = None,
    *,
    sibling: nn.Module | None = None,
    finding: int | None = None,
    targets: Any = None,
    expect: float | None = None,
    norm: Norm | None = None,
    channels: Literal["tied", "free"] | None = None,
    levels: int | None = None,
    draws: int | None = None,
    batch_size: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    resume: Resume | None = None,
) -> list[VerdictRecord]:
    """Check whether standard PGD would overestimate this model's robustness, and whether a sweep's result can be trusted.

    The checks attack a sample of at most 64 images themselves, at up to three of the epsilons, each from scratch. The model's modes,
    parameters' flags, buffers and torch's random state are left as they were.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, K), (N, 1) or (N,).
        images: the images that were, or would be, attacked; a tensor, an array, or any sequence whose slices are such.
        labels: true classes (N,); of a multi-label task (N, F) with `finding`.
        epsilons: radii; in l∞ in [0, 1] or such as "2/255".
        sweep: the result to be examined; without it the verdicts are about the model alone.
        sibling: a model of the same task trained independently, for the check of transfer.
        finding: column of a multi-label (sigmoid) head that was, or would be, attacked.
        targets: classes that the perturbations must lead to, as `palpate.sweep` takes them; by default the sweep's. Where images have different
            ones, those of the most frequent target are looked at.
        expect: the clean accuracy in [0, 1] that was measured elsewhere, on such images, so that a forgotten mean and standard deviation show.
        norm: of the epsilons; by default the sweep's, or l∞.
        channels: "tied", a grey image stays grey under attack, or "free"; by default the sweep's, or tied.
        levels: grey levels that the attack is, or would be, held to, as `palpate.sweep` takes them; by default the sweep's. What the checks' own
            attacks find is held to them, too, before it is compared with the sweep.
        draws: answers averaged per pass, for models that are not deterministic; by default the sweep's, or 1.
        batch_size: images per pass, at most; 64 when absent.
        budget: passes to spend, forward and backward together, one per image; by default the larger of a quarter of the sweep's and
            500 · min(N, 64). What does not fit is "not run".
        seed: of the sample and of every draw; equal seeds give equal verdicts.
        progress: told the passes spent, the budget and the check in hand.
        resume: where the state is kept after a check and looked for at the start; nowhere when absent.

    Returns:
        One verdict per check in `palpate.core.registry.VERDICTS`, in the order of their ranks.

    Raises:
        InputError: before any pass, if there are no images, labels do not match them, an epsilon cannot be read, the norm is unknown or not the
            sweep's, channels are unknown, expect is no accuracy, targets are not the sweep's, or levels, draws,
            batch_size or the budget are no such number.
    """
    check_module(model)
    if sibling is not None:
        check_module(sibling)
    norm = norm or (sweep.norm if sweep else "linf")  # pyright: ignore[reportAssignmentType]
    if norm not in ORDERS or (sweep and norm != sweep.norm):
        known = f"one of {', '.join(map(repr, ORDERS))}, since there are no checks of others"
        allowed = f"{sweep.norm!r}, that of the sweep" if sweep and sweep.norm in ORDERS else known
        raise InputError(f"norm must be {allowed}, given {norm!r}")
    grid = epsilon_grid(epsilons, norm, scale_of(images))
    labels, goal = true_labels(labels, check_count(images), finding, class_names(model)), None
    draws = draws if draws is not None else int(sweep.how.get("draws", 1)) if sweep else 1
    channels = channels or (sweep.how.get("channels") if sweep else None)
    if channels not in (None, "tied", "free"):
        raise InputError(f"channels must be 'tied' or 'free', given {channels!r}")
    if expect is not None and not 0 <= expect <= 1:
        raise InputError(f"expect must be an accuracy in [0, 1], given {expect}")
    targets = sweep.targets if targets is None and sweep is not None else targets
    if targets is not None:
        if expect is not None:
            raise InputError("expect is an accuracy among all classes; leave it out where there are targets")
        images, labels, sweep, goal = towards(images, labels, sweep, targets, class_names(model))
    levels = int(sweep.how.get("levels") or 0) if levels is None and sweep else levels or 0
    if budget is None:
        budget = max(PER_IMAGE * min(len(images), MOST), 0 if sweep is None else int(sweep.passes.sum()) // 4)
    batch = BATCH if batch_size is None else batch_size
    numbers = {"draws": (draws, 1), "levels": (levels or 2, 2), "batch_size": (batch, 1), "budget": (budget, 0)}
    for name, (value, least) in numbers.items():
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, given {value!r}")
    if levels and norm != "linf":
        raise InputError(f"levels go with norm 'linf' only, given {norm!r}; leave levels out")
    device = device_of(model)
    places = _sample(labels, seed)
    looked_at = torch.cat([as_tensor(images[place : place + 1]) for place in places.tolist()])
    if levels:
        on_grid(looked_at, levels)
    spent = PassBudget(budget)

    def access(network: nn.Module) -> ModelAccess:
        return ModelAccess(network, batch=batch, draws=draws, budget=spent)

    def logits(network: nn.Module) -> ModelAccess:
        adapted = as_logits_model(ReadWhenSeen(in_full_precision(network), finding), finding)
        adapted = adapted if goal is None else Towards(adapted, goal)
        return access(adapted if channels == "free" else GreyStaysGrey(adapted))

    about: dict[str, Any] = {"model": model, "norm": norm, "levels": levels, "finding": finding, "expect": expect}
    about |= {"every_image": images, "every_label": labels, "places": places, "epsilons": grid, "seed": seed}
    about |= {"images": looked_at.to(device), "labels": labels[places].to(device)}
    about["training"] = frozenset(module for module in model.modules() if module.training)
    about["swept"] = None if sweep is None else _under_test(sweep, labels)
    other = evaluating(sibling) if sibling else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), evaluating(model), other:
        torch.manual_seed(seed)
        about |= {"outputs": access(in_full_precision(model)), "access": logits(model)}
        context = CheckContext(**about, sibling=logits(sibling.to(device)) if sibling else None)
        verdicts: list[VerdictRecord] = []
        made: dict[str, VerdictRecord] = {}
        if resume and (state := resume.load()):
            made = {record["name"]: VerdictRecord(**record) for record in state["verdicts"]}
            spent.forward, spent.backward = state["spent"]
            context.restore(state["context"])
            restore_generators(state["generators"], device)
        for check in checks():
            if check.name in made:
                verdicts.append(made[check.name])
                continue
            if progress:
                progress(spent.forward + spent.backward, budget, check.name)
            verdicts.append(_verdict(check, context))
            if resume and resume.due():
                state = {"spent": (spent.forward, spent.backward), "context": context.state()}
                state |= {"verdicts": [verdict.to_dict() for verdict in verdicts]}
                resume.save(len(verdicts), state | {"generators": generator_states(device)})
        return verdicts


def _verdict(check: Check, context: CheckContext) -> VerdictRecord:
    budget = context.access.budget
    forward, backward = budget.forward, budget.backward
    try:
        finding = check.function(context, check.threshold or 0.0)
    except (NotRun, BudgetExceeded) as reason:
        finding = Finding("not run", None, f"Not run: {reason}.")
    except Exception as error:  # the attack has been paid for: a check may fail, the others must not
        why = f"the model or the images broke this check ({type(error).__name__}: {error})"
        finding = Finding("not run", None, f"Not run: {why}.")
    about: dict[str, Any] = {name: getattr(check, name) for name in ("name", "subject", "threshold", "unit", "source")}
    if check.subject == "either":
        about["subject"] = "model" if context.swept is None else "result"
    spent: dict[str, Any] = {"passes_forward": budget.forward - forward, "passes_backward": budget.backward - backward}
    return VerdictRecord(**about, **vars(finding), **spent)


def _sample(labels: Tensor, seed: int) -> Tensor:
    """At most 64 places, from each class in proportion, in random order."""
    order = torch.randperm(len(labels), generator=seeded(seed, 0, 0))
    if len(labels) <= MOST:
        return order
    # Sorted by class and taken at equal distances, every class gives its share, within one image.
    by_class = order[labels[order].argsort(stable=True)]
    spaced = (torch.arange(MOST) * len(labels)) // MOST
    return by_class[spaced][torch.randperm(MOST, generator=seeded(seed, 1, 0))]


def _under_test(sweep: Sweep, labels: Tensor) -> SweepUnderTest:
    others = int((sweep.labels.cpu().long() != labels).sum()) if len(sweep) == len(labels) else 0
    if others or len(sweep) != len(labels):
        reason = f"the sweep belongs to other images ({len(sweep)}, with their own labels) than the {len(labels)} given"
        return SweepUnderTest(None, reason, others)
    return SweepUnderTest(sweep)
