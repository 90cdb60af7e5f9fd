"""Checks of the answers themselves: the same when asked again and in another batch, always numbers, and logits."""

import torch
from torch import Tensor

from palpate.attacks.losses import margin, unusable
from palpate.verdicts.baselines import random_point
from palpate.verdicts.check import ATHALYE, CARLINI, LEAST, Finding, NotRun, check, judge, out_of, said, status_of
from palpate.verdicts.context import CheckContext
from palpate.verdicts.difference import differ

SAME = 1e-2
"""Share of the usual margin up to which two answers to one image are called equal: rounding differs between batches."""

ALIKE, OFTEN = 0.05, 0.2
"""Outputs that vary by less than the first share of their range say nothing. Those of constant sum are probabilities, scaled and shifted,
if so often as the second a class that is not answered comes close to the smallest output."""

FAR = 1e4, 1e6
"""Factors of the images far outside of [0, 1] at which logits grow without bound and probabilities are 0 or 1."""

CLOSE, CLOSE_OF_TWO = 0.05, 0.01
"""How close, as a share of the range. Logits less their mean have a constant sum too, but few of them lie near the smallest; of two classes there
may be many where all images are classified with about the same margin."""


@check("mode and logits", 30, 0.05, "share", f"{CARLINI} 5")
def mode_and_logits(context: CheckContext, threshold: float) -> Finding:
    """Evaluation mode, and outputs that are not probabilities, whatever they are multiplied by."""
    total = len(context.images)
    outputs = context.outputs.logits(context.images)
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    column = 0 if outputs.shape[1] == 1 else context.finding
    table = outputs if column is None else outputs[:, column, None]
    seem = total if _probabilities(table, context.labels) or (column is None and _saturated_far(context, table)) else 0
    status = status_of(seem / total, seem, threshold)
    if status != "pass":
        return Finding(status, 1.0, *said("mode and logits, probabilities"))
    changed = _changed_by_mode(context, outputs)
    return judge(changed / total, changed, threshold, *said("mode and logits", changed=out_of(changed, total)))


def _probabilities(table: Tensor, labels: Tensor) -> bool:
    """Whether outputs (n, K) are a · p + b, p probabilities.

    Outputs of constant sum are, if none is negative, or if many lie at the smallest, where probabilities are 0. A single output
    that is never negative may still be a logit, so it must be right more often when it is compared with half of its largest value.
    """
    if not bool(table.isfinite().all()):
        return False
    low, high = table.amin(), table.amax()
    if table.shape[1] > 1:
        if not _constant_sum(table):
            return False
        rest = table.scatter(1, table.argmax(1, keepdim=True), float("inf"))  # the classes that are not answered
        close = CLOSE if table.shape[1] > 2 else CLOSE_OF_TWO
        none = int((rest <= low + close * (high - low)).sum())
        return bool(low >= 0) or none >= max(LEAST, OFTEN * len(table) * (table.shape[1] - 1))
    if _alike(table):
        return False
    as_logit, as_probability = (table[:, 0] > 0).long() == labels, (table[:, 0] > high / 2).long() == labels
    return bool(low >= 0) and int(as_probability.sum()) - int(as_logit.sum()) >= LEAST


def _saturated_far(context: CheckContext, table: Tensor) -> bool:
    """Whether outputs (n, K) of constant sum are one large and the others small, always the same two values, for images far outside of [0, 1]."""
    if not _constant_sum(table):
        return False
    context.need(len(FAR) * len(table))
    far = [context.outputs.logits(factor * context.images) for factor in FAR]
    low, high = far[0].amin(), far[0].amax()
    slack = CLOSE_OF_TWO * (high - low)
    alike = all(bool(((each.amin() - low).abs() <= slack) & ((each.amax() - high).abs() <= slack)) for each in far)
    ends = ((far[0] >= high - slack).sum(1) == 1) & ((far[0] <= low + slack).sum(1) == table.shape[1] - 1)
    return alike and int(ends.sum()) >= max(LEAST, len(table) / 2)


def _alike(table: Tensor) -> bool:
    """Whether the model gives all images one answer, whatever that is."""
    return bool((table - table[0]).abs().amax() <= ALIKE * (table.amax() - table.amin()))


def _constant_sum(table: Tensor) -> bool:
    """Whether the outputs of every image have the same sum, though they differ."""
    sums = table.sum(1)
    return not _alike(table) and bool((sums - sums.mean()).abs().amax() <= 0.1 * SAME * (table.amax() - table.amin()))


def _changed_by_mode(context: CheckContext, evaluated: Tensor) -> int:
    """On how many images the model in the modes it was handed over in answers differently; its buffers are restored."""
    if not context.training or len(context.images) < LEAST:
        return 0
    buffers = {name: buffer.clone() for name, buffer in context.model.named_buffers()}
    try:
        for module in context.training:
            module.training = True
        given = context.outputs.logits(context.images).reshape(evaluated.shape)
    finally:
        for module in context.training:
            module.training = False
        with torch.no_grad():
            for name, buffer in context.model.named_buffers():
                buffer.copy_(buffers[name])
    return int(differ(given, evaluated, SAME).sum())


