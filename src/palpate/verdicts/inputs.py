"""Checks of what goes in and what comes out: range and units, mode and logits, the same answer twice.

They cost a few passes and catch the mistakes that make everything after them meaningless, so they come first.
"""

import torch
from scipy.stats import binomtest
from torch import Tensor

from palpate.verdicts.check import ATHALYE, CARLINI, LEAST, Finding, NotRun, check, out_of, status_of
from palpate.verdicts.context import CheckContext

RANGES = {
    "from 0 to 255": lambda x: 255 * x,
    "from −1 to 1": lambda x: 2 * x - 1,
}
BLIND = 10.0
"""Points above always answering one class, up to which a model may be blind to images in [0, 1]."""

CHANCE = 0.01
"""Largest p (exact McNemar, times the ranges tried) at which another range is not called better by luck."""


@check("input range", 10, 10.0, "points", f"{CARLINI} 5.7")
def input_range(context: CheckContext, threshold: float) -> Finding:
    """Images in [0, 1], spread over it, and no better classified in another range.

    A network that expects bytes sees [0, 1] as black: it answers one class, and no small perturbation changes that. Other ranges are tried only
    on a model that does little better than one answer for all.
    """
    total = len(context.images)
    low, high = float(context.images.amin()), float(context.images.amax())
    if context.outside:
        return Finding(
            "fail" if context.outside >= LEAST else "warn",
            100 * context.outside / total,
            f"{out_of(context.outside, total)} hold values outside [0, 1] (from {low:.3g} to {high:.3g}), so epsilon has no unit: divide bytes by "
            "255 and leave normalisation to the model.",
        )
    if high <= 2 / 255:
        return Finding(
            "fail" if total >= LEAST else "warn",
            100.0,
            f"No image is brighter than {high:.2g}: they seem to be divided by 255 twice, so every epsilon is 255 times too large.",
        )
    right = context.clean.argmax(1) == context.labels
    always = context.labels == context.labels.bincount().argmax()  # answering the commonest class
    blind = context.points(int(right.sum()) - int(always.sum())) <= BLIND
    before = right if int(right.sum()) >= int(always.sum()) else always
    best, name, p = 0, "", 1.0
    for unit, change in RANGES.items() if blind else ():
        after = context.access.logits(change(context.images)).argmax(1) == context.labels
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained - lost > best:
            best, name, p = gained - lost, unit, len(RANGES) * float(binomtest(gained, gained + lost).pvalue)
    gain = context.points(best)
    status = status_of(gain, best, threshold)
    if status == "pass":
        return Finding(status, gain, "Images lie in [0, 1], and the model classifies them in no other range better.")
    if p > CHANCE:
        return Finding(
            "warn",
            gain,
            f"The model does little better than one answer for all, and with images {name} instead of [0, 1] it is right {out_of(best, total)} more "
            f"often, which may be luck (p = {min(p, 1.0):.2g}): see that it is trained, and on which range.",
        )
    return Finding(
        status,
        gain,
        f"The model classifies {out_of(best, total)} more correctly when given images {name} instead of [0, 1]: state its normalisation once, with "
        "palpate.wrap(model, mean, std), or its accuracy under attack is that of a model that cannot see the images.",
    )


@check("mode and logits", 20, 0.05, "share", f"{CARLINI} 5")
def mode_and_logits(context: CheckContext, threshold: float) -> Finding:
    """Evaluation mode, and outputs that are not probabilities."""
    total = len(context.images)
    outputs = context.outputs.logits(context.images)
    share, count = _probabilities(outputs[:, None] if outputs.ndim == 1 else outputs, context.labels)
    status = status_of(share, count, threshold)
    if status != "pass":
        return Finding(
            status,
            share,
            "The model returns probabilities instead of logits, so an attack applies softmax twice and its gradient fades where the model is sure: "
            "remove the last softmax or sigmoid and attack again.",
        )
    changed = _changed_by_mode(context, outputs)
    status = status_of(changed / total, changed, threshold)
    if status == "pass":
        return Finding(status, max(share, changed / total), "The model is in evaluation mode and returns logits.")
    return Finding(
        status,
        changed / total,
        f"The model was handed over in train() mode, where dropout and batch statistics change the answer on {out_of(changed, total)}: call "
        "model.eval() before measuring anything outside palpate, which does so itself.",
    )


def _probabilities(table: Tensor, labels: Tensor) -> tuple[float, int]:
    """Share and number of images whose outputs (n, K) are probabilities: all of them or none.

    A single output in [0, 1] may still be a logit, so it counts only where reading it as a probability is right more often.
    """
    inside = ((table >= 0) & (table <= 1)).all(1)
    if table.shape[1] > 1:
        found = bool((inside & ((table.sum(1) - 1).abs() < 1e-3)).all())
        return float(found), found * len(table)
    as_logit, as_probability = (table[:, 0] > 0).long() == labels, (table[:, 0] > 0.5).long() == labels
    gain = int(as_probability.sum()) - int(as_logit.sum())
    if not bool(inside.all()) or gain < LEAST:
        return 0.0, 0
    return 1.0, len(table)


def _changed_by_mode(context: CheckContext, evaluated: Tensor) -> int:
    """On how many images the model in the modes it was handed over in answers differently; its buffers are restored."""
    if not context.training or len(context.images) < LEAST:
        return 0
    buffers = {name: buffer.clone() for name, buffer in context.model.named_buffers()}
    try:
        for module in context.training:
            module.training = True
        given = context.outputs.logits(context.images)
    finally:
        for module in context.training:
            module.training = False
        with torch.no_grad():
            for name, buffer in context.model.named_buffers():
                buffer.copy_(buffers[name])
    scale = evaluated.abs().amax().clamp(min=1e-12)
    difference = (given - evaluated).abs().reshape(len(evaluated), -1).amax(1)
    return int((~(difference <= 1e-3 * scale)).sum())


@check("deterministic", 30, 0.05, "share", f"{ATHALYE} 3.2")
def deterministic(context: CheckContext, threshold: float) -> Finding:
    """Five forwards of the same images: a share of them whose class changes makes every accuracy a matter of luck."""
    total = len(context.images)
    if total < LEAST:
        raise NotRun(f"there are {total} images, and at least {LEAST} are needed")
    answers = torch.stack([context.clean, *(context.access.logits(context.images) for _ in range(4))])  # (5, m, K)
    classes = answers.argmax(2)
    changed = int((classes != classes[0]).any(0).sum())
    spread = (answers - answers[0]).abs().amax() / answers[0].abs().amax().clamp(min=1e-12)
    status = status_of(changed / total, changed, threshold)
    if status != "pass":
        return Finding(
            status,
            changed / total,
            f"The model gives {out_of(changed, total)} another class when asked again, so noise in the model and not its strength may stop the "
            "attack: switch the randomness off, or average gradients and answers over many draws.",
        )
    if not bool(spread <= 1e-3):
        return Finding(
            "warn",
            changed / total,
            f"The model's answers vary from one forward to the next (by {float(spread):.1%} of its largest logit), though hardly a class changes: "
            "report it, and repeat the attack with other seeds.",
        )
    return Finding(status, changed / total, "Five repeated predictions agree.")
