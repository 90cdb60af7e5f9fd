"""Checks of a corruption's result: severity 0 is the image, seeds repeat, values stay in range, and the network sees what was changed."""

from typing import Any

import torch
from torch import Tensor

from palpate.attacks.result import Sweep
from palpate.core.io import facts_beside
from palpate.core.records import Status, VerdictRecord
from palpate.corruptions.api import Corrupted
from palpate.corruptions.corruption import apply

EXAMINED = 16
"""Images that are corrupted again for the checks."""

SAME = 1e-6
"""Share of the largest logit by which two answers may differ by rounding alone."""

LEAST = 3
"""Images that must show a fault before it is called a failure."""

SAID = facts_beside(__file__, "checks.toml")


def examine(attack: Corrupted, found: Sweep, clean: Tensor, largest: Tensor) -> list[VerdictRecord]:
    """Check the corruption on the first block of images; no passes are spent.

    Args:
        attack: what was run.
        found: its result, images kept.
        clean, largest: logits (n, K) of the clean images and of those at the largest severity.
    """
    corruption, images = attack.corruption, found.images[:][:EXAMINED]
    count, top = len(images), found.epsilons[-1]
    at_0 = apply(corruption, images, 0.0, seed=attack.seed)
    first = apply(corruption, images, top, seed=attack.seed)
    backwards = apply(corruption, images.flip(0), top, seed=attack.seed, start=torch.arange(count).flip(0)).flip(0)
    every, end = found.images[:], found.images_at(top)
    outside = _differs(end.clamp(0, 1), end)
    changed = _differs(end, every)
    unseen = changed & ((largest - clean).abs().amax(1) <= SAME * clean.abs().amax(1))
    clipped = changed & ~_differs(end, found.images_at(found.epsilons[-2])) if len(found.epsilons) > 1 else ~changed
    faults = {"severity 0": _differs(at_0, images), "repeats": _differs(first, backwards), "range": outside}
    facts = {"reaches the network": unseen, "severity still grows": clipped}  # of the network, or the range
    verdicts = [_verdict(name, wrong, corruption.name, "fail") for name, wrong in faults.items()]
    return verdicts + [_verdict(name, wrong, corruption.name, "warn") for name, wrong in facts.items()]


def _differs(one: Tensor, other: Tensor) -> Tensor:
    """Which images (n,) are not equal to the bit."""
    return (one != other).flatten(1).any(1)


def _verdict(name: str, wrong: Tensor, corruption: str, worst: Status) -> VerdictRecord:
    count = int(wrong.sum())
    status: Status = "pass" if not count else worst if count >= LEAST or count == len(wrong) else "warn"
    bad = f"{count} of {len(wrong)} images: {SAID[name].format(name=corruption)}"
    advice = bad if count else f"None of {len(wrong)} images shows it."
    about: dict[str, Any] = {"subject": "result", "threshold": 0.0, "unit": "images", "source": "docs/corruptions.md"}
    return VerdictRecord(name=name, status=status, figure=float(count), advice=advice, **about)
