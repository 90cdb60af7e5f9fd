"""Checks of what goes in and what comes out: range and units, mode and logits, the same answer twice.

They cost a few passes and catch the mistakes that make everything after them meaningless, so they come first.
"""

import torch
from torch import Tensor, nn

from palpate.statistics.differences import mcnemar
from palpate.verdicts.context import Case
from palpate.verdicts.door import NotRun, as_classes
from palpate.verdicts.rules import Finding, of, rule
from palpate.verdicts.verdict import LEAST

UNITS = {
    "from 0 to 255": lambda x: 255 * x,
    "from −1 to 1": lambda x: 2 * x - 1,
}
BLIND = 10.0
"""Points above always answering one class, up to which a model may be blind to images in [0, 1]."""
CHANCE = 0.01
"""Largest p (exact McNemar, times the ranges tried) at which another range is not called better by luck."""


def input_range(case: Case, threshold: float) -> Finding:
    """Images in [0, 1], spread over it, and no better understood in another range.

    A network that expects bytes sees [0, 1] as black: it answers one class, and no small perturbation changes that. Other ranges are tried only
    on a model that does little better than one answer for all.
    """
    total = len(case.images)
    if case.outside:
        low, high = float(case.images.amin()), float(case.images.amax())
        share = case.outside / total
        seen = f"{of(case.outside, total)} hold values outside [0, 1] (from {low:.3g} to {high:.3g})"
        return Finding(
            "fail" if case.outside >= LEAST else "warn",
            100 * share,
            f"{seen}, so epsilon has no unit: divide bytes by 255 and leave normalisation to the model.",
        )
    if float(case.images.amax()) <= 2 / 255:
        return Finding(
            "fail" if total >= LEAST else "warn",
            100.0,
            f"No image is brighter than {float(case.images.amax()):.2g}: they seem to be divided by 255 twice, so every "
            "epsilon is 255 times too large.",
        )
    right = case.clean.argmax(1) == case.labels
    always = case.labels == case.labels.bincount().argmax()  # answering the commonest class
    blind = case.points(int(right.sum()) - int(always.sum())) <= BLIND
    before = right if int(right.sum()) >= int(always.sum()) else always
    best, unit, p = 0, "", 1.0
    for name, change in UNITS.items() if blind else ():
        after = as_classes(case.door.raw(change(case.images))).argmax(1) == case.labels
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained - lost > best:
            best, unit, p = gained - lost, name, len(UNITS) * mcnemar(gained, lost)
    gain = case.points(best)
    status = rule(gain, best, threshold)
    if status == "pass":
        return Finding(status, gain, "Images lie in [0, 1] and the model knows no other range better.")
    if p > CHANCE:
        return Finding(
            "warn",
            gain,
            f"The model does little better than one answer for all, and with images {unit} instead of [0, 1] it is right {of(best, total)} more "
            f"often, which may be luck (p = {min(p, 1.0):.2g}): see that it is trained, and on which range.",
        )
    return Finding(
        status,
        gain,
        f"The model classifies {of(best, total)} more correctly when given images {unit} instead of [0, 1]: tell it its "
        "normalisation once, with palpate.wrap(model, mean, std), or its accuracy under attack is that of a blind model.",
    )


def mode_and_logits(case: Case, threshold: float) -> Finding:
    """Evaluation mode, and outputs that are not probabilities."""
    total = len(case.images)
    outputs = case.door.raw(case.images)
    table = outputs[:, None] if outputs.ndim == 1 else outputs
    share, count = _probabilities(table, case.labels)
    if rule(share, count, threshold) != "pass":
        return Finding(
            rule(share, count, threshold),
            share,
            "The model returns probabilities instead of logits, so an attack applies softmax twice and its gradient fades where the model is sure: "
            "remove the last softmax or sigmoid and attack again.",
        )
    changed = _changed_by_mode(case, outputs)
    status = rule(changed / total, changed, threshold)
    if status == "pass":
        return Finding(status, max(share, changed / total), "The model is in evaluation mode and returns logits.")
    return Finding(
        status,
        changed / total,
        f"The model was handed over in train() mode, where dropout and batch statistics change the answer on {of(changed, total)}: call "
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


def _changed_by_mode(case: Case, evaluated: Tensor) -> int:
    """On how many images the model as handed over answers otherwise than in evaluation mode; its buffers are put back."""
    model = case.door.model
    if not isinstance(model, nn.Module) or not case.training or len(case.images) < LEAST:
        return 0
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        for module in case.training:
            module.training = True
        given = case.door.raw(case.images)
    finally:
        for module in case.training:
            module.training = False
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
    scale = evaluated.abs().amax().clamp(min=1e-12)
    difference = (given - evaluated).abs().reshape(len(evaluated), -1).amax(1)
    return int((~(difference <= 1e-3 * scale)).sum())


def deterministic(case: Case, threshold: float) -> Finding:
    """Five forwards of the same images: a share of them whose class changes makes every accuracy a matter of luck."""
    total = len(case.images)
    if total < LEAST:
        raise NotRun(f"there are {total} images, and at least {LEAST} are needed")
    answers = torch.stack([case.clean, *(case.door.logits(case.images) for _ in range(4))])  # (5, m, K)
    classes = answers.argmax(2)
    changed = int((classes != classes[0]).any(0).sum())
    spread = (answers - answers[0]).abs().amax() / answers[0].abs().amax().clamp(min=1e-12)
    status = rule(changed / total, changed, threshold)
    if status != "pass":
        return Finding(
            status,
            changed / total,
            f"The model gives {of(changed, total)} another class when asked again, so noise in the model and not its strength may stop the attack: "
            "switch the randomness off, or average gradients and answers over many draws.",
        )
    if not bool(spread <= 1e-3):
        return Finding(
            "warn",
            changed / total,
            f"The model's answers vary from one forward to the next (by {float(spread):.1%} of its largest logit), though hardly a class changes: "
            "report it, and repeat the attack with other seeds.",
        )
    return Finding(status, changed / total, "Five repeated predictions agree.")