@check("deterministic", 40, 0.05, "share", f"{ATHALYE} 3.2")
def deterministic(context: CheckContext, threshold: float) -> Finding:
    """Repeated forwards of the same images: a share of them whose class changes makes every accuracy a matter of luck."""
    total = len(context.images)
    if total < LEAST:
        raise NotRun(f"there are {total} images, and at least {LEAST} are needed")
    answers = context.repeated  # (calls, m, K)
    classes = answers.argmax(2)
    changed = int((classes != classes[0]).any(0).sum())
    words = said("deterministic", calls=len(answers), changed=out_of(changed, total))
    return judge(changed / total, changed, threshold, *words)


@check("same logits", 50, 0.05, "share of the margin", f"{ATHALYE} 3.2")
def same_logits(context: CheckContext, threshold: float) -> Finding:
    """Standard deviation of the margin over repeated forwards, median over images, in shares of the median margin.

    A network drawn at random for each call, or one that counts its calls, may seldom change a class and yet never give the same logits.
    """
    margins = margin(context.repeated.flatten(0, 1), context.labels.repeat(len(context.repeated)))
    margins = margins.view(len(context.repeated), -1)
    margins = margins[:, margins.isfinite().all(0)]
    if margins.shape[1] < LEAST:
        raise NotRun("the model answers with numbers on fewer than 3 images")
    usual = float(margins[0].abs().median().clamp(min=1e-12))
    spread = margins.std(0) / usual
    figure = float(spread.median())
    finding = judge(figure, int((spread > threshold).sum()), threshold, *said("same logits", figure=figure))
    if finding.status == "pass" and context.varies:
        return Finding("warn", figure, *said("same logits, nearly", figure=figure))
    return finding


@check("same answers at the end", 260, 0.05, "share", f"{ATHALYE} 3.2")
def same_at_end(context: CheckContext, threshold: float) -> Finding:
    """The same images again, after all the other checks: a model that counts its calls, or learns from them, answers differently by now."""
    context.need(len(context.images))
    # In small batches, since only some calls may be others.
    again = torch.cat([context.access.logits(part) for part in context.images.split(8)])
    changed = int(differ(again, context.clean, SAME).sum())
    if changed and context.varies:
        raise NotRun("the model's answers vary from one forward to the next anyway")
    words = said("same answers at the end", changed=context.of(changed))
    return judge(changed / len(context.images), changed, threshold, *words)


@check("batch", 60, 0.05, "share", f"{CARLINI} 5")
def batch(context: CheckContext, threshold: float) -> Finding:
    """The same images in smaller batches, sorted by their first logit: an answer must not depend on the other images of its batch."""
    total = len(context.images)
    if total < LEAST:
        raise NotRun(f"there are {total} images, and at least {LEAST} are needed")
    if context.varies:
        raise NotRun("the model's answers vary from one forward to the next anyway")
    context.need(total)
    order = context.clean[:, 0].argsort()  # so that the batches differ as much as they can
    apart = torch.cat([context.access.logits(part) for part in context.images[order].split(max(1, total // 3))])
    changed = int(differ(apart, context.clean[order], SAME).sum())
    return judge(changed / total, changed, threshold, *said("batch", changed=out_of(changed, total)))


@check("numbers", 70, 0.0, "share", f"{CARLINI} 5")
def numbers(context: CheckContext, threshold: float) -> Finding:
    """Answers that are numbers, for the images and for what an attack makes of them: moved within each ball, and shifted by a pixel."""
    total = len(context.images)
    context.need(total * (len(context.tested) + 1))
    generator = context.generator(7)
    lost = unusable(context.clean)
    moved = [random_point(context.images, epsilon, generator, context.norm) for epsilon in context.tested]
    for points in (*moved, context.images.roll((1, 1), (2, 3))):
        lost |= unusable(context.access.logits(points))
    count = int(lost.sum())
    return judge(count / total, count, threshold, *said("numbers", lost=out_of(count, total)))


@check("half a grey level", 75, 2.0, "points", f"{CARLINI} 5")
def half_a_level(context: CheckContext, threshold: float) -> Finding:
    """Points of clean accuracy that two draws of noise of half a grey level, which no file can hold, both take away."""
    if context.varies:
        raise NotRun("the model's answers vary from one forward to the next anyway")
    context.need(2 * len(context.right))
    generator = context.generator(11)
    lost = torch.ones(len(context.right), dtype=torch.bool, device=context.images.device)
    for _ in range(2):
        points = random_point(context.x, 1 / 510, generator, corner=True)
        lost &= context.fooled(points, torch.arange(len(lost)))
    count = int(lost.sum())
    return context.judge(count, threshold, *said("half a grey level", lost=context.of(count)))
